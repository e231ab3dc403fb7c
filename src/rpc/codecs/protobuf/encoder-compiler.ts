/**
 * Generates the encoder of a schema: one or two lines for each field, in the order of field
 * numbers, with tags, names and presence rules as constants. It writes the bytes that create() and
 * toBinary() of protobuf-es write.
 */
import type { DescField, DescMessage, DescOneof } from '@bufbuild/protobuf';
import * as delimitedWriter from './delimited-writer.js';
import {
  END_GROUP,
  LENGTH_DELIMITED,
  START_GROUP,
  scalarOf,
  valueScalar,
  zeroLiteral,
} from './scalars.js';
import { structFromJson } from './struct.js';
import {
  type CompiledSchema,
  type Encode,
  IMPLICIT,
  isStructField,
  isUnwrappedField,
  LEGACY_REQUIRED,
  literal,
  memberCode,
  own,
} from './types.js';
import * as valueChecks from './value-checks.js';
import * as valueWriter from './value-writer.js';

/** The objects that the code of one encoder refers to, by the names field0, link0 and so on. */
class Scope {
  readonly fields: DescField[] = [];
  readonly links: CompiledSchema[] = [];
  readonly oneofs: DescOneof[] = [];
  /**
   * True: the prototype of the messages has default values, so only own properties are set fields.
   */
  readonly inherits: boolean;
  readonly #linkOf: (schema: DescMessage) => CompiledSchema;

  constructor(inherits: boolean, linkOf: (schema: DescMessage) => CompiledSchema) {
    this.inherits = inherits;
    this.#linkOf = linkOf;
  }

  field(field: DescField): string {
    return `field${this.fields.push(field) - 1}`;
  }

  link(schema: DescMessage): string {
    return `link${this.links.push(this.#linkOf(schema)) - 1}`;
  }

  oneof(oneof: DescOneof): number {
    const at = this.oneofs.indexOf(oneof);
    return at >= 0 ? at : this.oneofs.push(oneof) - 1;
  }
}

export function compileEncoder(
  schema: DescMessage,
  inherits: boolean,
  linkOf: (schema: DescMessage) => CompiledSchema,
): Encode {
  const scope = new Scope(inherits, linkOf);
  const fields = [...schema.fields]
    .sort((a, b) => a.number - b.number)
    .map((field) => fieldCode(scope, field));
  const code = `"use strict";
const { ${Object.keys(valueWriter).join(', ')} } = valueWriter;
const { ${Object.keys(delimitedWriter).join(', ')} } = delimitedWriter;
const { ${Object.keys(valueChecks).join(', ')} } = valueChecks;
${scope.fields.map((_, i) => `const field${i} = fields[${i}];`).join(' ')}
${scope.links.map((_, i) => `const link${i} = links[${i}];`).join(' ')}
return function encode(o, m, at, allowInit) {
  const init = typeof m !== "object" || m === null || m.$typeName !== typeName;
  if (init) checkInit(m, allowInit, typeName);
  let v, x, y;
  ${[...scope.oneofs.map(oneofCode), ...fields].join('\n  ')}
  if (!init && (v = m.$unknown) != null) at = writeUnknownFields(o, at, v);
  return at;
};`;
  const make = new Function(
    'typeName',
    'fields',
    'links',
    'valueWriter',
    'delimitedWriter',
    'valueChecks',
    'own',
    'structFromJson',
    code,
  );
  return make(
    schema.typeName,
    scope.fields,
    scope.links,
    valueWriter,
    delimitedWriter,
    valueChecks,
    own,
    structFromJson,
  );
}

const tagOf = (number: number, wireType: number): number => ((number << 3) | wireType) >>> 0;

function oneofCode(oneof: DescOneof, i: number): string {
  return `const group${i} = ${memberCode('m', oneof.localName)}, case${i} = init && group${i} == null ? undefined : group${i}.case;`;
}

/**
 * Generates the code of a field. In an init shape, null and undefined mean unset. In a message,
 * null is an error, and undefined means unset where the field has presence.
 */
function fieldCode(scope: Scope, field: DescField): string {
  const read = `v = ${memberCode('m', field.localName)}`;
  if (field.fieldKind === 'list')
    return `if ((${read}) != null || !init) { ${listCode(scope, field)} }`;
  if (field.fieldKind === 'map')
    return `if ((${read}) != null || !init) { ${mapCode(scope, field)} }`;
  if (field.oneof !== undefined) {
    const i = scope.oneof(field.oneof);
    return `if (case${i} === ${literal(field.localName)}) { v = group${i}.value; at = ${valueCode(scope, field, 'v === undefined')}; }`;
  }
  if (field.presence !== IMPLICIT) {
    const readOwn = scope.inherits
      ? `v = init ? ${memberCode('m', field.localName)} : own(m, ${literal(field.localName)})`
      : read;
    const missing =
      field.presence === LEGACY_REQUIRED
        ? ` else throw missingRequiredError(${scope.field(field)});`
        : '';
    return `${readOwn}; if (init ? v != null : v !== undefined) at = ${valueCode(scope, field)};${missing}`;
  }
  const set = field.fieldKind === 'enum' ? `v !== ${zeroLiteral(field)}` : isSetCode(field);
  if (set === undefined) {
    // An init shape may give bytes as a list, so emptiness is known only after the conversion.
    const at = `bytes(o, at, ${tagOf(field.number, LENGTH_DELIMITED)}, x)`;
    return `if ((${read}) != null || !init) { x = v === undefined ? NO_BYTES : bytesOf(v, init, ${scope.field(field)}); if (x.length !== 0 || v === undefined) at = ${at}; }`;
  }
  return `${read}; if (${set} && (v != null || !init)) at = ${valueCode(scope, field, 'v === undefined')};`;
}

/**
 * Generates the condition under which a scalar without presence is written; undefined for bytes. An
 * integer may be a number, a bigint or a text. -0 is not the zero value.
 */
function isSetCode(field: DescField): string | undefined {
  const { name, big } = valueScalar(field);
  if (name === 'bytes') return undefined;
  if (name === 'string' || name === 'bool') return `v !== ${zeroLiteral(field)}`;
  if (name === 'float' || name === 'double') return '(v !== 0 || 1 / v < 0)';
  return big ? '(v !== 0n && (typeof v === "bigint" || v != 0))' : 'v != 0';
}

/** Generates code that writes `v`, or the zero value where the condition `absent` holds. */
function valueCode(scope: Scope, field: DescField, absent?: string): string {
  if (field.fieldKind === 'message') return messageCode(scope, field, 'v', field.number, absent);
  return scalarCode(
    scope,
    field,
    'at',
    field.number,
    absent === undefined ? 'v' : `${absent} ? ${zeroLiteral(field)} : v`,
  );
}

/** Generates code that writes a scalar. `number`: the field number; 0 writes no tag. */
function scalarCode(
  scope: Scope,
  field: DescField,
  at: string,
  number: number,
  value: string,
): string {
  const { name, wireType } = valueScalar(field);
  const tag = number === 0 ? 0 : tagOf(number, wireType);
  const described = scope.field(field);
  return name === 'bytes'
    ? `bytes(o, ${at}, ${tag}, bytesOf(${value}, init, ${described}))`
    : `${name}(o, ${at}, ${tag}, ${value}, ${described})`;
}

function messageCode(
  scope: Scope,
  field: DescField,
  value: string,
  number: number,
  absent?: string,
  at = 'at',
): string {
  const schema = field.message as DescMessage;
  const link = scope.link(schema);
  let message = `checkObject(${value}, ${scope.field(field)})`;
  let allowInit = 'init';
  if (isStructField(field)) {
    message = `structFromJson(${value})`;
    allowInit = 'false';
  } else if (isUnwrappedField(field)) {
    message = `init ? { value: ${value} } : { $typeName: ${literal(schema.typeName)}, value: ${value} }`;
  } else if (absent !== undefined) {
    message = `${absent} ? EMPTY_MESSAGE : ${message}`;
    allowInit = `init || ${absent}`;
  }
  if ('delimitedEncoding' in field && field.delimitedEncoding) {
    return `writeTag(o, ${link}.encode(o, ${message}, writeTag(o, ${at}, ${tagOf(number, START_GROUP)}), ${allowInit}), ${tagOf(number, END_GROUP)})`;
  }
  const begin = `x = beginDelimited(o, ${at}, ${tagOf(number, LENGTH_DELIMITED)}, 1)`;
  return `endDelimited(o, ${begin}, ${link}.encode(o, ${message}, x, ${allowInit}), 1)`;
}

function listCode(scope: Scope, field: DescField & { fieldKind: 'list' }): string {
  const loop = 'for (let i = 0; i < v.length; i++)';
  const list = `v = checkList(v, ${scope.field(field)});`;
  if (field.listKind === 'message')
    return `${list} ${loop} at = ${messageCode(scope, field, 'v[i]', field.number)};`;
  if (!field.packed)
    return `${list} ${loop} at = ${scalarCode(scope, field, 'at', field.number, 'v[i]')};`;
  // The least length of the list gives the width of the length prefix, which is right for most
  // lists.
  const width = `y = widthOf(v.length * ${valueScalar(field).bytes})`;
  const begin = `x = at = beginDelimited(o, at, ${tagOf(field.number, LENGTH_DELIMITED)}, ${width});`;
  return `${list} if (v.length > 0) { ${begin} ${loop} at = ${scalarCode(scope, field, 'at', 0, 'v[i]')}; at = endDelimited(o, x, at, y); }`;
}

function mapCode(scope: Scope, field: DescField & { fieldKind: 'map' }): string {
  const key = scalarOf(field.mapKey);
  const described = scope.field(field);
  const keyValue =
    key.name === 'bool'
      ? 'boolKey(key)'
      : key.name === 'string' || key.big
        ? 'key'
        : 'integerKey(key)';
  const writeKey = `y = ${key.name}(o, y, ${tagOf(1, key.wireType)}, ${keyValue}, ${described});`;
  const value =
    field.mapKind === 'message'
      ? messageCode(scope, field, 'v[key]', 2, undefined, 'y')
      : scalarCode(scope, field, 'y', 2, 'v[key]');
  const begin = `const entry = y = beginDelimited(o, at, ${tagOf(field.number, LENGTH_DELIMITED)}, 1);`;
  return `for (const key of mapKeys(v, ${described})) { ${begin} ${writeKey} y = ${value}; at = endDelimited(o, entry, y, 1); }`;
}
