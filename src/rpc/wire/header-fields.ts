/** The parts that the headers of requests and responses have in common: JSON, maps of strings. */
import { textBytes } from '../../core/bytes.js';
import { setKey } from '../../core/records.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseJsonText } from '../../transport/codecs/json-text.js';
import { MAX_METADATA_KEYS } from '../codecs/metadata.js';
import type { Metadata } from '../types.js';
import { FieldReader, writeTextField, writeVarint } from './varint.js';

const MAP_TAG = { key: 0x0a, value: 0x12 };

export function parseObject(text: string): Record<string, unknown> {
  const value: unknown = parseJsonText(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('the header is not a JSON object');
  return value as Record<string, unknown>;
}

/** Throws RangeError for more keys than MAX_METADATA_KEYS. */
export function checkKeys(count: number): void {
  if (count > MAX_METADATA_KEYS)
    throw new RangeError(`metadata: got ${count} keys, expected at most ${MAX_METADATA_KEYS}`);
}

/**
 * Returns an object without prototype, so that `__proto__` is an ordinary key. Undefined when
 * `value` has no strings. Throws as checkKeys().
 */
export function readJsonMap(value: unknown): Metadata | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  let map: Record<string, string> | undefined;
  const entries = Object.entries(value);
  checkKeys(entries.length);
  for (const [key, text] of entries) {
    if (typeof text !== 'string') continue;
    map ??= Object.create(null) as Record<string, string>;
    setKey(map, key, text);
  }
  return map;
}

export function readMapEntry(
  fields: FieldReader,
  into: Record<string, string> | undefined,
): Record<string, string> {
  const map: Record<string, string> = into ?? Object.create(null);
  const bytes = fields.bytes();
  const entry = new FieldReader(bytes, 0, bytes.length);
  let key = '';
  let value = '';
  while (!entry.done) {
    const tag = entry.varint();
    if (tag === MAP_TAG.key) key = entry.text();
    else if (tag === MAP_TAG.value) value = entry.text();
    else entry.skip(tag);
  }
  setKey(map, key, value);
  return map;
}

export function writeMap(output: ByteWriter, tag: number, map: Metadata): void {
  for (const [key, value] of Object.entries(map)) {
    output.uint8(tag);
    const keyBytes = textBytes(key);
    const valueBytes = textBytes(value);
    writeVarint(output, 2 + varintSize(keyBytes) + keyBytes + varintSize(valueBytes) + valueBytes);
    writeTextField(output, MAP_TAG.key, key);
    writeTextField(output, MAP_TAG.value, value);
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++;
  return size;
}
