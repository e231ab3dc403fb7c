/** One peer does not take the event loop: what it sends at once is handled in many turns. */
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { followSignal } from '../../../src/core/signals.js';
import { LongTimer } from '../../../src/core/timers.js';
import { settleInTurns } from '../../../src/core/turn.js';
import {
  type CallOptions,
  clientStream,
  concurrencyLimit,
  connect,
  contract,
  implement,
  type RpcClientOptions,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { chunksOf, STREAM_IDENTIFIER } from '../../../src/transport/compression/snappy-format.js';
import {
  type Codec,
  connect as dial,
  lines,
  serve as listen,
  raw,
  type Session,
  type SessionOptions,
  type SessionSetup,
} from '../../../src/transport/index.js';
import { clientCall } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemory, RawPeer } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../../fixtures/rpc-frames.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

const PATIENCE = 60_000;
/** Milliseconds of CPU. */
const LONGEST_TURN = 50;

/**
 * Watches how much CPU each turn of the event loop takes while `attack` is under way, and that none
 * takes a large part of the whole.
 */
async function expectShortTurns(attack: () => Promise<unknown>): Promise<void> {
  let longest = 0;
  let total = 0;
  let isOver = false;
  let before = process.cpuUsage();
  const watch = (): void => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    longest = Math.max(longest, (user + system) / 1_000);
    total += (user + system) / 1_000;
    if (!isOver) setImmediate(watch);
  };
  watch();
  try {
    await attack();
  } finally {
    isOver = true;
  }
  // So much work that one turn would be seen, also on a machine on which each of them takes longer.
  expect(total).toBeGreaterThan(1.5 * LONGEST_TURN);
  // The CPU of the collector's threads counts too, so a turn may look longer than it is; undivided
  // work would be one turn of nearly the whole.
  expect(longest).toBeLessThan(Math.max(1.5 * LONGEST_TURN, total / 2));
}

/** Holds the event loop for `ms` milliseconds. */
function work(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** How much `count` grows in one turn of the event loop at most, while `attack` is under way. */
async function mostPerTurn(count: () => number, attack: () => Promise<unknown>): Promise<number> {
  let most = 0;
  let isOver = false;
  let before = count();
  const watch = (): void => {
    most = Math.max(most, count() - before);
    before = count();
    if (!isOver) setImmediate(watch);
  };
  watch();
  try {
    await attack();
  } finally {
    isOver = true;
  }
  return Math.max(most, count() - before);
}

const Feed = contract('Feed', {
  double: unary<number, number>(),
  list: serverStream<number, string>(),
  sum: clientStream<number, number>(),
});

const feed = implement(Feed, {
  double: (n) => 2 * n,
  *list(count) {
    for (let i = 0; i < count; i++) yield 'a message';
  },
  async sum(numbers) {
    let sum = 0;
    for await (const n of numbers) sum += n;
    return sum;
  },
});

const manyRequests = (count: number, method: string, argument: unknown): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) =>
      jsonRequest('Feed', method, argument, { sequence: BigInt(2 * i + 3), serviceId: 1 }),
    ),
  );

describe('rpc', () => {
  test(
    'many requests in one chunk',
    async () => {
      await using server = await serve(freeMemory(), [feed], {
        session: { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 },
      });
      await using peer = await RawPeer.connect(server.address, { maxQueuedBytes: 2 ** 30 });
      const count = 30_000;
      const bytes = manyRequests(count, 'double', 21);
      const served = (): number => server.statistics().served[0]?.succeeded ?? 0;
      await expectShortTurns(async () => {
        peer.session.writeBytes(bytes);
        await until(() => served() === count, 'all requests are served', PATIENCE);
      });
    },
    2 * PATIENCE,
  );

  test(
    'many streams of replies at once, over one session and over many',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 };
      for (const sessions of [1, 20]) {
        await using server = await serve(freeMemory(), [feed], { maxStreams: 10_000, session });
        const peers = await Promise.all(
          Array.from({ length: sessions }, () => RawPeer.connect(server.address, session)),
        );
        const count = 4_000 / sessions;
        const bytes = manyRequests(count, 'list', 200);
        // What the peers receive would be work too.
        for (const peer of peers) peer.session.pause();
        const served = (): number => server.statistics().served[0]?.succeeded ?? 0;
        try {
          await expectShortTurns(async () => {
            for (const peer of peers) peer.session.writeBytes(bytes);
            await until(() => served() === sessions * count, 'all streams have ended', PATIENCE);
          });
        } finally {
          for (const peer of peers) await peer[Symbol.asyncDispose]();
        }
      }
    },
    2 * PATIENCE,
  );

  test(
    'a large window of small messages that is read at once',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30, maxMessageBytes: 2 ** 26 };
      const count = 800_000;
      let read = 0;
      let come = false;
      const Slow = contract('Feed', { sum: clientStream<number, number>() });
      const slow = implement(Slow, {
        async sum(numbers) {
          await until(() => come, 'all have come', PATIENCE);
          for await (const n of numbers) read += n;
          return 0;
        },
      });
      await using server = await serve(freeMemory(), [slow], {
        streamWindow: 2 ** 30,
        maxStreamBytes: 2 ** 30,
        session,
      });
      await using peer = await RawPeer.connect(server.address, session);
      peer.session.writeBytes(
        jsonRequest('Feed', 'sum', undefined, { sequence: 3n, serviceId: 1 }),
      );
      peer.session.writeBytes(
        Buffer.concat(
          Array.from({ length: count }, () =>
            frameBytes({ command: 5, sequence: 3n, serviceId: 1, body: '1' }),
          ),
        ),
      );
      peer.session.writeBytes(frameBytes({ command: 6, sequence: 3n, serviceId: 1 }));
      // An answer to what is sent behind them says that all have been received.
      peer.session.writeBytes(frameBytes({ command: 1, sequence: 5n, serviceId: 1 }));
      await until(
        () => peer.frames.all.some(({ command }) => command === 2),
        'the heartbeat is answered',
        PATIENCE,
      );
      await expectShortTurns(async () => {
        come = true;
        await until(() => read === count, 'all are read', PATIENCE);
      });
    },
    2 * PATIENCE,
  );

  test(
    'large messages of many streams that are read at once',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 };
      const streams = 300;
      let read = 0;
      let come = false;
      const Slow = contract('Feed', { sum: clientStream<number[], number>() });
      const slow = implement(Slow, {
        async sum(items) {
          await until(() => come, 'all have come', PATIENCE);
          for await (const _ of items) read++;
          return 0;
        },
      });
      await using server = await serve(freeMemory(), [slow], { session });
      await using peer = await RawPeer.connect(server.address, session);
      const body = `[${Array(30_000).fill(1).join()}]`;
      for (let n = 0; n < streams; n++) {
        const sequence = BigInt(2 * n + 3);
        peer.session.writeBytes(jsonRequest('Feed', 'sum', undefined, { sequence, serviceId: 1 }));
        peer.session.writeBytes(frameBytes({ command: 5, sequence, serviceId: 1, body }));
        peer.session.writeBytes(frameBytes({ command: 6, sequence, serviceId: 1 }));
      }
      peer.session.writeBytes(frameBytes({ command: 1, sequence: 1n, serviceId: 1 }));
      await until(
        () => peer.frames.all.some(({ command }) => command === 2),
        'the heartbeat is answered',
        PATIENCE,
      );
      const most = await mostPerTurn(
        () => read,
        async () => {
          come = true;
          await until(() => read === streams, 'all are read', PATIENCE);
        },
      );
      // Each is 0.3 ms of work or more. As many as 64 that wait for a turn go on in it.
      expect(most).toBeLessThan(64);
    },
    2 * PATIENCE,
  );

  test(
    'a client that sends what it has, to a server in the same process',
    async () => {
      await using server = await serve(freeMemory(), [feed]);
      await using client = await connect(server.address, { connections: 1, reconnect: false });
      const count = 50_000;
      await expectShortTurns(async () => {
        expect(
          await client.stub(Feed).sum(Array<number>(count).fill(1), { timeout: PATIENCE }),
        ).toBe(count);
      });
    },
    2 * PATIENCE,
  );

  test(
    'the end of a session with many calls under way',
    async () => {
      let aborted = 0;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const wait = implement(Wait, {
        double: (_, { signal }) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(++aborted))),
      });
      const count = 100_000;
      await using server = await serve(freeMemory(), [wait], {
        maxPendingCalls: count,
        session: { maxHandling: count },
      });
      await using peer = await RawPeer.connect(server.address, { maxQueuedBytes: 2 ** 30 });
      peer.session.writeBytes(manyRequests(count, 'double', 1));
      await until(
        () => [...server.channels].some(({ serving }) => serving === count),
        'all are under way',
        PATIENCE,
      );
      await expectShortTurns(async () => {
        peer.session.destroy();
        await until(() => aborted === count, 'all are aborted', PATIENCE);
      });
    },
    2 * PATIENCE,
  );

  test(
    'deadlines that fall together',
    async () => {
      const count = 500;
      let aborted = 0;
      let waiting = 0;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const wait = implement(Wait, {
        double: (_, { signal }) => {
          waiting++;
          return new Promise((resolve) =>
            signal.addEventListener('abort', () => {
              work(1);
              resolve(++aborted);
            }),
          );
        },
      });
      await using server = await serve(freeMemory(), [wait]);
      await using peer = await RawPeer.connect(server.address);
      const requests = Array.from({ length: count }, (_, i) =>
        jsonRequest('Feed', 'double', 1, {
          sequence: BigInt(2 * i + 3),
          serviceId: 1,
          more: { Timeout: 2_000 },
        }),
      );
      const most = await mostPerTurn(
        () => aborted,
        async () => {
          peer.session.writeBytes(Buffer.concat(requests));
          await until(() => waiting === count, 'all are under way', PATIENCE);
          await until(() => aborted === count, 'all are aborted', PATIENCE);
        },
      );
      expect(most).toBeLessThan(count / 2);
    },
    2 * PATIENCE,
  );

  describe('many waits that end together', () => {
    const count = 20_000;
    const big = {
      maxPendingCalls: count + 1,
      session: { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30, maxHandling: count + 1 },
    };
    const Wait = contract('Feed', { double: unary<number, number>() });

    test.each<
      [string, (signal: AbortSignal) => { options?: RpcClientOptions; call?: CallOptions }]
    >([
      ['calls that follow one signal', (signal) => ({ call: { signal } })],
      [
        'calls that follow one signal in the queue of concurrencyLimit()',
        (signal) => ({
          call: { signal },
          options: {
            interceptors: [
              concurrencyLimit({ limit: 1, queue: count, queueTimeout: 2 * PATIENCE }),
            ],
          },
        }),
      ],
    ])(
      '%s',
      async (_, optionsFor) => {
        const abort = new AbortController();
        const { options, call } = optionsFor(abort.signal);
        let began = 0;
        const wait = implement(Wait, { double: () => new Promise(() => began++) });
        await using server = await serve(freeMemory(), [wait], big);
        await using client = await connect(server.address, {
          connections: 1,
          reconnect: false,
          ...big,
          ...options,
        });
        const stub = client.stub(Wait);
        let failed = 0;
        for (let n = 0; n < count; n++)
          stub.double(n, { timeout: 2 * PATIENCE, ...call }).catch(() => failed++);
        await until(
          () => began === (options === undefined ? count : 1),
          'the calls are under way',
          PATIENCE,
        );
        const most = await mostPerTurn(
          () => failed,
          async () => {
            abort.abort();
            await until(() => failed === count, 'all have failed', PATIENCE);
          },
        );
        expect(most).toBeLessThan(count / 4);
        client.destroy();
        server.destroy();
      },
      2 * PATIENCE,
    );

    test(
      'calls that wait for the place of one in concurrencyLimit()',
      async () => {
        const few = 300;
        let ended = 0;
        const limit = concurrencyLimit({ limit: 1, queue: few, queueTimeout: PATIENCE });
        let release!: () => void;
        const first = new Promise<void>((resolve) => {
          release = resolve;
        });
        let calls = 0;
        const invoke = limit(async () => {
          if (calls++ === 0) return first;
          work(1);
          return undefined;
        });
        for (let n = 0; n < few; n++) void invoke(clientCall()).then(() => ended++);
        const most = await mostPerTurn(
          () => ended,
          async () => {
            release();
            await until(() => ended === few, 'all have ended', PATIENCE);
          },
        );
        expect(most).toBeLessThan(few / 2);
      },
      2 * PATIENCE,
    );

    test('timers that end together', async () => {
      const few = 500;
      let ended = 0;
      const timers: LongTimer[] = [];
      for (let n = 0; n < few; n++) {
        timers.push(
          new LongTimer(() => {
            work(1);
            ended++;
            // It mostly waits for its turn by now.
            if (ended === few / 2) timers.at(-1)?.cancel();
          }, 20),
        );
      }
      const most = await mostPerTurn(
        () => ended,
        () => until(() => ended === few - 1, 'all have ended', PATIENCE),
      );
      expect(most).toBeLessThan(few / 4);
    });

    test(
      'calls that wait for one promise',
      async () => {
        let settled = 0;
        const promise = new Promise<number>((resolve) => setImmediate(resolve, 7));
        for (let n = 0; n < count; n++)
          void settleInTurns(promise).then((value) => (settled += value));
        const failing = Promise.reject(new Error('lost'));
        const failures = settleInTurns(failing);
        await expect(failures).rejects.toThrow('lost');
        const most = await mostPerTurn(
          () => settled / 7,
          () => until(() => settled === 7 * count, 'all have settled', PATIENCE),
        );
        expect(most).toBeLessThan(count / 4);
        expect(await settleInTurns(promise)).toBe(7);
      },
      2 * PATIENCE,
    );

    test('a follower that is removed before its turn is not called', async () => {
      const abort = new AbortController();
      let called = 0;
      const releases = Array.from({ length: count }, () =>
        followSignal(abort.signal, () => called++),
      );
      abort.abort();
      const before = called;
      for (const release of releases) release();
      await new Promise((resolve) => setImmediate(resolve));
      expect(before).toBeLessThan(count);
      expect(called).toBe(before);
    });
  });

  test(
    'the end of many sessions with a few calls each',
    async () => {
      let aborted = 0;
      let waiting = 0;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const wait = implement(Wait, {
        double: (_, { signal }) => {
          waiting++;
          return new Promise((resolve) =>
            signal.addEventListener('abort', () => resolve(++aborted)),
          );
        },
      });
      const sessions = 1_500;
      const count = 50;
      await using server = await serve(freeMemory(), [wait]);
      const peers: RawPeer[] = [];
      for (let n = 0; n < sessions; n++) {
        const peer = await RawPeer.connect(server.address);
        peer.session.writeBytes(manyRequests(count, 'double', 1));
        peers.push(peer);
      }
      await until(() => waiting === sessions * count, 'all are under way', PATIENCE);
      const most = await mostPerTurn(
        () => aborted,
        async () => {
          for (const peer of peers) peer.session.destroy();
          await until(() => aborted === sessions * count, 'all are aborted', PATIENCE);
        },
      );
      expect(most).toBeLessThan((sessions * count) / 2);
      for (const peer of peers) await peer[Symbol.asyncDispose]();
    },
    2 * PATIENCE,
  );

  test(
    'the end of a session with many calls that wait for answers',
    async () => {
      const count = 100_000;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const hold: ((n: number) => void)[] = [];
      const wait = implement(Wait, { double: () => new Promise((resolve) => hold.push(resolve)) });
      const session = { maxQueuedBytes: 2 ** 30, maxHandling: count };
      await using server = await serve(freeMemory(), [wait], { maxPendingCalls: count, session });
      await using client = await connect(server.address, {
        connections: 1,
        reconnect: false,
        maxPendingCalls: count,
        session,
      });
      const stub = client.stub(Wait);
      let failed = 0;
      for (let n = 0; n < count; n++) {
        stub.double(n, { timeout: PATIENCE }).catch(() => failed++);
        if (n % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => hold.length === count, 'all are under way', PATIENCE);
      const most = await mostPerTurn(
        () => failed,
        async () => {
          server.destroy();
          await until(() => failed === count, 'all have failed', PATIENCE);
        },
      );
      expect(most).toBeLessThan(count / 2);
    },
    2 * PATIENCE,
  );
});

/** A server, and the session of a client that has connected to it. `over` ends both. */
async function pair<In>(
  address: string,
  setup: SessionSetup<In>,
): Promise<{ session: Session<Buffer, Uint8Array>; over(): Promise<unknown> }> {
  const server = await listen(address, setup);
  const client = await dial(
    server.address,
    { codec: raw(), listener: { onMessage() {} }, maxQueuedBytes: 2 ** 30 },
    { reconnect: false },
  );
  return {
    session: await client.session(),
    over: () => {
      client.destroy();
      server.destroy();
      return Promise.all([client.close(), server.close()]);
    },
  };
}

describe('the transport', () => {
  const count = 1_500_000;
  const newlines = Buffer.alloc(count, '\n');

  test.each<[string, SessionOptions, () => Buffer]>([
    ['plain', {}, () => newlines],
    [
      'inflated by DEFLATE',
      { compression: 'deflate' },
      () => deflateRawSync(newlines, { finishFlush: constants.Z_SYNC_FLUSH }),
    ],
    [
      'inflated by snappy',
      { compression: 'snappy' },
      () => Buffer.concat([STREAM_IDENTIFIER, ...chunksOf(newlines)]),
    ],
  ])(
    'many small messages in one chunk, %s',
    async (_, options, bytes) => {
      let received = 0;
      const listener = { onMessage: () => void received++ };
      const { session, over } = await pair(freeMemory(), { ...options, codec: lines(), listener });
      const chunk = bytes();
      await expectShortTurns(async () => {
        session.writeBytes(chunk);
        await until(() => received === count, 'all have come', PATIENCE);
      });
      await over();
    },
    2 * PATIENCE,
  );

  test(
    'many small messages over WebSocket',
    async () => {
      let received = 0;
      const { session, over } = await pair('ws://127.0.0.1:0', {
        codec: raw(),
        listener: { onMessage: () => void received++ },
      });
      const sent = 200_000;
      await expectShortTurns(async () => {
        for (let i = 0; i < sent; i += 100) {
          for (let n = 0; n < 100; n++) session.writeBytes(Buffer.of(1));
          if (i % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await until(() => received === sent, 'all have come', PATIENCE);
      });
      await over();
    },
    2 * PATIENCE,
  );

  test(
    'small messages with large answers',
    async () => {
      const count = 200;
      let answered = 0;
      const answer = Buffer.alloc(64 * 1024);
      const onMessage = (session: Session<string>): void => {
        work(1);
        session.writeBytes(answer);
        answered++;
      };
      const { session, over } = await pair(freeMemory(), {
        codec: lines(),
        listener: { onMessage },
        maxQueuedBytes: 2 ** 30,
      });
      const most = await mostPerTurn(
        () => answered,
        async () => {
          session.writeBytes(Buffer.alloc(count, '\n'));
          await until(() => answered === count, 'all are answered', PATIENCE);
        },
      );
      expect(most).toBeLessThan(count / 4);
      await over();
    },
    2 * PATIENCE,
  );

  test(
    'messages of some KiB that take long to decode',
    async () => {
      const count = 100;
      const size = 4_096;
      let received = 0;
      const slow: Codec<Buffer> = {
        ...raw(),
        read(input) {
          if (input.length < size) return undefined;
          work(2);
          return input.take(size) as Buffer;
        },
      };
      const { session, over } = await pair(freeMemory(), {
        codec: slow,
        listener: { onMessage: () => void received++ },
      });
      const most = await mostPerTurn(
        () => received,
        async () => {
          session.writeBytes(Buffer.alloc(count * size));
          await until(() => received === count, 'all have come', PATIENCE);
        },
      );
      // 10 ms of work, and the message that passes them.
      expect(most).toBeLessThan(12);
      await over();
    },
    2 * PATIENCE,
  );
});
