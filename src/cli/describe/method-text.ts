/** Services and methods as text for people. */
import { redactUrl } from '../../core/redact.js';
import type { MessageDescription, MethodDescription, ServiceDescription } from '../../rpc/index.js';
import { fieldType } from '../contract/protobuf/field-text.js';
import { ProtobufCollector } from '../contract/protobuf/protobuf-collector.js';
import { type SchemaRow, schemaRows } from '../json-schema/schema-rows.js';
import { rulesText, typeText as schemaTypeText } from '../json-schema/schema-text.js';
import { jsonText, printable } from '../output/printable.js';
import { type Column, tableLines } from '../output/table.js';
import type { DescribedService } from './described-fleet.js';
import { exampleBody } from './example-body.js';

const METHOD_COLUMNS: readonly Column<MethodDescription>[] = [
  { title: '  METHOD', cell: ({ name }) => `  ${name}` },
  { title: 'KIND', cell: ({ kind }) => kind },
  { title: 'INPUT', cell: ({ input }) => typeText(input) },
  { title: 'OUTPUT', cell: ({ output }) => typeText(output) },
  { title: 'TIMEOUT', cell: ({ timeout }) => (timeout === undefined ? '' : `${timeout} ms`) },
  { title: 'IDEMPOTENT', cell: ({ idempotent }) => (idempotent ? 'yes' : '') },
];

/** `Greeter v1 (json)`. */
export function serviceText({ name, version, codecs }: ServiceDescription): string {
  const versionText = version === '' ? '' : ` ${version}`;
  return printable(`${name}${versionText} (${codecs.join(', ') || 'no codec'})`);
}

/** A service with its methods as a table. */
export function serviceLines(service: ServiceDescription): string[] {
  return [serviceText(service), ...tableLines(service.methods, METHOD_COLUMNS)];
}

function typeText(message: MessageDescription | undefined): string {
  if (message === undefined) return '';
  return message.type ?? `${message.vendor} schema`;
}

/** The most messages and enums that are shown besides the message itself. */
const MAX_TYPES = 50;
/** The longest example in a command line. A longer one would be cut. */
const MAX_EXAMPLE = 1_500;

/** A method with the fields of its messages, and a command that calls it. */
export function methodLines(
  target: string,
  service: DescribedService,
  method: MethodDescription,
): string[] {
  const { name, kind, idempotent, timeout, input, output } = method;
  const facts = [
    kind,
    idempotent ? 'idempotent' : undefined,
    timeout === undefined ? undefined : `timeout ${timeout} ms`,
  ];
  return [
    `${serviceText(service)}  ${printable(name)}: ${facts.filter(Boolean).join(', ')}`,
    ...messageLines('input', input),
    ...(kind === 'oneway' || kind === 'noReply' ? [] : messageLines('output', output)),
    ...nestedLines(service, method),
    '',
    callText(target, service, method),
  ];
}

/** Why there is no JSON Schema. */
const REASONS = {
  none: '',
  failed: ': JSON Schema cannot express it',
  'too-large': ': its JSON Schema is too large',
} as const;

function messageLines(title: string, message: MessageDescription | undefined): string[] {
  if (message === undefined)
    return ['', `${title}: not described; the contract has types, and no schema`];
  const { vendor, type, fields, jsonSchema } = message;
  if (jsonSchema !== undefined) return schemaLines(title, vendor, jsonSchema);
  const reason = message.jsonSchemaOmitted ?? 'none';
  if (fields === undefined)
    return [
      '',
      `${title}: ${printable(`a schema of ${vendor}, whose fields the server does not tell${REASONS[reason]}`)}`,
    ];
  if (fields.length === 0) return ['', `${title}: ${printable(type ?? '')}, without fields`];
  return [
    '',
    `${title}: ${printable(type ?? '')}`,
    ...tableLines(fields, [
      { title: '  FIELD', cell: ({ name }) => `  ${name}` },
      { title: 'NUMBER', cell: ({ number }) => number },
      { title: 'TYPE', cell: (field) => field.type },
      { title: 'ONEOF', cell: ({ oneof }) => oneof },
    ]),
  ];
}

const SCHEMA_COLUMNS: readonly Column<SchemaRow>[] = [
  { title: '  FIELD', cell: ({ field }) => `  ${field}` },
  { title: 'TYPE', cell: ({ type }) => type },
  { title: 'REQUIRED', cell: ({ isRequired }) => (isRequired ? 'yes' : '') },
  { title: 'RULES', cell: ({ rules }) => rules },
];

function schemaLines(title: string, vendor: string, schema: object): string[] {
  const rules = rulesText(schema, schema);
  const text = `${schemaTypeText(schema, schema)}${rules === '' ? '' : `, ${rules}`}`;
  const rows = schemaRows(schema);
  return [
    '',
    printable(`${title}: ${text} (a schema of ${vendor})`),
    ...(rows.length === 0 ? [] : tableLines(rows, SCHEMA_COLUMNS)),
  ];
}

/** The messages and enums that the messages of a method contain. */
function nestedLines(
  { registry }: DescribedService,
  { input, output }: MethodDescription,
): string[] {
  if (registry === undefined) return [];
  const collector = new ProtobufCollector(registry);
  for (const message of [input, output])
    if (message?.type !== undefined) collector.add(message.type);
  const { messages, enums } = collector;
  const isNested = ([name]: [string, unknown]): boolean =>
    name !== input?.type && name !== output?.type;
  const nested = Object.entries(messages).filter(isNested);
  return [
    ...nested.slice(0, MAX_TYPES).flatMap(([name, { fields }]) => [
      '',
      `message ${printable(name)}`,
      ...tableLines(fields, [
        { title: '  FIELD', cell: (field) => `  ${field.name}` },
        { title: 'NUMBER', cell: ({ number }) => number },
        { title: 'TYPE', cell: fieldType },
        { title: 'ONEOF', cell: ({ oneof }) => oneof },
      ]),
    ]),
    ...Object.entries(enums)
      .slice(0, MAX_TYPES)
      .flatMap(([name, { values }]) => [
        '',
        printable(
          `enum ${name}: ${values.map((value) => `${value.name} = ${value.number}`).join(', ')}`,
        ),
      ]),
  ];
}

/** A command line that calls the method, with an example of its argument. */
function callText(
  target: string,
  { name: service, version, registry }: DescribedService,
  { name, input, kind }: MethodDescription,
): string {
  const body = exampleBody(input, registry);
  const text = body === undefined ? '' : jsonText(body);
  const argument = text === '' || text.length > MAX_EXAMPLE ? 'JSON' : quoted(text);
  const versionText = version === '' ? '' : ` --service-version ${quoted(version)}`;
  const pipe = kind === 'clientStream' || kind === 'duplex' ? ' < FILE' : ` ${argument}`;
  const address = quoted(redactUrl(target));
  return `getty call ${address} ${quoted(`${service}/${name}`)}${pipe}${versionText}`;
}

/** A word of the command line, in quotes where a shell needs them. */
export function quoted(text: string): string {
  const safe = printable(text, 2_000);
  return /^[\w./:@,+=-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", `'\\''`)}'`;
}
