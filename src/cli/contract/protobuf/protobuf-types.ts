/**
 * Which types of fields have one encoding, as the specification of Protobuf says
 * (https://protobuf.dev/programming-guides/proto3/#updating).
 */

/** Types with one encoding. An enum counts as `int32`, and a message as `bytes`. */
const ENCODINGS: readonly (readonly string[])[] = [
  ['int32', 'uint32', 'int64', 'uint64', 'bool', 'enum'],
  ['sint32', 'sint64'],
  ['fixed32', 'sfixed32'],
  ['fixed64', 'sfixed64'],
  ['string', 'bytes'],
  ['message', 'bytes'],
  ['float'],
  ['double'],
];

/** Types with one form in ProtoJSON. Integers of 64 bits are text. */
const JSON_FORMS: readonly (readonly string[])[] = [
  ['int32', 'uint32', 'sint32', 'fixed32', 'sfixed32', 'float', 'double'],
  ['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'],
];

/**
 * Whether a value of one type can be read as the other. `enum` and `message` are types too. A bool
 * is not compatible with an enum.
 */
export function hasSameEncoding(before: string, after: string): boolean {
  if (before === after) return true;
  const pair = [before, after];
  if (pair.includes('bool') && pair.includes('enum')) return false;
  return ENCODINGS.some((types) => types.includes(before) && types.includes(after));
}

/** Whether ProtoJSON writes values of both types in one form. */
export function hasSameJson(before: string, after: string): boolean {
  return (
    before === after || JSON_FORMS.some((types) => types.includes(before) && types.includes(after))
  );
}

/** Whether the messages and enums of a name are those of Protobuf itself, equal everywhere. */
export const isWellKnown = (typeName: string): boolean => typeName.startsWith('google.protobuf.');

const SCALARS: ReadonlySet<string> = new Set([...ENCODINGS, ...JSON_FORMS].flat());

export function isScalar(type: string): boolean {
  return SCALARS.has(type) && type !== 'enum' && type !== 'message';
}
