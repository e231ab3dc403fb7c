/** Messages with many fields count more objects, in each form of Protobuf. */

import { setFlagsFromString } from 'node:v8';
import { create, createFileRegistry, type DescMessage } from '@bufbuild/protobuf';
import * as wkt from '@bufbuild/protobuf/wkt';
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { decoded } from '../../../src/rpc/codecs/decoded.js';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import { checkObjectCount } from '../../../src/rpc/codecs/protobuf/object-counter.js';
import { MAX_DECODED_OBJECTS } from '../../../src/transport/codecs/json-text.js';
import { delimited, expectRefused, tag } from './expensive-messages.js';

setFlagsFromString('--allow-natives-syntax');
const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (
  a: unknown,
  b: unknown,
) => boolean;

interface ItemOptions {
  type?: Type;
  hasPresence?: boolean;
}

/** Returns the schema of a list of items that have so many fields. */
function listOf(fields: number, { type = Type.INT32, hasPresence = false }: ItemOptions = {}) {
  const file = create(wkt.FileDescriptorProtoSchema, {
    name: 'wide.proto',
    syntax: hasPresence ? 'proto2' : 'proto3',
    messageType: [
      {
        name: 'Item',
        field: Array.from({ length: fields }, (_, i) => ({
          name: `f${i}`,
          jsonName: `f${i}`,
          number: i + 1,
          label: Label.OPTIONAL,
          type,
        })),
      },
      {
        name: 'List',
        field: [
          {
            name: 'items',
            jsonName: 'items',
            number: 1,
            label: Label.REPEATED,
            type: Type.MESSAGE,
            typeName: '.Item',
          },
        ],
      },
    ],
  });
  return createFileRegistry(file, () => undefined).getMessage('List') as DescMessage;
}

/** Returns a list of items with these bytes. */
const items = (count: number, bytes: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat(Array(count).fill(delimited(1, bytes)));
const jsonItems = (count: number): Buffer =>
  Buffer.from(JSON.stringify({ items: Array(count).fill({}) }));

/** Reads a list and returns how many objects it retains. */
type Read = (schema: DescMessage, count: number) => number;
const FORMS: [string, Read, number, number][] = [
  [
    'compiled Protobuf',
    (schema, count) => {
      protobufCodec(schema).decode(items(count), 0, 2 * count);
      return decoded.objects;
    },
    7_000,
    13,
  ],
  [
    'Protobuf of protobuf-es',
    (schema, count) => checkObjectCount(schema, items(count), 0, 2 * count, MAX_DECODED_OBJECTS),
    1_700,
    100,
  ],
  [
    'the JSON form',
    (schema, count) => {
      const bytes = jsonItems(count);
      protobufJsonCodec(schema).decode(bytes, 0, bytes.length);
      return decoded.objects;
    },
    1_600,
    100,
  ],
];

describe.each(FORMS)('%s', (_, read, most, retained) => {
  test('counts empty messages in proportion to the fields of their type', () => {
    expect(read(listOf(1), 10_000)).toBeGreaterThanOrEqual(10_000);
    expectRefused(() => read(listOf(100), most * 1.2));
    expect(read(listOf(100), most)).toBeGreaterThanOrEqual(most * retained);
  });

  test('counts more for the fields after the 250th', () => {
    expectRefused(() => read(listOf(400), 1_000));
  });
});

test('counts fields of fractions three times, because V8 keeps their values in objects', () => {
  const objectsOf = (type: Type): number => {
    protobufCodec(listOf(80, { type })).decode(items(100), 0, 200);
    return decoded.objects;
  };
  // The list counts as one.
  expect(objectsOf(Type.INT32)).toBe(1 + 100 * (1 + 10));
  for (const type of [Type.DOUBLE, Type.FLOAT, Type.UINT32, Type.FIXED32])
    expect(objectsOf(type), Type[type]).toBe(1 + 100 * (1 + 30));
});

test.each([
  [Type.DOUBLE, [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1],
  [Type.FLOAT, [0, 0, 0xc0, 0x3f], 5],
  [Type.FIXED32, [0xff, 0xff, 0xff, 0xff], 5],
  [Type.UINT32, [0xff, 0xff, 0xff, 0xff, 0x0f], 0],
])(
  'a fraction or large number in a field of type %i makes no new hidden class',
  (type, value, wireType) => {
    const schema = listOf(200, { type });
    const all = Array.from({ length: 200 }, (_, i) => [...tag(i + 1, wireType), ...value]).flat();
    const bytes = Buffer.concat([delimited(1, Buffer.alloc(0)), delimited(1, Buffer.from(all))]);
    const { items } = protobufCodec(schema).decode(bytes, 0, bytes.length) as unknown as {
      items: { f0: number; f199: number }[];
    };
    // Reading a property would convert the first item.
    expect(haveSameMap(items[0], items[1])).toBe(true);
    expect(items[0]).toMatchObject({ f0: 0, f199: 0 });
    expect(items[1]?.f199).toBe(type === Type.DOUBLE || type === Type.FLOAT ? 1.5 : 2 ** 32 - 1);
  },
);

test('counts the fields of the argument itself for maxPendingBytes, and not as a limit', () => {
  const schema = listOf(100).fields[0]?.message as DescMessage;
  protobufCodec(schema).decode(Buffer.alloc(0), 0, 0, 1);
  expect(decoded.objects).toBe(13);
  expect(checkObjectCount(schema, Buffer.alloc(0), 0, 0, 1)).toBe(113);
});

test.each([
  ['compiled Protobuf', 1],
  ['Protobuf of protobuf-es', 4],
])('%s counts each value of a field with presence, in any order', (kind, weight) => {
  const read = (fields: number, count: number): void => {
    const schema = listOf(fields, { hasPresence: true });
    const values = Buffer.from(
      Array.from({ length: fields }, (_, i) => [...tag(fields - i, 0), 1]).flat(),
    );
    const bytes = items(count, values);
    if (weight === 1) protobufCodec(schema).decode(bytes, 0, bytes.length);
    else checkObjectCount(schema, bytes, 0, bytes.length, MAX_DECODED_OBJECTS);
  };
  for (const [fields, each] of [
    [4, 1],
    [20, 2],
    [60, 3],
  ] as const) {
    const most = MAX_DECODED_OBJECTS / (weight * (1 + fields * each) + (weight > 1 ? fields : 0));
    expectRefused(() => read(fields, Math.ceil(most * 1.1)));
    expect(() => read(fields, Math.floor(most * 0.9)), kind).not.toThrow();
  }
});
