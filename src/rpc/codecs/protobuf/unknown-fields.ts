/** Keeps fields that the schema does not have, for a later encoding, and skips fields. */
import type { Bytes } from '../../../core/bytes.js';
import { END_GROUP, FIXED32, FIXED64, LENGTH_DELIMITED, START_GROUP, VARINT } from './scalars.js';
import type { AnyMessage } from './types.js';
import {
  cursor,
  keepBytes,
  readTag,
  throwTooDeep,
  throwTooManyObjects,
  throwTruncated,
  throwWrongGroupEnd,
  throwWrongTag,
  varint32,
} from './value-reader.js';

interface UnknownField {
  no: number;
  wireType: number;
  data: Uint8Array;
}

/** Keeps a value that a closed enum does not have as an unknown field. */
export function keepUnknownEnum(
  message: AnyMessage,
  no: number,
  wireType: number,
  value: number,
): void {
  message.$unknown = appendUnknown(message.$unknown, {
    no,
    wireType,
    data: value < 0 ? negativeVarint(value) : positiveVarint(value),
  });
}

/** Returns a negative number as a varint of ten bytes: the high 32 of its 64 bits are ones. */
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

/** The objects of an unknown field: itself and its data. */
export const UNKNOWN_FIELD = 2;

function appendUnknown(fields: unknown, field: UnknownField): UnknownField[] {
  cursor.left -= UNKNOWN_FIELD;
  if (cursor.left < 0) throwTooManyObjects();
  // V8 gives an empty array 17 places at the first push().
  if (fields === undefined) return [field];
  (fields as UnknownField[]).push(field);
  return fields as UnknownField[];
}

/**
 * Keeps a field that the schema does not have. `depth`: how many groups may be within each other.
 */
export function keepUnknownField(
  bytes: Bytes,
  at: number,
  limit: number,
  tag: number,
  fields: unknown,
  depth: number,
): UnknownField[] {
  const to = skipField(bytes, at, limit, tag, depth);
  cursor.at = to;
  return appendUnknown(fields, {
    no: tag >>> 3,
    wireType: tag & 7,
    data: keepBytes(bytes, at, to),
  });
}

/**
 * Returns the end of the field whose value begins at `at`. Throws RangeError when that is after
 * `limit`.
 */
export function skipField(
  bytes: Bytes,
  at: number,
  limit: number,
  tag: number,
  depth: number,
): number {
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
      throwWrongTag(tag);
  }
  if (to > limit) throwTruncated();
  return to;
}

function skipGroup(bytes: Bytes, at: number, limit: number, begin: number, depth: number): number {
  if (depth <= 0) throwTooDeep();
  let to = at;
  for (;;) {
    if (to >= limit) throwTruncated();
    const tag = readTag(bytes, to, limit);
    to = cursor.at;
    if ((tag & 7) === END_GROUP) {
      if (tag >>> 3 !== begin >>> 3) throwWrongGroupEnd();
      return to;
    }
    to = skipField(bytes, to, limit, tag, depth - 1);
  }
}
