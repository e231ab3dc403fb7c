/**
 * Writes number fields, for compiled encoders. Each function writes at `at` and returns the end; a
 * tag of 0 is not written. `output.bytes` and `output.view` are read after each reserve(), which
 * may replace the buffer.
 */
import type { DescField } from '@bufbuild/protobuf';
import type { Bytes } from '../../../core/bytes.js';
import { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import { HIGH, halves, LOW } from './number-conversion.js';
import { numberOf, toInt32, toInt64, toUint32, toUint64, typeError } from './value-checks.js';

/** The most bytes of a tag and a number. */
export const MAX_NUMBER_BYTES = 16;
const FLOAT_MAX = 3.4028234663852886e38;

/** A separate function, so that V8 inlines reserve(). It is called when the buffer is full. */
function grow(output: ByteWriter, at: number, count: number): void {
  ByteWriter.setLength(output, at);
  output.reserve(count);
  ByteWriter.setLength(output, at);
}

export function reserve(output: ByteWriter, at: number, count: number): Bytes {
  if (output.bytes.length - at < count) grow(output, at, count);
  return output.bytes;
}

export function writeVarint(bytes: Bytes, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

function writeVarint64(bytes: Bytes, start: number, low: number, high: number): number {
  let at = start;
  let lo = low >>> 0;
  let hi = high >>> 0;
  while (hi !== 0) {
    bytes[at++] = (lo & 127) | 128;
    lo = ((lo >>> 7) | (hi << 25)) >>> 0;
    hi >>>= 7;
  }
  return writeVarint(bytes, at, lo);
}

/** Writes a tag without a value, for groups. */
export function writeTag(output: ByteWriter, at: number, tag: number): number {
  return writeVarint(reserve(output, at, MAX_NUMBER_BYTES), at, tag);
}

/** Reserves the bytes of a number field and writes its tag. */
export function reserveField(output: ByteWriter, at: number, tag: number): number {
  const bytes = reserve(output, at, MAX_NUMBER_BYTES);
  if (tag === 0) return at;
  if (tag > 127) return writeVarint(bytes, at, tag);
  bytes[at] = tag;
  return at + 1;
}

export function bool(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  if (typeof value !== 'boolean') throw typeError(field, 'a boolean', value);
  const to = reserveField(output, at, tag);
  output.bytes[to] = value ? 1 : 0;
  return to + 1;
}

/** Also writes enums. */
export function int32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toInt32(value, field);
  const to = reserveField(output, at, tag);
  if (number >= 0) return writeVarint(output.bytes, to, number);
  return writeVarint64(output.bytes, to, number, -1);
}

export function uint32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toUint32(value, field);
  const to = reserveField(output, at, tag);
  return writeVarint(output.bytes, to, number);
}

export function sint32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toInt32(value, field);
  const to = reserveField(output, at, tag);
  return writeVarint(output.bytes, to, ((number << 1) ^ (number >> 31)) >>> 0);
}

export function fixed32(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  const number = toUint32(value, field);
  const to = reserveField(output, at, tag);
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
  const to = reserveField(output, at, tag);
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
  const to = reserveField(output, at, tag);
  return writeVarint64(output.bytes, to, halves[LOW] as number, halves[HIGH] as number);
}

export function uint64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toUint64(value, field);
  const to = reserveField(output, at, tag);
  return writeVarint64(output.bytes, to, halves[LOW] as number, halves[HIGH] as number);
}

export function sint64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toInt64(value, field);
  const to = reserveField(output, at, tag);
  const low = halves[LOW] as number;
  const high = halves[HIGH] as number;
  const sign = high >> 31;
  return writeVarint64(output.bytes, to, (low << 1) ^ sign, ((high << 1) | (low >>> 31)) ^ sign);
}

function writeFixed64(output: ByteWriter, at: number, tag: number): number {
  const to = reserveField(output, at, tag);
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
  return writeFixed64(output, at, tag);
}

export function sfixed64(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  toInt64(value, field);
  return writeFixed64(output, at, tag);
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
    throw typeError(field, 'a 32-bit float', value);
  const to = reserveField(output, at, tag);
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
  const to = reserveField(output, at, tag);
  output.view.setFloat64(to, number, true);
  return to + 8;
}
