/**
 * Reads the values of fields, for compiled decoders. A reader returns the value and sets
 * `cursor.at` to its end. The caller checks once afterwards that the end is within the message;
 * until then a reader may read other bytes of the same chunk.
 */
import { allocate, type Bytes, decode, keepable } from '../../../core/bytes.js';
import { tooManyObjects } from '../../../transport/codecs/json-text.js';
import { HIGH, halves, LOW, octets, scratch, signed64, unsigned64 } from './number-conversion.js';

/**
 * `at`: the end of the last value. `left`: how many of the `limit` objects the message may still
 * have.
 */
export const cursor = { at: 0, left: 0, limit: 0 };
const EMPTY = allocate(0);

/**
 * Memory of the bytes fields of the message that is being decoded. The message ends at `end`. Small
 * fields share `pool`, of which `used` bytes are taken.
 */
const keptBytes: { end: number; pool: Bytes; used: number } = { end: 0, pool: EMPTY, used: 0 };
const POOL_BYTES = 4 * 1024;

/** Begins to decode a message that ends at `end` and may have `maxObjects` objects. */
export function beginDecoding(end: number, maxObjects: number): void {
  cursor.left = cursor.limit = maxObjects;
  keptBytes.end = end;
  keptBytes.pool = EMPTY;
  keptBytes.used = 0;
}

/**
 * Returns a copy of bytes that the message keeps, or a view where most of the chunk is kept. Small
 * fields share a buffer, because a buffer has more overhead than most fields have bytes.
 */
export function keepBytes(bytes: Bytes, at: number, end: number): Bytes {
  const length = end - at;
  if (length === 0) return EMPTY;
  if (length * 2 > POOL_BYTES) return keepable(bytes, at, end);
  if (length > keptBytes.pool.length - keptBytes.used) {
    // The last field may pass the end of its message.
    keptBytes.pool = allocate(Math.max(length, Math.min(POOL_BYTES, keptBytes.end - at)));
    keptBytes.used = 0;
  }
  const own = keptBytes.pool.subarray(keptBytes.used, keptBytes.used + length);
  own.set(bytes.subarray(at, end), 0);
  keptBytes.used += length;
  return own;
}

/** The most messages within each other, as in protobuf-es. */
export const MAX_DEPTH = 100;

export function throwTruncated(): never {
  throw new RangeError('truncated Protobuf message');
}

function throwMalformed(what: string): never {
  throw new RangeError(`malformed Protobuf message: ${what}`);
}

/** Called when `cursor.left` is below 0. */
export function throwTooManyObjects(): never {
  throw tooManyObjects(cursor.limit);
}

export function throwTooDeep(): never {
  throwMalformed(`more than ${MAX_DEPTH} messages within each other`);
}

export function throwWrongGroupEnd(): never {
  throwMalformed('a group does not end as it began');
}

/** Reads a varint of at most ten bytes, and returns its low 32 bits. */
export function varint32(bytes: Bytes, at: number): number {
  let to = at;
  let value = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = bytes[to++] as number;
    if (shift < 32) value |= (byte & 127) << shift;
    if ((byte & 128) === 0) {
      cursor.at = to;
      return value >>> 0;
    }
  }
  return throwMalformed('a varint has more than ten bytes');
}

/** Reads a tag of any length. It must fit into 32 bits and five bytes. */
export function readLongTag(bytes: Bytes, at: number, limit: number): number {
  const tag = varint32(bytes, at);
  const to = cursor.at;
  if (to > limit) throwTruncated();
  if (to - at > 5 || (to - at === 5 && (bytes[to - 1] as number) > 15))
    throwMalformed('a tag has more than 32 bits');
  return tag;
}

/** Reads a tag of any length. Throws RangeError when its field number or wire type is invalid. */
export function readTag(bytes: Bytes, at: number, limit: number): number {
  const tag = readLongTag(bytes, at, limit);
  if ((tag & 7) > 5 || tag < 8) throwWrongTag(tag);
  return tag;
}

export function throwWrongTag(tag: number): never {
  throwMalformed(`field ${tag >>> 3} of wire type ${tag & 7}`);
}

/** Reads a varint into the shared bytes. */
function varint64(bytes: Bytes, at: number): void {
  let to = at;
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = bytes[to++] as number;
    const bits = byte & 127;
    if (shift < 32) low |= bits << shift;
    if (shift > 28) high |= bits << (shift - 32);
    else if (shift === 28) high = bits >>> 4;
    if ((byte & 128) === 0) {
      cursor.at = to;
      halves[LOW] = low;
      halves[HIGH] = high;
      return;
    }
  }
  throwMalformed('a varint has more than ten bytes');
}

export function bool(bytes: Bytes, at: number): boolean {
  varint64(bytes, at);
  return halves[0] !== 0 || halves[1] !== 0;
}

export function int64(bytes: Bytes, at: number): bigint {
  varint64(bytes, at);
  return signed64[0] as bigint;
}

export function uint64(bytes: Bytes, at: number): bigint {
  varint64(bytes, at);
  return unsigned64[0] as bigint;
}

export function sint64(bytes: Bytes, at: number): bigint {
  varint64(bytes, at);
  const low = halves[LOW] as number;
  const high = halves[HIGH] as number;
  const sign = -(low & 1);
  halves[LOW] = ((low >>> 1) | (high << 31)) ^ sign;
  halves[HIGH] = (high >>> 1) ^ sign;
  return signed64[0] as bigint;
}

export function sfixed32(bytes: Bytes, at: number): number {
  cursor.at = at + 4;
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [
    number,
    number,
    number,
    number,
  ];
  return a | (b << 8) | (c << 16) | (d << 24);
}

export function fixed32(bytes: Bytes, at: number): number {
  return sfixed32(bytes, at) >>> 0;
}

function fixed64Bits(bytes: Bytes, at: number): void {
  halves[LOW] = sfixed32(bytes, at);
  halves[HIGH] = sfixed32(bytes, at + 4);
}

export function sfixed64(bytes: Bytes, at: number): bigint {
  fixed64Bits(bytes, at);
  return signed64[0] as bigint;
}

export function fixed64(bytes: Bytes, at: number): bigint {
  fixed64Bits(bytes, at);
  return unsigned64[0] as bigint;
}

export function float(bytes: Bytes, at: number): number {
  cursor.at = at + 4;
  for (let i = 0; i < 4; i++) octets[i] = bytes[at + i] as number;
  return scratch.getFloat32(0, true);
}

export function double(bytes: Bytes, at: number): number {
  cursor.at = at + 8;
  for (let i = 0; i < 8; i++) octets[i] = bytes[at + i] as number;
  return scratch.getFloat64(0, true);
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Returns the text of UTF-8 bytes. Throws TypeError for other bytes. A byte order mark at the
 * beginning is a character of the text.
 */
export function validText(bytes: Bytes, at: number, end: number): string {
  const text = decode(bytes, at, end);
  return text.includes('\ufffd') ? strictDecoder.decode(bytes.subarray(at, end)) : text;
}

/**
 * Returns a text of any length. A byte order mark at the beginning is a character of the text.
 * `validated`: the schema requires valid UTF-8, so other bytes throw TypeError instead of becoming
 * U+FFFD.
 */
export function longString(bytes: Bytes, at: number, end: number, validated: boolean): string {
  const text = decode(bytes, at, end);
  if (!validated || !text.includes('\ufffd')) return text;
  // The text is decoded twice, so it counts twice.
  if (--cursor.left < 0) throwTooManyObjects();
  return strictDecoder.decode(bytes.subarray(at, end));
}
