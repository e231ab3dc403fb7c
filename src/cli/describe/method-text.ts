/** Services and methods as text for people. */
import { redactUrl } from '../../core/redact.js';
import type { MessageDescription, MethodDescription, ServiceDescription } from '../../rpc/index.js';
import { jsonText, printable } from '../output/printable.js';
import { type Column, tableLines } from '../output/table.js';
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

/** A method with the fields of its messages, and a command that calls it. */
export function methodLines(
  target: string,
  service: ServiceDescription,
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
    '',
    callText(target, service, method),
  ];
}

function messageLines(title: string, message: MessageDescription | undefined): string[] {
  if (message === undefined)
    return ['', `${title}: not described; the contract has types, and no schema`];
  const { vendor, type, fields } = message;
  if (fields === undefined)
    return [
      '',
      `${title}: ${printable(`a schema of ${vendor}, whose fields the server does not tell`)}`,
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

/** A command line that calls the method, with an example of its argument. */
function callText(
  target: string,
  { name: service, version }: ServiceDescription,
  { name, input, kind }: MethodDescription,
): string {
  const body = exampleBody(input);
  const argument = body === undefined ? 'JSON' : quoted(jsonText(body));
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
