/**
 * Values that a codec could lose: special map keys, a byte order mark, and the message in an Any.
 */
import {
  create,
  createRegistry,
  type DescMessage,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { json } from '../../../src/rpc/codecs/json.js';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import {
  escapeKey,
  mayHaveProtoKey,
  unescapeKey,
} from '../../../src/rpc/codecs/protobuf/json/map-key-escaping.js';
import type { MessageCodec } from '../../../src/rpc/types.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  MapValuesSchema,
  SmallSchema,
  WellKnownSchema,
} from '../../fixtures/protobuf/proto3_pb.js';

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

describe('JSON of other implementations', () => {
  const codec = protobufJsonCodec(MapValuesSchema) as MessageCodec;

  test.each([
    '{"string_field":{"__proto__":"x"}}',
    '{"stringField":{"\\u005f_proto__":"x"}}',
    '{"string_field":{"__pr\\u006Fto__":"x"}}',
  ])('keeps the map key __proto__ of %s', (text) => {
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

  test('escapeKey() and unescapeKey() restore each key', () => {
    for (const key of [...ODD_KEYS, '__proto__x', 'x__proto__']) {
      expect(unescapeKey(escapeKey(key))).toBe(key);
      expect(escapeKey(key)).not.toBe('__proto__');
    }
    expect(mayHaveProtoKey('{"a":"\\u00e4"}')).toBe(false);
  });
});

test.each([
  ['a string', 'text'],
  ['a number', 5],
  ['null', null],
  ['an array', []],
])('%s in place of a message throws TypeError in both forms', (_, value) => {
  for (const codec of [protobufCodec(SmallSchema), protobufJsonCodec(SmallSchema)])
    expect(() => encode(codec as MessageCodec, value)).toThrow(TypeError);
});
