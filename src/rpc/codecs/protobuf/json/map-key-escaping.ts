/**
 * Renames the map key `__proto__` around protobuf-es, which assigns keys: an assignment to
 * `__proto__` sets the prototype instead of a property. The key gets one more underscore on the way
 * in, and loses it on the way out.
 */
import { type DescField, type DescMessage, type Registry, ScalarType } from '@bufbuild/protobuf';
import { copy } from '../../../../core/bytes.js';
import { ByteWriter } from '../../../../transport/buffers/byte-writer.js';
import type { MessageCodec } from '../../types.js';
import { protobufCodec } from '../codec.js';
import { type AnyMessage, isStructField, setEntry } from '../types.js';

type Rename = (key: string) => string;

const PROTO_KEY = /^__proto__+$/;

/**
 * Returns another name for `__proto__`. Names like it get one more underscore too, so that
 * unescapeKey() is unambiguous.
 */
export function escapeKey(key: string): string {
  return key.length > 8 && PROTO_KEY.test(key) ? `${key}_` : key;
}

export function unescapeKey(key: string): string {
  return key.length > 9 && PROTO_KEY.test(key) ? key.slice(0, -1) : key;
}

/** False: no key of the JSON text is `__proto__`. A key may contain \u escapes. */
export function mayHaveProtoKey(text: string): boolean {
  return (
    text.includes('__proto__') || (text.includes('\\u') && /\\u00(?:5f|6f|7[024])/i.test(text))
  );
}

function isObject(value: unknown): value is AnyMessage {
  return typeof value === 'object' && value !== null;
}

/** Returns a JSON value with renamed keys; the same value when no key changes. */
export function mapJsonKeys(value: unknown, rename: Rename): unknown {
  if (Array.isArray(value)) return mapItems(value, (item) => mapJsonKeys(item, rename));
  return isObject(value) ? mapEntries(value, rename, (item) => mapJsonKeys(item, rename)) : value;
}

function mapItems(items: readonly unknown[], map: (item: unknown) => unknown): readonly unknown[] {
  const mapped = items.map(map);
  return mapped.some((item, i) => item !== items[i]) ? mapped : items;
}

function mapEntries(
  object: AnyMessage,
  rename: Rename,
  map: (value: unknown) => unknown,
): AnyMessage {
  const entries = Object.entries(object).map(([key, value]) => ({
    key,
    value,
    newKey: rename(key),
    newValue: map(value),
  }));
  if (entries.every(({ key, newKey, value, newValue }) => key === newKey && value === newValue))
    return object;
  const mapped: AnyMessage = {};
  for (const { newKey, newValue } of entries) setEntry(mapped, newKey, newValue);
  return mapped;
}

const ANY = 'google.protobuf.Any';

/**
 * True: a message of the schema may have a map with text keys, at any depth. `withAny`: there is a
 * registry for the types in an Any.
 */
export function hasTextKeys(
  schema: DescMessage,
  withAny: boolean,
  seen = new Set<DescMessage>(),
): boolean {
  if (schema.typeName === ANY && withAny) return true;
  if (seen.has(schema)) return false;
  seen.add(schema);
  return schema.fields.some(
    (field) =>
      isTextMap(field) ||
      (field.message !== undefined && hasTextKeys(field.message, withAny, seen)),
  );
}

function isTextMap(field: DescField): boolean {
  return field.fieldKind === 'map' && field.mapKey === ScalarType.STRING;
}

/**
 * Returns a message, or an init shape, with renamed keys in its maps; the same object when no key
 * changes.
 */
export function mapMessageKeys(
  schema: DescMessage,
  message: unknown,
  rename: Rename,
  registry: Registry | undefined,
): unknown {
  if (!isObject(message)) return message;
  if (schema.typeName === ANY) return mapAnyKeys(message, rename, registry);
  let changed: AnyMessage | undefined;
  for (const field of schema.fields) {
    if (field.fieldKind !== 'map' && field.message === undefined) continue;
    const holder = field.oneof === undefined ? message : message[field.oneof.localName];
    if (!isObject(holder) || (field.oneof !== undefined && holder.case !== field.localName))
      continue;
    const name = field.oneof === undefined ? field.localName : 'value';
    const value = holder[name];
    const mapped = mapFieldKeys(field, value, rename, registry);
    if (mapped === value) continue;
    // The copy keeps the prototype, which has the defaults of fields with presence.
    changed ??= Object.assign(Object.create(Object.getPrototypeOf(message)) as AnyMessage, message);
    if (field.oneof === undefined) changed[name] = mapped;
    else changed[field.oneof.localName] = { case: field.localName, value: mapped };
  }
  return changed ?? message;
}

function mapFieldKeys(
  field: DescField,
  value: unknown,
  rename: Rename,
  registry: Registry | undefined,
): unknown {
  const { message: schema } = field;
  const mapValue = (item: unknown): unknown => {
    if (schema === undefined) return item;
    return isStructField(field)
      ? mapJsonKeys(item, rename)
      : mapMessageKeys(schema, item, rename, registry);
  };
  if (field.fieldKind === 'list') return Array.isArray(value) ? mapItems(value, mapValue) : value;
  if (field.fieldKind !== 'map') return mapValue(value);
  if (!isObject(value)) return value;
  return mapEntries(value, isTextMap(field) ? rename : (key) => key, mapValue);
}

/** Decodes the bytes of an Any, renames the keys and encodes it again. */
function mapAnyKeys(any: AnyMessage, rename: Rename, registry: Registry | undefined): AnyMessage {
  const { typeUrl, value } = any;
  if (typeof typeUrl !== 'string' || !(value instanceof Uint8Array)) return any;
  const schema = registry?.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
  if (schema === undefined || !hasTextKeys(schema, true)) return any;
  const codec = protobufCodec(schema) as MessageCodec;
  const bytes = copy(value);
  const message = codec.decode(bytes, 0, bytes.length);
  const mapped = mapMessageKeys(schema, message, rename, registry);
  if (mapped === message) return any;
  const output = new ByteWriter();
  codec.encode(output, mapped);
  return Object.assign(Object.create(Object.getPrototypeOf(any)) as AnyMessage, any, {
    value: new Uint8Array(output.written),
  });
}
