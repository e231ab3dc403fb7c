/**
 * The encoder of the compiled Protobuf codec. protobuf-random.test.ts tests it with random
 * messages.
 */
import { create, fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  encoded,
  encodedByTheirs,
  expectSameDecoding,
} from '../../../fixtures/protobuf/compare.js';
import {
  DefaultsSchema,
  OptionalsSchema as Proto2OptionalsSchema,
  RequiredParentSchema,
} from '../../../fixtures/protobuf/proto2_pb.js';
import {
  InheritedSchema,
  ListsSchema,
  MapKeysSchema,
  MapValuesSchema,
  OneofsSchema,
  OptionalsSchema,
  OrderSchema,
  ScalarsSchema,
  SmallSchema,
  TreeSchema,
  WellKnownSchema,
} from '../../../fixtures/protobuf/proto3_pb.js';
import { wrong } from './wrong.js';

describe('the compiled encoder', () => {
  test('writes undefined as a message without fields', () => {
    expect(encoded(SmallSchema, {})).toHaveLength(0);
    expect(encoded(SmallSchema, wrong(undefined))).toHaveLength(0);
    expect(encoded(SmallSchema, wrong({ A: null, B: undefined }))).toHaveLength(0);
  });

  test('treats a message of another schema as an init shape, as create() does', () => {
    const order = create(OrderSchema, { customer: 'me', id: 3n });
    expect(encoded(SmallSchema, wrong(order))).toEqual(encodedByTheirs(SmallSchema, wrong(order)));
  });

  test('reads inherited fields of an init shape, and own fields of a message', () => {
    const init = Object.create({ stringField: 'inherited', int32Field: 5 });
    for (const schema of [ScalarsSchema, OptionalsSchema, DefaultsSchema])
      expect(encoded(schema, init)).toEqual(encodedByTheirs(schema, init));
    const message = create(DefaultsSchema);
    expect(message.int32Field).toBe(-7);
    expect(encoded(DefaultsSchema, message)).toHaveLength(0);
    message.int32Field = -7;
    expect(encoded(DefaultsSchema, message)).toEqual(encodedByTheirs(DefaultsSchema, message));
  });

  test('writes an undefined field of a message as protobuf-es does', () => {
    for (const name of [
      'stringField',
      'int32Field',
      'bytesField',
      'int64Field',
      'boolField',
      'doubleField',
      'color',
    ]) {
      const message = wrong(create(ScalarsSchema, { uint32Field: 1 }));
      message[name] = undefined;
      expect(encoded(ScalarsSchema, message), name).toEqual(
        encodedByTheirs(ScalarsSchema, message),
      );
    }
    for (const name of ['stringField', 'bytesField', 'int64Field', 'color', 'small', 'tree']) {
      const message = wrong({ kind: { case: name, value: undefined } });
      expect(encoded(OneofsSchema, message), name).toEqual(encodedByTheirs(OneofsSchema, message));
    }
  });

  test('accepts numbers, bigints and texts as integers, as protobuf-es does', () => {
    const inits = [
      {
        int64Field: 5,
        uint64Field: 2 ** 52,
        sint64Field: -7,
        fixed64Field: '18446744073709551615',
        sfixed64Field: '-1',
      },
      {
        int32Field: '5',
        uint32Field: '4294967295',
        sint32Field: '-7',
        fixed32Field: '0x10',
        sfixed32Field: '-1',
        floatField: '1.5',
      },
      {
        int32Field: '0',
        uint32Field: '',
        int64Field: '0',
        uint64Field: 0,
        floatField: 'NaN',
        doubleField: '2.5',
      },
    ];
    for (const init of inits)
      expect(encoded(ScalarsSchema, wrong(init))).toEqual(
        encodedByTheirs(ScalarsSchema, wrong(init)),
      );
  });

  test('accepts a typed array as a list', () => {
    const init = wrong({
      int32Field: new Int32Array([1, -2, 300]),
      doubleField: new Float64Array([0.5]),
      int64Field: new BigInt64Array([-1n]),
    });
    expect(encoded(ListsSchema, init)).toEqual(encodedByTheirs(ListsSchema, init));
  });

  test('moves a value whose length needs more bytes than reserved', () => {
    for (const length of [
      0, 27, 28, 29, 42, 43, 127, 128, 5_461, 5_462, 16_383, 16_384, 70_000, 2_097_152,
    ]) {
      for (const unit of ['a', 'é', '漢']) {
        const A = unit.repeat(length);
        const tree = { name: 'x', left: { right: { name: A } } };
        expect(
          encoded(TreeSchema, tree).equals(encodedByTheirs(TreeSchema, tree)),
          `${length} of ${unit}`,
        ).toBe(true);
      }
      const lists = {
        bytesField: [new Uint8Array(length)],
        uint32Field: new Array(Math.min(length, 20_000)).fill(300),
        boolField: new Array(length % 9_000).fill(true),
      };
      expect(
        encoded(ListsSchema, lists).equals(encodedByTheirs(ListsSchema, lists)),
        `lists of ${length}`,
      ).toBe(true);
    }
  });

  const scalar = (...names: string[]) => names.map((name) => `${name}Field`);
  const WRONG: [fields: string[], values: unknown[]][] = [
    [
      scalar('int32', 'sint32', 'sfixed32'),
      [
        1.5,
        2 ** 31,
        -(2 ** 31) - 1,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        'five',
        {},
        1n,
        true,
        Symbol('x'),
      ],
    ],
    [scalar('uint32', 'fixed32'), [1.5, -1, 2 ** 32, Number.NaN, '-1', 'five', {}, 1n, true]],
    [
      scalar('int64', 'sint64', 'sfixed64'),
      [2n ** 63n, -(2n ** 63n) - 1n, 1.5, Number.NaN, 'five', '9223372036854775808', {}, true],
    ],
    [scalar('uint64', 'fixed64'), [-1n, -1, 2n ** 64n, 1.5, 'five', {}, true]],
    [scalar('float'), [3.5e38, -3.5e38, 'five', {}, true, 1n]],
    [scalar('double'), ['five', {}, true, 1n]],
    [scalar('bool'), [1, 0, 'true', {}, 1n]],
    [scalar('string'), [5, true, {}, [], 5n, Symbol('x'), new String('x')]],
    [
      scalar('bytes'),
      ['text', 5, {}, new ArrayBuffer(2), new Uint16Array(2), new DataView(new ArrayBuffer(1))],
    ],
    [['color'], ['RED', 1.5, 2 ** 31, {}, true]],
  ];

  test.each(WRONG.flatMap(([fields, values]) => fields.map((field) => [field, values] as const)))(
    'throws for %s of a wrong type',
    (field, values) => {
      for (const value of values) {
        expect(
          () => encoded(ScalarsSchema, wrong({ [field]: value })),
          `init ${String(value)}`,
        ).toThrow(TypeError);
        expect(
          () => encoded(OptionalsSchema, wrong({ [field]: value })),
          `optional ${String(value)}`,
        ).toThrow(TypeError);
        expect(
          () =>
            encoded(Proto2OptionalsSchema, wrong({ [field.replace('color', 'closed')]: value })),
          `proto2 ${String(value)}`,
        ).toThrow(TypeError);
        expect(
          () => encoded(OneofsSchema, wrong({ kind: { case: field, value } })),
          `oneof ${String(value)}`,
        ).toThrow(TypeError);
        expect(
          () => encoded(MapValuesSchema, wrong({ [field]: { key: value } })),
          `map ${String(value)}`,
        ).toThrow(TypeError);
        const message = wrong(create(ScalarsSchema));
        message[field] = value;
        expect(() => encoded(ScalarsSchema, message), `message ${String(value)}`).toThrow(
          TypeError,
        );
      }
      // A text is not read as a list of numbers, and an undefined item is not skipped.
      for (const value of [...values, undefined, null]) {
        expect(
          () => encoded(ListsSchema, wrong({ [field]: [value] })),
          `item ${String(value)}`,
        ).toThrow(TypeError);
      }
      for (const value of ['text', 5, {}, new Map()])
        expect(() => encoded(ListsSchema, wrong({ [field]: value }))).toThrow(TypeError);
      for (const value of ['text', 5, new Map([['a', 1]])])
        expect(() => encoded(MapValuesSchema, wrong({ [field]: value }))).toThrow(TypeError);
    },
  );

  test('throws for messages of a wrong type', () => {
    for (const value of ['text', 5, true, [], 5n]) {
      expect(() => encoded(SmallSchema, wrong(value))).toThrow(TypeError);
      expect(() => encoded(TreeSchema, wrong({ left: value }))).toThrow(TypeError);
      expect(() => encoded(TreeSchema, wrong({ children: [value] }))).toThrow(TypeError);
      expect(() => encoded(TreeSchema, wrong({ byName: { key: value } }))).toThrow(TypeError);
      expect(() => encoded(OneofsSchema, wrong({ kind: { case: 'tree', value } }))).toThrow(
        TypeError,
      );
      expect(() => encoded(WellKnownSchema, wrong({ json: value }))).toThrow(TypeError);
    }
    const message = wrong(create(TreeSchema));
    message.left = { name: 'a plain object within a message' };
    expect(() => encoded(TreeSchema, message)).toThrow(TypeError);
    message.left = create(SmallSchema);
    expect(() => encoded(TreeSchema, message)).toThrow(TypeError);
    message.left = null;
    expect(() => encoded(TreeSchema, message)).toThrow(TypeError);
  });

  test('throws for invalid keys of maps', () => {
    const wrongKeys: [name: string, key: string][] = [
      ['int32Field', 'x'],
      ['uint32Field', '-1'],
      ['int64Field', 'x'],
      ['uint64Field', '-1'],
      ['fixed64Field', '18446744073709551616'],
      ['boolField', 'yes'],
    ];
    for (const [name, key] of wrongKeys)
      expect(() => encoded(MapKeysSchema, wrong({ [name]: { [key]: 'x' } })), name).toThrow(
        TypeError,
      );
    const odd = {
      int32Field: { '5abc': 'x', '0x10': 'y', '1.5': 'z' },
      int64Field: { '0x10': 'x' },
    };
    expect(encoded(MapKeysSchema, wrong(odd))).toEqual(encodedByTheirs(MapKeysSchema, wrong(odd)));
  });

  test('throws when a required field is missing', () => {
    expect(() => encoded(RequiredParentSchema, {})).toThrow('required field not set');
    expect(() => encoded(RequiredParentSchema, { always: {}, list: [wrong({})] })).toThrow(
      'required field not set',
    );
    expect(encoded(RequiredParentSchema, { always: {} })).toHaveLength(2);
  });

  test('throws for a cyclic object', () => {
    const tree: Record<string, unknown> = { name: 'endless' };
    tree.left = tree;
    expect(() => encoded(TreeSchema, tree)).toThrow(RangeError);
  });

  test('does not read members of Object.prototype as fields', () => {
    expect(encoded(InheritedSchema, {})).toHaveLength(0);
    const init = {
      hasOwnProperty: 5,
      isPrototypeOf: 'x',
      propertyIsEnumerable: 'y',
      toLocaleString: ['z'],
    };
    const message = fromBinary(InheritedSchema, encoded(InheritedSchema, wrong(init)));
    expect({ ...message }).toEqual({ $typeName: 'getty.test.proto3.Inherited', ...init });
    expectSameDecoding(InheritedSchema, encoded(InheritedSchema, wrong(init)));
  });
});
