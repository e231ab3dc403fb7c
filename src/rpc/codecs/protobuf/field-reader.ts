/**
 * What compiled decoders call. A function that reads answers the value and leaves in `cursor.at`
 * where it came to. Whether that is beyond the end is asked by its caller, once, after reading:
 * what lies there are only other bytes of the same chunk.
 */
import { allocate, type Bytes, decode, keepable } from '../../../core/bytes.js';
import { tooManyObjects } from '../../../transport/json-text.js';
import { HIGH, halves, LOW, octets, scratch, signed64, unsigned64 } from './number-conversion.js';

/** `left`: how many of the `limit` objects may still be made of the message. */
export const cursor = { at: 0, left: 0, limit: 0 };
const EMPTY = allocate(0);

/**
 * The message that is being decoded ends at `end`. Its small fields of bytes share `pool`, of which
 * `used` bytes are taken.
 */
const kept: { end: number; pool: Bytes; used: number } = { end: 0, pool: EMPTY, used: 0 };
const POOL_BYTES = 4 * 1024;

/** Begins a message of at most `maxObjects` that ends at `end`. */
export function beginDecoding(end: number, maxObjects: number): void {
  cursor.left = cursor.limit = maxObjects;
  kept.end = end;
  kept.pool = EMPTY;
  kept.used = 0;
}

/**
 * Bytes that the message keeps. Small fields share a buffer, because a buffer for each costs more
 * memory than most fields.
 */
export function keepBytes(bytes: Bytes, at: number, end: number): Bytes {
  const length = end - at;
  if (length === 0) return EMPTY;
  if (length * 2 > POOL_BYTES) return keepable(bytes, at, end);
  if (length > kept.pool.length - kept.used) {
    // The last field of a group may pass the end of the message.
    kept.pool = allocate(Math.max(length, Math.min(POOL_BYTES, kept.end - at)));
    kept.used = 0;
  }
  const own = kept.pool.subarray(kept.used, kept.used + length);
  own.set(bytes.subarray(at, end), 0);
  kept.used += length;
  return own;
}

/** How deep messages may be in each other, as protobuf-es has it. */
export const MAX_DEPTH = 100;

export function throwTruncated(): never {
  throw new RangeError('a Protobuf message is cut off');
}

function throwMalformed(what: string): never {
  throw new RangeError(`not a Protobuf message: ${what}`);
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

/** The low 32 bits of a varint of at most ten bytes. */
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

/** A tag of more than one byte. It has to fit into 32 bits, and in five bytes. */
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

/** Puts the 64 bits of a varint into the scratch. */
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

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Text of bytes that must be UTF-8. Throws TypeError when they are not. A byte order mark at the
 * beginning is a character like any other.
 */
export function validText(bytes: Bytes, at: number, end: number): string {
  const text = decode(bytes, at, end);
  return text.includes('\ufffd') ? strict.decode(bytes.subarray(at, end)) : text;
}

/**
 * Text of any length. A byte order mark at its beginning is a character like any other.
 * `validated`: the schema wants valid UTF-8, so bytes that are none are refused instead of read as
 * U+FFFD.
 */
export function longString(bytes: Bytes, at: number, end: number, validated: boolean): string {
  const text = decode(bytes, at, end);
  if (!validated || !text.includes('\ufffd')) return text;
  // It is decoded twice, and so counts twice.
  if (--cursor.left < 0) throwTooManyObjects();
  return strict.decode(bytes.subarray(at, end));
}
