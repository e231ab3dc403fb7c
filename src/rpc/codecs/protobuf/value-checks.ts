/**
 * Checks and converts the values of fields before they are encoded. A value of the wrong type
 * throws TypeError, also where protobuf-es would encode it.
 */
import type { DescField } from '@bufbuild/protobuf';
import { signed64, unsigned64 } from './number-conversion.js';
import type { AnyMessage } from './types.js';

export const EMPTY_MESSAGE: AnyMessage = {};
export const NO_BYTES = new Uint8Array(0);

export function typeError(field: DescField, expected: string, value: unknown): TypeError {
  const found =
    value === null
      ? 'null'
      : typeof value === 'number' || typeof value === 'bigint'
        ? value
        : typeof value;
  return new TypeError(`cannot encode ${field} to binary: expected ${expected}, not ${found}`);
}

/** Returns a number, or the number that a text stands for, as protobuf-es does. */
export function numberOf(value: unknown, field: DescField, expected: string): number {
  if (typeof value === 'number') return value;
  const number = typeof value === 'string' ? Number(value) : Number.NaN;
  if (Number.isNaN(number) && value !== 'NaN') throw typeError(field, expected, value);
  return number;
}

function integerOf(value: unknown, field: DescField, min: number, max: number): number {
  const expected = `an integer from ${min} to ${max}`;
  const number = numberOf(value, field, expected);
  if (!Number.isInteger(number) || number < min || number > max)
    throw typeError(field, expected, value);
  return number;
}

export function toInt32(value: unknown, field: DescField): number {
  return ((value as number) | 0) === value
    ? value
    : integerOf(value, field, -0x8000_0000, 0x7fff_ffff);
}

export function toUint32(value: unknown, field: DescField): number {
  return (value as number) >>> 0 === value ? value : integerOf(value, field, 0, 0xffff_ffff);
}

/** Writes the value into the shared bytes. */
export function toInt64(value: unknown, field: DescField): void {
  const big = typeof value === 'bigint' ? value : bigintOf(value, field);
  signed64[0] = big;
  if (signed64[0] !== big) throw typeError(field, 'a 64-bit integer', value);
}

export function toUint64(value: unknown, field: DescField): void {
  const big = typeof value === 'bigint' ? value : bigintOf(value, field);
  unsigned64[0] = big;
  if (unsigned64[0] !== big) throw typeError(field, 'an unsigned 64-bit integer', value);
}

function bigintOf(value: unknown, field: DescField): bigint {
  if (typeof value !== 'number' && typeof value !== 'string')
    throw typeError(field, 'a bigint', value);
  try {
    return BigInt(value);
  } catch {
    throw typeError(field, 'a bigint', value);
  }
}

/** Returns the bytes of a field. An init shape may have a list of numbers instead. */
export function bytesOf(value: unknown, init: boolean, field: DescField): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (init && Array.isArray(value)) return new Uint8Array(value);
  // A Uint8Array of another realm (a vm, a test runner) is no instance of this one.
  if (Object.prototype.toString.call(value) === '[object Uint8Array]') return value as Uint8Array;
  throw typeError(field, 'a Uint8Array', value);
}

export function checkObject(value: unknown, field: DescField): AnyMessage {
  if (typeof value !== 'object' || value === null) throw typeError(field, 'an object', value);
  return value as AnyMessage;
}

/**
 * Checks a value that is no message of the schema. It must be an init shape, where one is allowed.
 */
export function checkInit(value: unknown, allowInit: boolean, typeName: string): void {
  if (!allowInit || typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(
      `cannot encode ${typeName} to binary: expected a message${allowInit ? ' or its init shape' : ''}`,
    );
  }
}

export function checkList(value: unknown, field: DescField): ArrayLike<unknown> {
  if (Array.isArray(value)) return value;
  if (ArrayBuffer.isView(value) && 'length' in value) return value as unknown as ArrayLike<unknown>;
  throw typeError(field, 'an array', value);
}

/** Returns the keys of a map field. A Map has no own keys, so its entries would be lost. */
export function mapKeys(value: unknown, field: DescField): string[] {
  if (typeof value !== 'object' || value === null || value instanceof Map)
    throw typeError(field, 'a plain object', value);
  return Object.keys(value);
}

/**
 * Returns the key as the key type has it. An invalid key is returned unchanged, and its writer
 * refuses it.
 */
export function integerKey(key: string): number | string {
  // biome-ignore lint/correctness/useParseIntRadix: protobuf-es takes hexadecimal digits, too
  const number = Number.parseInt(key);
  return Number.isFinite(number) ? number : key;
}

export function boolKey(key: string): boolean | string {
  return key === 'true' ? true : key === 'false' ? false : key;
}

export function missingRequiredError(field: DescField): Error {
  return new TypeError(`cannot encode ${field} to binary: required field not set`);
}
