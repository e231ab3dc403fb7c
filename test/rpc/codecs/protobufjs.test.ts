/** The values of classes of protobufjs, in Protobuf and in JSON. */
import { readFileSync } from 'node:fs';
import { create, toBinary } from '@bufbuild/protobuf';
import protobufjs from 'protobufjs';
import { describe, expect, test } from 'vitest';
import {
  connect,
  contract,
  implement,
  type MessageClass,
  messageClass,
  unary,
} from '../../../src/rpc/index.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { ScalarsSchema } from '../../fixtures/protobuf/proto3_pb.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { outcome, rig } from '../../fixtures/rpc.js';

noLeaks();

test('writes each scalar type of protobufjs with the bytes of protobuf-es', () => {
  const root = new protobufjs.Root();
  // This message needs no import.
  const text = readFileSync(
    new URL('../../fixtures/protobuf/proto3.proto', import.meta.url),
    'utf8',
  ).replace(/^import .*$/gm, '');
  const Scalars = protobufjs
    .parse(text, root, { keepCase: false })
    .root.lookupType('getty.test.proto3.Scalars');
  const values = {
    doubleField: -1.5,
    floatField: 0.25,
    int32Field: -1,
    fixed32Field: 4_294_967_295,
    boolField: true,
    stringField: 'é漢𝒳',
    bytesField: Buffer.from([0, 255]),
    uint32Field: 4_294_967_295,
    sfixed32Field: -2_147_483_648,
    sint32Field: -2,
    color: 2,
  };
  const expected = Buffer.from(
    toBinary(
      ScalarsSchema,
      create(ScalarsSchema, { ...values, int64Field: -5n, uint64Field: 2n ** 64n - 1n }),
    ),
  );
  const codec = messageClass(Scalars as unknown as MessageClass<object>);
  const output = new ByteWriter();
  codec.encode(output, {
    ...values,
    int64Field: { low: -5, high: -1, unsigned: false },
    uint64Field: { low: -1, high: -1, unsigned: true },
  });
  const bytes = Buffer.from(output.bytes.subarray(0, output.length));
  expect(bytes.toString('hex')).toBe(expected.toString('hex'));
  const whole = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')]);
  const decoded = codec.decode(whole, 6, 6 + bytes.length) as {
    bytesField: Buffer;
    stringField: string;
  };
  expect([decoded.stringField, [...decoded.bytesField]]).toEqual(['é漢𝒳', [0, 255]]);
  // Bytes are a view of the received chunk, unless they are a small part of it.
  const chunk = Buffer.concat([whole, Buffer.allocUnsafeSlow(65_536)]);
  const small = codec.decode(chunk, 6, 6 + bytes.length) as { bytesField: Buffer };
  expect(small.bytesField.buffer.byteLength).toBe(bytes.length);
});

test('writes 64-bit integers and bytes as text in JSON, and reads them', async () => {
  const root = protobufjs.parse(
    'syntax = "proto3"; message Wide { int64 n = 1; bytes b = 2; string empty = 3; }',
  ).root;
  const Wide = root.lookupType('Wide') as unknown as MessageClass<
    object,
    { n: unknown; b: Buffer }
  >;
  const Wides = contract('Wides', { echo: unary({ protobuf: { input: Wide, output: Wide } }) });
  await using server = await RawServer.serve();
  await using client = await connect(server.address, { reconnect: false });
  const call = outcome(
    client
      .stub(Wides, { codec: 'json' })
      .echo({ n: '9007199254740993', b: Buffer.from([1, 2, 255]) }),
  );
  expect((await server.requests.next()).body.toString()).toBe(
    '{"n":"9007199254740993","b":"AQL/","empty":""}',
  );
  client.destroy();
  await call;
  await using pair = await rig({ services: [implement(Wides, { echo: (message) => message })] });
  const reply = await pair.client
    .stub(Wides, { codec: 'json' })
    .echo({ n: '9007199254740993', b: Buffer.from([1, 2, 255]) });
  expect([String(reply.n), [...reply.b]]).toEqual(['9007199254740993', [1, 2, 255]]);
});

describe('the JSON of protobufjs', () => {
  const source = (syntax: string): string => `${syntax}
    message All { repeated double d = 1; float f = 2; map<string, double> m = 3; Some some = 4; repeated Some list = 5; map<string, Some> named = 6; }
    message Some { OPTIONAL int32 n = 1; OPTIONAL string s = 2; OPTIONAL bool b = 3; OPTIONAL int64 wide = 4; oneof one { string x = 5; bytes y = 6; } int32 plain = 7; }`;
  const proto3 = protobufjs.parse(
    source('syntax = "proto3";').replaceAll('OPTIONAL', 'optional'),
  ).root;
  const editions = protobufjs.parse(source('edition = "2023";').replaceAll('OPTIONAL', '')).root;

  /** A class as the generator of protobufjs writes it: without `fieldsArray`. */
  const withoutFields = (type: protobufjs.Type): MessageClass<object, object> => ({
    encode: (message) => type.encode(message as never),
    decode: (bytes) => type.decode(bytes),
    ...{ toObject: type.toObject.bind(type), fromObject: type.fromObject.bind(type) },
  });

  const CLASSES = [
    ['proto3', proto3.lookupType('All')],
    ['an edition', editions.lookupType('All')],
  ].flatMap(([name, type]) => [
    [name as string, type as unknown as MessageClass<object, object>],
    [`${name}, generated`, withoutFields(type as protobufjs.Type)],
  ]) as [string, MessageClass<object, object>][];

  test.each(CLASSES)('writes NaN and the infinities: %s', async (_, All) => {
    const C = contract('C', { echo: unary({ protobuf: { input: All, output: All } }) });
    await using pair = await rig({ services: [implement(C, { echo: (message) => message })] });
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1.5];
    for (const codec of ['json', 'protobuf'] as const) {
      const found = await pair.client
        .stub(C, { codec })
        .echo({ d: odd, f: Number.NaN, m: { a: Number.NEGATIVE_INFINITY } });
      expect({ ...found }).toMatchObject({
        d: odd,
        f: Number.NaN,
        m: { a: Number.NEGATIVE_INFINITY },
      });
    }
  });

  test.each(CLASSES)(
    'keeps unset fields unset, and fields set to their default set: %s',
    async (_, All) => {
      const C = contract('C', { echo: unary({ protobuf: { input: All, output: All } }) });
      await using pair = await rig({ services: [implement(C, { echo: (message) => message })] });
      const set = { n: 0, s: '', b: false, x: '' };
      const given = { some: set, list: [{}, set], named: { __proto: {}, set } };
      for (const codec of ['json', 'protobuf'] as const) {
        const { some, list, named } = (await pair.client.stub(C, { codec }).echo(given)) as {
          some: object;
          list: object[];
          named: Record<string, object>;
        };
        const own = (message: object | undefined): string[] =>
          ['n', 's', 'b', 'wide', 'x', 'y'].filter((name) => Object.hasOwn(message ?? {}, name));
        expect([some, ...list, named.__proto, named.set].map(own), codec).toEqual([
          Object.keys(set),
          [],
          Object.keys(set),
          [],
          Object.keys(set),
        ]);
        expect((some as { plain: number }).plain).toBe(0);
      }
    },
  );
});

test('sends an empty message for an undefined argument', async () => {
  const root = protobufjs.parse('syntax = "proto3"; message Empty {}').root;
  const Empty = root.lookupType('Empty') as unknown as MessageClass<
    object | undefined | void,
    object
  >;
  const Pings = contract('Pings', { ping: unary({ protobuf: { input: Empty, output: Empty } }) });
  await using pair = await rig({ services: [implement(Pings, { ping() {} })] });
  for (const codec of ['protobuf', 'json'] as const)
    expect({ ...(await pair.client.stub(Pings, { codec }).ping()) }).toEqual({});
});
