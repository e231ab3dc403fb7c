/** What is made of a Protobuf descriptor, and the word for its names in generated code. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { Bytes } from '../../../core/bytes.js';
import { setKey } from '../../../core/records.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';

/** Of FieldDescriptor's presence: google.protobuf.FeatureSet.FieldPresence. */
export const IMPLICIT = 2;
export const LEGACY_REQUIRED = 3;

/** A message of any schema, by its local names. */
export type AnyMessage = Record<string, unknown>;

/**
 * Writes a message at `at` and returns where it ends. `allowInit`: it may be an init shape; false: it
 * must be a message of the schema, as everything within a message must.
 */
export type Encode = (
  output: ByteWriter,
  message: AnyMessage,
  at: number,
  allowInit: boolean,
) => number;

/**
 * Reads fields from `at` to `end` into `message` and returns where it came to. Nothing may be read
 * from `limit` on, where the whole ends. `group` is the number of the field when the message ends
 * with a tag, else 0.
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

/** The code of one schema. Encoder and decoder are compiled when they are first called. */
export interface CompiledSchema {
  readonly schema: DescMessage;
  encode: Encode;
  decode: Decode;
  /** Makes the message that create() makes. */
  readonly Message: new () => AnyMessage;
}

/**
 * A name or text as a literal: nothing of a descriptor becomes code but these, and integers that
 * are made sure to be some.
 */
export const literal = (text: string): string => JSON.stringify(text);

/** What the object has by that name. Object.prototype's own members are nobody's fields. */
export function memberCode(object: string, name: string): string {
  return name in Object.prototype
    ? `own(${object}, ${literal(name)})`
    : `${object}[${literal(name)}]`;
}

export function own(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? (object as AnyMessage)[name] : undefined;
}

/**
 * How many objects the message itself takes: its lists, maps and oneofs are made with it. At least
 * 1.
 */
export function objectsOf({ members }: DescMessage): number {
  return (
    1 +
    members.filter(
      (member) =>
        member.kind === 'oneof' || member.fieldKind === 'list' || member.fieldKind === 'map',
    ).length
  );
}

/**
 * How many objects the entry of a map counts as, without its value and without a key that is a
 * text.
 */
export const MAP_ENTRY = 2;
/** A key counts as one object more for each 32 characters. */
export const LONG_KEY_SHIFT = 5;
/** So many numbers of a list that are no 64-bit integers count as one object. A power of two. */
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
 * True: the field holds the wrapper's value itself. protobuf-es does so for a field of its own, not
 * in a list, map or oneof.
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

/** True: the field holds a google.protobuf.Struct as a plain JSON object. */
export function isStructField(field: DescField): boolean {
  return (
    field.message?.typeName === 'google.protobuf.Struct' &&
    field.parent.typeName !== 'google.protobuf.Value'
  );
}
