/**
 * What compiled encoders call. Each function writes at `at` and returns where it ended; a tag of 0
 * is none. The writer's buffer is looked up each time, because making room may replace it. A value
 * of the wrong type throws: what protobuf-es would write of it is seldom what was meant.
 */
import type { DescField } from '@bufbuild/protobuf';
import { type Bytes, textBytes, writeText } from '../../../core/bytes.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import { HIGH, halves, LOW, signed64, unsigned64 } from './scratch.js';
import type { AnyMessage } from './types.js';

/** A tag and any number. */
const MOST = 16;
/** Up to here a loop is cheaper than a native call. */
const BY_HAND = 28;
const FLOAT_MAX = 3.4028234663852886e38;

export const NOTHING: AnyMessage = {};
export const NO_BYTES = new Uint8Array(0);

function fail(field: DescField, expected: string, value: unknown): TypeError {
  const found =
    value === null
      ? 'null'
      : typeof value === 'number' || typeof value === 'bigint'
        ? value
        : typeof value;
  return new TypeError(`cannot encode ${field} to binary: expected ${expected}, not ${found}`);
}

/** Out of line and seldom: the buffer is full. */
function grow(output: ByteWriter, at: number, count: number): void {
  output.length = at;
  output.reserve(count);
  output.length = at;
}

function room(output: ByteWriter, at: number, count: number): Bytes {
  if (output.bytes.length - at < count) grow(output, at, count);
  return output.bytes;
}

function varint(bytes: Bytes, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

function varint64(bytes: Bytes, start: number, low: number, high: number): number {
  let at = start;
  let lo = low >>> 0;
  let hi = high >>> 0;
  while (hi !== 0) {
    bytes[at++] = (lo & 127) | 128;
    lo = ((lo >>> 7) | (hi << 25)) >>> 0;
    hi >>>= 7;
  }
  return varint(bytes, at, lo);
}

/** Writes a tag alone, of a group. */
export function tag(output: ByteWriter, at: number, tag: number): number {
  return varint(room(output, at, MOST), at, tag);
}

/** Room for a number, and its tag. */
function start(output: ByteWriter, at: number, tag: number): number {
  const bytes = room(output, at, MOST);
  if (tag === 0) return at;
  if (tag > 127) return varint(bytes, at, tag);
  bytes[at] = tag;
  return at + 1;
}

/** What protobuf-es takes for a 32-bit number: a text that is one, too. */
function numberOf(value: unknown, field: DescField, expected: string): number {
  if (typeof value === 'number') return value;
  const number = typeof value === 'string' ? Number(value) : Number.NaN;
  if (Number.isNaN(number) && value !== 'NaN') throw fail(field, expected, value);
  return number;
}

function integerOf(value: unknown, field: DescField, min: number, max: number): number {
  const expected = `an integer from ${min} to ${max}`;
  const number = numberOf(value, field, expected);
  if (!Number.isInteger(number) || number < min || number > max) throw fail(field, expected, value);
  return number;
}

function toInt32(value: unknown, field: DescField): number {
  return ((value as number) | 0) === value
    ? value
    : integerOf(value, field, -0x8000_0000, 0x7fff_ffff);
}

function toUint32(value: unknown, field: DescField): number {
  return (value as number) >>> 0 === value ? value : integerOf(value, field, 0, 0xffff_ffff);
}

/** Puts the value into the scratch. */
function toInt64(value: unknown, field: DescField): void {
  const big = typeof value === 'bigint' ? value : bigintOf(value, field);
  signed64[0] = big;
  if (signed64[0] !== big) throw fail(field, 'a 64-bit integer', value);
}

function toUint64(value: unknown, field: DescField): void {
  const big = typeof value === 'bigint' ? value : bigintOf(value, field);
  unsigned64[0] = big;
  if (unsigned64[0] !== big) throw fail(field, 'an unsigned 64-bit integer', value);
}

function bigintOf(value: unknown, field: DescField): bigint {
  if (typeof value !== 'number' && typeof value !== 'string') throw fail(field, 'a bigint', value);
  try {
    return BigInt(value);
  } catch {
    throw fail(field, 'a bigint', value);
  }
}

export function bool(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  if (typeof value !== 'boolean') throw fail(field, 'a boolean', value);
  const to = start(output, at, tag);
  output.bytes[to] = value ? 1 : 0;
  return to + 1;
}

/** Of enums, too. */
export function int32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toInt32(value, field);
  const to = start(output, at, tag);
  if (number >= 0) return varint(output.bytes, to, number);
  return varint64(output.bytes, to, number, -1);
}

export function uint32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toUint32(value, field);
  const to = start(output, at, tag);
  return varint(output.bytes, to, number);
}

export function sint32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toInt32(value, field);
  const to = start(output, at, tag);
  return varint(output.bytes, to, ((number << 1) ^ (number >> 31)) >>> 0);
}

export function fixed32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toUint32(value, field);
  const to = start(output, at, tag);
  output.view.setUint32(to, number, true);
  return to + 4;
}

export function sfixed32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toInt32(value, field);
  const to = start(output, at, tag);
  output.view.setInt32(to, number, true);
  return to + 4;
}

export function int64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toInt64(value, field);
  const to = start(output, at, tag);
  return varint64(output.bytes, to, halves[LOW] as number, halves[HIGH] as number);
}

export function uint64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toUint64(value, field);
  const to = start(output, at, tag);
  return varint64(output.bytes, to, halves[LOW] as number, halves[HIGH] as number);
}

export function sint64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toInt64(value, field);
  const to = start(output, at, tag);
  const low = halves[LOW] as number;
  const high = halves[HIGH] as number;
  const sign = high >> 31;
  return varint64(output.bytes, to, (low << 1) ^ sign, ((high << 1) | (low >>> 31)) ^ sign);
}

function eight(output: ByteWriter, at: number, tag: number): number {
  const to = start(output, at, tag);
  output.view.setInt32(to, halves[LOW] as number, true);
  output.view.setInt32(to + 4, halves[HIGH] as number, true);
  return to + 8;
}

export function fixed64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toUint64(value, field);
  return eight(output, at, tag);
}

export function sfixed64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toInt64(value, field);
  return eight(output, at, tag);
}

export function float(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = typeof value === 'number' ? value : numberOf(value, field, 'a number');
  if ((number > FLOAT_MAX || number < -FLOAT_MAX) && Number.isFinite(number))
    throw fail(field, 'a 32-bit float', value);
  const to = start(output, at, tag);
  output.view.setFloat32(to, number, true);
  return to + 4;
}

export function double(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = typeof value === 'number' ? value : numberOf(value, field, 'a number');
  const to = start(output, at, tag);
  output.view.setFloat64(to, number, true);
  return to + 8;
}

export function string(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  if (typeof value !== 'string') throw fail(field, 'a string', value);
  const { length } = value;
  if (length > BY_HAND) return longString(output, at, tag, value);
  const bytes = room(output, at, MOST + BY_HAND);
  let to = at + 1;
  // Strings always have a tag.
  if (tag > 127) to = varint(bytes, at, tag);
  else bytes[at] = tag;
  bytes[to++] = length;
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit > 127) return longString(output, at, tag, value);
    bytes[to++] = unit;
  }
  return to;
}

function longString(output: ByteWriter, at: number, tag: number, value: string): number {
  const { length } = value;
  const to = start(output, at, tag);
  // Three bytes for each unit are enough; a long text is measured first rather than let the buffer
  // grow for nothing.
  const most =
    length * 3 <= output.bytes.length - to - MOST || length < 512 ? length * 3 : textBytes(value);
  const bytes = room(output, to, most + MOST);
  const guess = widthOf(length);
  const written = writeText(bytes, to + guess, value);
  return end(output, to + guess, to + guess + written, guess);
}

/** The bytes of a field; an init shape may have a list of numbers instead. */
export function bytesOf(value: unknown, init: boolean, field: DescField): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (init && Array.isArray(value)) return new Uint8Array(value);
  // Another realm's (a vm, a test runner) is no instance of ours.
  if (Object.prototype.toString.call(value) === '[object Uint8Array]') return value as Uint8Array;
  throw fail(field, 'a Uint8Array', value);
}

export function bytes(output: ByteWriter, at: number, tag: number, value: Uint8Array): number {
  const { length } = value;
  const tagged = start(output, at, tag);
  const bytes = room(output, tagged, length + MOST);
  const to = varint(bytes, tagged, length);
  bytes.set(value, to);
  return to + length;
}

/** How many bytes a length takes as a varint. */
export function widthOf(length: number): number {
  return length < 0x80
    ? 1
    : length < 0x4000
      ? 2
      : length < 0x20_0000
        ? 3
        : length < 0x1000_0000
          ? 4
          : 5;
}

/** Begin something that is written behind its length: tag, and `width` bytes for the length. */
export function begin(output: ByteWriter, at: number, tag: number, width: number): number {
  return start(output, at, tag) + width;
}

/**
 * Fill in the length of what is from `from` to `to`; it moves when the length does not fit before
 * it.
 */
export function end(output: ByteWriter, from: number, to: number, width: number): number {
  const length = to - from;
  if (length < 128 && width === 1) {
    output.bytes[from - 1] = length;
    return to;
  }
  const needed = widthOf(length);
  const bytes = room(output, to, MOST);
  if (needed !== width) bytes.copyWithin(from - width + needed, from, to);
  varint(bytes, from - width, length);
  return to - width + needed;
}

export function object(value: unknown, field: DescField): AnyMessage {
  if (typeof value !== 'object' || value === null) throw fail(field, 'an object', value);
  return value as AnyMessage;
}

/** An object that is no message of the schema: either an init shape, or wrong. */
export function checkInit(value: unknown, free: boolean, typeName: string): void {
  if (!free || typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(
      `cannot encode ${typeName} to binary: expected a message${free ? ' or its init shape' : ''}`,
    );
  }
}

export function list(value: unknown, field: DescField): ArrayLike<unknown> {
  if (Array.isArray(value)) return value;
  if (ArrayBuffer.isView(value) && 'length' in value) return value as unknown as ArrayLike<unknown>;
  throw fail(field, 'an array', value);
}

/** The keys of a map; a Map has none and would be lost. */
export function keys(value: unknown, field: DescField): string[] {
  if (typeof value !== 'object' || value === null || value instanceof Map)
    throw fail(field, 'a plain object', value);
  return Object.keys(value);
}

/** A key as the map's key type has it; what is no such key is left for its writer to refuse. */
export function integerKey(key: string): number | string {
  // biome-ignore lint/correctness/useParseIntRadix: protobuf-es takes hexadecimal digits, too
  const number = Number.parseInt(key);
  return Number.isFinite(number) ? number : key;
}

export function boolKey(key: string): boolean | string {
  return key === 'true' ? true : key === 'false' ? false : key;
}

export function required(field: DescField): Error {
  return new TypeError(`cannot encode ${field} to binary: required field not set`);
}

/** What an earlier decode did not know, as it came. */
export function unknown(output: ByteWriter, start: number, fields: unknown): number {
  let at = start;
  for (const { no, wireType, data } of fields as {
    no: number;
    wireType: number;
    data: Uint8Array;
  }[]) {
    at = tag(output, at, ((no << 3) | wireType) >>> 0);
    room(output, at, data.length).set(data, at);
    at += data.length;
  }
  return at;
}
