/**
 * Messages of Protobuf classes that encode and decode themselves, as protobufjs and ts-proto
 * generate them.
 */
import { keepable } from '../../core/bytes.js';
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseJson } from '../../transport/json-text.js';
import { json } from './json.js';
import { setEntry } from './protobuf/types.js';
import type { CodecName, MessageCodec, MessageCodecs } from './types.js';

/**
 * A class, or an object, with these two: protobufjs's classes and `Type`s, ts-proto's messages.
 * `Init` is what can be encoded.
 */
export interface MessageClass<Init = unknown, Message = Init> {
  encode(message: Init): { finish(): Uint8Array };
  /**
   * Throws when the bytes are no such message. Views of them stay valid, and keep at most twice the
   * bytes of the message.
   */
  decode(bytes: Uint8Array): Message;
}

/** The classes of a method. */
export interface MethodClasses {
  // biome-ignore lint/suspicious/noExplicitAny: any class will do
  readonly input: MessageClass<any, any>;
  // biome-ignore lint/suspicious/noExplicitAny: any class will do
  readonly output: MessageClass<any, any>;
}

/** A body codec of such a class, in the binary form. Throws BAD_OPTION. */
export function messageClass<Init, Message>(Class: MessageClass<Init, Message>): MessageCodec {
  checkClass('messageClass', Class);
  return {
    encode(output: ByteWriter, message: unknown) {
      const encoded: unknown = Class.encode((message === undefined ? {} : message) as Init);
      const finished = atOnce('encode() of a message class', encoded) as { finish(): unknown };
      output.append(bytesOf(atOnce('finish() of a message class', finished.finish())));
    },
    decode: (bytes, start, end) =>
      atOnce('decode() of a message class', Class.decode(keepable(bytes, start, end))),
  };
}

function atOnce(name: string, value: unknown): unknown {
  refusePromise('ENCODE_FAILED', name, value);
  return value;
}

function bytesOf(value: unknown): Uint8Array {
  if (!ArrayBuffer.isView(value))
    throw new TypeError(`finish() of a message class answered a ${typeof value}, expected bytes`);
  return value as Uint8Array;
}

/** Throws BAD_OPTION. */
export function checkClass(name: string, Class: unknown): void {
  const { encode, decode } = (Class ?? {}) as Partial<MessageClass>;
  if (typeof encode !== 'function' || typeof decode !== 'function')
    throw badOption(name, Class, 'a class with encode() and decode()');
}

/** How ts-proto's messages turn into JSON values and back, and how protobufjs's do. */
interface JsonClass {
  toJSON(message: unknown): unknown;
  fromJSON(value: unknown): unknown;
  toObject(message: unknown, options: object): unknown;
  fromObject(value: unknown): unknown;
}

/**
 * 64-bit numbers, bytes, NaN and the infinities as text, as Protobuf's JSON has them; lists and
 * maps also when they are empty.
 */
const TO_OBJECT = { longs: String, bytes: String, json: true, arrays: true, objects: true };

/** A field of a protobufjs `Type`. */
interface ReflectedField {
  readonly name: string;
  readonly repeated: boolean;
  readonly map: boolean;
  /** False: a field that was never set has its default value. */
  readonly hasPresence?: boolean | undefined;
  readonly resolvedType: Partial<ReflectedClass> | null;
}

/** A protobufjs `Type`. The classes that its generator writes do not have the fields. */
interface ReflectedClass extends JsonClass {
  readonly fieldsArray: readonly ReflectedField[];
}

type Fields = Record<string, unknown>;

/**
 * The fields that are set, and the default values of those that have no presence: a field that has
 * it is there only when it is set.
 */
function withImplicitDefaults(Class: ReflectedClass, set: Fields): Fields {
  const defaults = defaultsOf(Class);
  const fields: Fields = {};
  for (const { name, repeated, map, hasPresence, resolvedType } of Class.fieldsArray) {
    const value = set[name];
    if (value === undefined) {
      if (hasPresence === false) fields[name] = defaults[name];
    } else if (isReflected(resolvedType)) {
      const nested = (message: unknown): Fields =>
        withImplicitDefaults(resolvedType, message as Fields);
      if (repeated) fields[name] = (value as unknown[]).map(nested);
      else if (map) fields[name] = mapped(value as Fields, nested);
      else fields[name] = nested(value);
    } else fields[name] = value;
  }
  return fields;
}

/** A map with every value changed. */
function mapped(map: Fields, change: (value: unknown) => unknown): Fields {
  const result: Fields = {};
  for (const [key, value] of Object.entries(map)) setEntry(result, key, change(value));
  return result;
}

const knownDefaults = new WeakMap<ReflectedClass, Fields>();

function defaultsOf(Class: ReflectedClass): Fields {
  const known = knownDefaults.get(Class);
  if (known !== undefined) return known;
  const defaults = Class.toObject(Class.fromObject({}), { ...TO_OBJECT, defaults: true }) as Fields;
  knownDefaults.set(Class, defaults);
  return defaults;
}

function isReflected(Class: Partial<ReflectedClass> | null): Class is ReflectedClass {
  return Array.isArray(Class?.fieldsArray) && typeof Class.toObject === 'function';
}

/**
 * Protobuf, and JSON if the class can do that; JSON alone when there is no class. Throws
 * BAD_OPTION.
 */
// biome-ignore lint/suspicious/noExplicitAny: any class will do
export function codecsOf(Class: MessageClass<any, any> | undefined): MessageCodecs {
  if (Class === undefined) return { json };
  const protobuf = messageClass(Class);
  const own = jsonOf(Class as Partial<JsonClass>);
  return own === undefined ? { protobuf } : { protobuf, json: own };
}

function jsonOf(Class: Partial<JsonClass>): MessageCodec | undefined {
  const has = (...names: (keyof JsonClass)[]): boolean =>
    names.every((name) => typeof Class[name] === 'function');
  if (has('toJSON', 'fromJSON')) {
    return jsonCodec(
      (message) => (Class as JsonClass).toJSON(message),
      (value) => (Class as JsonClass).fromJSON(value),
    );
  }
  if (!has('toObject', 'fromObject')) return undefined;
  return jsonCodec(
    (message) => {
      // toObject() takes a message of its own, and what the user gives need not be one.
      const set = (Class as JsonClass).toObject(
        (Class as JsonClass).fromObject(message),
        TO_OBJECT,
      );
      return isReflected(Class) ? withImplicitDefaults(Class, set as Fields) : set;
    },
    (value) => (Class as JsonClass).fromObject(value),
  );
}

function jsonCodec(
  toValue: (message: unknown) => unknown,
  ofValue: (value: unknown) => unknown,
): MessageCodec {
  return {
    encode: (output, message) =>
      json.encode(
        output,
        atOnce('the JSON form of a message class', toValue(message === undefined ? {} : message)),
      ),
    decode: (bytes, start, end, maxObjects) =>
      atOnce(
        'the JSON form of a message class',
        ofValue(start === end ? {} : parseJson(bytes, start, end, maxObjects)),
      ),
  };
}

/** The codecs that all of these have, the preferred one first. */
export function commonCodecs(all: readonly MessageCodecs[]): CodecName[] {
  return (['protobuf', 'json'] as const).filter((name) =>
    all.every((codecs) => codecs[name] !== undefined),
  );
}
