/**
 * What compiled decoders call. A function that reads answers the value and leaves in `cursor.at`
 * where it came to. Whether that is beyond the end is asked by its caller, once, after reading:
 * what lies there are only other bytes of the same chunk.
 */
import { allocate, type Bytes, decode, keepable } from '../../../core/bytes.js';
import { tooManyObjects } from '../../../transport/json-text.js';
import { HIGH, halves, LOW, octets, scratch, signed64, unsigned64 } from './scratch.js';
import type { AnyMessage } from './types.js';

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
export function begin(end: number, maxObjects: number): void {
  cursor.left = cursor.limit = maxObjects;
  kept.end = end;
  kept.pool = EMPTY;
  kept.used = 0;
}

/**
 * Bytes that the message keeps. Small fields share a buffer, because a buffer for each costs more
 * memory than most fields.
 */
export function view(bytes: Bytes, at: number, end: number): Bytes {
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
export const DEPTH = 100;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

interface UnknownField {
  no: number;
  wireType: number;
  data: Uint8Array;
}

export function eof(): never {
  throw new RangeError('a Protobuf message is cut off');
}

function malformed(what: string): never {
  throw new RangeError(`not a Protobuf message: ${what}`);
}

/** Called when `cursor.left` is below 0. */
export function tooMany(): never {
  throw tooManyObjects(cursor.limit);
}

export function tooDeep(): never {
  malformed(`more than ${DEPTH} messages within each other`);
}

export function wrongEnd(): never {
  malformed('a group does not end as it began');
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
  return malformed('a varint has more than ten bytes');
}

/** A tag of more than one byte. It has to fit into 32 bits, and in five bytes. */
export function longTag(bytes: Bytes, at: number, limit: number): number {
  const tag = varint32(bytes, at);
  const to = cursor.at;
  if (to > limit) eof();
  if (to - at > 5 || (to - at === 5 && (bytes[to - 1] as number) > 15))
    malformed('a tag has more than 32 bits');
  return tag;
}

export function wrongTag(tag: number): never {
  malformed(`field ${tag >>> 3} of wire type ${tag & 7}`);
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
  malformed('a varint has more than ten bytes');
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

function eight(bytes: Bytes, at: number): void {
  halves[LOW] = sfixed32(bytes, at);
  halves[HIGH] = sfixed32(bytes, at + 4);
}

export function sfixed64(bytes: Bytes, at: number): bigint {
  eight(bytes, at);
  return signed64[0] as bigint;
}

export function fixed64(bytes: Bytes, at: number): bigint {
  eight(bytes, at);
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
  if (--cursor.left < 0) tooMany();
  return strict.decode(bytes.subarray(at, end));
}

/** Keep a value that a closed enum does not have. */
export function unknownEnum(
  message: AnyMessage,
  no: number,
  wireType: number,
  value: number,
): void {
  message.$unknown = append(message.$unknown, {
    no,
    wireType,
    data: value < 0 ? negativeVarint(value) : positiveVarint(value),
  });
}

/** A negative number is ten bytes: the upper half of its 64 bits is all ones. */
function negativeVarint(value: number): Uint8Array {
  const data = new Uint8Array(10).fill(0xff);
  for (let i = 0; i < 4; i++) data[i] = (value >>> (7 * i)) | 0x80;
  data[4] = (value >>> 28) | 0xf0;
  data[9] = 1;
  return data;
}

function positiveVarint(value: number): Uint8Array {
  const data: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) data.push((rest & 127) | 128);
  data.push(rest);
  return new Uint8Array(data);
}

function append(fields: unknown, field: UnknownField): UnknownField[] {
  if (--cursor.left < 0) tooMany();
  const list = (fields as UnknownField[] | undefined) ?? [];
  list.push(field);
  return list;
}

/**
 * Keep a field that the schema does not have. `depth`: how many groups may be within each other.
 */
export function unknown(
  bytes: Bytes,
  at: number,
  limit: number,
  tag: number,
  fields: unknown,
  depth: number,
): UnknownField[] {
  const to = skip(bytes, at, limit, tag, depth);
  cursor.at = to;
  return append(fields, { no: tag >>> 3, wireType: tag & 7, data: view(bytes, at, to) });
}

/** Where a field ends of which the value begins at `at`. */
export function skip(bytes: Bytes, at: number, limit: number, tag: number, depth: number): number {
  let to = at;
  switch (tag & 7) {
    case VARINT:
      while (to < limit && (bytes[to] as number) > 127) to++;
      to++;
      break;
    case FIXED64:
      to += 8;
      break;
    case FIXED32:
      to += 4;
      break;
    case LENGTH_DELIMITED: {
      const length = varint32(bytes, to);
      to = cursor.at + length;
      break;
    }
    case START_GROUP:
      to = skipGroup(bytes, at, limit, tag, depth);
      break;
    default:
      wrongTag(tag);
  }
  if (to > limit) eof();
  return to;
}

function skipGroup(bytes: Bytes, at: number, limit: number, begin: number, depth: number): number {
  if (depth <= 0) tooDeep();
  let to = at;
  for (;;) {
    if (to >= limit) eof();
    let tag = bytes[to++] as number;
    if (tag > 127) {
      tag = longTag(bytes, to - 1, limit);
      to = cursor.at;
    }
    if ((tag & 7) > 5 || tag < 8) wrongTag(tag);
    if ((tag & 7) === END_GROUP) {
      if (tag >>> 3 !== begin >>> 3) wrongEnd();
      return to;
    }
    to = skip(bytes, to, limit, tag, depth - 1);
  }
}
