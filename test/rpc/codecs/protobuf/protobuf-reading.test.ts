/**
 * The decoder of the compiled Protobuf codec. protobuf-random.test.ts tests it with random
 * messages.
 */
import { create, fromBinary, getExtension, setExtension, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../../src/rpc/codecs/protobuf/codec.js';
import {
  decoded,
  encoded,
  encodedByTheirs,
  expectSameDecoding,
} from '../../../fixtures/protobuf/compare.js';
import { FeaturesSchema } from '../../../fixtures/protobuf/editions_pb.js';
import {
  extension_text,
  GroupsSchema,
  ListsSchema as Proto2ListsSchema,
  OptionalsSchema as Proto2OptionalsSchema,
} from '../../../fixtures/protobuf/proto2_pb.js';
import {
  JsTypesSchema,
  ListsSchema,
  MapValuesSchema,
  OneofsSchema,
  OrderSchema,
  ScalarsSchema,
  SmallSchema,
  TreeSchema,
  WellKnownSchema,
} from '../../../fixtures/protobuf/proto3_pb.js';
import { wrong } from './wrong.js';

describe('the compiled decoder', () => {
  const order = create(OrderSchema, {
    id: 2n ** 60n,
    customer: 'Jane',
    billing: { street: 'a street that is long enough for a native call', code: 300 },
    items: [{ sku: 'é', price: 1.5, labels: ['a', ''] }],
    notes: { a: 'b' },
    paid: true,
  });

  test('reads or refuses a truncated message as protobuf-es does', () => {
    const bytes = toBinary(OrderSchema, order);
    let refused = 0;
    for (let length = 0; length <= bytes.length; length++)
      if ('error' in expectSameDecoding(OrderSchema, bytes.subarray(0, length))) refused++;
    expect(refused).toBeGreaterThan(50);
  });

  test('reads and refuses varints as fromBinary() does: truncated, too long, not minimal', () => {
    for (const field of [0x08, 0x18, 0x20, 0x28, 0x40, 0x68, 0x88, 0x90, 0x80]) {
      for (const tag of [
        [field],
        [field, 0x01],
        [field | 0x80, 0x80, 0x80, 0x80, 0x00],
        [field | 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        [field | 0x80, 0x80, 0x80, 0x80, 0x10],
      ]) {
        for (const count of [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]) {
          for (const last of [0x00, 0x01, 0x7f]) {
            expectSameDecoding(
              ScalarsSchema,
              Buffer.from([...tag, ...new Array(count).fill(0x80), last]),
            );
            expectSameDecoding(
              ScalarsSchema,
              Buffer.from([...tag, ...new Array(count).fill(0xff), last]),
            );
            expectSameDecoding(
              SmallSchema,
              Buffer.from([...tag, ...new Array(count).fill(0xff), last]),
            );
          }
        }
      }
    }
  });

  test('reads or refuses lengths beyond the end as protobuf-es does', () => {
    for (const schema of [
      TreeSchema,
      ListsSchema,
      MapValuesSchema,
      GroupsSchema,
      WellKnownSchema,
      JsTypesSchema,
      OneofsSchema,
    ]) {
      for (let tag = 1; tag < 256; tag++) {
        const tagged = tag > 127 ? [(tag & 127) | 128, tag >> 7] : [tag];
        for (const rest of [
          [5],
          [5, 1, 2],
          [0xff, 0xff, 0xff, 0xff, 0x0f],
          [3, 0x0a, 5, 1, 2],
          [2, 0x0a, 2, 0x61, 0x62],
          [4, 0x08, 0x80, 0x01, 0x12, 2, 0x0a, 0x00],
        ]) {
          expectSameDecoding(schema, Buffer.from([...tagged, ...rest]));
        }
      }
    }
  });

  test('reads 100 nested messages and refuses 101', () => {
    const nested = (count: number): Buffer => {
      let bytes = Buffer.alloc(0);
      for (let i = 1; i < count; i++) {
        const length =
          bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
        bytes = Buffer.concat([Buffer.from([0x12, ...length]), bytes]);
      }
      return bytes;
    };
    const groups = (count: number, begin: number[], end: number[]): Buffer =>
      Buffer.from([...new Array(count).fill(begin).flat(), ...new Array(count).fill(end).flat()]);
    expect(expectSameDecoding(TreeSchema, nested(100))).toHaveProperty('value');
    expect(expectSameDecoding(TreeSchema, nested(101))).toHaveProperty('error');
    // 99 unknown groups within one message.
    expect(expectSameDecoding(TreeSchema, groups(99, [0x7b], [0x7c]))).toHaveProperty('value');
    expect(expectSameDecoding(TreeSchema, groups(100, [0x7b], [0x7c]))).toHaveProperty('error');
    // Many.again.many and so on: each group has a message.
    for (const count of [48, 49, 50, 51])
      expectSameDecoding(FeaturesSchema, groups(count, [0x53, 0x1b], [0x1c, 0x54]));
  });

  test('refuses invalid UTF-8 where the schema requires it, and keeps a byte order mark', () => {
    const texts = [
      [0xff],
      [0xc3],
      [0xed, 0xa0, 0x80],
      [0xc0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe2, 0x82],
      [0x61, 0xf0, 0x9f],
      [0xef, 0xbf, 0xbd],
      [0xef, 0xbb, 0xbf, 0x61],
      [0xef, 0xbb, 0xbf],
      [0xf0, 0x9f, 0x98, 0x80],
    ];
    for (const bytes of texts) {
      for (const padding of [0, 7, 30]) {
        const text = [...bytes, ...new Array(padding).fill(0x61)];
        for (const tag of [0x0a, 0x12, 0x2a, 0x32]) {
          for (const schema of [
            SmallSchema,
            FeaturesSchema,
            Proto2ListsSchema,
            Proto2OptionalsSchema,
          ])
            expectSameDecoding(schema, Buffer.from([tag, text.length, ...text]));
        }
      }
    }
    expect(() => decoded(SmallSchema, Buffer.from([0x0a, 1, 0xff]))).toThrow();
  });

  test('returns large bytes as a view of a buffer that they mostly fill', () => {
    const buffer = Buffer.allocUnsafeSlow(5_003).fill(7);
    buffer.set([0x52, 0x88, 0x27], 0);
    const { bytesField } = protobufCodec(ScalarsSchema).decode(buffer, 0, 5_003) as {
      bytesField: Uint8Array;
    };
    expect(bytesField).toStrictEqual(fromBinary(ScalarsSchema, buffer).bytesField);
    expect(bytesField.buffer).toBe(buffer.buffer);
  });

  test('does not keep the message in memory for small bytes', () => {
    const text = Buffer.alloc(100_000, 'x');
    const message = Buffer.concat([Buffer.from([0x52, 1, 9, 0x4a, 0xa0, 0x8d, 6]), text]);
    const { bytesField, stringField } = protobufCodec(ScalarsSchema).decode(
      message,
      0,
      message.length,
    ) as {
      bytesField: Uint8Array;
      stringField: string;
    };
    expect(stringField).toHaveLength(100_000);
    expect([...bytesField]).toEqual([9]);
    expect(bytesField.buffer.byteLength).toBeLessThanOrEqual(4_096);
  });

  test('does not keep the received buffer in memory for the bytes of a message', () => {
    const chunk = Buffer.allocUnsafeSlow(65_536);
    // Two bytes fields, then the unknown field 1000 as a number, a text and a group.
    const fields = [
      0x52, 1, 9, 0x52, 2, 1, 2, 0xc0, 0x3e, 5, 0xc2, 0x3e, 1, 0x61, 0xc3, 0x3e, 0x08, 1, 0xc4,
      0x3e,
    ];
    chunk.set(fields, 1_000);
    const message = protobufCodec(ScalarsSchema).decode(chunk, 1_000, 1_000 + fields.length) as {
      bytesField: Uint8Array;
      $unknown: { data: Uint8Array }[];
    };
    expect(message).toStrictEqual(fromBinary(ScalarsSchema, Buffer.from(fields)));
    const kept = [message.bytesField, ...message.$unknown.map(({ data }) => data)];
    expect(kept[0]?.buffer.byteLength).toBeLessThanOrEqual(fields.length);
    // All fields share one copy. Later messages do not change it.
    expect(new Set(kept.map(({ buffer }) => buffer)).size).toBe(1);
    chunk.fill(0);
    expect([...message.bytesField]).toEqual([1, 2]);
  });

  test('keeps and writes values that a closed enum does not have', () => {
    for (const bytes of [
      [0x80, 0x01, 5],
      [0x80, 0x01, 5, 0xa8, 0x46, 9],
      [0xa8, 0x46, 9, 0x80, 0x01, 5],
      [0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ]) {
      const { value } = expectSameDecoding(Proto2OptionalsSchema, Buffer.from(bytes));
      expect(encoded(Proto2OptionalsSchema, wrong(value))).toEqual(
        encodedByTheirs(Proto2OptionalsSchema, wrong(value)),
      );
    }
  });

  test('keeps extensions as unknown fields', () => {
    const message = create(Proto2OptionalsSchema, { int32Field: 4 });
    setExtension(message, extension_text, 'extended');
    const found = wrong(decoded(Proto2OptionalsSchema, encoded(Proto2OptionalsSchema, message)));
    expect(getExtension(found, extension_text)).toBe('extended');
  });

  test('keeps the map key __proto__, which protobuf-es loses', () => {
    const entry = (tag: number[], value: number[]) =>
      Buffer.from([...tag, 11 + value.length, 0x0a, 9, ...Buffer.from('__proto__'), ...value]);
    const text = entry([0x4a], [0x12, 1, 0x61]);
    const small = entry([0x8a, 0x01], [0x12, 3, 0x0a, 1, 0x61]);
    const found = wrong(decoded(MapValuesSchema, Buffer.concat([text, small])));
    expect(Object.entries(found.stringField)).toEqual([['__proto__', 'a']]);
    expect(Object.entries(found.small)).toEqual([['__proto__', create(SmallSchema, { A: 'a' })]]);
    for (const map of [found.stringField, found.small])
      expect(Object.getPrototypeOf(map)).toBe(Object.prototype);
    expect(encoded(MapValuesSchema, found).equals(Buffer.concat([text, small]))).toBe(true);
    expect(
      encoded(MapValuesSchema, {
        stringField: found.stringField,
        small: JSON.parse('{"__proto__":{"A":"a"}}'),
      }),
    ).toEqual(encoded(MapValuesSchema, found));
  });
});
