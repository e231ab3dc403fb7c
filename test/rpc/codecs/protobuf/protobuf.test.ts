/**
 * The compiled Protobuf codec, case by case. protobuf-random.test.ts tests it with random messages.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  getExtension,
  isMessage,
  setExtension,
  toBinary,
} from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../../src/rpc/codecs/protobuf/codec.js';
import { compiledOf } from '../../../../src/rpc/codecs/protobuf/compiled-schema.js';
import {
  decoded,
  encoded,
  encodedByTheirs,
  expectSame,
  expectSameDecoding,
  outcome,
} from '../../../fixtures/protobuf/compare.js';
import { FeaturesSchema } from '../../../fixtures/protobuf/editions_pb.js';
import {
  DefaultsSchema,
  extension_text,
  GroupsSchema,
  ListsSchema as Proto2ListsSchema,
  OptionalsSchema as Proto2OptionalsSchema,
  RequiredParentSchema,
} from '../../../fixtures/protobuf/proto2_pb.js';
import {
  InheritedSchema,
  JsTypesSchema,
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

/** Hides the type of a wrong value from the compiler. */
// biome-ignore lint/suspicious/noExplicitAny: a wrong value has no type
const wrong = (value: unknown): any => value;

describe('writing', () => {
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

describe('reading', () => {
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
    // 99 unknown groups, which are within a message.
    expect(expectSameDecoding(TreeSchema, groups(99, [0x7b], [0x7c]))).toHaveProperty('value');
    expect(expectSameDecoding(TreeSchema, groups(100, [0x7b], [0x7c]))).toHaveProperty('error');
    // Many.again.many and so on: a message in each group.
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
    // One copy for all fields, which no later read changes.
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

describe('descriptors', () => {
  const field = (
    name: string,
    number: number,
    type: FieldDescriptorProto_Type,
    typeName?: string,
  ) => ({
    name,
    number,
    type,
    label: FieldDescriptorProto_Label.OPTIONAL,
    jsonName: name,
    ...(typeName === undefined ? {} : { typeName }),
  });

  test('never turns a name into code', () => {
    const hostile = ['x"];throw 1;//', "y']", '`z`', '\u2028', '\\', '*/', '__Proto__', 'a\nb'];
    const file = {
      name: 'hostile.proto',
      syntax: 'proto3',
      messageType: [
        {
          name: 'M"; throw 1; //',
          field: [
            ...hostile.map((name, i) => field(name, i + 1, FieldDescriptorProto_Type.STRING)),
            field('again"', 20, FieldDescriptorProto_Type.MESSAGE, '.M"; throw 1; //'),
            { ...field('one"', 21, FieldDescriptorProto_Type.STRING), oneofIndex: 0 },
          ],
          oneofDecl: [{ name: 'o"];throw 1' }],
        },
      ],
    };
    const schema = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getMessage(
      'M"; throw 1; //',
    ) as DescMessage;
    expect(compiledOf(schema)).toBeDefined();
    const init: Record<string, unknown> = {
      'again"': {},
      'o"];throw1': { case: 'one"', value: 'x' },
    };
    for (const { localName, fieldKind } of schema.fields)
      if (fieldKind === 'scalar' && localName !== 'one"') init[localName] = `of ${localName}`;
    const theirs = encodedByTheirs(schema, wrong(init));
    expect(theirs.length).toBeGreaterThan(60);
    expect(encoded(schema, wrong(init))).toEqual(theirs);
    expectSameDecoding(schema, theirs);
  });

  test('uses protobuf-es for a descriptor with a field __proto__', () => {
    const member = { ...(SmallSchema.members[0] as object), localName: '__proto__' };
    const schema = {
      ...SmallSchema,
      fields: [member],
      members: [member],
    } as unknown as DescMessage;
    expect(compiledOf(schema)).toBeUndefined();
    expect(
      compiledOf({
        ...TreeSchema,
        fields: [{ ...TreeSchema.fields[1], message: schema }],
      } as unknown as DescMessage),
    ).toBeUndefined();
    expect(compiledOf(SmallSchema)).toBe(compiledOf(SmallSchema));
  });
});

describe('as a message codec', () => {
  test('uses compiled code', () => {
    const init = { A: 'a', B: 'b'.repeat(50), C: '' };
    const body = protobufCodec(SmallSchema);
    const bytes = encodedByTheirs(SmallSchema, init);
    const found = body.decode(bytes, 0, bytes.length);
    expectSame(
      outcome(() => found),
      outcome(() => fromBinary(SmallSchema, bytes)),
    );
    expect(isMessage(found, SmallSchema)).toBe(true);
  });

  test('uses protobuf-es where code generation is forbidden', () => {
    const dist = (path: string) => new URL(`../../../../dist/${path}`, import.meta.url).href;
    const program = `
      import { protobufCodec } from '${dist('rpc/codecs/protobuf/codec.js')}';
      import { ByteWriter } from '${dist('transport/buffers/byte-writer.js')}';
      import { TestRequestSchema } from '${dist('../build/demo/test_service_pb.js')}';
      let forbidden = false;
      try { new Function(''); } catch { forbidden = true; }
      const body = protobufCodec(TestRequestSchema), output = new ByteWriter();
      body.encode(output, { A: 'x', B: 'é', C: '' });
      const bytes = Buffer.from(output.bytes.subarray(0, output.length));
      const { $typeName, ...fields } = body.decode(bytes, 0, bytes.length);
      console.log(JSON.stringify({ forbidden, hex: bytes.toString('hex'), $typeName, fields }));`;
    const run = (...flags: string[]) => {
      const args = [...flags, '--input-type=module', '--eval', program];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, {
        cwd: fileURLToPath(new URL('../../../..', import.meta.url)),
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      return JSON.parse(stdout);
    };
    const expected = {
      hex: '0a01781202c3a9',
      $typeName: 'TestRequest',
      fields: { A: 'x', B: 'é', C: '' },
    };
    expect(run()).toEqual({ forbidden: false, ...expected });
    expect(run('--disallow-code-generation-from-strings')).toEqual({
      forbidden: true,
      ...expected,
    });
  });
});
