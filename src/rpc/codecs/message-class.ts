/**
 * Message codecs of Protobuf classes that encode and decode themselves, as protobufjs and ts-proto
 * generate them.
 */
import { isBytes, keepable } from '../../core/bytes.js';
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseJson } from '../../transport/codecs/json-text.js';
import { isUndefined, json } from './json.js';
import { setEntry } from './protobuf/types.js';
import type { CodecName, MessageCodec, MessageCodecs } from './types.js';

/**
 * A class, or an object, with encode() and decode(): the classes and `Type`s of protobufjs, the
 * messages of ts-proto. `Init` is the type that encode() accepts.
 */
export interface MessageClass<Init = unknown, Message = Init> {
  encode(message: Init): { finish(): Uint8Array };
  /**
   * Returns the message. Throws when the bytes are no such message. Views of `bytes` stay valid,
   * and keep at most twice the bytes of the message in memory.
   */
  decode(bytes: Uint8Array): Message;
}

/** The classes of the argument and the reply of a method. */
export interface MethodClasses {
  // biome-ignore lint/suspicious/noExplicitAny: any class will do
  readonly input: MessageClass<any, any>;
  // biome-ignore lint/suspicious/noExplicitAny: any class will do
  readonly output: MessageClass<any, any>;
}

/** Makes a message codec of the binary form of a class. Throws BAD_OPTION. */
export function messageClass<Init, Message>(Class: MessageClass<Init, Message>): MessageCodec {
  checkClass('messageClass', Class);
  return {
    encode(output: ByteWriter, message: unknown) {
      // undefined, such as the reply of a handler that returns nothing, is the empty message.
      const encoded: unknown = Class.encode((message === undefined ? {} : message) as Init);
      const finished = expectNoPromise('encode() of a message class', encoded) as {
        finish(): unknown;
      };
      output.append(bytesOf(expectNoPromise('finish() of a message class', finished.finish())));
    },
    decode: (bytes, start, end) =>
      expectNoPromise('decode() of a message class', Class.decode(keepable(bytes, start, end))),
  };
}

/**
 * Returns `value`. Throws ENCODE_FAILED if it is a promise, also when a message is decoded: the
 * call then fails with this error as its cause.
 */
function expectNoPromise(name: string, value: unknown): unknown {
  refusePromise('ENCODE_FAILED', name, value);
  return value;
}

function bytesOf(value: unknown): Uint8Array {
  if (!isBytes(value))
    throw new TypeError(`finish() of a message class returned a ${typeof value}, expected bytes`);
  return value;
}

/** Throws BAD_OPTION. */
export function checkClass(name: string, Class: unknown): void {
  const { encode, decode } = (Class ?? {}) as Partial<MessageClass>;
  if (typeof encode !== 'function' || typeof decode !== 'function')
    throw badOption(name, Class, 'a class with encode() and decode()');
}

/**
 * The methods that convert messages to JSON values and back: ts-proto has toJSON() and fromJSON(),
 * protobufjs toObject() and fromObject().
 */
interface JsonClass {
  toJSON(message: unknown): unknown;
  fromJSON(value: unknown): unknown;
  toObject(message: unknown, options: object): unknown;
  fromObject(value: unknown): unknown;
}

/**
 * The options of toObject(): 64-bit integers, bytes, NaN and the infinities become text, as in
 * ProtoJSON; empty lists and maps are present.
 */
const TO_OBJECT = { longs: String, bytes: String, json: true, arrays: true, objects: true };

/** A field of a protobufjs `Type`. */
interface ReflectedField {
  readonly name: string;
  readonly repeated: boolean;
  readonly map: boolean;
  /** False: an unset field has its default value. */
  readonly hasPresence?: boolean | undefined;
  readonly resolvedType: Partial<ReflectedClass> | null;
}

/** A protobufjs `Type`. Generated classes of protobufjs have no `fieldsArray`. */
interface ReflectedClass extends JsonClass {
  readonly fieldsArray: readonly ReflectedField[];
}

type Fields = Record<string, unknown>;

/** Returns `givenFields`, and the default values of missing fields without presence. */
function withImplicitDefaults(Class: ReflectedClass, givenFields: Fields): Fields {
  const defaults = defaultsOf(Class);
  const fields: Fields = {};
  for (const { name, repeated, map, hasPresence, resolvedType } of Class.fieldsArray) {
    const value = givenFields[name];
    if (value === undefined) {
      if (hasPresence === false) fields[name] = defaults[name];
    } else if (isReflected(resolvedType)) {
      const convertNested = (message: unknown): Fields =>
        withImplicitDefaults(resolvedType, message as Fields);
      if (repeated) fields[name] = (value as unknown[]).map(convertNested);
      else if (map) fields[name] = mapValues(value as Fields, convertNested);
      else fields[name] = convertNested(value);
    } else fields[name] = value;
  }
  return fields;
}

/** Returns a map with every value converted. */
function mapValues(map: Fields, convert: (value: unknown) => unknown): Fields {
  const result: Fields = {};
  for (const [key, value] of Object.entries(map)) setEntry(result, key, convert(value));
  return result;
}

const defaultsByClass = new WeakMap<ReflectedClass, Fields>();

function defaultsOf(Class: ReflectedClass): Fields {
  const known = defaultsByClass.get(Class);
  if (known !== undefined) return known;
  const defaults = Class.toObject(Class.fromObject({}), { ...TO_OBJECT, defaults: true }) as Fields;
  defaultsByClass.set(Class, defaults);
  return defaults;
}

function isReflected(Class: Partial<ReflectedClass> | null): Class is ReflectedClass {
  return Array.isArray(Class?.fieldsArray) && typeof Class.toObject === 'function';
}

/**
 * Returns the codecs of a class: Protobuf, and JSON if the class has a JSON form. Without a class:
 * JSON. Throws BAD_OPTION.
 */
// biome-ignore lint/suspicious/noExplicitAny: any class will do
export function codecsOf(Class: MessageClass<any, any> | undefined): MessageCodecs {
  if (Class === undefined) return { json };
  const protobuf = messageClass(Class);
  const jsonForm = jsonFormOf(Class as Partial<JsonClass>);
  return jsonForm === undefined ? { protobuf } : { protobuf, json: jsonForm };
}

function jsonFormOf(Class: Partial<JsonClass>): MessageCodec | undefined {
  const hasMethods = (...names: (keyof JsonClass)[]): boolean =>
    names.every((name) => typeof Class[name] === 'function');
  if (hasMethods('toJSON', 'fromJSON')) {
    return jsonCodec(
      (message) => (Class as JsonClass).toJSON(message),
      (value) => (Class as JsonClass).fromJSON(value),
    );
  }
  if (!hasMethods('toObject', 'fromObject')) return undefined;
  return jsonCodec(
    (message) => {
      // toObject() accepts messages of the class only; the program may give a plain object.
      const fields = (Class as JsonClass).toObject(
        (Class as JsonClass).fromObject(message),
        TO_OBJECT,
      );
      return isReflected(Class) ? withImplicitDefaults(Class, fields as Fields) : fields;
    },
    (value) => (Class as JsonClass).fromObject(value),
  );
}

function jsonCodec(
  toValue: (message: unknown) => unknown,
  fromValue: (value: unknown) => unknown,
): MessageCodec {
  return {
    encode: (output, message) =>
      json.encode(
        output,
        expectNoPromise(
          'the JSON form of a message class',
          toValue(message === undefined ? {} : message),
        ),
      ),
    decode: (bytes, start, end, maxObjects) =>
      expectNoPromise(
        'the JSON form of a message class',
        // Go sends null for a nil message.
        fromValue(
          isUndefined(bytes, start, end) ? {} : (parseJson(bytes, start, end, maxObjects) ?? {}),
        ),
      ),
  };
}

/** Returns the codecs that all messages have, the preferred one first. */
export function commonCodecs(all: readonly MessageCodecs[]): CodecName[] {
  return (['protobuf', 'json'] as const).filter((name) =>
    all.every((codecs) => codecs[name] !== undefined),
  );
}
