/**
 * Contracts whose messages are classes of protobufjs and ts-proto, which encode and decode
 * themselves.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { AddRequestSchema } from '../../../demo/test_service_pb.js';
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
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { outcome, rig, TestService, testService } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';
import {
  type AddReply,
  type AddRequest,
  Reply,
  Request,
  TsReply,
  TsReplyWithJson,
  TsRequest,
  TsRequestWithJson,
} from './message-classes.js';

noLeaks();

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
  // @ts-expect-error a field that ts-proto requires is missing
  await stub.ts({ A: 1 });
  // @ts-expect-error the field is a number
  await stub.add({ A: 'x' });
  implement(Sums, {
    add(input) {
      expectTypeOf(input).toEqualTypeOf<AddRequest>();
      return {};
    },
    // @ts-expect-error ts-proto requires the field
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
  ['ts-proto with JSON', TsRequestWithJson, TsReplyWithJson, ['protobuf', 'json']],
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
    const received = new Inbox<unknown>('a oneway call');
    const service = implement(Sums, {
      Add: ({ A, B }) => ({ Sum: A + B }),
      Event: ({ A }) => received.push(A),
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
    expect(await received.next()).toBe(7);
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
    // A contract has no JSON if one of its classes has none.
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

test.each([
  ['protobuf.input', { protobuf: {} }],
  ['protobuf.input', { protobuf: { input: { encode() {} }, output: TsReply } }],
  ['protobuf.output', { protobuf: { input: TsRequest } }],
  ['protobuf.output', { protobuf: { input: TsRequest, output: 'Reply' } }],
])('throws BAD_OPTION for an invalid %s: %j', (name, options) => {
  const error = thrown(() => unary(options as never));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(
    new RegExp(`^${name}: got .*, expected a class with encode\\(\\) and decode\\(\\)$`),
  );
  expect(thrown(() => unary({ protobuf: null } as never))).toMatchObject({
    code: 'BAD_OPTION',
    message: 'protobuf: got null, expected an object',
  });
  expect(thrown(() => messageClass(undefined as never))).toMatchObject({ code: 'BAD_OPTION' });
});
