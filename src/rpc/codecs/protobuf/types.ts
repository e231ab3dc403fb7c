/**
 * The types of compiled schemas, what a value counts as, and helpers for names in generated code.
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { Bytes } from '../../../core/bytes.js';
import { setKey } from '../../../core/records.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';

/** Values of google.protobuf.FeatureSet.FieldPresence. */
export const IMPLICIT = 2;
export const LEGACY_REQUIRED = 3;

/** A message of any schema, with its local names. */
export type AnyMessage = Record<string, unknown>;

/**
 * Writes a message at `at` and returns where it ends. `allowInit`: the value may be an init shape
 * of create(). False: it must be a message of the schema, as each message within a message must.
 */
export type Encode = (
  output: ByteWriter,
  message: AnyMessage,
  at: number,
  allowInit: boolean,
) => number;

/**
 * Reads fields from `at` to `end` into `message` and returns where it stopped. `limit` is the end
 * of the outermost message; no byte after it is read. `group`: the field number when the message
 * ends with an end-group tag, else 0.
 */
export type Decode = (
  bytes: Bytes,
  at: number,
  end: number,
  limit: number,
  message: AnyMessage,
  depth: number,
  group: number,
) => number;

/** The code of one schema. Encoder and decoder are compiled at their first call. */
export interface CompiledSchema {
  readonly schema: DescMessage;
  encode: Encode;
  decode: Decode;
  /** Makes the message that create() makes. */
  readonly Message: new () => AnyMessage;
}

/**
 * Returns a text as a literal. Generated code contains nothing else of a descriptor, except
 * integers that are converted to integers first.
 */
export const literal = (text: string): string => JSON.stringify(text);

/** Generates code that reads a property. Inherited members of Object.prototype are not read. */
export function memberCode(object: string, name: string): string {
  return name in Object.prototype
    ? `own(${object}, ${literal(name)})`
    : `${object}[${literal(name)}]`;
}

export function own(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? (object as AnyMessage)[name] : undefined;
}

/** How many objects a map entry counts as, without its value and without a text or 64-bit key. */
export const MAP_ENTRY = 2;
/** A text key counts as one object more for each 2 ** 5 characters. */
export const LONG_KEY_SHIFT = 5;
/**
 * So many numbers of a list count as one object, unless they are 64-bit integers. A power of two.
 */
export const NUMBERS_PER_OBJECT = 8;

/** Sets an own property. An assignment to `__proto__` would set the prototype. */
export function setEntry(map: object, key: string, value: unknown): void {
  if (key !== '__proto__') setKey(map as AnyMessage, key, value);
  else
    Object.defineProperty(map, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
}

export const WRAPPERS =
  /^google\.protobuf\.(Double|Float|Int64|UInt64|Int32|UInt32|Bool|String|Bytes)Value$/;

/**
 * True: the field contains the value of the wrapper itself. protobuf-es does so for a singular
 * field outside a oneof.
 */
export function isUnwrappedField(field: DescField): boolean {
  if (field.fieldKind !== 'message' || field.oneof !== undefined) return false;
  const value = field.message.fields[0];
  return (
    WRAPPERS.test(field.message.typeName) &&
    value?.fieldKind === 'scalar' &&
    value.name === 'value' &&
    value.number === 1
  );
}

/** True: the field contains a google.protobuf.Struct as a plain JSON object. */
export function isStructField(field: DescField): boolean {
  return (
    field.message?.typeName === 'google.protobuf.Struct' &&
    field.parent.typeName !== 'google.protobuf.Value'
  );
}
