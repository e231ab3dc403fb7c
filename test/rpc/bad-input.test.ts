/**
 * What strangers, mistaken peers and mistaken programs send or say: it harms their own session or
 * call, and nothing else.
 */
import { constants, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import {
  connect,
  contract,
  implement,
  oneway,
  type RpcClientOptions,
  type RpcError,
  type RpcServerOptions,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { Frame, readFrame } from '../../src/rpc/wire/frame.js';
import { type GettyError, serve as listen } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import {
  channelOf,
  freeMemory,
  Log,
  outcome,
  pendingOf,
  RawPeer,
  RawServer,
  rig,
  TestService,
  testService,
  watchSessions,
} from '../fixtures/rpc.js';
import {
  type Draft,
  frameBytes,
  jsonRequest,
  PROTOBUF_CODEC,
  RECORDED,
  recordedFrames,
} from '../fixtures/rpc-frames.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { gate, turns, until, within } from '../fixtures/waiting.js';

noLeaks();

const TCP = 'tcp://127.0.0.1:0';
const MAX = 1024 * 1024;
const GARBAGE: readonly [string, Buffer, string][] = [
  ...(
    [
      ['a wrong magic', { magic: 0x20160904 }, 'BAD_FRAME'],
      ['the magic in the other byte order', { magic: 0x05091620 }, 'BAD_FRAME'],
      ['command 0', { command: 0 }, 'BAD_FRAME'],
      ['an unknown command', { command: 77 }, 'BAD_FRAME'],
      ['a credit without its number', { command: 8 }, 'BAD_FRAME'],
      ['a negative command', { command: -3 }, 'BAD_FRAME'],
      ['codec 0', { codec: 0 }, 'BAD_FRAME'],
      ['an unknown codec', { codec: 3 }, 'BAD_FRAME'],
      ['a negative codec', { codec: -1 }, 'BAD_FRAME'],
      ['a negative length', { packageLength: -1 }, 'BAD_FRAME'],
      ['the most negative length', { packageLength: -(2 ** 31) }, 'BAD_FRAME'],
      ['a length just beyond the limit', { packageLength: MAX - 31 }, 'MESSAGE_TOO_LARGE'],
      ['the greatest length', { packageLength: 2 ** 31 - 1 }, 'MESSAGE_TOO_LARGE'],
      [
        'a heartbeat of the greatest length',
        { command: 1, packageLength: 2 ** 31 - 1 },
        'MESSAGE_TOO_LARGE',
      ],
      ['a goaway of a negative length', { command: 9, packageLength: -2 }, 'BAD_FRAME'],
      ['a request of 0 bytes', { packageLength: 0 }, 'BAD_FRAME'],
      ['a request of 1 byte', { packageLength: 1 }, 'BAD_FRAME'],
      ['a request of 2 bytes', { packageLength: 2 }, 'BAD_FRAME'],
      ['a request of 3 bytes', { packageLength: 3 }, 'BAD_FRAME'],
      ['a response of 3 bytes', { command: 4, packageLength: 3 }, 'BAD_FRAME'],
      ['a header longer than the package', { head: 'ab', headLength: 3 }, 'BAD_FRAME'],
      [
        'a header of 65,535 bytes in a package of 6',
        { head: 'ab', headLength: 0xffff },
        'BAD_FRAME',
      ],
      ['a body that is said to be longer', { body: 'ab', bodyLength: 3 }, 'BAD_FRAME'],
      ['a body that is said to be shorter', { body: 'ab', bodyLength: 1 }, 'BAD_FRAME'],
      ['a body that is said to be there', { bodyLength: 1 }, 'BAD_FRAME'],
    ] as [string, Draft, string][]
  ).map(([name, draft, code]): [string, Buffer, string] => [name, frameBytes(draft), code]),
  ['something else entirely', Buffer.from('GET / HTTP/1.1\r\nHost: here\r\n\r\n'), 'BAD_FRAME'],
];

describe.each([
  ['memory', freeMemory, {}],
  ['tcp', (): string => TCP, {}],
  ['tcp+deflate', (): string => TCP, { compression: 'deflate' }],
] as const)(
  'a package that is none closes its session, and nothing else: %s',
  (_, address, session) => {
    test.each(GARBAGE)('%s', async (_name, bytes, code) => {
      const waiting = gate<{ A: string }>();
      await using pair = await rig({
        address: address(),
        session,
        handlers: { test: () => waiting.promise },
      });
      const underWay = pair.stub.test({});
      await using peer = await RawPeer.connect(pair.server.address, session);
      // A good call before it, in the same read, is still answered or lost; what comes after is not
      // looked at.
      await peer.send(Buffer.concat([bytes, jsonRequest('TestService', 'Add', { A: 1 })]));
      await peer.end();
      const { details, message } = await pair.serverLog.warnings.next();
      expect(details.code).toBe(code);
      expect(message.length).toBeGreaterThan(20);
      expect(peer.frames.all).toEqual([]);
      expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
      waiting.open({ A: 'alive' });
      expect(await underWay).toMatchObject({ A: 'alive' });
      expect([pair.server.channels.size, pair.serverLog.warnings.all.length]).toEqual([1, 1]);
    });
  },
);

test.each(GARBAGE)(
  'a client that is sent this fails its calls at once, and connects again: %s',
  async (_, bytes, code) => {
    await using server = await RawServer.serve();
    const logger = new Log('the client');
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
      logger,
      timeout: 60_000,
    });
    const call = outcome(client.stub(TestService).add({ A: 1 }));
    const { peer } = await server.requests.next();
    await peer.send(bytes);
    expect(await within(call, 'the call to fail')).toBe('UNAVAILABLE');
    expect((await logger.warnings.next()).details.code).toBe(code);
    await server.peers.take(2);
  },
);

test('onError of the transport sees the same code', async () => {
  for (const [, bytes, code] of GARBAGE) {
    const events = new Recorder<Frame>('the server');
    const server = await listen<Frame>(freeMemory(), {
      codec: {
        read(input, session) {
          const frame = new Frame();
          return readFrame(input, frame, session.maxMessageBytes) ? frame : undefined;
        },
        write() {},
      },
      listener: events,
    });
    await using peer = await RawPeer.connect(server.address);
    await peer.send(bytes);
    expect((await events.errors.next()).code).toBe(code);
    expect(events.log).toEqual(['open', `error ${code}`]);
    await peer.end();
    await events.closed.next();
    await server.close();
  }
});

test('a stream that ends inside a package is a BAD_FRAME of that session', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  await peer.send(frameBytes({ head: 'head' }).subarray(0, 35));
  void peer.session.close();
  expect((await pair.serverLog.warnings.next()).details.code).toBe('BAD_FRAME');
  expect(await outcome(pair.stub.add({}))).toBe('ok');
});

test('a stream that cannot be inflated, or inflates without end, closes its session', async () => {
  await using pair = await rig({ session: { compression: 'deflate', maxInflatedBytes: 100_000 } });
  await using garbage = await RawPeer.connect(pair.server.address);
  await garbage.send(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  expect((await pair.serverLog.warnings.next()).details.code).toBe('BAD_FRAME');
  await using bomb = await RawPeer.connect(pair.server.address);
  await bomb.send(
    deflateRawSync(Buffer.alloc(10_000_000), { finishFlush: constants.Z_SYNC_FLUSH }),
  );
  expect((await pair.serverLog.warnings.next()).details.code).toMatch(
    /^(INFLATE_LIMIT|BAD_FRAME)$/,
  );
  await Promise.all([garbage.end(), bomb.end()]);
  expect(await outcome(pair.stub.add({}))).toBe('ok');
});

describe('garbage harms nobody else', () => {
  const valid = RECORDED.map(({ frameHex }) => Buffer.from(frameHex, 'hex'));
  /**
   * A recorded package of which a few bytes are others. Most are still packages, with an odd
   * header, body or name in them.
   */
  const mutated = fc
    .tuple(
      fc.nat({ max: valid.length - 1 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
    )
    .map(([which, changes, sparesHeader]) => {
      const bytes = Buffer.from(valid[which] as Buffer);
      const from = sparesHeader && bytes.length > 32 ? 32 : 0;
      for (const [at, value] of changes) bytes[from + (at % (bytes.length - from))] = value;
      return bytes;
    });
  const streams: Record<string, fc.Arbitrary<Buffer>> = {
    'random bytes': fc
      .uint8Array({ minLength: 1, maxLength: 200 })
      .map((array) => Buffer.from(array)),
    'random bytes behind a good header': fc
      .uint8Array({ maxLength: 100 })
      .map((array) =>
        Buffer.concat([
          frameBytes({ packageLength: array.length }).subarray(0, 32),
          Buffer.from(array),
        ]),
      ),
    'random sections': fc
      .record({
        command: fc.constantFrom(3, 4),
        codec: fc.constantFrom(1, 2),
        head: fc.uint8Array({ maxLength: 60 }),
        body: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ head, body, ...draft }) =>
        frameBytes({ ...draft, head: Buffer.from(head), body: Buffer.from(body) }),
      ),
    'recorded packages with a few wrong bytes': fc
      .array(mutated, { minLength: 1, maxLength: 5 })
      .map((frames) => Buffer.concat(frames)),
    'recorded packages, some bytes missing': fc
      .tuple(fc.nat({ max: valid.length - 1 }), fc.nat(), fc.nat({ max: 40 }))
      .map(([which, at, count]) => {
        const bytes = Buffer.concat([valid[which] as Buffer, valid[0] as Buffer]);
        const from = at % bytes.length;
        return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + count)]);
      }),
  };

  test.each(Object.keys(streams))('%s, sent to a server', async (name) => {
    await using pair = await rig();
    await fc.assert(
      fc.asyncProperty(streams[name] as fc.Arbitrary<Buffer>, async (bytes) => {
        await using peer = await RawPeer.connect(pair.server.address);
        await peer.send(bytes);
        expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
      }),
      { seed: 5, numRuns: 300 },
    );
    await until(() => pair.server.channels.size === 1, 'the strangers are gone');
  });

  test.each(Object.keys(streams))('%s, sent to a client: its call settles', async (name) => {
    await using server = await RawServer.serve();
    await fc.assert(
      fc.asyncProperty(streams[name] as fc.Arbitrary<Buffer>, async (bytes) => {
        await using client = await connect(server.address, {
          connections: 1,
          reconnect: false,
          services: [testService()],
          timeout: 60_000,
        });
        const call = outcome(client.stub(TestService).add({ A: 1 }));
        const { peer } = await server.requests.next();
        await peer.send(bytes).catch(() => {});
        peer.session.destroy();
        expect(await within(call, 'the call to settle')).toMatch(/^[A-Z_]+$|^ok$/);
        expect(pendingOf(client)).toBe(0);
      }),
      { seed: 6, numRuns: 100 },
    );
  });
});

describe('names that every object has', () => {
  const NAMES = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
    '',
  ];
  const Echo = contract('Echo', {
    echo: unary<unknown, unknown>(),
    heard: unary<unknown, unknown>(),
  });
  const echo = implement(Echo, {
    echo: (value) => value,
    heard: (_, { metadata }) => Object.entries(metadata),
  });
  const pollution = (): unknown[] => [
    Object.keys(Object.prototype),
    ({} as { polluted?: unknown }).polluted,
    Object.keys(Function.prototype),
  ];

  test.each(NAMES)('%j as a service or method is UNIMPLEMENTED', async (name) => {
    await using server = await serve(freeMemory(), [echo, testService()]);
    await using peer = await RawPeer.connect(server.address);
    const head = Buffer.from(
      `\x0a${String.fromCharCode(name.length)}${name}\x12${String.fromCharCode(name.length)}${name}\x18\x02`,
      'latin1',
    );
    await peer.send(
      jsonRequest(name, 'echo', 1),
      jsonRequest('Echo', name, 1),
      jsonRequest(name, name, 1),
      jsonRequest('Echo', 'echo', 1, { more: { Version: name } }),
      frameBytes({ codec: PROTOBUF_CODEC, head }),
    );
    const answers = await peer.frames.take(5);
    expect(answers.slice(0, 3).map(({ head: text }) => JSON.parse(`${text}`).Code)).toEqual([
      12, 12, 12,
    ]);
    // A service without a version serves every version.
    expect([answers[3]?.code, answers[4]?.code]).toEqual([0, 1]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('as keys of metadata and of arguments they are data', async () => {
    await using pair = await rig({ services: [echo] });
    await using peer = await RawPeer.connect(pair.server.address);
    const json =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x","hasOwnProperty":"y"}';
    await peer.send(
      frameBytes({
        head: '{"Service":"Echo","Method":"echo","CallType":2,"__proto__":{"polluted":1}}',
        body: json,
      }),
    );
    expect((await peer.frames.next()).body.toString()).toBe(json);
    await peer.send(
      frameBytes({
        head: '{"Service":"Echo","Method":"heard","CallType":2,"Metadata":{"__proto__":"a","constructor":"b","toString":"c","x":{"polluted":1}}}',
      }),
    );
    expect((await peer.frames.next()).body.toString()).toBe(
      '[["__proto__","a"],["constructor","b"],["toString","c"]]',
    );
    const metadata = Object.assign(Object.create(null) as Record<string, string>, {
      ['__proto__']: 'p',
      toString: 't',
    });
    expect(await pair.client.stub(Echo).heard(1, { metadata })).toEqual([
      ['__proto__', 'p'],
      ['toString', 't'],
    ]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('in the metadata of an error they are data', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const call = rejection<RpcError>(client.stub(Echo).echo(1));
    const { sequence, peer } = await server.requests.next();
    peer.session.write(
      frameBytes({
        command: 4,
        code: 1,
        sequence,
        head: '{"Error":"e","Metadata":{"__proto__":"a","polluted":"b"},"__proto__":{"Code":5}}',
      }),
    );
    const { code, metadata } = await call;
    expect([code, Object.entries(metadata)]).toEqual([
      'UNKNOWN',
      [
        ['__proto__', 'a'],
        ['polluted', 'b'],
      ],
    ]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('as methods of a contract they are methods like any other', async () => {
    const Odd = contract('Odd', {
      toString: unary<number, number>(),
      constructor: unary<number, number>(),
      hasOwnProperty: unary<number, number>(),
    });
    const handlers = {
      toString: (n: number) => n + 1,
      constructor: (n: number) => n + 2,
      hasOwnProperty: (n: number) => n + 3,
    };
    await using pair = await rig({ services: [implement(Odd, handlers as never)] });
    const stub = pair.client.stub(Odd) as unknown as Record<string, (n: number) => Promise<number>>;
    expect(
      await Promise.all(
        ['toString', 'constructor', 'hasOwnProperty'].map((name) => stub[name]?.(1)),
      ),
    ).toEqual([2, 3, 4]);
    expect(thrown(() => implement(Odd, {} as never)).code).toBe('BAD_OPTION');
  });
});

test('deep nesting is parsed or refused, and the server lives', async () => {
  const Echo = contract('Echo', { echo: unary<unknown, unknown>() });
  await using pair = await rig({
    services: [implement(Echo, { echo: (value) => value }), testService()],
  });
  await using peer = await RawPeer.connect(pair.server.address);
  const depth = 300_000;
  const head = '{"Service":"Echo","Method":"echo","CallType":2}';
  const deep = (open: string, close: string, times = depth): string =>
    open.repeat(times) + close.repeat(times);
  const bodies = [
    deep('[', ']'),
    deep('{"a":', '}', 150_000).replace(':}', ':1}'),
    '['.repeat(depth),
  ];
  const requests = [
    ...bodies.map((body) => frameBytes({ head, body })),
    ...bodies.map((body) =>
      frameBytes({
        head: head.replace('Echo', 'TestService').replace('echo', 'Add'),
        body: `{"A":${body.slice(0, 1_000_000)}`,
      }),
    ),
    frameBytes({
      head: `{"Service":"Echo","Method":"echo","CallType":2,"Deep":${deep('[', ']', 32_000)}}`,
      body: '1',
    }),
    frameBytes({
      codec: PROTOBUF_CODEC,
      head: Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1'),
      body: Buffer.alloc(depth, 0x7b),
    }),
    frameBytes({ codec: PROTOBUF_CODEC, head: Buffer.alloc(60_000, 0x0b) }),
  ];
  for (const request of requests) {
    await peer.send(request);
    expect((await peer.frames.next()).command).toBe(4);
  }
  expect(await outcome(pair.stub.add({}))).toBe('ok');
  expect(peer.session.closed).toBe(false);
});

describe('a peer that asks and does not read its answers', () => {
  const Big = contract('Big', { now: unary<number, string>(), later: unary<number, string>() });
  const LIMITS = { highWaterMark: 64 * 1024, maxQueuedBytes: 512 * 1024 };
  const REPLY = 10_000;
  const waiting = gate();
  const big = implement(Big, {
    now: () => 'x'.repeat(REPLY),
    later: async () => {
      await waiting.promise;
      return 'x'.repeat(REPLY);
    },
  });
  const ask = (method: string, count: number, from = 0): Buffer =>
    Buffer.concat(
      Array.from({ length: count }, (_, n) =>
        jsonRequest('Big', method, n, { sequence: BigInt(from + n) }),
      ),
    );

  test('is not read any more when answers wait, and is answered in full when it reads again', async () => {
    using watched = watchSessions();
    await using server = await serve(freeMemory(), [big], { session: LIMITS });
    await using peer = await RawPeer.connect(server.address);
    await channelOf(server);
    const session = [...watched.open].find(({ endpoint }) => endpoint.type === 'server');
    peer.session.pause();
    let most = 0;
    for (let round = 0; round < 20; round++) {
      peer.session.write(ask('now', 100, round * 100));
      await turns(3);
      most = Math.max(most, session?.queuedBytes ?? 0);
    }
    // A read brings many requests; what is answered before the pause takes effect is one answer.
    expect(most).toBeGreaterThan(LIMITS.highWaterMark);
    expect(most).toBeLessThan(LIMITS.highWaterMark + 2 * REPLY);
    peer.session.resume();
    const answers = await peer.frames.take(2_000);
    expect(
      answers.filter(
        ({ sequence, body }, index) => sequence !== BigInt(index) || body.length !== REPLY + 2,
      ),
    ).toEqual([]);
  });

  test('is closed when it goes on so', async () => {
    const logger = new Log('the server');
    await using server = await serve(freeMemory(), [big], {
      logger,
      session: { ...LIMITS, idleTimeout: 80 },
    });
    await using peer = await RawPeer.connect(server.address);
    peer.session.pause();
    peer.session.write(ask('now', 1_000));
    await until(() => server.channels.size === 1, 'it is connected');
    await until(() => server.channels.size === 0, 'it is closed');
    expect(logger.codes).toEqual(['IDLE_TIMEOUT']);
  });

  test('is closed when answers that were on their way take more than may be queued', async () => {
    using watched = watchSessions();
    const logger = new Log('the server');
    await using server = await serve(freeMemory(), [big, testService()], {
      logger,
      session: LIMITS,
    });
    await using other = await connect(server.address, { connections: 1, reconnect: false });
    await using peer = await RawPeer.connect(server.address);
    await until(() => server.channels.size === 2, 'both are connected');
    const session = [...watched.open].filter(({ endpoint }) => endpoint.type === 'server').at(-1);
    await peer.send(ask('later', 1_000));
    peer.session.pause();
    waiting.open();
    let most = 0;
    await until(() => {
      most = Math.max(most, session?.queuedBytes ?? 0);
      return server.channels.size === 1;
    }, 'it is closed');
    expect(logger.codes).toEqual(['SESSION_BLOCKED']);
    expect(most).toBeLessThan(LIMITS.maxQueuedBytes + 2 * REPLY);
    expect(await outcome(other.stub(TestService).add({}))).toBe('ok');
  });
});

describe('a wrong option is refused at the call, with what was given and what is allowed', () => {
  const A = contract('A', { x: unary<number, number>(), y: oneway<number>() });
  const service = implement(A, { x: (n) => n, y: () => {} });
  const anything = (value: unknown): never => value as never;

  const BOTH: [string, object, RegExp][] = [
    ['timeout 0', { timeout: 0 }, /^timeout: given 0, expected .*1/],
    ['a negative timeout', { timeout: -5 }, /^timeout: given -5/],
    ['a timeout that is no number', { timeout: Number.NaN }, /^timeout: given NaN/],
    ['a timeout in words', { timeout: '5s' }, /^timeout: given "5s", expected a number/],
    ['a negative heartbeatPeriod', { heartbeatPeriod: -1 }, /^heartbeatPeriod: given -1/],
    [
      'a heartbeatPeriod beyond every timer',
      { heartbeatPeriod: 2 ** 31 },
      /^heartbeatPeriod: given 2147483648, expected .*2147483647/,
    ],
    ['heartbeatTimeout 0', { heartbeatTimeout: 0 }, /^heartbeatTimeout: given 0/],
    ['maxPendingCalls 0', { maxPendingCalls: 0 }, /^maxPendingCalls: given 0/],
    ['a drainTimeout that is no number', { drainTimeout: null }, /^drainTimeout: given null/],
    [
      'an interceptor that is none',
      { interceptors: [{}] },
      /^interceptors: given an object, expected functions/,
    ],
    [
      'interceptors that are no list',
      { interceptors: {} },
      /^interceptors: given an object, expected an array/,
    ],
    [
      'one interceptor instead of a list',
      { interceptors: () => {} },
      /^interceptors: given a function/,
    ],
    ['interceptors null', { interceptors: null }, /^interceptors: given null/],
    [
      'a logger that cannot warn',
      { logger: { info() {} } },
      /^logger: given an object, expected .*warn/,
    ],
    ['a logger null', { logger: null }, /^logger: given null/],
    ['console.log as logger', { logger: () => {} }, /^logger: given a function/],
    ['session null', { session: null }, /^session: given null/],
    ['a session that is no object', { session: 5 }, /^session: given 5/],
    [
      'a wrong option of the session',
      { session: { maxMessageBytes: -1 } },
      /^maxMessageBytes: given -1/,
    ],
    [
      'a wrong compression',
      { session: { compression: 'gzip' } },
      /^compression: given "gzip", expected .*deflate/,
    ],
    ['a wrong idleTimeout', { session: { idleTimeout: 'never' } }, /^idleTimeout: given "never"/],
  ];

  test.each(BOTH)('serve and connect: %s', async (_, options, message) => {
    await using server = await serve(freeMemory(), [service]);
    for (const refused of [
      serve(freeMemory(), [service], options as RpcServerOptions),
      connect(server.address, options as RpcClientOptions),
    ]) {
      const error = await rejection<GettyError>(refused);
      expect(error.code).toBe('BAD_OPTION');
      expect(error.message).toMatch(message);
    }
    expect(server.channels.size).toBe(0);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['options null', () => serve(freeMemory(), [service], anything(null))],
    ['options that are no object', () => connect('memory://nobody', anything(5))],
    ['services that are no list', () => serve(freeMemory(), anything(service))],
    ['no services', () => serve(freeMemory(), anything(undefined))],
    ['a contract instead of a service', () => serve(freeMemory(), [anything(A)])],
    ['a service null', () => serve(freeMemory(), [anything(null)])],
    ['a wrong backlog', () => serve(TCP, [service], { backlog: 0 })],
    [
      'services of a client that are none',
      () => connect('memory://nobody', { services: anything([1]) }),
    ],
    ['services of a client null', () => connect('memory://nobody', { services: anything(null) })],
    ['no connections', () => connect('memory://nobody', { connections: 0 })],
    ['a wrong connectTimeout', () => connect('memory://nobody', { connectTimeout: -1 })],
    ['reconnect in words', () => connect('memory://nobody', { reconnect: anything('always') })],
    ['a wrong delay', () => connect('memory://nobody', { reconnect: { initialDelay: 0 } })],
    ['onReady that is no function', () => connect('memory://nobody', { onReady: anything(5) })],
  ])('%s', async (_, action) => {
    const error = await rejection<GettyError>(action());
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: given .*, expected .+/),
    ]);
  });

  test.each<[string, () => unknown]>([
    ['a contract without a name', () => contract('', { x: unary() })],
    ['a contract of nothing', () => contract(anything(undefined))],
    ['a contract of null', () => contract(anything(null))],
    ['a contract of a message', () => contract(anything(descriptor.methods[0]?.input))],
    ['a contract without methods', () => contract('A', {})],
    ['methods null', () => contract('A', anything(null))],
    ['a method that is none', () => contract('A', { x: anything({ kind: 'stream' }) })],
    ['unary instead of unary()', () => contract('A', { x: anything(unary) })],
    ['a method null', () => contract('A', { x: anything(null) })],
    ['a wrong timeout of a method', () => contract('A', { x: unary({ timeout: -1 }) })],
    ['a version that is no text', () => contract('A', { x: unary() }, { version: anything(1) })],
    ['options null', () => contract('A', { x: unary() }, anything(null))],
    [
      'a version of a descriptor that is no text',
      () => contract(descriptor, { version: anything(1) }),
    ],
    ['a name of a descriptor that is empty', () => contract(descriptor, { name: '' })],
    ['a oneway method that is not there', () => contract(descriptor, { oneway: ['Nothing'] })],
    ['oneway that is no list', () => contract(descriptor, { oneway: anything('Event') })],
    ['options of a descriptor null', () => contract(descriptor, anything(null))],
    ['handlers that are missing', () => implement(A, anything({ x: () => 1 }))],
    ['handlers null', () => implement(A, anything(null))],
    ['a handler that is no function', () => implement(A, anything({ x: 1, y() {} }))],
    ['implement without a contract', () => implement(anything(undefined), {})],
    ['implement of a service', () => implement(anything(service), {})],
  ])('%s', (_, action) => {
    const error = thrown<GettyError>(action);
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: given .*, expected .+/),
    ]);
  });

  test.each<[string, unknown]>([
    ['a timeout of 0', { timeout: 0 }],
    ['a timeout in words', { timeout: '5' }],
    ['a timeout null', { timeout: null }],
    ['metadata that are no object', { metadata: 'x' }],
    ['metadata null', { metadata: null }],
    ['a value that is no text', { metadata: { a: 1 } }],
    ['a signal that is none', { signal: {} }],
    ['a controller instead of its signal', { signal: new AbortController() }],
    ['a signal null', { signal: null }],
    ['options null', null],
    ['options that are a number', 5],
  ])('a call with %s', async (_, options) => {
    await using pair = await rig();
    const error = await rejection<GettyError>(pair.stub.add({}, anything(options)));
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: given .*, expected .+/),
    ]);
    expect(pendingOf(pair.client)).toBe(0);
  });

  test('a stub of no contract, or in a codec that the contract does not have', async () => {
    await using pair = await rig();
    const channel = await channelOf(pair.client);
    for (const side of [pair.client, channel]) {
      expect(thrown<GettyError>(() => side.stub(anything(undefined)))).toMatchObject({
        code: 'BAD_OPTION',
      });
      expect(thrown<GettyError>(() => side.stub(anything(service)))).toMatchObject({
        code: 'BAD_OPTION',
      });
      expect(thrown<GettyError>(() => side.stub(A, { codec: 'protobuf' })).message).toMatch(
        /^codec: given "protobuf", expected .*json/,
      );
      expect(
        thrown<GettyError>(() => side.stub(TestService, { codec: anything('xml') })).message,
      ).toMatch(/^codec: given "xml", expected .*protobuf, json/);
    }
  });
});

test.each([
  '',
  'localhost',
  'localhost:80',
  'http://localhost:80',
  'tcp://',
  'tcp://localhost',
  'tcp://localhost:65536',
  'tcp://localhost:-1',
  'tcp://localhost:x',
  'tcp://a b:1',
  'memory://a:1',
  'TCP://localhost:1',
  undefined,
  null,
  5,
  {},
])('the address %j is refused, with the forms that are allowed', async (address) => {
  for (const action of [serve(address as string, [testService()]), connect(address as string)]) {
    const error = await rejection<GettyError>(action);
    expect(error.code).toBe('BAD_ADDRESS');
    expect(error.message).toContain('tcp://host:port');
  }
});

test('an address that is taken is LISTEN_FAILED', async () => {
  for (const address of [TCP, freeMemory()]) {
    await using server = await serve(address, [testService()]);
    expect(await rejection(serve(server.address, [testService()]))).toMatchObject({
      code: 'LISTEN_FAILED',
    });
  }
});

test('fields that the message does not have are passed over', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  const head = Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1');
  await peer.send(
    jsonRequest('TestService', 'Add', {
      A: 1,
      Z: { deep: [1] },
      B: 2,
      __proto__: null,
      constructor: 1,
    }),
    frameBytes({ codec: PROTOBUF_CODEC, head, body: Buffer.from('080110027a0161', 'hex') }),
  );
  expect(
    (await peer.frames.take(2)).map(({ code, body }) => [code, body.toString('latin1')]),
  ).toEqual([
    [0, '{"Sum":3}'],
    [0, '\b\x03'],
  ]);
});

test('packages that nobody expects are passed over', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  // Answers to nothing, an answer to a heartbeat that was not sent, a heartbeat with a body, calls
  // of an unknown type.
  await peer.send(
    frameBytes({ command: 4, sequence: 5n }),
    frameBytes({ command: 2, sequence: 5n }),
    Buffer.concat([frameBytes({ command: 1, packageLength: 3 }), Buffer.from('abc')]),
  );
  expect((await peer.frames.next()).packageLength).toBe(0);
  for (const callType of ['CT_UNKNOWN', 'CT_Bogus', '']) {
    await peer.send(jsonRequest('TestService', 'Add', { A: 1, B: 1 }, { callType }));
    expect((await peer.frames.next()).body.toString()).toBe('{"Sum":2}');
  }
  await peer.send(recordedFrames(0, 'client-to-server')[1] as Buffer);
  expect((await peer.frames.next()).code).toBe(0);
});
