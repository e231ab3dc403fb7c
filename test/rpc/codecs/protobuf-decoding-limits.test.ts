/**
 * The decoders of Protobuf refuse the most expensive messages with the default limits, and read
 * large ordinary ones.
 */
import { type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { checkObjectCount } from '../../../src/rpc/codecs/protobuf/object-counter.js';
import { MAX_DECODED_OBJECTS } from '../../../src/transport/codecs/json-text.js';
import * as proto3 from '../../fixtures/protobuf/proto3_pb.js';
import { delimited, expectRefused, repeated, tag } from './expensive-messages.js';

const {
  ListsSchema: Lists,
  MapKeysSchema: MapKeys,
  MapValuesSchema: MapValues,
  ScalarsSchema: Scalars,
  TreeSchema: Tree,
} = proto3;
const WellKnown = proto3.WellKnownSchema;
const MAP_OF_INT64 = MapValues.field.int64Field.number;
const MAP_BY_INT64 = MapKeys.field.int64Field.number;

describe.each<[string, (schema: DescMessage, bytes: Buffer) => unknown]>([
  ['compiled Protobuf', (schema, bytes) => protobufCodec(schema).decode(bytes, 0, bytes.length)],
  [
    'Protobuf of protobuf-es',
    (schema, bytes) => {
      checkObjectCount(schema, bytes, 0, bytes.length, MAX_DECODED_OBJECTS);
      return fromBinary(schema, bytes);
    },
  ],
])('%s', (kind, read) => {
  const key = (i: number): Buffer => Buffer.from(i.toString(36).padStart(40, 'k'));
  const many = (make: (i: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: 30_000 }, (_, i) => make(i)));

  test.each<[string, DescMessage, Buffer]>([
    ['packed integers', Lists, delimited(5, repeated([1]))],
    ['packed booleans', Lists, delimited(8, repeated([1]))],
    ['packed 64-bit integers', Lists, delimited(3, repeated([1]))],
    ['packed floats', Lists, delimited(2, repeated([0, 0, 0, 64]))],
    ['packed enums', Lists, delimited(16, repeated([1]))],
    ['packed lists of one integer', Lists, repeated([...tag(5, 2), 1, 1])],
    ['unpacked integers', Lists, repeated([...tag(5, 0), 1])],
    ['texts', Lists, repeated([...tag(9, 2), 1, 65])],
    ['bytes', Lists, repeated([...tag(10, 2), 0])],
    ['repeated occurrences of a text field', Scalars, repeated([...tag(9, 2), 2, 0xd0, 0x90])],
    ['repeated occurrences of a 64-bit field', Scalars, repeated([...tag(3, 0), 1])],
    ['64-bit values of one map entry', MapValues, delimited(MAP_OF_INT64, repeated([16, 1]))],
    ['64-bit keys of one map entry', MapKeys, delimited(MAP_BY_INT64, repeated([8, 1]))],
    ['repeated occurrences of a message field', Tree, repeated([...tag(2, 2), 0])],
    ['repeated occurrences of a wrapper', WellKnown, repeated([...tag(15, 2), 0])],
    ['messages', Lists, repeated([...tag(17, 2), 0])],
    ['keys of one map entry', MapKeys, delimited(7, repeated([10, 1, 65]))],
    ['unknown fields', Tree, repeated([...tag(99, 0), 1])],
    ['map entries with long keys', MapKeys, many((i) => delimited(7, delimited(1, key(i))))],
    [
      'map entries with messages',
      MapValues,
      many((i) =>
        delimited(17, Buffer.concat([delimited(1, key(i)), delimited(2, Buffer.alloc(0))])),
      ),
    ],
  ])('refuses many %s', (_, schema, bytes) => {
    expectRefused(() => read(schema, bytes));
  });

  test.each<[string, DescMessage, Buffer]>([
    ['packed doubles', Lists, delimited(1, repeated([0, 0, 0, 0, 0, 0, 0, 64]))],
    ['repeated occurrences of an integer field', Scalars, repeated([...tag(5, 0), 1])],
    [
      'repeated occurrences of a double field',
      Scalars,
      repeated([...tag(1, 1), 0, 0, 0, 0, 0, 0, 0, 64]),
    ],
    ['empty packed lists', Lists, repeated([...tag(5, 2), 0])],
    [
      'integers in an unknown group',
      Tree,
      Buffer.concat([Buffer.from(tag(99, 3)), repeated([8, 1]), Buffer.from(tag(99, 4))]),
    ],
  ])('reads 4 MiB of %s with compiled code, and refuses them without it', (_, schema, bytes) => {
    if (kind === 'compiled Protobuf') expect(read(schema, bytes)).toBeDefined();
    else expectRefused(() => read(schema, bytes));
  });

  test('reads 90,000 packed numbers, 64-bit integers with compiled code only, and a text of 4 MB', () => {
    expect(read(Lists, delimited(1, Buffer.alloc(8 * 90_000)))).toMatchObject({
      doubleField: { length: 90_000 },
    });
    expect(read(Lists, delimited(5, Buffer.alloc(90_000, 7)))).toMatchObject({
      int32Field: { length: 90_000 },
    });
    if (kind === 'compiled Protobuf')
      expect(read(Lists, delimited(3, Buffer.alloc(90_000, 7)))).toMatchObject({
        int64Field: { length: 90_000 },
      });
    expect(read(Scalars, delimited(9, Buffer.alloc(4_000_000, 65)))).toHaveProperty(
      'stringField.length',
      4_000_000,
    );
  });
});
