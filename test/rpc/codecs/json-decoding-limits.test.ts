/**
 * The decoders of JSON refuse the most expensive messages with the default limits, and read large
 * ordinary ones.
 */
import { createRegistry, type DescMessage } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import { parseJson } from '../../../src/transport/codecs/json-text.js';
import * as proto3 from '../../fixtures/protobuf/proto3_pb.js';
import { expectRefused, filled } from './expensive-messages.js';

const plainJson = (text: string): unknown => {
  const bytes = Buffer.from(text);
  return parseJson(bytes, 0, bytes.length);
};

describe('plain JSON', () => {
  test.each<[string, string, string | ((i: number) => string), string]>([
    ['numbers', '[', '1,', '1]'],
    ['decimal numbers', '[', (i) => `${i}.123456789,`, '1]'],
    ['short texts', '[', (i) => `"${i.toString(36)}",`, '1]'],
    ['texts with escapes', '[', '"\\u0416",', '1]'],
    ['literals', '[', 'null,', '1]'],
    ['empty arrays', '[', '[],', '1]'],
    ['arrays of one number', '[', '[1],', '1]'],
    ['objects with different property names', '[', (i) => `{"${i.toString(36)}":1},`, '1]'],
    ['properties of one object', '{', (i) => `"${i.toString(36)}":1,`, '"":1}'],
  ])('refuses 4 MiB of %s', (_, before, part, after) => {
    const text = filled(before, part, after);
    expectRefused(() => plainJson(text));
  });

  // V8 parses each of them with integers of a thousand bits.
  test.each(['171574e-307', '382151175919478E-286', '2.4703282292062327208e-324'])(
    'refuses 900 KiB of the number %s',
    (number) => {
      const text = `[${`${number},`.repeat((900 * 1024) / (number.length + 1))}1]`;
      expect(() => plainJson(text)).toThrow(RangeError);
    },
  );

  test('reads 90,000 literals and texts with the letter e, and 30,000 numbers with exponents', () => {
    const literals = Array.from({ length: 90_000 }, (_, n) => [true, false, '1e5'][n % 3]);
    expect(plainJson(JSON.stringify(literals))).toEqual(literals);
    const numbers = Array.from({ length: 30_000 }, (_, n) => (n + 1) * 1e-9);
    expect(plainJson(JSON.stringify(numbers))).toEqual(numbers);
  });

  test('counts different names whose FNV-1a hashes are equal', async () => {
    // They are equal for each of the 2 ** 24 starts whose low byte is 0.
    const start = 0x12345600;
    vi.spyOn(Math, 'random').mockReturnValue(start / 2 ** 32);
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockReturnValue(Int32Array.of(start));
    onTestFinished(() => {
      vi.restoreAllMocks();
      vi.resetModules();
    });
    vi.resetModules();
    const { parseJson: parse } = await import('../../../src/transport/codecs/json-text.js');
    const pairs = [['006vu', '0byea'], ['05rnw', '0mpba'], ...Array(7).fill(['07rnw', '0opba'])];
    const names = pairs.reduce<string[]>(
      (before, pair) => before.flatMap((name) => pair.map((block: string) => name + block)),
      [''],
    );
    const bytes = Buffer.from(`{${names.map((name) => `"${name}":1`).join()}}`);
    // 512 names and 512 values leave room for 243 different names.
    expect(() => parse(bytes, 0, bytes.length, 2_000)).toThrow(RangeError);
    expect(Object.keys(parse(bytes, 0, bytes.length, 4_000) as object)).toHaveLength(512);
  });

  test('reads 90,000 numbers, a text of 4 MB and a number of 4 million digits', () => {
    expect(plainJson(JSON.stringify(Array.from({ length: 90_000 }, (_, n) => n / 7)))).toHaveLength(
      90_000,
    );
    expect(plainJson(JSON.stringify('[{,:'.repeat(1_000_000)))).toHaveLength(4_000_000);
    expect(plainJson('1'.repeat(4_000_000))).toBe(Number.POSITIVE_INFINITY);
  });
});

const {
  ListsSchema: Lists,
  MapKeysSchema: MapKeys,
  MapValuesSchema: MapValues,
  ScalarsSchema: Scalars,
  TreeSchema: Tree,
} = proto3;
const WellKnown = proto3.WellKnownSchema;

/**
 * Returns map keys that are array indices: `count` dense ones followed by distant pairs, dense ones
 * only, and sparse ones only.
 */
function indexMaps(count: number): { map: number[]; dense: number[]; sparse: number[] } {
  const dense = Array.from({ length: count }, (_, i) => i);
  const map = dense.slice();
  for (let key = count * 1.5 + 1_200; key < count * 8; key += 1_100) map.push(key, key + 1);
  return { map, dense, sparse: dense.map((i) => i * 5_000) };
}

describe('the JSON form of Protobuf', () => {
  test('refuses invalid UTF-8 and accepts the character U+FFFD', () => {
    const body = protobufJsonCodec(FileDescriptorSetSchema);
    const bad = Buffer.concat([
      Buffer.from('{"file":[{"name":"'),
      Buffer.alloc(1_000, 0xff),
      Buffer.from('"}]}'),
    ]);
    expect(() => body.decode(bad, 0, bad.length)).toThrow(TypeError);
    const good = Buffer.from('{"file":[{"name":"a\ufffdb"}]}');
    expect(body.decode(good, 0, good.length)).toMatchObject({ file: [{ name: 'a\ufffdb' }] });
  });

  const registry = createRegistry(proto3.TreeSchema, WellKnown, Scalars);
  const read = (schema: DescMessage, text: string): unknown => {
    const bytes = Buffer.from(text);
    return protobufJsonCodec(schema, registry).decode(bytes, 0, bytes.length);
  };
  const list = (count: number, item: string): string => Array(count).fill(item).join(',');
  const entries = (count: number, value: string): string =>
    Array.from({ length: count }, (_, i) => `"${i}":${value}`).join(',');

  // The limits are much lower than the 100,000 values of plain JSON.
  test.each<[string, DescMessage, string]>([
    ['32-bit integers', Lists, `{"int32Field":[${list(60_000, '1')}]}`],
    ['64-bit integers', Lists, `{"int64Field":[${list(60_000, '"1"')}]}`],
    ['doubles', Lists, `{"doubleField":[${list(60_000, '0.1')}]}`],
    ['enum names', Lists, `{"color":[${list(60_000, '"COLOR_RED"')}]}`],
    ['bytes', Lists, `{"bytesField":[${list(40_000, '"eHh4"')}]}`],
    ['characters of base64', Scalars, `{"bytes_field":"${'A'.repeat(640_000)}"}`],
    ['texts', Lists, `{"stringField":[${list(60_000, '""')}]}`],
    ['messages', Lists, `{"small":[${list(20_000, '{}')}]}`],
    ['messages with many lists', FileDescriptorSetSchema, `{"file":[${list(10_000, '{}')}]}`],
    ['map entries', MapKeys, `{"stringField":{${entries(20_000, '""')}}}`],
    ['map entries with numbers as keys', MapKeys, `{"int64Field":{${entries(20_000, '""')}}}`],
    ['map entries with messages', MapValues, `{"small":{${entries(15_000, '{}')}}}`],
    [
      'map entries beside a key __proto__',
      Tree,
      `{"byName":{"__proto__":{},${entries(6_000, '{}')}}}`,
    ],
    ['Struct entries', WellKnown, `{"json":{${entries(15_000, '1')}}}`],
    ['Structs', WellKnown, `{"jsons":[${list(15_000, '{}')}]}`],
    ['Values', WellKnown, `{"values":[${list(20_000, '1')}]}`],
    ['a Value with many', WellKnown, `{"value":[${list(20_000, '1')}]}`],
    ['wrappers', WellKnown, `{"strings":[${list(20_000, '""')}]}`],
    ['wrappers in a map', WellKnown, `{"int_by_name":{${entries(10_000, '"1"')}}}`],
    ['unknown fields', WellKnown, `{${entries(40_000, '1')}}`],
    [
      'unknown extensions',
      WellKnown,
      `{${Array.from({ length: 30_000 }, (_, i) => `"[e${i}]":1`).join(',')}}`,
    ],
    [
      'messages in an Any',
      WellKnown,
      `{"any":{"@type":"x/getty.test.proto3.Tree","children":[${list(6_000, '{}')}]}}`,
    ],
    ['paths of a FieldMask', WellKnown, `{"mask":"${'a,'.repeat(200_000)}a"}`],
    ['an array without a field', WellKnown, `{"none":[${list(120_000, '1')}]}`],
  ])('refuses many %s', (_, schema, text) => {
    expectRefused(() => read(schema, text));
  });

  test('refuses maps whose indices make V8 convert them repeatedly, and reads dense and sparse maps', () => {
    const { map, dense, sparse } = indexMaps(9_000);
    const text = (keys: readonly number[]): string =>
      `{"stringField":{${keys.map((key) => `"${key}":""`).join(',')}}}`;
    expectRefused(() => read(MapKeys, text(map)));
    const entries = indexMaps(6_500).map.map((key) => `"${key}":null`);
    expectRefused(() => read(WellKnown, `{"json":{${entries}}}`));
    expect(read(MapKeys, text(dense))).toHaveProperty('stringField');
    expect(read(MapKeys, text(sparse))).toHaveProperty('stringField');
  });

  const DIGITS = '1'.repeat(4_000_000);
  test.each<[string, DescMessage, string]>([
    ['a 64-bit integer', Scalars, `{"int64_field":"${DIGITS}"}`],
    ['a 32-bit integer', Scalars, `{"int32_field":"${DIGITS}"}`],
    ['a double', Scalars, `{"double_field":"${DIGITS}"}`],
    ['an item of a list', Lists, `{"uint64Field":["${DIGITS}"]}`],
    ['the key of a map', MapKeys, `{"int64_field":{"${DIGITS}":""}}`],
    ['the value of a map', MapValues, `{"int64_field":{"a":"${DIGITS}"}}`],
    ['a wrapper', WellKnown, `{"int64":"${DIGITS}"}`],
    [
      'a wrapper in an Any',
      WellKnown,
      `{"any":{"@type":"x/getty.test.proto3.WellKnown","uint64":"${DIGITS}"}}`,
    ],
    ['a duration', WellKnown, `{"took":"${DIGITS}s"}`],
  ])('refuses a text of 4 MB for %s', (_, schema, text) => {
    expectRefused(() => read(schema, text), /a number of \d+ characters; at most 128 are accepted/);
  });

  test('refuses an object with two properties of one name, at any depth', () => {
    for (const text of [
      '{"name":"a","name":"b"}',
      '{"name":"a","\\u006eame":"b"}',
      '{"none":[{"a":1,"a":2}]}',
      '{"left":{"name":"","name":""}}',
    ])
      expect(() => read(Tree, text)).toThrow('an object has two properties with one name');
    expect(() => read(Tree, '{"by_name":{"__proto__":{},"__proto__":{}}}')).toThrow(
      'an object has two properties with one name',
    );
    expect(
      read(
        Tree,
        '{"by_name":{"__proto__":{"name":"a"},"toString":{}},"none":{"a":[{"a":1},{"a":1}]}}',
      ),
    ).toMatchObject({ name: '' });
    const any =
      '{"any":{"@type":"x/google.protobuf.Struct","value":{"a":{"b":[{"c":1}]}}},"at":"2020-01-01T00:00:00Z","mask":"a,b","took":"1.5s"}';
    const wkt = createRegistry(
      WellKnown.fields.find(({ name }) => name === 'json')?.message as DescMessage,
    );
    const bytes = Buffer.from(any);
    expect(protobufJsonCodec(WellKnown, wkt).decode(bytes, 0, bytes.length)).toMatchObject({
      took: { seconds: 1n },
    });
  });

  test('reads 45,000 numbers, 5,000 records and a text of 4 MB', () => {
    expect(read(Lists, `{"int32Field":[${list(45_000, '12345')}]}`)).toMatchObject({
      int32Field: { length: 45_000 },
    });
    expect(read(Lists, `{"small":[${list(5_000, '{"A":"a","B":"b"}')}]}`)).toMatchObject({
      small: { length: 5_000 },
    });
    expect(read(Scalars, `{"string_field":"${'x'.repeat(4_000_000)}"}`)).toHaveProperty(
      'stringField.length',
      4_000_000,
    );
    expect(read(Scalars, `{"bytes_field":"${'eHh4'.repeat(145_000)}"}`)).toHaveProperty(
      'bytesField.length',
      435_000,
    );
  });
});
