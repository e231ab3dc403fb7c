/**
 * Estimates the work of protobuf-es for a JSON value before it begins, in objects, against
 * `maxDecodedObjects`. One object stands for about 0.25 µs, as in the other decoders, so slower
 * work counts more.
 */
import {
  type DescExtension,
  type DescField,
  type DescMessage,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { IndexPlaces, PLACES_PER_OBJECT } from '../../../../core/records.js';
import { tooManyObjects } from '../../../../transport/codecs/json-text.js';
import { decoded } from '../../decoded.js';
import { countsOf } from '../message-counts.js';
import { type AnyMessage, WRAPPERS } from '../types.js';
import { jsonFieldsOf } from './json-fields.js';

type Field = DescField | DescExtension;

/** The count of a scalar in a field or a list. */
const SCALAR = 1;
const BYTES = 3;
/** The count of a message, in addition to its fields. */
const MESSAGE = 5;
/** Words of the other fields of a message that are set in the time of one object. */
const WORDS = 2;
/** The additional count of a message of google.protobuf. */
const WELL_KNOWN = 3;
const WRAPPER = 3;
/** The count of a property of a message, also of one without a field. */
const PROPERTY = 2;
const MAP_ENTRY = 5;
/** The count of a google.protobuf.Timestamp or Duration. */
const TIME = 10;
/** The count of a google.protobuf.Value, and of its entry in a Struct. */
const VALUE = 5;
/**
 * Characters of base64 that count as one object. They are decoded, and encoded again in a reply.
 */
const BASE64_CHARACTERS = 6;
/** Names of an enum that are compared in the time of one object. */
const ENUM_NAMES = 32;
/**
 * Characters of a google.protobuf.FieldMask that count as one object. Each may be a path or a word
 * of one.
 */
const MASK_CHARACTERS = 2;
/**
 * Characters of text in an Any or an extension that count as one object. They are encoded, and
 * encoded again for each Any around it.
 */
const ENCODED_CHARACTERS = 256;
/** The additional weight of the content of an Any or an extension, which is decoded and encoded. */
const ENCODED = 3;
/** At least half of the count is garbage when the message is made, such as the JSON values. */
const RETAINED_SHARE = 2;
/** Entries that V8 moves between an array and a dictionary in the time of one object. */
const MOVED = 16;
/** The weight of an object when keys are renamed, which copies everything twice. */
const ESCAPED = 3;
/**
 * The most characters of a text that becomes a number. The time of BigInt() grows with their
 * square. A 64-bit integer has 20 characters.
 */
const MAX_NUMBER_TEXT = 128;

/** Types whose JSON form is not an object of their fields. In an Any it is the property `value`. */
const CUSTOM_JSON_TYPES =
  /^google\.protobuf\.(Any|Timestamp|Duration|FieldMask|Struct|Value|ListValue|(Double|Float|Int64|UInt64|Int32|UInt32|Bool|String|Bytes)Value)$/;

/** Counts the objects of one message. */
class JsonCost {
  /** How many properties the value has, at all depths. */
  propertyCount = 0;
  /** The objects of messages that take memory and are not in `left`. */
  libraryObjects = 0;
  /** How many objects may still be counted. */
  left: number;
  readonly #limit: number;
  readonly #registry: Registry | undefined;
  /** How much one object counts. */
  #weight: number;
  /** The part of `#weight` that is due to Any messages and extensions around the value. */
  #encodings = 0;

  constructor(left: number, limit: number, weight: number, registry: Registry | undefined) {
    this.left = left;
    this.#limit = limit;
    this.#weight = weight;
    this.#registry = registry;
  }

  countMessage(schema: DescMessage, json: unknown): void {
    const { containers, words, libraryObjects } = countsOf(schema);
    this.#count(MESSAGE + containers + words / WORDS);
    this.libraryObjects += libraryObjects;
    if (schema.typeName.startsWith('google.protobuf.')) {
      this.#count(WELL_KNOWN);
      if (this.#countWellKnown(schema, json)) return;
    }
    if (!isObject(json)) {
      this.countIgnored(json);
      return;
    }
    const fields = jsonFieldsOf(schema);
    for (const key of Object.keys(json)) {
      this.propertyCount++;
      this.#count(PROPERTY);
      const field = fields.get(key);
      if (field !== undefined) this.#countField(field, json[key]);
      else if (key.startsWith('[')) this.#countExtension(key, json[key]);
      else this.countIgnored(json[key]);
    }
  }

  /** Counts the properties of a value without a field. No object is made of it. */
  countIgnored(json: unknown): void {
    if (Array.isArray(json)) for (const item of json) this.countIgnored(item);
    else if (isObject(json)) {
      for (const key of Object.keys(json)) {
        this.propertyCount++;
        this.countIgnored(json[key]);
      }
    }
  }

  #count(objects: number): void {
    this.left -= objects * this.#weight;
    if (this.left < 0) throw tooManyObjects(this.#limit);
  }

  #countField(field: Field, json: unknown): void {
    if (field.fieldKind === 'list' && Array.isArray(json))
      for (const item of json) this.#countValue(field, item);
    else if (field.fieldKind === 'map' && isObject(json)) this.#countMap(field, json);
    else this.#countValue(field, json);
  }

  /** The value of an extension is decoded, and encoded as an unknown field. */
  #countExtension(key: string, json: unknown): void {
    this.#count(PROPERTY);
    const extension = this.#registry?.getExtension(key.slice(1, -1));
    if (extension === undefined) {
      this.countIgnored(json);
      return;
    }
    this.#countEncoded(() => this.#countField(extension, json));
  }

  #countEncoded(walk: () => void): void {
    this.#weight += ENCODED;
    this.#encodings += ENCODED;
    walk();
    this.#encodings -= ENCODED;
    this.#weight -= ENCODED;
  }

  #countMap(field: Field & { fieldKind: 'map' }, json: AnyMessage): void {
    const indices = new IndexPlaces();
    for (const key of Object.keys(json)) {
      this.propertyCount++;
      this.#count(MAP_ENTRY);
      // protobuf-es sets the number that the text of a key means.
      indices.add(field.mapKey === ScalarType.STRING ? key : Number(key));
      if (field.mapKey !== ScalarType.STRING) checkNumberText(key);
      this.#countValue(field, json[key]);
    }
    this.#countPlaces(indices, 1);
  }

  /** Counts the arrays of `objects` objects with these indices. The message keeps one of them. */
  #countPlaces({ places, moved }: IndexPlaces, objects: number): void {
    const each = places / PLACES_PER_OBJECT;
    this.#count(objects * (each + moved / MOVED));
    this.libraryObjects += each * (1 - objects / RETAINED_SHARE);
  }

  #countValue(field: Field, json: unknown): void {
    if (field.message !== undefined) {
      this.countMessage(field.message, json);
      return;
    }
    if (field.enum !== undefined)
      this.#count(SCALAR + Math.floor(field.enum.values.length / ENUM_NAMES));
    else this.#countScalar(field.scalar, json);
    if (typeof json === 'object') this.countIgnored(json);
  }

  #countScalar(type: ScalarType | undefined, json: unknown): void {
    this.#count(type === ScalarType.BYTES ? BYTES : SCALAR);
    if (typeof json !== 'string') return;
    if (type === ScalarType.BYTES) this.#count(Math.floor(json.length / BASE64_CHARACTERS));
    if (this.#encodings > 0) this.#count(Math.floor(json.length / ENCODED_CHARACTERS));
    if (type !== ScalarType.STRING && type !== ScalarType.BYTES) checkNumberText(json);
  }

  /**
   * Counts a message with its own JSON form. Returns false when the JSON form has the fields of the
   * message.
   */
  #countWellKnown(schema: DescMessage, json: unknown): boolean {
    const { typeName } = schema;
    if (typeName === 'google.protobuf.Any') this.#countAny(json);
    else if (
      typeName === 'google.protobuf.Struct' ||
      typeName === 'google.protobuf.Value' ||
      typeName === 'google.protobuf.ListValue'
    )
      this.#countJsonValue(json);
    else if (WRAPPERS.test(typeName)) {
      this.#count(WRAPPER);
      this.#countScalar(schema.fields[0]?.scalar, json);
      this.countIgnored(json);
    } else if (
      typeName === 'google.protobuf.Timestamp' ||
      typeName === 'google.protobuf.Duration'
    ) {
      this.#count(TIME);
      if (typeof json === 'string') checkNumberText(json);
      this.countIgnored(json);
    } else if (typeName === 'google.protobuf.FieldMask') {
      if (typeof json === 'string') this.#count(Math.floor(json.length / MASK_CHARACTERS));
      this.countIgnored(json);
    } else return false;
    return true;
  }

  #countJsonValue(json: unknown): void {
    this.#count(VALUE);
    if (Array.isArray(json)) for (const item of json) this.#countJsonValue(item);
    else if (isObject(json)) {
      const indices = new IndexPlaces();
      for (const key of Object.keys(json)) {
        this.propertyCount++;
        this.#count(VALUE);
        indices.add(key);
        this.#countJsonValue(json[key]);
      }
      // The object of a Struct is made of a message.
      this.#countPlaces(indices, 2);
    } else if (typeof json === 'string' && this.#encodings > 0)
      this.#count(Math.floor(json.length / ENCODED_CHARACTERS));
  }

  #countAny(json: unknown): void {
    const type = isObject(json) ? json['@type'] : undefined;
    const schema =
      typeof type === 'string'
        ? this.#registry?.getMessage(type.slice(type.lastIndexOf('/') + 1))
        : undefined;
    if (!isObject(json) || schema === undefined) {
      this.countIgnored(json);
      return;
    }
    // A well-known type has its JSON form in the property `value`. Another message has its fields
    // beside `@type`.
    const hasCustomJson = Object.hasOwn(json, 'value') && CUSTOM_JSON_TYPES.test(schema.typeName);
    this.#countEncoded(() => this.countMessage(schema, hasCustomJson ? json.value : json));
    if (!hasCustomJson) return;
    this.propertyCount += Object.keys(json).length;
    for (const key of Object.keys(json)) if (key !== 'value') this.countIgnored(json[key]);
  }
}

function isObject(json: unknown): json is AnyMessage {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function checkNumberText(text: string): void {
  if (text.length > MAX_NUMBER_TEXT)
    throw new RangeError(
      `a number of ${text.length} characters; at most ${MAX_NUMBER_TEXT} are accepted`,
    );
}

/**
 * Throws RangeError when the objects of `json` and the `values` of its text are more than
 * `maxObjects`, or when the text of a number has more than 128 characters. `escaped`: keys are
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
  cost.countMessage(schema, json);
  decoded.objects = (maxObjects - cost.left) / RETAINED_SHARE + cost.libraryObjects;
  return cost.propertyCount;
}
