/**
 * What protobuf-es would make of a JSON value by a schema, counted against `maxDecodedObjects`
 * before it is made. One object of the count stands for about 0.25 µs of work, as in the other
 * decoders, so work that takes longer counts more.
 */
import {
  type DescExtension,
  type DescField,
  type DescMessage,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { tooManyObjects } from '../../../../transport/json-text.js';
import { decoded } from '../../decoded.js';
import { type AnyMessage, objectsOf, WRAPPERS } from '../types.js';

type Field = DescField | DescExtension;

/** A scalar of a field or a list. */
const SCALAR = 1;
const BYTES = 3;
/** A message, in addition to its lists, maps and oneofs. */
const MESSAGE = 5;
/** A message of a type of google.protobuf, in addition. */
const WELL_KNOWN = 3;
const WRAPPER = 3;
/** A property of a message, also one that no field has. */
const PROPERTY = 2;
const MAP_ENTRY = 5;
/** google.protobuf.Timestamp and Duration. */
const TIME = 10;
/** google.protobuf.Value, and the entry of a Struct that it stands in. */
const VALUE = 5;
/**
 * Characters of base64 that are decoded, and encoded again in an answer, in the time of one object.
 */
const BASE64_CHARACTERS = 6;
/** Names of an enum that are compared in the time of one object. */
const ENUM_NAMES = 32;
/** Characters of a google.protobuf.FieldMask, each of which may be a path or a word of one. */
const MASK_CHARACTERS = 2;
/**
 * Characters of text in an Any or an extension, which is encoded, and encoded again by each Any
 * around it.
 */
const ENCODED_CHARACTERS = 256;
/** What is in an Any or in an extension is made, and encoded. */
const ENCODED = 3;
/** At least half of what counts is garbage when the message is made, such as the JSON values. */
const RETAINED_SHARE = 2;
/**
 * Beyond such a gap an index makes V8 convert, unless the indices are so sparse that it does not
 * convert back.
 */
const INDEX_GAP = 1024;
const INDEX_SHARE = 16;
/** Values that V8 converts in the time of one object. */
const CONVERTED = 8;
/** With names to escape, everything is copied twice. */
const ESCAPED = 3;
/**
 * The longest text that becomes a number. BigInt() takes a time that grows with the square of it. A
 * 64-bit integer has 20 characters.
 */
const MAX_NUMBER_TEXT = 128;

const KEYS = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();
/** Types whose JSON form is no object of their fields; in an Any it is the property `value`. */
const CUSTOM =
  /^google\.protobuf\.(Any|Timestamp|Duration|FieldMask|Struct|Value|ListValue|(Double|Float|Int64|UInt64|Int32|UInt32|Bool|String|Bytes)Value)$/;

/** The count of one message. */
class JsonCost {
  /** Properties that the value has. */
  names = 0;
  left: number;
  readonly #limit: number;
  readonly #registry: Registry | undefined;
  /** How many times an object counts. */
  #weight: number;
  #encodings = 0;

  constructor(left: number, limit: number, weight: number, registry: Registry | undefined) {
    this.left = left;
    this.#limit = limit;
    this.#weight = weight;
    this.#registry = registry;
  }

  message(schema: DescMessage, json: unknown): void {
    this.#count(MESSAGE + objectsOf(schema));
    if (schema.typeName.startsWith('google.protobuf.')) {
      this.#count(WELL_KNOWN);
      if (this.#wellKnown(schema, json)) return;
    }
    if (!isObject(json)) {
      this.other(json);
      return;
    }
    const fields = fieldsOf(schema);
    for (const key of Object.keys(json)) {
      this.names++;
      this.#count(PROPERTY);
      const field = fields.get(key);
      if (field !== undefined) this.#field(field, json[key]);
      else if (key.startsWith('[')) this.#extension(key, json[key]);
      else this.other(json[key]);
    }
  }

  /** A value that no field takes: nothing is made of it. */
  other(json: unknown): void {
    if (Array.isArray(json)) for (const item of json) this.other(item);
    else if (isObject(json)) {
      for (const key of Object.keys(json)) {
        this.names++;
        this.other(json[key]);
      }
    }
  }

  #count(objects: number): void {
    this.left -= objects * this.#weight;
    if (this.left < 0) throw tooManyObjects(this.#limit);
  }

  #field(field: Field, json: unknown): void {
    if (field.fieldKind === 'list' && Array.isArray(json))
      for (const item of json) this.#value(field, item);
    else if (field.fieldKind === 'map' && isObject(json)) this.#map(field, json);
    else this.#value(field, json);
  }

  /** The value of an extension is made, and encoded as an unknown field. */
  #extension(key: string, json: unknown): void {
    this.#count(PROPERTY);
    const extension = this.#registry?.getExtension(key.slice(1, -1));
    if (extension === undefined) {
      this.other(json);
      return;
    }
    this.#encoded(() => this.#field(extension, json));
  }

  #encoded(walk: () => void): void {
    this.#weight += ENCODED;
    this.#encodings += ENCODED;
    walk();
    this.#encodings -= ENCODED;
    this.#weight -= ENCODED;
  }

  #map(field: Field & { fieldKind: 'map' }, json: AnyMessage): void {
    let entries = 0;
    let largest = -1;
    for (const key of Object.keys(json)) {
      this.names++;
      this.#count(MAP_ENTRY);
      entries++;
      const index = indexOf(key);
      // V8 makes a dictionary of the values of all indices, and an array again at one of the next:
      // see core/records.
      if (index > largest + INDEX_GAP && index < INDEX_SHARE * entries)
        this.#count(entries / CONVERTED);
      largest = Math.max(largest, index);
      if (field.mapKey !== ScalarType.STRING) checkNumberText(key);
      this.#value(field, json[key]);
    }
  }

  #value(field: Field, json: unknown): void {
    if (field.message !== undefined) {
      this.message(field.message, json);
      return;
    }
    if (field.enum !== undefined)
      this.#count(SCALAR + Math.floor(field.enum.values.length / ENUM_NAMES));
    else this.#scalar(field.scalar, json);
    if (typeof json === 'object') this.other(json);
  }

  #scalar(type: ScalarType | undefined, json: unknown): void {
    this.#count(type === ScalarType.BYTES ? BYTES : SCALAR);
    if (typeof json !== 'string') return;
    if (type === ScalarType.BYTES) this.#count(Math.floor(json.length / BASE64_CHARACTERS));
    if (this.#encodings > 0) this.#count(Math.floor(json.length / ENCODED_CHARACTERS));
    if (type !== ScalarType.STRING && type !== ScalarType.BYTES) checkNumberText(json);
  }

  /** False: the message has its fields in JSON too. */
  #wellKnown(schema: DescMessage, json: unknown): boolean {
    const { typeName } = schema;
    if (typeName === 'google.protobuf.Any') this.#any(json);
    else if (
      typeName === 'google.protobuf.Struct' ||
      typeName === 'google.protobuf.Value' ||
      typeName === 'google.protobuf.ListValue'
    )
      this.#json(json);
    else if (WRAPPERS.test(typeName)) {
      this.#count(WRAPPER);
      this.#scalar(schema.fields[0]?.scalar, json);
      this.other(json);
    } else if (
      typeName === 'google.protobuf.Timestamp' ||
      typeName === 'google.protobuf.Duration'
    ) {
      this.#count(TIME);
      if (typeof json === 'string') checkNumberText(json);
      this.other(json);
    } else if (typeName === 'google.protobuf.FieldMask') {
      if (typeof json === 'string') this.#count(Math.floor(json.length / MASK_CHARACTERS));
      this.other(json);
    } else return false;
    return true;
  }

  #json(json: unknown): void {
    this.#count(VALUE);
    if (Array.isArray(json)) for (const item of json) this.#json(item);
    else if (isObject(json)) {
      for (const key of Object.keys(json)) {
        this.names++;
        this.#count(VALUE);
        this.#json(json[key]);
      }
    } else if (typeof json === 'string' && this.#encodings > 0)
      this.#count(Math.floor(json.length / ENCODED_CHARACTERS));
  }

  #any(json: unknown): void {
    const type = isObject(json) ? json['@type'] : undefined;
    const schema =
      typeof type === 'string'
        ? this.#registry?.getMessage(type.slice(type.lastIndexOf('/') + 1))
        : undefined;
    if (!isObject(json) || schema === undefined) {
      this.other(json);
      return;
    }
    // A well-known type has its JSON form in the property `value`, other messages have their fields
    // beside the `@type`.
    const isCustom = Object.hasOwn(json, 'value') && CUSTOM.test(schema.typeName);
    this.#encoded(() => this.message(schema, isCustom ? json.value : json));
    if (!isCustom) return;
    this.names += Object.keys(json).length;
    for (const key of Object.keys(json)) if (key !== 'value') this.other(json[key]);
  }
}

/** -1: it is no index of an array. */
function indexOf(key: string): number {
  const index = Number(key) >>> 0;
  return String(index) === key ? index : -1;
}

function isObject(json: unknown): json is AnyMessage {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function fieldsOf(schema: DescMessage): ReadonlyMap<string, DescField> {
  let fields = KEYS.get(schema);
  if (fields === undefined) {
    fields = new Map(
      schema.fields.flatMap((field) => [
        [field.name, field] as const,
        [field.jsonName, field] as const,
      ]),
    );
    KEYS.set(schema, fields);
  }
  return fields;
}

function checkNumberText(text: string): void {
  if (text.length > MAX_NUMBER_TEXT)
    throw new RangeError(
      `a number of ${text.length} characters; at most ${MAX_NUMBER_TEXT} are read`,
    );
}

/**
 * Throws RangeError when the objects of `json` and those of its text, `values`, are more than
 * `maxObjects`, or a text for a number has more than 128 characters. `escaped`: names in it are
 * renamed around protobuf-es. Returns how many properties `json` has.
 */
export function checkJsonCost(
  schema: DescMessage,
  json: unknown,
  values: number,
  maxObjects: number,
  escaped: boolean,
  registry: Registry | undefined,
): number {
  const cost = new JsonCost(maxObjects - values, maxObjects, escaped ? ESCAPED : 1, registry);
  cost.message(schema, json);
  decoded.objects = (maxObjects - cost.left) / RETAINED_SHARE;
  return cost.names;
}
