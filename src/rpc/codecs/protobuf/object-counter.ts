/**
 * Counts the objects that protobuf-es would make of a message. It is used where no compiled decoder
 * counts them.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { Bytes } from '../../../core/bytes.js';
import { IndexPlaces, PLACES_PER_OBJECT } from '../../../core/records.js';
import { countsOf, presenceCountOf } from './message-counts.js';
import { END_GROUP, LENGTH_DELIMITED, START_GROUP, scalarOf, valueScalar } from './scalars.js';
import { isStructField, LONG_KEY_SHIFT, MAP_ENTRY, NUMBERS_PER_OBJECT } from './types.js';
import { skipField, UNKNOWN_FIELD } from './unknown-fields.js';
import {
  cursor,
  MAX_DEPTH,
  readTag,
  throwTooDeep,
  throwTooManyObjects,
  throwTruncated,
  throwWrongGroupEnd,
  varint32,
} from './value-reader.js';

/**
 * Throws RangeError when the message has more than `maxObjects`, or is malformed. An object counts
 * as four and a field as one, because protobuf-es takes about four times as long as a compiled
 * decoder. The count is at least that of the compiled decoder. Returns the objects of the message
 * for `maxPendingBytes`.
 */
export function checkObjectCount(
  schema: DescMessage,
  bytes: Bytes,
  start: number,
  end: number,
  maxObjects: number,
): number {
  cursor.left = cursor.limit = maxObjects;
  const { objects, libraryObjects } = countsOf(schema);
  retained = objects - 1 + libraryObjects;
  countFields(fieldsOf(schema), bytes, start, end, end, 1, 0);
  return (maxObjects - cursor.left) / COUNT_PER_OBJECT + retained;
}

/** The objects of the message that take memory and are not in `cursor.left`. */
let retained = 0;

/** Whether the last checkObjectCount() threw for more than `maxObjects`. */
export function isOverLimit(): boolean {
  return cursor.left < 0;
}

/** How much one object adds to the count. */
const COUNT_PER_OBJECT = 4;
/** Bytes of an unknown group that count as one. protobuf-es skips a group field by field. */
const BYTES_PER_GROUP_COUNT = 4;
/** The bytes of the longest text that is an array index, with its length. */
const MAX_INDEX_BYTES = 11;

function count(objects: number): void {
  charge(objects * COUNT_PER_OBJECT);
}

function charge(units: number): void {
  cursor.left -= units;
  if (cursor.left < 0) throwTooManyObjects();
}

/** Counts places of the arrays of a map. They take the time and memory of the compiled decoder. */
function countPlaces(places: number): void {
  if (places <= 0) return;
  const objects = places / PLACES_PER_OBJECT;
  charge(objects);
  retained += objects - objects / COUNT_PER_OBJECT;
}

function countEmpty(schema: DescMessage): void {
  const { objects, libraryObjects } = countsOf(schema);
  count(objects);
  retained += libraryObjects;
}

type Fields = ReadonlyMap<number, DescField>;

const fieldsBySchema = new WeakMap<DescMessage, Fields>();

function fieldsOf(schema: DescMessage): Fields {
  let fields = fieldsBySchema.get(schema);
  if (fields === undefined) {
    fields = new Map(schema.fields.map((field) => [field.number, field]));
    fieldsBySchema.set(schema, fields);
  }
  return fields;
}

/**
 * Returns where the fields end. Like protobuf-es, it reads a known field by its schema, whatever
 * its wire type, and lets the last field pass `end` but not `limit`. `group`: the field number when
 * the fields end with an end-group tag, else 0.
 */
function countFields(
  fields: Fields,
  bytes: Bytes,
  start: number,
  end: number,
  limit: number,
  depth: number,
  group: number,
): number {
  if (depth > MAX_DEPTH) throwTooDeep();
  let at = start;
  let structCount = 0;
  let indicesByMap: Map<DescField, IndexPlaces> | undefined;
  while (at < end) {
    const tag = readTag(bytes, at, limit);
    at = cursor.at;
    if (group !== 0 && (tag & 7) === END_GROUP) {
      if (tag >>> 3 !== group) throwWrongGroupEnd();
      return at;
    }
    const field = fields.get(tag >>> 3);
    charge(1);
    if (field === undefined) {
      count(UNKNOWN_FIELD);
      const from = at;
      at = skipField(bytes, at, limit, tag, MAX_DEPTH - depth);
      if ((tag & 7) === START_GROUP) charge(Math.floor((at - from) / BYTES_PER_GROUP_COUNT));
      continue;
    }
    const before = cursor.left;
    at = countField(field, bytes, at, limit, tag, depth);
    if (field.fieldKind === 'map') {
      indicesByMap ??= new Map();
      const indices = indicesByMap.get(field) ?? new IndexPlaces();
      indicesByMap.set(field, indices);
      const { places } = indices;
      indices.add(entryKey);
      countPlaces(indices.places - places);
    }
    if (!isStructField(field)) continue;
    // A Struct is converted to a JSON object. Each further occurrence of the field converts the
    // gathered entries again.
    const taken = before - cursor.left;
    charge(taken + structCount);
    if (field.fieldKind === 'message') structCount += taken;
  }
  if (group !== 0) throwWrongGroupEnd();
  return at;
}

function countField(
  field: DescField,
  bytes: Bytes,
  at: number,
  limit: number,
  tag: number,
  depth: number,
): number {
  if (field.oneof !== undefined) count(1);
  if (field.fieldKind === 'map') return countEntry(field, bytes, at, limit, depth);
  const { name, big, wireType } = valueScalar(field);
  const hasObjects = field.message !== undefined || big === true || wireType === LENGTH_DELIMITED;
  count(presenceCountOf(field, hasObjects));
  if (field.message !== undefined)
    return countMessage(
      field.message,
      bytes,
      at,
      limit,
      depth,
      'delimitedEncoding' in field && field.delimitedEncoding ? field.number : 0,
    );
  // A value that a closed enum does not have is kept as an unknown field.
  const isObject = field.enum?.open === false || big === true;
  if (field.fieldKind === 'list' && (tag & 7) === LENGTH_DELIMITED && wireType !== LENGTH_DELIMITED)
    return skipPacked(bytes, at, limit, wireType, isObject);
  if (isObject || name === 'bytes' || name === 'string') count(1);
  return skipField(bytes, at, limit, (field.number << 3) | wireType, MAX_DEPTH - depth);
}

/**
 * Skips packed numbers. The last one may pass the end. `areObjects`: each number counts as an
 * object.
 */
function skipPacked(
  bytes: Bytes,
  at: number,
  limit: number,
  wireType: number,
  areObjects: boolean,
): number {
  const to = endOf(bytes, at, limit);
  let next = cursor.at;
  let numbers = 0;
  for (; next < to; numbers++) next = skipField(bytes, next, limit, 8 | wireType, 0);
  count(areObjects ? numbers : Math.ceil(numbers / NUMBERS_PER_OBJECT));
  return next;
}

/** Counts a message. `group`: its field number when it ends with an end-group tag, else 0. */
function countMessage(
  schema: DescMessage,
  bytes: Bytes,
  at: number,
  limit: number,
  depth: number,
  group: number,
): number {
  countEmpty(schema);
  const fields = fieldsOf(schema);
  if (group !== 0) return countFields(fields, bytes, at, limit, limit, depth + 1, group);
  const to = endOf(bytes, at, limit);
  return countFields(fields, bytes, cursor.at, to, limit, depth + 1, 0);
}

/** Returns where the length-delimited value ends; sets cursor.at to its start. */
function endOf(bytes: Bytes, at: number, limit: number): number {
  const to = varint32(bytes, at) + cursor.at;
  if (to > limit) throwTruncated();
  return to;
}

/** The key of the last countEntry(); '' for a text that is too long for an array index. */
let entryKey: string | number | bigint | boolean = '';

function countEntry(
  field: DescField & { fieldKind: 'map' },
  bytes: Bytes,
  at: number,
  limit: number,
  depth: number,
): number {
  count(MAP_ENTRY);
  if (field.message !== undefined) countEmpty(field.message);
  const to = endOf(bytes, at, limit);
  let next = cursor.at;
  let key: typeof entryKey = field.mapKey === ScalarType.STRING ? '' : 0;
  while (next < to) {
    const number = readTag(bytes, next, limit) >>> 3;
    next = cursor.at;
    charge(1);
    if (number === 1) {
      const from = next;
      next = skipField(bytes, next, limit, 8 | scalarOf(field.mapKey).wireType, MAX_DEPTH - depth);
      if (next - from <= MAX_INDEX_BYTES)
        key = new BinaryReader(bytes.subarray(from, next))[
          scalarOf(field.mapKey).name
        ]() as typeof key;
      if (field.mapKey === ScalarType.STRING) count(1 + ((next - from) >> LONG_KEY_SHIFT));
      else if (scalarOf(field.mapKey).big) count(1);
    } else if (number === 2 && field.message !== undefined)
      next = countMessage(field.message, bytes, next, limit, depth, 0);
    else if (number === 2) {
      const { big, wireType } = valueScalar(field);
      if (big || wireType === LENGTH_DELIMITED) count(1);
      next = skipField(bytes, next, limit, 16 | wireType, MAX_DEPTH - depth);
    }
  }
  entryKey = key;
  return next;
}
