/** The decoders of Protobuf count the memory that a message keeps, for `maxPendingBytes`. */
import { type DescMessage, fromBinary, fromJson, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { decoded } from '../../../src/rpc/codecs/decoded.js';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import { checkObjectCount } from '../../../src/rpc/codecs/protobuf/object-counter.js';
import { MAX_DECODED_OBJECTS } from '../../../src/transport/codecs/json-text.js';
import { reachableBytes } from '../../fixtures/garbage.js';
import * as proto3 from '../../fixtures/protobuf/proto3_pb.js';
import { delimited, tag } from './expensive-messages.js';

const MapKeys: DescMessage = proto3.MapKeysSchema;
const WellKnown: DescMessage = proto3.WellKnownSchema;

type Decode = (schema: DescMessage, bytes: Buffer) => unknown;
function bytesOf(schema: DescMessage, json: string): Buffer {
  return Buffer.from(toBinary(schema, fromJson(schema, JSON.parse(json))));
}

const FORMS: [string, (schema: DescMessage, json: string) => Buffer, Decode][] = [
  [
    'the JSON form',
    (_, json) => Buffer.from(json),
    (schema, bytes) => protobufJsonCodec(schema).decode(bytes, 0, bytes.length),
  ],
  [
    'compiled Protobuf',
    bytesOf,
    (schema, bytes) => protobufCodec(schema).decode(bytes, 0, bytes.length),
  ],
  [
    'Protobuf of protobuf-es',
    bytesOf,
    (schema, bytes) => {
      decoded.objects = checkObjectCount(schema, bytes, 0, bytes.length, MAX_DECODED_OBJECTS);
      return fromBinary(schema, bytes);
    },
  ],
];

/**
 * V8 keeps the values of keys such as 1023 in an array with a place for each smaller index, unless
 * it is made to keep a dictionary.
 */
const sequence = (count: number, step: number): number[] =>
  Array.from({ length: count }, (_, i) => (i + 1) * step - 1);
const KEYS: [string, number[]][] = [
  ['1023', [1023]],
  ['1023 and 2573', [1023, 2573]],
  ['dense ones', sequence(200, 1)],
  ['sparse ones', sequence(40, 50)],
];
const FIELDS: [string, DescMessage, (entries: (value: string) => string) => string][] = [
  ['uint32', MapKeys, (entries) => `{"uint32Field":${entries('""')}}`],
  ['uint64', MapKeys, (entries) => `{"uint64Field":${entries('""')}}`],
  ['string', MapKeys, (entries) => `{"stringField":${entries('""')}}`],
  ['Struct', WellKnown, (entries) => `{"json":${entries('null')}}`],
  ['Value', WellKnown, (entries) => `{"value":${entries('null')}}`],
];
const MESSAGES = 100;
/** Bytes of a message, besides its entries, and of what the test itself keeps. */
const OTHER_BYTES = 5_000;

describe.each(FORMS)('%s counts', (_, encode, decodeBytes) => {
  test.each(
    FIELDS.flatMap(([field, schema, text]) =>
      KEYS.map(([keys, list]) => [keys, field, schema, text, list] as const),
    ),
  )('the memory of a map with the keys %s (%s)', (_, __, schema, text, keys) => {
    const json = text((value) => `{${keys.map((key) => `"${key}":${value}`).join()}}`);
    const bytes = encode(schema, json);
    decodeBytes(schema, bytes);
    const before = reachableBytes();
    const messages = Array.from({ length: MESSAGES }, () => decodeBytes(schema, bytes));
    const each = (reachableBytes() - before) / messages.length;
    expect(each).toBeLessThan((json.length + 64 * decoded.objects) * 1.5 + OTHER_BYTES);
  });
});

test.each(FORMS.slice(1))('%s counts the memory of unknown fields', (_, __, decodeBytes) => {
  const schema: DescMessage = proto3.TreeSchema;
  const children = schema.fields.find(({ name }) => name === 'children')?.number as number;
  const field = [...tag(99, 0), 1];
  for (const fields of [1, 6]) {
    const child = delimited(children, Buffer.from(Array(fields).fill(field).flat()));
    const bytes = Buffer.concat(Array(1_000).fill(child));
    decodeBytes(schema, bytes);
    const before = reachableBytes();
    const messages = Array.from({ length: 5 }, () => decodeBytes(schema, bytes));
    const each = (reachableBytes() - before) / messages.length;
    expect(each, `${fields}`).toBeLessThan((bytes.length + 64 * decoded.objects) * 1.5 + 100_000);
  }
});

test('compiled Protobuf counts the memory of lists with one element', () => {
  const names = ['double', 'float', 'int32', 'uint32', 'sint32', 'fixed32', 'sfixed32', 'bool'];
  const lists = names.map((name) => `"${name}Field":[${name === 'bool' ? true : 1}]`);
  const bytes = bytesOf(proto3.ListsSchema, `{${lists},"stringField":["a"],"small":[{}]}`);
  const codec = protobufCodec(proto3.ListsSchema);
  codec.decode(bytes, 0, bytes.length);
  const before = reachableBytes();
  const messages = Array.from({ length: 2_000 }, () => codec.decode(bytes, 0, bytes.length));
  const each = (reachableBytes() - before) / messages.length;
  expect(each).toBeLessThan((bytes.length + 64 * decoded.objects) * 1.5);
});

test('a signed key and a key with a fraction of zero are array indices too', () => {
  const json = (field: string, key: string): Buffer => Buffer.from(`{"${field}":{"${key}":""}}`);
  for (const [field, key] of [
    ['int32Field', '1023.0'],
    ['sint32Field', '1.023e3'],
    ['sfixed32Field', '1023'],
    ['int64Field', '01023'],
  ] as const) {
    const bytes = json(field, key);
    protobufJsonCodec(MapKeys).decode(bytes, 0, bytes.length);
    expect(decoded.objects, key).toBeGreaterThan(1_550 / 8);
  }
});
