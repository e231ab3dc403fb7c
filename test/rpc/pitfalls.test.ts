/**
 * What went wrong elsewhere with frames and calls, one rule after the other; each test has its rule
 * in its name.
 */
import { BytesValueSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { protobufCodec } from '../../src/rpc/codecs/protobuf/codec.js';
import {
  connect,
  contract,
  implement,
  oneway,
  type RpcClient,
  type RpcCode,
  RpcError,
  serve,
  unary,
} from '../../src/rpc/index.js';
import type { MessageCodec } from '../../src/rpc/types.js';
import { connect as connectTransport, raw } from '../../src/transport/index.js';
import { runningWheels } from '../../src/transport/session/timer-wheel.js';
import { memory } from '../../src/transport/stream/memory.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  channelOf,
  freeMemory,
  outcome,
  pendingOf,
  RawPeer,
  RawServer,
  rig,
  TestService,
  testService,
  watchSessions,
  withCodecs,
} from '../fixtures/rpc.js';
import {
  frameBytes,
  jsonRequest,
  PROTOBUF_CODEC,
  parseFrames,
  recordedFrames,
} from '../fixtures/rpc-frames.js';
import { rejection } from '../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../fixtures/waiting.js';

noLeaks();

const CODECS = ['json', 'protobuf'] as const;
const TCP = 'tcp://127.0.0.1:0';
/** For timeouts that must not be what ends a call. */
const LONG = 300_000;

const Things = contract(
  'Things',
  {
    size: unary<string, number>(),
    echo: unary<unknown, unknown>(),
    make: unary<number, string>(),
    slow: unary<unknown, unknown>(),
  },
  { version: 'v1' },
);

describe('1: a package that is split across reads waits for the rest', () => {
  // Every split of every recorded package: vectors.test.ts.
  test('however the reads fall, also with another package behind it', async () => {
    await using server = await serve(freeMemory(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const stream = Buffer.concat(
      [1n, 2n, 3n].map((sequence) =>
        jsonRequest('TestService', 'Add', { A: 1, B: Number(sequence) }, { sequence }),
      ),
    );
    await peer.send(
      stream.subarray(0, 40),
      stream.subarray(40, 41),
      stream.subarray(41, 200),
      stream.subarray(200),
    );
    expect(
      (await peer.frames.take(3)).map(({ sequence, body }) => [sequence, body.toString()]),
    ).toEqual([1n, 2n, 3n].map((n) => [n, `{"Sum":${n + 1n}}`]));
  });

  test('half a package keeps nobody else waiting', async () => {
    await using pair = await rig();
    await using peer = await RawPeer.connect(pair.server.address);
    await peer.send(recordedFrames(0, 'client-to-server')[1]?.subarray(0, 50) as Buffer);
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});

describe('2: lengths are checked before anything is allocated', () => {
  test.each([
    ['negative', -1, 'BAD_FRAME'],
    ['the most negative', -(2 ** 31), 'BAD_FRAME'],
    ['overflowing with the header', 2 ** 31 - 1, 'MESSAGE_TOO_LARGE'],
    ['just too large', 1024 * 1024 - 31, 'MESSAGE_TOO_LARGE'],
  ])(
    'a length that is %s closes the session by its header alone',
    async (_, packageLength, code) => {
      await using pair = await rig();
      await using peer = await RawPeer.connect(pair.server.address);
      await peer.send(frameBytes({ packageLength }).subarray(0, 32));
      await peer.end();
      expect((await pair.serverLog.warnings.next()).details.code).toBe(code);
      expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    },
  );

  test('an announced length takes no memory before its bytes come', async () => {
    await using server = await serve(freeMemory(), [testService()]);
    const before = process.memoryUsage().arrayBuffers;
    const peers = await Promise.all(
      Array.from({ length: 50 }, () => RawPeer.connect(server.address)),
    );
    const announced = Buffer.concat([
      frameBytes({ packageLength: 1024 * 1024 - 32 }).subarray(0, 32),
      Buffer.alloc(100),
    ]);
    for (const peer of peers) await peer.send(announced.subarray(0, 60), announced.subarray(60));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
    for (const peer of peers) await peer[Symbol.asyncDispose]();
  });
});

describe('3: a body over 65,535 bytes never wraps silently', () => {
  const handlers = implement(Things, {
    size: (text) => text.length,
    echo: (value) => value,
    make: (size) => 'x'.repeat(size),
    slow: (value) => value,
  });

  test('to a plain peer it is FAILED_PRECONDITION before a byte is sent', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    // Also the first call, made before anybody knows what the peer speaks.
    for (const [index, length] of [65_534, 100_000, 65_534].entries()) {
      const error = await rejection<RpcError>(client.stub(Things).size('x'.repeat(length)));
      expect([error.code, error.unsent], `call ${index + 1}`).toEqual([
        'FAILED_PRECONDITION',
        true,
      ]);
    }
    expect(server.requests.all).toEqual([]);
    expect(pendingOf(client)).toBe(0);
    // 65,533 characters and two quotes just fit.
    const fits = client.stub(Things).size('x'.repeat(65_533));
    const request = await server.requests.next();
    expect(request.body.length).toBe(65_535);
    request.peer.session.write(
      frameBytes({
        command: 4,
        serviceId: 1,
        sequence: request.sequence,
        head: '{"Error":""}',
        body: '65533',
      }),
    );
    expect(await fits).toBe(65_533);
  });

  test('to a peer that does not say what it speaks, too', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 0,
    });
    expect(
      await rejection(client.stub(Things).size('x'.repeat(70_000), { timeout: 30 })),
    ).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: true });
    const peer = await server.peers.next();
    expect(peer.frames.all.filter(({ command }) => command === 3)).toEqual([]);
  });

  test('from a plain peer it is found by packageLength', async () => {
    await using server = await serve(freeMemory(), [handlers]);
    await using peer = await RawPeer.connect(server.address);
    for (const length of [65_533, 65_534, 65_535, 131_070, 200_000]) {
      await peer.send(jsonRequest('Things', 'size', 'x'.repeat(length)));
      expect((await peer.frames.next()).body.toString()).toBe(`${length}`);
    }
  });

  test('in the answer of a plain peer, too', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const answer = client.stub(Things).make(100_000);
    const { sequence, peer } = await server.requests.next();
    peer.session.write(
      frameBytes({
        command: 4,
        sequence,
        serviceId: 1,
        head: '{"Error":""}',
        body: JSON.stringify('x'.repeat(100_000)),
      }),
    );
    expect(await answer).toHaveLength(100_000);
  });

  test('a reply that a plain peer cannot take is an error of that call', async () => {
    await using server = await serve(freeMemory(), [handlers]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(
      jsonRequest('Things', 'make', 65_534),
      jsonRequest('Things', 'make', 65_533, { sequence: 2n }),
    );
    const [refused, largest] = await peer.frames.take(2);
    expect([refused?.code, JSON.parse(`${refused?.head}`).Code, refused?.body.length]).toEqual([
      1, 8, 0,
    ]);
    expect([largest?.code, largest?.body.length]).toEqual([0, 65_535]);
  });

  test('between ours it works in both directions, also as the first call', async () => {
    await using server = await serve(freeMemory(), [handlers]);
    for (const length of [65_533, 65_534, 65_536, 131_072, 1_000_000]) {
      await using client = await connect(server.address, { connections: 1, reconnect: false });
      expect(await client.stub(Things).size('x'.repeat(length))).toBe(length);
      expect(await client.stub(Things).make(length)).toHaveLength(length);
    }
  });

  test('beyond maxMessageBytes it is RESOURCE_EXHAUSTED on either side, and the session lives', async () => {
    await using server = await serve(freeMemory(), [handlers], {
      session: { maxMessageBytes: 100_000 },
    });
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      session: { maxMessageBytes: 200_000 },
    });
    const stub = client.stub(Things);
    expect(await rejection(stub.size('x'.repeat(300_000)))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    expect(await rejection(stub.make(150_000))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: false,
    });
    expect(await stub.make(50_000)).toHaveLength(50_000);
  });
});

describe('4: bytes handed to a handler are not recycled under it', () => {
  /** The body itself, as a view. */
  const view: MessageCodec = {
    encode: (output, bytes) => output.append(bytes as Buffer),
    decode: (bytes, start, end) => bytes.subarray(start, end),
  };
  const Blobs = contract('Blobs', { keep: unary<unknown, unknown>() });
  const codecs = { protobuf: protobufCodec(BytesValueSchema) as MessageCodec };

  test.each([TCP, 'memory'])(
    'a view that a handler or a caller keeps stays as it was: %s',
    async (address) => {
      const kept: Buffer[] = [];
      const replies: Buffer[] = [];
      const Views = withCodecs(Blobs, { json: view }, { json: view });
      await using server = await serve(address === 'memory' ? freeMemory() : address, [
        implement(Views, {
          keep(bytes) {
            kept.push(bytes as Buffer);
            return bytes;
          },
        }),
      ]);
      await using client = await connect(server.address, { connections: 1, reconnect: false });
      const stub = client.stub(Views);
      const size = (index: number): number => [10, 500, 5_000, 60_000][index % 4] as number;
      for (let round = 0; round < 10; round++) {
        const answers = Array.from(
          { length: 20 },
          (_, index) => stub.keep(Buffer.alloc(size(index), round * 20 + index)) as Promise<Buffer>,
        );
        replies.push(...(await Promise.all(answers)));
      }
      const wrong = [kept, replies].map(
        (list) =>
          list.filter((bytes, index) => !bytes.equals(Buffer.alloc(size(index % 20), index)))
            .length,
      );
      expect([kept.length, replies.length, ...wrong]).toEqual([200, 200, 0, 0]);
    },
  );

  test('the bytes field of a Protobuf message stays as it was', async () => {
    const kept: Uint8Array[] = [];
    const Messages = withCodecs(Blobs, codecs, codecs);
    await using server = await serve(TCP, [
      implement(Messages, {
        keep(message) {
          kept.push((message as { value: Uint8Array }).value);
          return { value: new Uint8Array(3) };
        },
      }),
    ]);
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    for (let index = 0; index < 200; index++)
      await client.stub(Messages).keep({ value: new Uint8Array(100 + index).fill(index) });
    expect(
      kept.filter(
        (bytes, index) =>
          bytes.length !== 100 + index || !bytes.every((byte) => byte === index % 256),
      ),
    ).toEqual([]);
    expect(kept).toHaveLength(200);
  });
});

describe('5: what is wrong with one call answers that call; the session and the others live on', () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const reject = (error: unknown): Promise<never> => Promise.reject(error);
  class Odd extends Error {
    override get message(): string {
      throw new Error('no message for you');
    }
  }
  const THROWN: Record<string, unknown> = {
    error: new Error('plain'),
    empty: new Error(''),
    nothing: undefined,
    null: null,
    text: 'text',
    symbol: Symbol('s'),
    object: { toString: null },
    bare: Object.create(null),
    oddMessage: Object.assign(new Error(), { message: 5 }),
    throwingMessage: new Odd(),
    endless: new Error('x'.repeat(200_000)),
    endlessMetadata: new RpcError('ABORTED', 'too much', { metadata: { a: 'x'.repeat(200_000) } }),
    // The constructor refuses these, so they are set past it.
    badMetadata: Object.assign(new RpcError('ABORTED', 'not text'), { metadata: { a: 5 } }),
    badDetails: Object.assign(new RpcError('ABORTED', 'no bytes'), { details: 'text' }),
  };
  const REPLIES: Record<string, unknown> = {
    bigint: 1n,
    circular,
    symbol: Symbol('s'),
    function: () => {},
    throwing: { toJSON: () => JSON.parse('{') },
  };
  const Faults = contract('Faults', {
    throws: unary<string, unknown>(),
    rejects: unary<string, unknown>(),
    replies: unary<string, unknown>(),
    repliesLater: unary<string, unknown>(),
    fine: unary<unknown, unknown>(),
  });
  const faults = implement(Faults, {
    throws(name) {
      throw THROWN[name];
    },
    rejects: (name) => reject(THROWN[name]),
    replies: (name) => REPLIES[name],
    repliesLater: async (name) => REPLIES[name],
    fine: (value) => value,
  });
  const request = (method: string, argument: unknown) => jsonRequest('Faults', method, argument);
  const protobufHead = Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1');

  const BAD_CALLS: [string, Buffer, code: number | undefined][] = [
    ['an unknown service', jsonRequest('Nowhere', 'x', 1), 12],
    ['an unknown method', jsonRequest('Faults', 'nothing', 1), 12],
    ['an unknown version', jsonRequest('TestService', 'Add', {}, { more: { Version: 'v9' } }), 12],
    [
      'a codec that the service does not have',
      frameBytes({
        codec: PROTOBUF_CODEC,
        head: Buffer.from('\x0a\x06Faults\x12\x04fine\x18\x02', 'latin1'),
      }),
      12,
    ],
    [
      'an argument that is no JSON',
      frameBytes({
        head: '{"Service":"Faults","Method":"fine","CallType":"CT_TwoWay"}',
        body: '{',
      }),
      3,
    ],
    ['an argument of another type', jsonRequest('TestService', 'Add', { A: 'text' }), 3],
    [
      'an argument of another type, with a long text in it',
      jsonRequest('TestService', 'Add', { A: 'x'.repeat(200_000) }),
      3,
    ],
    [
      'an argument that is no Protobuf',
      frameBytes({ codec: PROTOBUF_CODEC, head: protobufHead, body: Buffer.from([0xff]) }),
      3,
    ],
    ['a header that is no JSON', frameBytes({ head: '{"Service"' }), 3],
    ['a header that is no object', frameBytes({ head: '[]' }), 3],
    ['a header without names', frameBytes({ head: '{}' }), 3],
    ['an empty header', frameBytes({ head: '' }), 3],
    [
      'a header that is no Protobuf',
      frameBytes({ codec: PROTOBUF_CODEC, head: Buffer.from([0x0a, 0x7f]) }),
      3,
    ],
    ...Object.keys(THROWN).flatMap((name): [string, Buffer, number | undefined][] => {
      const code = { endlessMetadata: 10, badMetadata: 10, badDetails: 10 }[name];
      return [
        [`a handler that throws: ${name}`, request('throws', name), code],
        [`a handler that rejects: ${name}`, request('rejects', name), code],
      ];
    }),
    ...Object.keys(REPLIES).flatMap((name): [string, Buffer, number | undefined][] => [
      [`a reply that cannot be encoded: ${name}`, request('replies', name), undefined],
      [`a later reply that cannot be encoded: ${name}`, request('repliesLater', name), undefined],
    ]),
  ];

  test.each(BAD_CALLS)('%s', async (_, bytes, code) => {
    const waiting = gate<{ Sum: number }>();
    await using server = await serve(freeMemory(), [
      faults,
      testService({ add: () => waiting.promise }),
    ]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(jsonRequest('TestService', 'Add', { A: 1, B: 2 }, { sequence: 11n }), bytes);
    const answer = await peer.frames.next();
    expect([answer.command, answer.sequence, answer.code, answer.body.length]).toEqual([
      4,
      1n,
      1,
      0,
    ]);
    if (answer.codec === 1) expect(JSON.parse(answer.head.toString()).Code).toBe(code);
    await peer.send(request('fine', 'still here'));
    expect((await peer.frames.next()).body.toString()).toBe('"still here"');
    waiting.open({ Sum: 3 });
    const late = await peer.frames.next();
    expect([late.sequence, late.body.toString()]).toEqual([11n, '{"Sum":3}']);
    expect(peer.frames.unread).toEqual([]);
    expect(peer.session.closed).toBe(false);
  });

  test('a Protobuf reply of a wrong type, with a long text in it', async () => {
    await using pair = await rig({
      codec: 'protobuf',
      handlers: { add: async () => ({ Sum: 'x'.repeat(200_000) as unknown as number }) },
    });
    expect(['UNKNOWN', 'INTERNAL', 'INVALID_ARGUMENT']).toContain(
      await outcome(pair.stub.add({ A: 1, B: 2 })),
    );
    expect(await pair.stub.test({ A: 'a', B: 'b', C: 'c' })).toMatchObject({ A: 'a, b, c' });
  });

  test('a failing oneway call is logged, and not answered', async () => {
    await using pair = await rig({
      handlers: {
        event() {
          throw new Error('of no interest');
        },
      },
    });
    await pair.stub.event({ A: 'a' });
    expect((await pair.serverLog.warnings.next()).message).toContain('of no interest');
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    expect(await channelOf(pair.client)).toMatchObject({ pending: 0 });
  });

  test('a logger that fails hurts nobody', async () => {
    const boom = (): never => {
      throw new Error('the disk is full');
    };
    await using pair = await rig({
      server: { logger: { info: boom, warn: boom } },
      handlers: { event: () => reject(new Error('logged')) },
    });
    const warnings = new Inbox<Error>('a warning of the process');
    const listen = (warning: Error): void => warnings.push(warning);
    process.on('warning', listen);
    try {
      await pair.stub.event({ A: 'a' });
      expect((await warnings.next()).message).toContain('the disk is full');
    } finally {
      process.off('warning', listen);
    }
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});

describe('6: every call settles exactly once', () => {
  test('a lost session fails its calls at once, not at their timeouts', async () => {
    using watched = watchSessions();
    await using pair = await rig({
      handlers: { test: () => new Promise(() => {}) },
      client: { timeout: LONG },
    });
    const settled = new Inbox<Error | null>('a callback');
    const calls = Array.from({ length: 100 }, () => outcome(pair.stub.test({})));
    pair.stub.test({}, (error) => settled.push(error));
    await until(() => pendingOf(pair.client) === 101, 'all calls wait');
    for (const session of watched.open) if (session.endpoint.type === 'server') session.destroy();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['UNAVAILABLE']));
    expect(await settled.next()).toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    expect(pendingOf(pair.client)).toBe(0);
  });

  test('the callback form has a timeout too, and its callback is called once', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      timeout: 30,
    });
    const settled = new Inbox<Error | null>('a callback');
    client.stub(TestService).add({ A: 1 }, (error) => settled.push(error));
    client.stub(TestService).add({ A: 1 }, { timeout: 40 }, (error) => settled.push(error));
    expect((await settled.take(2)).map((error) => (error as RpcError).code)).toEqual([
      'DEADLINE_EXCEEDED',
      'DEADLINE_EXCEEDED',
    ]);
    // The answers come too late, twice each.
    for (const { sequence, peer } of await server.requests.take(2)) {
      const answer = frameBytes({ command: 4, sequence, head: '{"Error":""}', body: '{}' });
      await peer.send(answer, answer);
    }
    await turns(5);
    expect(settled.all).toHaveLength(2);
    expect(pendingOf(client)).toBe(0);
  });

  test('an answer that comes twice, or that nobody asked for, is dropped', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const first = client.stub(TestService).test({ A: 'x' });
    const { sequence, peer } = await server.requests.next();
    const answer = (to: bigint, text: string) =>
      frameBytes({ command: 4, sequence: to, codec: 2, body: Buffer.from(`\n\x01${text}`) });
    const second = client.stub(TestService).test({ A: 'y' });
    const other = await server.requests.next();
    await peer.send(
      answer(sequence, 'a'),
      answer(sequence, 'b'),
      answer(12_345n, 'c'),
      answer(other.sequence, 'd'),
    );
    expect([(await first).A, (await second).A]).toEqual(['a', 'd']);
    expect(pendingOf(client)).toBe(0);
  });

  test.each([
    ['no JSON', frameBytes({ command: 4, head: '{"Error":""}', body: '{' }), 'INTERNAL'],
    ['no header', frameBytes({ command: 4, head: '{"Error', code: 1 }), 'INTERNAL'],
    ['a heartbeat', frameBytes({ command: 2 }), 'INTERNAL'],
    ['failed without a header', frameBytes({ command: 4, code: 1 }), 'UNKNOWN'],
    [
      'failed without sections',
      frameBytes({ command: 4, code: 1, packageLength: 0 }).subarray(0, 32),
      'UNKNOWN',
    ],
    ['an error with code 0', frameBytes({ command: 4, head: '{"Error":"no"}' }), 'UNKNOWN'],
    [
      'a codec that the method does not have',
      frameBytes({ command: 4, codec: 2, body: 'xx' }),
      'INTERNAL',
    ],
  ])('an answer that is %s settles its call', async (_, bytes, code) => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const call = outcome(client.stub(Things).echo(1));
    const { sequence, peer } = await server.requests.next();
    const answer = Buffer.from(bytes);
    answer.writeBigUInt64LE(sequence, 8);
    peer.session.write(answer);
    expect(await call).toBe(code);
    expect(pendingOf(client)).toBe(0);
  });

  test('a callback that throws is reported, and harms neither the call nor others', async () => {
    await using pair = await rig();
    const warnings = new Inbox<Error & { code?: string }>('a warning of the process');
    const listen = (warning: Error): void => warnings.push(warning);
    process.on('warning', listen);
    try {
      pair.stub.add({ A: 1, B: 2 }, () => {
        throw new Error('mine');
      });
      expect((await warnings.next()).code).toBe('HANDLER_FAILED');
    } finally {
      process.off('warning', listen);
    }
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });

  test('a hundred thousand calls with random cancels, timeouts and cut sessions: each settles once, and nothing is pending', async () => {
    using watched = watchSessions();
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return Math.floor((seed / 0x8000_0000) * below);
    };
    const Nested = contract('Nested', { answer: unary<number, number>() });
    const Chaos = contract('Chaos', {
      now: unary<number, number>(),
      soon: unary<number, number>(),
      never: unary<number, number>(),
      back: unary<number, number>(),
      tell: oneway<number>(),
    });
    const untilAborted = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      );
    const services = [
      implement(Chaos, {
        now: (n) => n,
        soon: async (n) => {
          await turns(1 + (n % 5));
          return n;
        },
        never: (_, { signal }) => untilAborted(signal),
        back: (n, { channel }) => channel.stub(Nested).answer(n, { timeout: 1 + (n % 20) }),
        tell: () => {},
      }),
    ];
    const offered = [
      implement(Nested, {
        answer: async (n, { signal }) => {
          if (n % 3 === 0) return untilAborted(signal);
          await turns(n % 3);
          return n;
        },
      }),
    ];
    const address = freeMemory();
    await using server = await serve(address, services);
    await using client = await connect(address, {
      connections: 3,
      reconnect: { initialDelay: 1, maxDelay: 2 },
      services: offered,
      timeout: 200,
    });
    const stub = client.stub(Chaos);
    const methods = ['now', 'soon', 'never', 'back', 'tell'] as const;
    const settled: number[] = [];
    const results = new Map<string, number>();
    const count = (n: number, result: string): void => {
      settled[n] = (settled[n] ?? 0) + 1;
      results.set(result, (results.get(result) ?? 0) + 1);
    };
    const CALLS = 100_000;
    const promises: Promise<unknown>[] = [];
    for (let n = 0; n < CALLS; n++) {
      const method = methods[random(methods.length)] as (typeof methods)[number];
      const abort = random(4) === 0 ? new AbortController() : undefined;
      const options = {
        ...(random(2) === 0 && { timeout: 1 + random(30) }),
        ...(abort && { signal: abort.signal }),
      };
      const finish = (error: unknown, value?: unknown): void =>
        count(
          n,
          error
            ? (error as RpcError).code
            : value === n || method === 'tell'
              ? 'ok'
              : 'wrong value',
        );
      if (random(3) === 0) {
        promises.push(
          new Promise<void>((resolve) => {
            stub[method](n, options, (error: Error | null, value?: unknown) => {
              finish(error, value);
              resolve();
            });
          }),
        );
      } else
        promises.push(
          stub[method](n, options).then((value: unknown) => finish(null, value), finish),
        );
      if (abort) {
        if (random(4) === 0) abort.abort();
        else void turns(random(4)).then(() => abort.abort());
      }
      if (random(200) === 0) [...watched.open][random(watched.open.size)]?.destroy();
      if (random(20) === 0) await turns(random(3));
    }
    await within(
      Promise.all(promises),
      () => `all calls to settle; ${settled.filter((times) => times > 0).length} of ${CALLS} have`,
      240_000,
    );
    expect([...settled].map((times) => times ?? 0).filter((times) => times !== 1)).toEqual([]);
    expect(settled).toHaveLength(CALLS);
    expect([...results.keys()].sort()).toEqual([
      'CANCELLED',
      'DEADLINE_EXCEEDED',
      'UNAVAILABLE',
      'ok',
    ]);
    await until(() => pendingOf(client, server) === 0, 'nothing is pending');
  }, 300_000);
});

describe('7: silence beyond the heartbeat closes the session; no half-dead one is kept', () => {
  const HEARTBEATS = { heartbeatPeriod: 40, heartbeatTimeout: 40 };

  test('a peer that takes calls and says nothing', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      timeout: LONG,
      ...HEARTBEATS,
    });
    expect(await rejection(client.stub(TestService).add({ A: 1 }))).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(client.channels.size).toBe(0);
  });

  test('a session closes when the peer has ended its side, whatever the session options say', async () => {
    await using server = await serve(TCP, [testService()], { session: { allowHalfOpen: true } });
    const silent = { codec: raw(), waitTime: LONG, listener: { onMessage() {} } };
    const client = await connectTransport(server.address, silent, { reconnect: false });
    await until(() => server.channels.size === 1, 'the server has the channel');
    await within(client.close(), 'the server to end its side too');
  });

  test('a call that timed out leaves a live session alone, and a dead one is replaced', async () => {
    let dead = false;
    await using server = await RawServer.serve({}, () => dead);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
      timeout: 20,
      ...HEARTBEATS,
    });
    const peer = await server.peers.next();
    for (let i = 0; i < 3; i++)
      expect(await outcome(client.stub(TestService).add({ A: 1 }))).toBe('DEADLINE_EXCEEDED');
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
    dead = true;
    await peer.end();
    dead = false;
    await server.peers.next();
  });

  test.each([
    [
      'a peer that does not read, when the queue is full',
      { session: { maxQueuedBytes: 2_000, highWaterMark: 1_000 } },
      1_000,
    ],
    ['a peer that does not answer, when no more calls may wait', { maxPendingCalls: 3 }, 10],
  ])('%s', async (_, options, size) => {
    let alive = true;
    await using server = await RawServer.serve({}, (_frame, { session }) => {
      if (alive) return false;
      session.pause();
      return true;
    });
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      timeout: LONG,
      ...HEARTBEATS,
      ...options,
    });
    await until(
      () => [...client.channels][0]?.extended === false,
      'the first heartbeat is answered',
    );
    alive = false;
    const stub = client.stub(TestService, { codec: 'json' });
    const calls = Array.from({ length: 10 }, () => outcome(stub.test({ A: 'x'.repeat(size) })));
    await turns(2);
    calls.push(...Array.from({ length: 10 }, () => outcome(stub.test({ A: 'x'.repeat(size) }))));
    const codes = new Set(await within(Promise.all(calls), 'all calls to settle'));
    expect(codes).toEqual(new Set(['RESOURCE_EXHAUSTED', 'UNAVAILABLE']));
    expect(client.channels.size).toBe(0);
  });

  test('any sign of life counts, also when the heartbeat itself is not answered', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      // It does not know heartbeats, but it goes on talking.
      if (frame.command === 1)
        setTimeout(
          () =>
            peer.session.closed || peer.session.write(frameBytes({ command: 4, sequence: 99n })),
          20,
        );
      return true;
    });
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 200,
      heartbeatTimeout: 1_000,
    });
    const peer = await server.peers.next();
    // The first of them would be missed long before the last is sent.
    await until(() => peer.frames.all.length >= 7, 'seven heartbeats came');
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
  });

  test('with heartbeats off, silence is nobody’s business', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 0,
      heartbeatTimeout: 20,
    });
    const peer = await server.peers.next();
    expect(await outcome(client.stub(TestService).add({ A: 1 }, { timeout: 100 }))).toBe(
      'DEADLINE_EXCEEDED',
    );
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
  });
});

describe('8: one connection carries many calls at once', () => {
  test('a thousand calls share one connection, and answer in any order', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const stub = client.stub(Things);
    const calls = Array.from({ length: 1_000 }, (_, n) => stub.echo(n));
    const requests = await server.requests.take(1_000);
    expect(new Set(requests.map(({ peer }) => peer)).size).toBe(1);
    for (const { sequence, body, peer } of requests.reverse())
      peer.session.write(frameBytes({ command: 4, sequence, body }));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(server.peers.all).toHaveLength(1);
  });

  test('a slow call holds up no other', async () => {
    const waiting = gate<{ A: string }>();
    await using pair = await rig({ handlers: { test: () => waiting.promise } });
    const slow = pair.stub.test({});
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    waiting.open({ A: 'at last' });
    expect(await slow).toMatchObject({ A: 'at last' });
  });

  test.each([TCP, 'memory'])(
    'calls made while there is no session share one dial: %s',
    async (address) => {
      using watched = watchSessions();
      await using server = await RawServer.serve({ ...(address === TCP && { address }) });
      await using client = await connect(server.address, {
        connections: 1,
        reconnect: { initialDelay: 500, maxDelay: 500 },
      });
      await server.peers.next();
      for (const session of watched.open) session.destroy();
      await until(() => client.channels.size === 0, 'the client has seen it');
      const calls: Promise<string>[] = [];
      while (server.peers.all.length < 2) {
        for (let i = 0; i < 3; i++) calls.push(outcome(client.stub(Things).echo(i)));
        await turns();
      }
      calls.push(outcome(client.stub(Things).echo(0)));
      const peer = await server.peers.next();
      for (;;) {
        const request = await server.requests.next();
        peer.session.write(frameBytes({ command: 4, sequence: request.sequence, body: 'true' }));
        if (server.requests.unread.length === 0) {
          await turns(3);
          if (server.requests.unread.length === 0) break;
        }
      }
      const codes = await within(Promise.all(calls), 'all calls to settle');
      expect(codes.at(-1)).toBe('ok');
      // Those that came before the attempt was due learned at once that there is no session.
      expect(new Set([...codes, 'UNAVAILABLE'])).toEqual(new Set(['ok', 'UNAVAILABLE']));
      expect(server.peers.all).toHaveLength(2);
    },
  );
});

describe('9: a dead address fails fast, with the reason', () => {
  test('a refused connection', async () => {
    const server = await serve(TCP, [testService()]);
    const { address } = server;
    await server.close();
    expect(await rejection(connect(address, { connectTimeout: LONG }))).toMatchObject({
      code: 'CONNECT_FAILED',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('a name that nobody listens at', async () => {
    expect(await rejection(connect('memory://nobody'))).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  test('a call while the server is away: UNAVAILABLE at once, unsent, with the cause', async () => {
    await using pair = await rig({
      address: TCP,
      client: { reconnect: { initialDelay: 1, maxDelay: 5 }, timeout: LONG },
    });
    pair.server.destroy();
    await until(() => pair.client.channels.size === 0, 'the client has seen it');
    const causes = new Set<unknown>();
    await until(() => {
      void rejection<RpcError>(pair.stub.add({ A: 1 })).then((error) =>
        causes.add(`${error.code} ${error.unsent} ${(error.cause as { code: string }).code}`),
      );
      return causes.has('UNAVAILABLE true CONNECT_FAILED');
    }, 'a call says why');
    expect(
      [...causes].filter(
        (cause) => !/^UNAVAILABLE true CONNECT(ION_LOST|_FAILED)$/.test(`${cause}`),
      ),
    ).toEqual([]);
  });

  test('a call that waited for an attempt takes what is left of its timeout along', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
    });
    const { dial } = memory;
    const [stalled, goOn] = [gate(), gate()];
    vi.spyOn(memory, 'dial').mockImplementation(async (...given) => {
      stalled.open();
      await goOn.promise;
      return dial.apply(memory, given);
    });
    onTestFinished(() => void vi.restoreAllMocks());
    (await server.peers.next()).session.destroy();
    await stalled.promise;
    const start = performance.now();
    const call = outcome(client.stub(TestService, { codec: 'json' }).add({}, { timeout: LONG }));
    await until(() => performance.now() - start > 30, 'some time has gone');
    goOn.open();
    const { sequence, head, peer } = await server.requests.next();
    expect(JSON.parse(`${head}`).Timeout).toBeLessThanOrEqual(LONG - 29);
    peer.session.write(frameBytes({ command: 4, sequence, body: '{}' }));
    expect(await call).toBe('ok');
  });

  test('a call that waits for an attempt is cancelled by its signal, and ended by its timeout', async () => {
    await using pair = await rig({
      client: { reconnect: { initialDelay: 1, maxDelay: 1 }, timeout: Number.POSITIVE_INFINITY },
    });
    const { client } = pair;
    let dials = 0;
    // An attempt that never ends by itself.
    vi.spyOn(memory, 'dial').mockImplementation((_address, _options, signal) => {
      dials++;
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      );
    });
    onTestFinished(() => void vi.restoreAllMocks());
    pair.server.destroy();
    await until(() => client.channels.size === 0, 'the client has seen it');
    expect(await rejection(pair.stub.add({ A: 1 }, { signal: AbortSignal.abort() }))).toMatchObject(
      { code: 'CANCELLED', unsent: true },
    );
    await until(() => dials > 0, 'an attempt is under way');
    const abort = new AbortController();
    const [cancelled, late] = [
      rejection(pair.stub.add({ A: 1 }, { signal: abort.signal })),
      rejection(pair.stub.add({ A: 1 }, { timeout: 20 })),
    ];
    abort.abort();
    expect(await cancelled).toMatchObject({ code: 'CANCELLED', unsent: true });
    expect(await late).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    // Without a timeout of its own it waits as long as the attempt may take.
    const patient = rejection(pair.stub.add({ A: 1 }, { timeout: Number.POSITIVE_INFINITY }));
    await turns(5);
    client.destroy();
    expect(await patient).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  });
});

describe('10: heartbeats leave no entries behind, and silence is noticed in period + timeout', () => {
  /**
   * The sweep is one wheel of the ticker: it begins with a heartbeat, and stops when nothing waits
   * any more. The other wheels stay.
   */
  async function sweepStops(): Promise<void> {
    const seen = new Set<number>();
    await until(() => seen.add(runningWheels()).size > 1, 'the sweep has stopped');
  }

  test('answered heartbeats leave nothing that is swept', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 30,
    });
    await until(() => server.heartbeats >= 6, 'six heartbeats were answered');
    expect(pendingOf(client)).toBe(0);
    await sweepStops();
  });

  test('heartbeats that get no answer expire', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command === 1)
        setTimeout(
          () =>
            peer.session.closed || peer.session.write(frameBytes({ command: 4, sequence: 99n })),
          5,
        );
      return true;
    });
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 200,
      heartbeatTimeout: 100,
    });
    const peer = await server.peers.next();
    await until(() => peer.frames.all.length >= 3, 'three heartbeats came');
    await sweepStops();
    expect(pendingOf(client)).toBe(0);
  });

  test('heartbeats are no calls: they count neither as pending nor against the limit, and closing does not wait for them', async () => {
    await using server = await RawServer.serve({}, () => true);
    const client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      maxPendingCalls: 1,
      heartbeatPeriod: 10,
      heartbeatTimeout: LONG,
      timeout: LONG,
      drainTimeout: LONG,
    });
    const peer = await server.peers.next();
    await until(() => peer.frames.all.length >= 3, 'three heartbeats came');
    expect(pendingOf(client)).toBe(0);
    const call = outcome(client.stub(TestService).add({ A: 1 }, { timeout: 30 }));
    expect(await outcome(client.stub(TestService).add({ A: 1 }))).toBe('RESOURCE_EXHAUSTED');
    expect(await call).toBe('DEADLINE_EXCEEDED');
    await within(client.close(), 'the client to close');
  });

  test('a frozen peer is noticed', async () => {
    await using server = await RawServer.serve({}, () => true);
    const [heartbeatPeriod, heartbeatTimeout] = [100, 80];
    await using client: RpcClient = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod,
      heartbeatTimeout,
    });
    await (await server.peers.next()).end();
    await until(() => client.channels.size === 0, 'the client has seen it');
  });

  test('a peer that freezes after a while is noticed, too', async () => {
    let frozen = false;
    await using server = await RawServer.serve({}, () => frozen);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      heartbeatPeriod: 150,
      heartbeatTimeout: 150,
    });
    const peer = await server.peers.next();
    await until(() => server.heartbeats >= 4, 'four heartbeats were answered');
    frozen = true;
    await peer.end();
    await until(() => client.channels.size === 0, 'the client has seen it');
  });

  test('a server closes a session that is idle beyond idleTimeout, and keeps one that sends heartbeats', async () => {
    await using pair = await rig({
      server: { session: { idleTimeout: 500 } },
      client: { heartbeatPeriod: 20 },
    });
    const start = performance.now();
    await using silent = await RawPeer.connect(pair.server.address);
    await silent.end();
    const elapsed = performance.now() - start;
    expect((await pair.serverLog.warnings.next()).details.code).toBe('IDLE_TIMEOUT');
    expect(elapsed).toBeGreaterThanOrEqual(490);
    expect(pair.server.channels.size).toBe(1);
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});

describe('11: an error keeps its code, message, details and metadata across the wire', () => {
  const CODES: readonly RpcCode[] = [
    'CANCELLED',
    'UNKNOWN',
    'INVALID_ARGUMENT',
    'DEADLINE_EXCEEDED',
    'NOT_FOUND',
    'ALREADY_EXISTS',
    'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
    'ABORTED',
    'OUT_OF_RANGE',
    'UNIMPLEMENTED',
    'INTERNAL',
    'UNAVAILABLE',
    'DATA_LOSS',
    'UNAUTHENTICATED',
  ];
  const details = Uint8Array.from({ length: 256 }, (_, byte) => byte);

  test.each(CODECS)('every code, in %s', async (codec) => {
    let code: RpcCode = 'UNKNOWN';
    await using pair = await rig({
      codec,
      handlers: {
        err() {
          throw new RpcError(code, `no 汉字 "${code}"`, {
            details,
            metadata: { why: 'because', __proto__: 'x' } as Record<string, string>,
          });
        },
      },
    });
    for (code of CODES) {
      const error = await rejection<RpcError>(pair.stub.err({ A: 1 }));
      expect(error).toBeInstanceOf(RpcError);
      expect([error.code, error.message, error.metadata.why, [...(error.details ?? [])]]).toEqual([
        code,
        `no 汉字 "${code}"`,
        'because',
        [...details],
      ]);
      expect(error.unsent).toBe(false);
    }
  });

  test.each(CODECS)('an empty message is still an error, in %s', async (codec) => {
    for (const thrown of [
      new Error(''),
      new RpcError('NOT_FOUND', ''),
      new RpcError('UNKNOWN', ''),
    ]) {
      await using pair = await rig({ codec, handlers: { err: () => Promise.reject(thrown) } });
      expect(await rejection(pair.stub.err({}))).toMatchObject({
        message: '',
        code: thrown instanceof RpcError ? thrown.code : 'UNKNOWN',
      });
    }
  });

  test('an error too large to send keeps its code and the beginning of its message', async () => {
    await using pair = await rig({
      handlers: {
        err: () =>
          Promise.reject(
            new RpcError('NOT_FOUND', 'lost '.repeat(100_000), {
              details: new Uint8Array(100_000),
            }),
          ),
      },
    });
    const error = await rejection<RpcError>(pair.stub.err({}));
    expect([error.code, error.message.slice(0, 10)]).toEqual(['NOT_FOUND', 'lost lost ']);
  });

  test('the callback form gets the same error', async () => {
    await using pair = await rig({
      handlers: {
        err: () => Promise.reject(new RpcError('NOT_FOUND', 'x', { metadata: { a: 'b' } })),
      },
    });
    const settled = new Inbox<Error | null>('a callback');
    pair.stub.err({}, (error) => settled.push(error));
    expect(await settled.next()).toMatchObject({
      code: 'NOT_FOUND',
      message: 'x',
      metadata: { a: 'b' },
    });
  });
});

describe('12: dispatch is by service and version', () => {
  const make = (name: string, version?: string) => {
    const made = contract(
      name,
      { who: unary<void, string>() },
      version === undefined ? {} : { version },
    );
    return { made, service: implement(made, { who: () => `${name} ${version}` }) };
  };

  test('the same name in two versions, and the same method in two services', async () => {
    const [a1, a2, b1, a3] = [make('A', 'v1'), make('A', 'v2'), make('B', 'v1'), make('A', 'v3')];
    await using server = await serve(freeMemory(), [a1.service, a2.service, b1.service]);
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const who = (from: typeof a1) => client.stub(from.made).who();
    expect([await who(a1), await who(a2), await who(b1), await who(a1)]).toEqual([
      'A v1',
      'A v2',
      'B v1',
      'A v1',
    ]);
    expect(await outcome(who(a3))).toBe('UNIMPLEMENTED');
  });

  test('a caller without a version, as Go’s are, gets the service without one, else the first', async () => {
    const [plain, v1, v2] = [make('A'), make('A', 'v1'), make('A', 'v2')];
    await using some = await serve(freeMemory(), [v1.service, v2.service]);
    await using all = await serve(freeMemory(), [v1.service, plain.service, v2.service]);
    await using one = await connect(some.address, { connections: 1, reconnect: false });
    await using two = await connect(all.address, { connections: 1, reconnect: false });
    expect([await one.stub(plain.made).who(), await two.stub(plain.made).who()]).toEqual([
      'A v1',
      'A undefined',
    ]);
  });

  test('a service without a version serves callers of every version', async () => {
    const plain = make('A');
    await using server = await serve(freeMemory(), [plain.service]);
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    expect(await client.stub(make('A', 'v7').made).who()).toBe('A undefined');
  });

  test('the same name and version twice is refused at the call', async () => {
    expect(
      await rejection(serve(freeMemory(), [make('A', 'v1').service, make('A', 'v1').service])),
    ).toMatchObject({ code: 'BAD_OPTION' });
  });

  test('every answer of a conversation in which versions alternate is its own', () => {
    // The router remembers headers; the bytes of another version are another header.
    const frames = parseFrames(
      Buffer.concat(
        ['v1', 'v2'].map((Version) => jsonRequest('A', 'who', undefined, { more: { Version } })),
      ),
    );
    expect(frames[0]?.head.equals(frames[1]?.head as Buffer)).toBe(false);
  });
});

test('a client has two connections to its peer, and calls take turns on them', async () => {
  const peers = new Set<string>();
  await using server = await serve(freeMemory(), [
    testService({ add: (_, { peer }) => ({ Sum: peers.add(peer).size }) }),
  ]);
  await using client = await connect(server.address, { reconnect: false });
  await until(() => client.channels.size === 2, 'both are there');
  const stub = client.stub(TestService);
  await Promise.all(Array.from({ length: 10 }, () => stub.add({})));
  expect(peers.size).toBe(2);
  expect(client.statistics().peers.map(({ calls }) => calls.started)).toEqual([5, 5]);
  client.destroy();
  server.destroy();
});
