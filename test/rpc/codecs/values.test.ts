/**
 * Values that a codec could lose: special map keys, a byte order mark, the message in an Any. Each
 * codec of a message carries them.
 */
import {
  create,
  createFileRegistry,
  createRegistry,
  type DescMessage,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import {
  AnySchema,
  anyUnpack,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { json } from '../../../src/rpc/codecs/json.js';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import {
  escapeKey,
  mayHaveProtoKey,
  unescapeKey,
} from '../../../src/rpc/codecs/protobuf/json/map-key-escaping.js';
import { contract, implement, serverStream, unary } from '../../../src/rpc/index.js';
import type { MessageCodec } from '../../../src/rpc/types.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as KindsDescriptor } from '../../fixtures/protobuf/kinds_pb.js';
import {
  MapValuesSchema,
  SmallSchema,
  WellKnownSchema,
} from '../../fixtures/protobuf/proto3_pb.js';
import { freeMemory, rig } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

noLeaks();

const registry = createRegistry(SmallSchema, MapValuesSchema, WellKnownSchema);

/** JSON.parse() makes each key an own property. */
const ofJson = <T>(text: string): T => JSON.parse(text) as T;
const PROTO: string = '__proto__';
const ODD_KEYS = [
  '__proto__',
  '__proto___',
  '__proto____',
  '__proto',
  '_proto__',
  'constructor',
  'toString',
  '',
  '\ufeff',
  '0',
];
/** Returns an object with each of the keys as an own property. */
const objectOf = <T>(value: T): Record<string, T> =>
  Object.fromEntries(ODD_KEYS.map((key) => [key, value]));

function encode(codec: MessageCodec, message: unknown): Buffer {
  const output = new ByteWriter();
  codec.encode(output, message);
  return Buffer.from(output.written);
}

function decode<T>(codec: MessageCodec, bytes: Buffer): T {
  return codec.decode(bytes, 0, bytes.length) as T;
}

const CODECS: readonly (readonly [
  string,
  <Desc extends DescMessage>(schema: Desc) => MessageCodec,
])[] = [
  ['protobuf', (schema) => protobufCodec(schema) as MessageCodec],
  ['json', (schema) => protobufJsonCodec(schema, registry) as MessageCodec],
];

/** Returns the own keys of an object with Object.prototype. */
function ownKeys(map: object | undefined): string[] {
  expect(Object.getPrototypeOf(map)).toBe(Object.prototype);
  return Object.keys(map ?? {}).sort();
}

describe.each(CODECS)('%s', (_, codecOf) => {
  test('keeps each key of a map as an own property', () => {
    const codec = codecOf(MapValuesSchema);
    const init: MessageInitShape<typeof MapValuesSchema> = {
      stringField: objectOf('x'),
      bytesField: objectOf(Uint8Array.of(1)),
      int64Field: objectOf(5n),
      small: objectOf({ A: 'deep' }),
    };
    for (const given of [init, create(MapValuesSchema, { stringField: objectOf('x') })]) {
      const copy = structuredClone(given);
      const found = decode<typeof given>(codec, encode(codec, given));
      expect(ownKeys(found.stringField)).toEqual([...ODD_KEYS].sort());
      expect(found.stringField?.[PROTO]).toBe('x');
      expect(given, 'the message of the user is as it was').toEqual(copy);
      if (given !== init) continue;
      for (const map of [found.bytesField, found.int64Field, found.small])
        expect(ownKeys(map)).toEqual([...ODD_KEYS].sort());
      expect(found.small?.[PROTO]).toMatchObject({ A: 'deep' });
      expect(encode(codec, found)).toEqual(encode(codec, given));
    }
  });

  test('keeps each key of a Struct and a Value, at every depth', () => {
    const codec = codecOf(WellKnownSchema);
    const text =
      '{"__proto__":{"__proto__":[{"__proto__":1}],"__proto___":2},"constructor":null,"a":["__proto__"]}';
    const struct = {
      fields: { ['__proto__']: { kind: { case: 'stringValue', value: 'x' } } },
    } as const;
    const init: MessageInitShape<typeof WellKnownSchema> = {
      json: ofJson(text),
      jsons: [ofJson(text)],
      jsonByName: ofJson(`{"__proto__":${text}}`),
      value: { kind: { case: 'structValue', value: struct } },
    };
    const found = decode<typeof init>(codec, encode(codec, init));
    expect(JSON.stringify(found.json)).toBe(text);
    expect(JSON.stringify(found.jsons)).toBe(`[${text}]`);
    expect(JSON.stringify(found.jsonByName)).toBe(`{"__proto__":${text}}`);
    const kind = found.value?.kind as { value: { fields: object } };
    expect(ownKeys(kind.value.fields)).toEqual(['__proto__']);
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  test('keeps each key of a message in an Any, at every depth', () => {
    const codec = codecOf(WellKnownSchema);
    const pack = (schema: DescMessage, message: unknown) => ({
      typeUrl: `type.googleapis.com/${schema.typeName}`,
      value: new Uint8Array(encode(protobufCodec(schema) as MessageCodec, message)),
    });
    // In JSON, protobuf-es decodes the bytes of an Any and drops a byte order mark.
    const keys = ODD_KEYS.filter((key) => key !== '\ufeff');
    const inner = pack(MapValuesSchema, {
      stringField: Object.fromEntries(keys.map((key) => [key, 'x'])),
    });
    const found = decode<{ any: { value: Uint8Array } }>(
      codec,
      encode(codec, { any: pack(WellKnownSchema, { any: inner }) }),
    );
    const outer = decode<{ any: typeof inner }>(
      protobufCodec(WellKnownSchema) as MessageCodec,
      Buffer.from(found.any.value),
    );
    const maps = decode<{ stringField: object }>(
      protobufCodec(MapValuesSchema) as MessageCodec,
      Buffer.from(outer.any.value),
    );
    expect(ownKeys(maps.stringField)).toEqual(keys.sort());
  });

  test.each(['\ufeff', '\ufeffkey', '\ufeff\ufeff', `\ufeff${'long'.repeat(50)}`, 'in \ufeff it'])(
    'keeps the text %j',
    (text) => {
      const codec = codecOf(SmallSchema);
      expect(decode<{ A: string }>(codec, encode(codec, { A: text })).A).toBe(text);
      const maps = codecOf(MapValuesSchema);
      expect(
        decode<{ stringField: object }>(maps, encode(maps, { stringField: { [text]: text } }))
          .stringField,
      ).toEqual({ [text]: text });
    },
  );
});

describe('JSON of other writers', () => {
  const codec = protobufJsonCodec(MapValuesSchema) as MessageCodec;

  test.each([
    '{"string_field":{"__proto__":"x"}}',
    '{"stringField":{"\\u005f_proto__":"x"}}',
    '{"string_field":{"__pr\\u006Fto__":"x"}}',
  ])('%s', (text) => {
    const { stringField } = decode<{ stringField: Record<string, string> }>(
      codec,
      Buffer.from(text),
    );
    expect(Object.entries(stringField)).toEqual([['__proto__', 'x']]);
  });

  test('ignores a property __proto__ without a field', () => {
    const found = decode<Record<string, unknown>>(
      codec,
      Buffer.from('{"__proto__":{"polluted":1},"small":{"a":{"__proto__":{"A":1},"A":"x"}}}'),
    );
    expect(found.polluted).toBeUndefined();
    expect(found.small).toMatchObject({ a: { A: 'x' } });
    expect((found.small as { a: { polluted?: unknown } }).a.polluted).toBeUndefined();
  });

  test('keeps the key and the prototype in plain JSON', () => {
    const found = decode<object>(json, Buffer.from('{"__proto__":{"a":1},"b":"\ufeff"}'));
    expect(ownKeys(found)).toEqual(['__proto__', 'b']);
    expect(JSON.stringify(found)).toBe('{"__proto__":{"a":1},"b":"\ufeff"}');
  });

  test('restores each renamed key', () => {
    for (const key of [...ODD_KEYS, '__proto__x', 'x__proto__']) {
      expect(unescapeKey(escapeKey(key))).toBe(key);
      expect(escapeKey(key)).not.toBe('__proto__');
    }
    expect(mayHaveProtoKey('{"a":"\\u00e4"}')).toBe(false);
  });
});

describe('google.protobuf.Any in JSON', () => {
  // message Box { google.protobuf.Any any = 1; }  service Boxes { rpc Echo(Box) returns (Box); }
  const file = create(FileDescriptorProtoSchema, {
    name: 'box.proto',
    package: 'box',
    syntax: 'proto3',
    dependency: ['google/protobuf/any.proto'],
    messageType: [
      {
        name: 'Box',
        field: [
          {
            name: 'any',
            number: 1,
            type: 11,
            label: 1,
            typeName: '.google.protobuf.Any',
            jsonName: 'any',
          },
        ],
      },
    ],
    service: [
      { name: 'Boxes', method: [{ name: 'Echo', inputType: '.box.Box', outputType: '.box.Box' }] },
    ],
  });
  const files = createFileRegistry(file, (name) =>
    name === 'google/protobuf/any.proto' ? file_google_protobuf_any.proto : undefined,
  );
  const Boxes = files.getService('box.Boxes') as NonNullable<ReturnType<typeof files.getService>>;
  const any = create(AnySchema, {
    typeUrl: 'type.googleapis.com/getty.test.proto3.Small',
    value: Uint8Array.of(0x0a, 1, 0x61),
  });

  test('needs the registry of the contract; Protobuf does not', async () => {
    const seen: unknown[] = [];
    const With = contract(Boxes, { registry });
    const Without = contract(Boxes, { name: 'Without' });
    const handlers = {
      echo(box: { any?: typeof any }) {
        seen.push(box.any && anyUnpack(box.any, SmallSchema)?.A);
        return box;
      },
    };
    await using pair = await rig({
      address: freeMemory(),
      services: [implement(With, handlers as never), implement(Without, handlers as never)],
    });
    for (const codec of ['json', 'protobuf'] as const) {
      const stub = pair.client.stub(With, { codec }) as unknown as {
        echo(box: object): Promise<{ any: typeof any }>;
      };
      expect(anyUnpack((await stub.echo({ any })).any, SmallSchema)).toMatchObject({ A: 'a' });
    }
    expect(seen).toEqual(['a', 'a']);
    const stub = pair.client.stub(Without, { codec: 'json' }) as unknown as {
      echo(box: object): Promise<unknown>;
    };
    expect(await rejection(stub.echo({ any }))).toMatchObject({
      message: expect.stringContaining('not in the type registry'),
    });
  });

  test('throws BAD_OPTION for a value that is no registry', () => {
    for (const wrong of [null, {}, [SmallSchema], 'Small'])
      expect(thrown(() => contract(KindsDescriptor, { registry: wrong as never }))).toMatchObject({
        code: 'BAD_OPTION',
      });
  });
});

describe('a method named then', () => {
  test.each([
    ['unary', unary()],
    ['serverStream', serverStream()],
  ])('is refused where the contract is made: %s', (_, then) => {
    expect(thrown(() => contract('Workflow', { first: unary(), then }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('await'),
    });
  });

  test('throws BAD_OPTION in a descriptor', () => {
    const [method] = KindsDescriptor.methods;
    const service = {
      ...KindsDescriptor,
      methods: [{ ...method, name: 'Then', localName: 'then' }],
    } as unknown as typeof KindsDescriptor;
    expect(thrown(() => contract(service))).toMatchObject({ code: 'BAD_OPTION' });
  });

  test('a stub with any other method name can be awaited and returned', async () => {
    const names = [
      'catch',
      'finally',
      'constructor',
      'toString',
      'toJSON',
      'valueOf',
      'Then',
      '__proto__',
    ];
    const C = contract(
      'Names',
      Object.fromEntries(names.map((name) => [name, unary<string, string>()])),
    );
    const handlers = Object.fromEntries(
      names.map((name) => [name, (text: string) => `${name} ${text}`]),
    );
    await using pair = await rig({ address: freeMemory(), services: [implement(C, handlers)] });
    const stub = await (async () => pair.client.stub(C))();
    for (const name of names) expect(await stub[name]?.('x')).toBe(`${name} x`);
  });
});
