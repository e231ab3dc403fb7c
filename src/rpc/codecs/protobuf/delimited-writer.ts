/**
 * Writes length-delimited fields: text, bytes, and the lengths of messages, lists and map entries.
 */
import type { DescField } from '@bufbuild/protobuf';
import { textBytes, writeText } from '../../../core/bytes.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import { typeError } from './value-checks.js';
import { MAX_NUMBER_BYTES, reserve, reserveField, writeTag, writeVarint } from './value-writer.js';

/** The most characters that are written in a loop; longer texts take less time in a native call. */
const MAX_LOOP_CHARACTERS = 28;

export function string(
  output: ByteWriter,
  at: number,
  tag: number,
  value: unknown,
  field: DescField,
): number {
  if (typeof value !== 'string') throw typeError(field, 'a string', value);
  const { length } = value;
  if (length > MAX_LOOP_CHARACTERS) return longString(output, at, tag, value);
  const bytes = reserve(output, at, MAX_NUMBER_BYTES + MAX_LOOP_CHARACTERS);
  let to = at + 1;
  // A list of texts is never packed, so there is always a tag.
  if (tag > 127) to = writeVarint(bytes, at, tag);
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
  const to = reserveField(output, at, tag);
  // Three bytes for each UTF-16 unit are enough. A long text is measured first, so that the buffer
  // does not grow needlessly.
  const most =
    length * 3 <= output.bytes.length - to - MAX_NUMBER_BYTES || length < 512
      ? length * 3
      : textBytes(value);
  const bytes = reserve(output, to, most + MAX_NUMBER_BYTES);
  const guess = widthOf(length);
  const written = writeText(bytes, to + guess, value);
  return endDelimited(output, to + guess, to + guess + written, guess);
}

export function bytes(output: ByteWriter, at: number, tag: number, value: Uint8Array): number {
  const { length } = value;
  const tagged = reserveField(output, at, tag);
  const bytes = reserve(output, tagged, length + MAX_NUMBER_BYTES);
  const to = writeVarint(bytes, tagged, length);
  bytes.set(value, to);
  return to + length;
}

/** Returns the bytes of a length as a varint. */
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

/** Writes the tag of a length-delimited value and reserves `width` bytes for its length. */
export function beginDelimited(output: ByteWriter, at: number, tag: number, width: number): number {
  return reserveField(output, at, tag) + width;
}

/**
 * Writes the length of the value between `from` and `to`. The value moves when the length needs
 * another width.
 */
export function endDelimited(output: ByteWriter, from: number, to: number, width: number): number {
  const length = to - from;
  if (length < 128 && width === 1) {
    output.bytes[from - 1] = length;
    return to;
  }
  const needed = widthOf(length);
  const bytes = reserve(output, to, MAX_NUMBER_BYTES);
  if (needed !== width) bytes.copyWithin(from - width + needed, from, to);
  writeVarint(bytes, from - width, length);
  return to - width + needed;
}

/** Writes the unknown fields that an earlier decoding kept. */
export function writeUnknownFields(output: ByteWriter, start: number, fields: unknown): number {
  let at = start;
  for (const { no, wireType, data } of fields as {
    no: number;
    wireType: number;
    data: Uint8Array;
  }[]) {
    at = writeTag(output, at, ((no << 3) | wireType) >>> 0);
    reserve(output, at, data.length).set(data, at);
    at += data.length;
  }
  return at;
}
