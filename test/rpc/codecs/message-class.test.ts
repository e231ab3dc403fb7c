/**
 * Contracts whose messages are classes of protobufjs and ts-proto, which encode and decode
 * themselves.
 */
import { readFileSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import protobufjs from 'protobufjs';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { AddReplySchema, AddRequestSchema } from '../../../demo/test_service_pb.js';
import {
  type CodecName,
  clientStream,
  connect,
  contract,
  duplex,
  implement,
  type MessageClass,
  messageClass,
  oneway,
  type RpcClient,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { ScalarsSchema } from '../../fixtures/protobuf/proto3_pb.js';
import { outcome, RawServer, rig, TestService, testService } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();

const proto = (path: string): protobufjs.Root =>
  protobufjs.parse(readFileSync(new URL(path, import.meta.url), 'utf8'), new protobufjs.Root(), {
    keepCase: true,
  }).root;
const demo = proto('../../../demo/test_service.proto');

interface AddRequest {
  A: number;
  B: number;
}
interface AddReply {
  Sum: number;
}

/**
 * The types as the generator of protobufjs writes them: fields that may be omitted for encode() are
 * present after decode().
 */
const Request = demo.lookupType('AddRequest') as unknown as MessageClass<
  Partial<AddRequest>,
  AddRequest
>;
const Reply = demo.lookupType('AddReply') as unknown as MessageClass<Partial<AddReply>, AddReply>;

/** A message as ts-proto generates it, with a writer of its own. */
const TsRequest = {
  encode(
    message: AddRequest,
    writer: protobufjs.Writer = protobufjs.Writer.create(),
  ): protobufjs.Writer {
    if (message.A !== 0) writer.uint32(8).int32(message.A);
    if (message.B !== 0) writer.uint32(16).int32(message.B);
    return writer;
  },
  decode(input: protobufjs.Reader | Uint8Array, length?: number): AddRequest {
    const reader = input instanceof protobufjs.Reader ? input : protobufjs.Reader.create(input);
    const end = length === undefined ? reader.len : reader.pos + length;
    const message: AddRequest = { A: 0, B: 0 };
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 8) message.A = reader.int32();
      else if (tag === 16) message.B = reader.int32();
      else reader.skipType(tag & 7);
    }
    return message;
  },
};
const TsReply = {
  encode(message: AddReply): protobufjs.Writer {
    const writer = protobufjs.Writer.create();
    return message.Sum === 0 ? writer : writer.uint32(8).int32(message.Sum);
  },
  decode(bytes: Uint8Array): AddReply {
    const { Sum = 0 } = fromBinary(AddReplySchema, bytes);
    return { Sum };
  },
};
/** The same with the JSON form that ts-proto generates by default. */
const WithJson = {
  ...TsRequest,
  toJSON: (message: AddRequest): unknown => ({ A: message.A, B: message.B }),
  fromJSON: (value: { A?: number; B?: number }): AddRequest => ({
    A: value.A ?? 0,
    B: value.B ?? 0,
  }),
};
const ReplyWithJson = {
  ...TsReply,
  toJSON: (message: AddReply): unknown => ({ Sum: message.Sum }),
  fromJSON: (value: { Sum?: number }): AddReply => ({ Sum: value.Sum ?? 0 }),
};

/** Compiled and never run. */
async function types(client: RpcClient): Promise<void> {
  const Sums = contract('Sums', {
    add: unary({ protobuf: { input: Request, output: Reply }, idempotent: true, timeout: 5 }),
    ts: unary({ protobuf: { input: TsRequest, output: TsReply } }),
    tell: oneway({ protobuf: { input: Request } }),
    down: serverStream({ protobuf: { input: Request, output: Reply } }),
  });
  const stub = client.stub(Sums);
  expectTypeOf(await stub.add({ A: 1 })).toEqualTypeOf<AddReply>();
  expectTypeOf(await stub.ts({ A: 1, B: 2 })).toEqualTypeOf<AddReply>();
  expectTypeOf(await stub.tell({})).toEqualTypeOf<void>();
  for await (const item of stub.down({})) expectTypeOf(item).toEqualTypeOf<AddReply>();
  // @ts-expect-error a field is missing, which ts-proto wants
  await stub.ts({ A: 1 });
  // @ts-expect-error the field is a number
  await stub.add({ A: 'x' });
  implement(Sums, {
    add(input) {
      expectTypeOf(input).toEqualTypeOf<AddRequest>();
      return {};
    },
    // @ts-expect-error ts-proto wants the field
    ts: () => ({}),
    tell: (input) => void expectTypeOf(input).toEqualTypeOf<AddRequest>(),
    down: () => [{}],
  });
  // @ts-expect-error a class is missing
  unary({ protobuf: { input: Request } });
}
void types;

const FAMILIES: readonly [
  string,
  MessageClass<AddRequest>,
  MessageClass<AddReply>,
  readonly CodecName[],
][] = [
  [
    'protobufjs',
    Request as MessageClass<AddRequest>,
    Reply as MessageClass<AddReply>,
    ['protobuf', 'json'],
  ],
  ['ts-proto', TsRequest, TsReply, ['protobuf']],
  ['ts-proto with JSON', WithJson, ReplyWithJson, ['protobuf', 'json']],
];

describe.each(FAMILIES)('%s', (_, input, output, codecs) => {
  const Sums = contract(
    'TestService',
    {
      Add: unary({ protobuf: { input, output } }),
      Event: oneway({ protobuf: { input } }),
      down: serverStream({ protobuf: { input, output } }),
      up: clientStream({ protobuf: { input, output } }),
      ways: duplex({ protobuf: { input, output } }),
    },
    { version: 'v1.0' },
  );

  test('makes a contract in its codecs, Protobuf first', () => {
    expect([Sums.codec, Sums.codecs]).toEqual(['protobuf', codecs]);
  });

  test.each(codecs)('runs each kind of method in %s', async (codec) => {
    const told = new Inbox<unknown>('a oneway call');
    const service = implement(Sums, {
      Add: ({ A, B }) => ({ Sum: A + B }),
      Event: ({ A }) => told.push(A),
      down: ({ A, B }) => [{ Sum: A }, { Sum: B }],
      async up(inputs) {
        let Sum = 0;
        for await (const { A } of inputs) Sum += A;
        return { Sum };
      },
      async *ways(inputs) {
        for await (const { A, B } of inputs) yield { Sum: A * B };
      },
    });
    await using pair = await rig({ services: [service] });
    const stub = pair.client.stub(Sums, { codec });
    expect((await stub.Add({ A: -5, B: 2 })).Sum).toBe(-3);
    expect((await stub.Add({ A: 0, B: 0 })).Sum).toBe(0);
    await stub.Event({ A: 7, B: 0 });
    expect(await told.next()).toBe(7);
    const sums = (items: unknown[]): number[] => items.map((item) => (item as AddReply).Sum);
    expect(sums(await collect(stub.down({ A: 1, B: 2 })))).toEqual([1, 2]);
    expect((await stub.up([1, 2, 3].map((A) => ({ A, B: 0 })))).Sum).toBe(6);
    expect(sums(await collect(stub.ways([1, 2, 3].map((A) => ({ A, B: A })))))).toEqual([1, 4, 9]);
  });

  test.each(codecs)(
    'exchanges messages with protobuf-es in %s, in both directions',
    async (codec) => {
      await using pair = await rig({ services: [testService()] });
      expect((await pair.client.stub(Sums, { codec }).Add({ A: 40, B: 2 })).Sum).toBe(42);
      const service = implement(Sums, {
        Add: ({ A, B }) => ({ Sum: A - B }),
        Event() {},
        down: () => [],
        up: () => ({ Sum: 0 }),
        ways: () => [],
      });
      await using other = await rig({ services: [service] });
      expect((await other.client.stub(TestService, { codec }).add({ A: 40, B: 2 })).Sum).toBe(38);
    },
  );

  test('writes the bytes of protobuf-es', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { reconnect: false });
    const calls = [
      client.stub(Sums).Add({ A: -1, B: 300 }),
      client.stub(TestService, { codec: 'protobuf' }).add({ A: -1, B: 300 }),
    ].map(outcome);
    const [ours, theirs] = await server.requests.take(2);
    expect(ours?.body.toString('hex')).toBe(
      Buffer.from(toBinary(AddRequestSchema, create(AddRequestSchema, { A: -1, B: 300 }))).toString(
        'hex',
      ),
    );
    expect([ours?.head.toString('hex'), ours?.body.toString('hex')]).toEqual([
      theirs?.head.toString('hex'),
      theirs?.body.toString('hex'),
    ]);
    client.destroy();
    expect(await Promise.all(calls)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  });

  test('fails only the call whose message does not parse', async () => {
    const Torn: MessageClass<Buffer> = {
      encode: (bytes) => ({ finish: () => bytes }),
      decode: (bytes) => Buffer.from(bytes),
    };
    const TornBytes = contract(
      'TestService',
      { Add: unary({ protobuf: { input: Torn, output: Torn } }) },
      { version: 'v1.0' },
    );
    const service = implement(Sums, {
      Add: () => ({ Sum: 1 }),
      Event() {},
      down: () => [],
      up: () => ({ Sum: 0 }),
      ways: () => [],
    });
    await using pair = await rig({ services: [service] });
    for (const bytes of [[0x08, 0xff], [0x0f], [0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]]) {
      const error = await rejection(pair.client.stub(TornBytes).Add(Buffer.from(bytes)));
      expect(error).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/^the argument of TestService\.Add does not parse: /),
      });
    }
    expect((await pair.client.stub(Sums).Add({ A: 1, B: 0 })).Sum).toBe(1);
  });
});

test('writes each scalar type of protobufjs with the bytes of protobuf-es', () => {
  const root = new protobufjs.Root();
  // Its imports are of no concern for this message.
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
  // Bytes of a message are a view of the received chunk, unless most of the chunk is other bytes.
  const chunk = Buffer.concat([whole, Buffer.allocUnsafeSlow(65_536)]);
  const small = codec.decode(chunk, 6, 6 + bytes.length) as { bytesField: Buffer };
  expect(small.bytesField.buffer.byteLength).toBe(bytes.length);
});

describe('a contract of several methods', () => {
  const both = unary({ protobuf: { input: Request, output: Reply } });
  const binary = unary({ protobuf: { input: TsRequest, output: TsReply } });
  const plain = unary<string, string>();

  test('has the codecs that all methods have', () => {
    expect(contract('A', { both, binary }).codecs).toEqual(['protobuf']);
    expect([contract('A', { both, plain }).codec, contract('A', { both, plain }).codecs]).toEqual([
      'json',
      ['json'],
    ]);
    expect(contract('A', { plain }).codecs).toEqual(['json']);
    expect(thrown(() => contract('A', { binary, plain }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('one codec'),
    });
    // One side without JSON is enough.
    expect(
      contract('A', { half: unary({ protobuf: { input: Request, output: TsReply } }) }).codecs,
    ).toEqual(['protobuf']);
  });

  test('validates messages of classes with schemas', async () => {
    const input = z.object({ A: z.number().max(100), B: z.number() });
    const Sums = contract('Sums', {
      add: unary({
        input,
        output: z.object({ Sum: z.number() }),
        protobuf: { input: TsRequest, output: TsReply },
      }),
    });
    await using pair = await rig({
      services: [implement(Sums, { add: ({ A, B }) => ({ Sum: A + B }) })],
    });
    const stub = pair.client.stub(Sums);
    expect(await stub.add({ A: 1, B: 2 })).toEqual({ Sum: 3 });
    expect(await rejection(stub.add({ A: 101, B: 2 }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(': A: '),
    });
  });
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

  /** A class as the generator writes it: without `fieldsArray`. */
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

test.each([
  ['protobuf.input', { protobuf: {} }],
  ['protobuf.input', { protobuf: null }],
  ['protobuf.input', { protobuf: { input: { encode() {} }, output: TsReply } }],
  ['protobuf.output', { protobuf: { input: TsRequest } }],
  ['protobuf.output', { protobuf: { input: TsRequest, output: 'Reply' } }],
])('a wrong %s is refused where it is given', (name, options) => {
  const error = thrown(() => unary(options as never));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(
    new RegExp(`^${name}: given .*, expected a class with encode\\(\\) and decode\\(\\)$`),
  );
  expect(thrown(() => messageClass(undefined as never))).toMatchObject({ code: 'BAD_OPTION' });
});
