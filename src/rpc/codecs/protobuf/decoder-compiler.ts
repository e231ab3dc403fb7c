/**
 * Generates the decoder of a schema: a loop over the tags with a case for each field. It returns
 * what fromBinary() of protobuf-es returns, also for unusual bytes: a wire type is only checked
 * where a list may be packed. There are two differences: a map may have the key `__proto__`, and a
 * text keeps a byte order mark at its beginning.
 */

import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { keepDictionary } from '../../../core/records.js';
import { countsOf, presenceCountOf } from './message-counts.js';
import { END_GROUP, LENGTH_DELIMITED, scalarOf, valueScalar, zeroLiteral } from './scalars.js';
import { structFromJson, structToJson } from './struct.js';
import {
  type CompiledSchema,
  type Decode,
  isStructField,
  isUnwrappedField,
  LONG_KEY_SHIFT,
  literal,
  MAP_ENTRY,
  memberCode,
  NUMBERS_PER_OBJECT,
  own,
  setEntry,
} from './types.js';
import * as unknownFields from './unknown-fields.js';
import * as valueReader from './value-reader.js';

/**
 * The most bytes of a text that is made in one call with a byte per argument. Longer argument lists
 * gain less.
 */
const MAX_SHORT_STRING = 32;

/** The objects that the code of one decoder refers to, by the names link0, enum0 and so on. */
class Scope {
  readonly links: CompiledSchema[] = [];
  readonly enums: ReadonlySet<number>[] = [];
  readonly #linkOf: (schema: DescMessage) => CompiledSchema;

  constructor(linkOf: (schema: DescMessage) => CompiledSchema) {
    this.#linkOf = linkOf;
  }

  link(schema: DescMessage): string {
    return `link${this.links.push(this.#linkOf(schema)) - 1}`;
  }

  closedEnum(numbers: Iterable<number>): string {
    return `enum${this.enums.push(new Set(numbers)) - 1}`;
  }
}

export function compileDecoder(
  schema: DescMessage,
  linkOf: (schema: DescMessage) => CompiledSchema,
): Decode {
  const scope = new Scope(linkOf);
  const cases = schema.fields.map(
    (field) => `case ${field.number >>> 0}: { ${fieldCode(scope, field)} break; }`,
  );
  const code = `"use strict";
const { ${Object.keys(valueReader).join(', ')} } = valueReader;
const { ${Object.keys(unknownFields).join(', ')} } = unknownFields;
${scope.links.map((_, i) => `const link${i} = links[${i}];`).join(' ')}
${scope.enums.map((_, i) => `const enum${i} = enums[${i}];`).join(' ')}
return function decode(b, at, end, limit, m, depth, group) {
  if (depth > MAX_DEPTH) throwTooDeep();
  let u = m.$unknown, tag = 0, x, n, e;
  while (at < end) {
    ${tagCode('tag')}
    if (group !== 0 && (tag & 7) === ${END_GROUP}) break;
    switch (tag >>> 3) {
      ${cases.join('\n      ')}
      default: u = keepUnknownField(b, at, limit, tag, u, MAX_DEPTH - depth); at = cursor.at;
    }
  }
  if (group !== 0 && ((tag & 7) !== ${END_GROUP} || tag >>> 3 !== group)) throwWrongGroupEnd();
  if (u !== undefined && u.length > 0) m.$unknown = u;
  return at;
};`;
  const make = new Function(
    'links',
    'enums',
    'valueReader',
    'unknownFields',
    'string',
    'own',
    'structToJson',
    'structFromJson',
    'setEntry',
    'keepDictionary',
    code,
  );
  return make(
    scope.links,
    scope.enums,
    valueReader,
    unknownFields,
    stringReader(),
    own,
    structToJson,
    structFromJson,
    setEntry,
    keepDictionary,
  );
}

let shortStringReader: unknown;

/**
 * Returns a function that reads a text. Few ASCII bytes take one call of String.fromCharCode with
 * exactly as many arguments; a native decoder takes twice the time.
 */
function stringReader(): unknown {
  const cases = Array.from({ length: MAX_SHORT_STRING }, (_, i) => {
    const names = Array.from({ length: i + 1 }, (_, j) => `c${j}`);
    const bytes = names.map((name, j) => `${name} = b[at + ${j}]`).join(', ');
    return `case ${i + 1}: { const ${bytes}; if ((${names.join(' | ')}) < 128) return make(${names.join(', ')}); break; }`;
  });
  const code = `"use strict";
return function string(b, at, end, validated) {
  switch (end - at) {
    case 0: return "";
    ${cases.join('\n    ')}
  }
  return longString(b, at, end, validated);
};`;
  shortStringReader ??= new Function('make', 'longString', code)(
    String.fromCharCode,
    valueReader.longString,
  );
  return shortStringReader;
}

/** Generates code that reads a tag into the variable. */
function tagCode(tag: string): string {
  const long = `if (${tag} > 127) { ${tag} = readLongTag(b, at - 1, limit); at = cursor.at; }`;
  return `${tag} = b[at++]; ${long} if ((${tag} & 7) > 5 || ${tag} < 8) throwWrongTag(${tag});`;
}

/** Code that reads an unsigned 32-bit varint into `x`. */
const UINT32 =
  'x = b[at++]; if (x > 127) { x = varint32(b, at - 1); at = cursor.at; } if (at > limit) throwTruncated();';
/** Code that reads a length, and sets `n` to the end of the value. */
const LENGTH = `${UINT32} n = at + x; if (n > limit) throwTruncated();`;

/** Generates code that counts objects before they are made. */
const count = (objects: number | string): string =>
  `if ((cursor.left -= ${objects}) < 0) throwTooManyObjects();`;
const countMessage = (schema: DescMessage): string => count(countsOf(schema).objects);

/** Generates code that reads a scalar into `x`, and counts it when it is an object. */
function scalarCode(field: DescField, type = field.scalar ?? ScalarType.INT32): string {
  const { name, big } = scalarOf(type);
  if (name === 'string')
    return `${LENGTH} ${count(1)} x = string(b, at, n, ${field.utf8Validation === true}); at = n;`;
  if (name === 'bytes') return `${LENGTH} ${count(1)} x = keepBytes(b, at, n); at = n;`;
  if (name === 'uint32') return UINT32;
  if (name === 'int32') return `${UINT32} x |= 0;`;
  if (name === 'sint32') return `${UINT32} x = (x >>> 1) ^ -(x & 1);`;
  if (name === 'bool')
    return 'x = b[at++]; if (x > 127) { x = bool(b, at - 1); at = cursor.at; } else x = x !== 0; if (at > limit) throwTruncated();';
  return `${big ? count(1) : ''} x = ${name}(b, at); at = cursor.at; if (at > limit) throwTruncated();`;
}

function fieldCode(scope: Scope, field: DescField): string {
  const name = `m[${literal(field.localName)}]`;
  if (field.fieldKind === 'list') return listCode(scope, field, name);
  if (field.fieldKind === 'map') return mapCode(scope, field, name);
  let existing = memberCode('m', field.localName);
  const { big, wireType } = valueScalar(field);
  const hasObjects = field.message !== undefined || big === true || wireType === LENGTH_DELIMITED;
  const presence = presenceCountOf(field, hasObjects);
  let set = (value: string): string =>
    `${presence === 0 ? '' : count(presence)} ${name} = ${value};`;
  if (field.oneof !== undefined) {
    const oneof = `m[${literal(field.oneof.localName)}]`;
    existing = `${oneof}.case === ${literal(field.localName)} ? ${oneof}.value : undefined`;
    set = (value) =>
      `${count(1)} ${oneof} = { case: ${literal(field.localName)}, value: ${value} };`;
  }
  if (field.fieldKind === 'message') return messageCode(scope, field, existing, set);
  if (field.fieldKind === 'enum' && !field.enum.open) {
    const numbers = scope.closedEnum(field.enum.values.map(({ number }) => number));
    return `${scalarCode(field)} if (${numbers}.has(x)) { ${set('x')} } else keepUnknownEnum(m, ${field.number >>> 0}, tag & 7, x);`;
  }
  return `${scalarCode(field)} ${set(fromBigint(field, 'x'))}`;
}

/** With jstype = JS_STRING, a field has its 64-bit integers as text. */
function fromBigint(field: DescField, value: string): string {
  return 'longAsString' in field && field.longAsString ? `String(${value})` : value;
}

/**
 * Generates code that reads a message field. When a field occurs twice, the second occurrence is
 * merged into the message of the first.
 */
function messageCode(
  scope: Scope,
  field: DescField,
  existing: string,
  set: (value: string) => string,
): string {
  const link = scope.link(field.message as DescMessage);
  const counted = countMessage(field.message as DescMessage);
  // Another occurrence counts too: millions of empty ones fit into one message.
  let begin = `e = ${existing}; if (e === undefined) { ${counted} e = new ${link}.Message(); } else { ${count(1)} }`;
  let value = 'e';
  if (isStructField(field)) {
    begin = `${counted} e = structFromJson(${existing});`;
    value = 'structToJson(e)';
  } else if (isUnwrappedField(field)) {
    begin = `${counted} e = new ${link}.Message(); x = ${existing}; if (x !== undefined) e.value = x;`;
    value = 'e.value';
  }
  return `${readMessage(field, link, begin)} ${set(value)}`;
}

/** Generates code that reads a message into `e`, which `begin` sets. */
function readMessage(field: DescField, link: string, begin: string): string {
  if ('delimitedEncoding' in field && field.delimitedEncoding)
    return `${begin} at = ${link}.decode(b, at, limit, limit, e, depth + 1, ${field.number >>> 0});`;
  return `${LENGTH} ${begin} at = ${link}.decode(b, at, n, limit, e, depth + 1, 0);`;
}

/**
 * Generates code that appends `value` to `list`, which `begin` declares and `name` keeps. V8 gives
 * an empty array 17 places at the first push(), so a list of one value is another array.
 */
const append = (begin: string, name: string, value: string): string =>
  `${begin} if (list.length === 0) ${name} = ${begin === '' ? 'list = ' : ''}[${value}]; else list.push(${value});`;

function listCode(scope: Scope, field: DescField & { fieldKind: 'list' }, name: string): string {
  if (field.listKind === 'message') {
    const link = scope.link(field.message);
    const json = isStructField(field);
    return `${readMessage(field, link, `${countMessage(field.message)} e = new ${link}.Message();`)} ${append(`const list = ${name};`, name, json ? 'structToJson(e)' : 'e')}`;
  }
  const { big, wireType } = valueScalar(field);
  // Text, bytes and 64-bit integers are counted where they are read. Other numbers are no objects,
  // so a group of them counts as one.
  const counted =
    big || wireType === LENGTH_DELIMITED
      ? ''
      : `if ((list.length & ${NUMBERS_PER_OBJECT - 1}) === 0) { ${count(1)} }`;
  const one = `${scalarCode(field)} ${append('', name, fromBigint(field, 'x'))} ${counted}`;
  const list = `let list = ${name};`;
  if (wireType === LENGTH_DELIMITED) return `${list} ${one}`;
  return `${list} if ((tag & 7) === ${LENGTH_DELIMITED}) { ${LENGTH} e = n; while (at < e) { ${one} } } else { ${one} }`;
}

/**
 * Generates code that reads a map entry: a message of key and value. Other fields of the entry are
 * ignored with their tags, as protobuf-es does.
 */
function mapCode(scope: Scope, field: DescField & { fieldKind: 'map' }, name: string): string {
  let zero = `v = ${zeroLiteral(field)};`;
  let value = `${scalarCode(field)} v = x;`;
  if (field.mapKind === 'message') {
    const link = scope.link(field.message);
    const json = isStructField(field);
    zero = json ? 'v = {};' : `${countMessage(field.message)} v = new ${link}.Message();`;
    value = `${LENGTH} ${countMessage(field.message)} v = new ${link}.Message(); at = ${link}.decode(b, at, n, limit, v, depth + 1, 0);${json ? ' v = structToJson(v);' : ''}`;
  }
  // A long key costs time for its hash. The count is never negative: a text has fewer than 2 ** 31
  // characters.
  const longKey = field.mapKey === ScalarType.STRING ? count(`x.length >> ${LONG_KEY_SHIFT}`) : '';
  const key = `${scalarCode(field, field.mapKey)} ${longKey} k = x;`;
  const entry = `while (at < e) { ${tagCode('t')} switch (t >>> 3) { case 1: ${key} break; case 2: ${value} break; } }`;
  const absent = `if (k === undefined) k = ${zeroLiteral(field, field.mapKey)}; if (v === undefined) { ${zero} }`;
  // Comparing the length first avoids most text comparisons.
  let set = `${name}[k] = v;`;
  if (field.mapKey === ScalarType.STRING)
    set = `const c = k.charCodeAt(0); if ((c >= 48 && c <= 57) || (k.length === 9 && k === "__proto__")) setEntry(${name}, k, v); else ${set}`;
  else if (field.mapKey !== ScalarType.BOOL) set = `keepDictionary(${name}); ${set}`;
  return `${LENGTH} ${count(MAP_ENTRY)} e = n; let k, v, t; ${entry} ${absent} ${set}`;
}
