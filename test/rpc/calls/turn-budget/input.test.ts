/** The messages that a peer sends at once are handled in many turns of the event loop. */
import { describe, expect, test, vi } from 'vitest';
import {
  clientStream,
  contract,
  implement,
  serve,
  serverStream,
  unary,
} from '../../../../src/rpc/index.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { RawPeer } from '../../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress } from '../../../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../../../fixtures/rpc-frames.js';
import { until } from '../../../fixtures/waiting.js';
import { expectShortTurns, Feed, feed, LIMIT, manyRequests, mostPerTurn } from './turn-budget.js';

noLeaks();

describe('an endpoint divides into many turns', () => {
  test(
    'the requests of one chunk',
    async () => {
      await using server = await serve(freeMemoryAddress(), [feed], {
        session: { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 },
      });
      await using peer = await RawPeer.connect(server.address, { maxQueuedBytes: 2 ** 30 });
      const count = 30_000;
      const bytes = manyRequests(count, 'double', 21);
      const served = (): number => server.statistics().served[0]?.succeeded ?? 0;
      await expectShortTurns(async () => {
        peer.session.writeBytes(bytes);
        await until(() => served() === count, 'all requests are served', LIMIT);
      });
    },
    2 * LIMIT,
  );

  // A handler goes on in promise callbacks, whose time is not measured.
  test.each(['once', 'list'])(
    'the starts of asynchronous handlers of %s, however little time they take',
    async (method) => {
      const Async = contract('Feed', {
        once: unary<number, number>(),
        list: serverStream<number, number>(),
      });
      let started = 0;
      const handlers = implement(Async, {
        async once(n) {
          started++;
          return n;
        },
        async *list(n) {
          started++;
          yield n;
        },
      });
      await using server = await serve(freeMemoryAddress(), [handlers], { maxStreams: 20_000 });
      await using peer = await RawPeer.connect(server.address, { maxQueuedBytes: 2 ** 30 });
      const count = 10_000;
      const bytes = manyRequests(count, method, 21);
      const time = performance.now();
      vi.spyOn(performance, 'now').mockReturnValue(time);
      try {
        const most = await mostPerTurn(
          () => started,
          async () => {
            peer.session.writeBytes(bytes);
            await until(() => started === count, 'all handlers have started', LIMIT);
          },
        );
        expect(most).toBeLessThan(1_100);
      } finally {
        vi.restoreAllMocks();
      }
    },
    2 * LIMIT,
  );

  test(
    'streams of replies that begin at once, over one session and over many',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 };
      for (const sessions of [1, 20]) {
        await using server = await serve(freeMemoryAddress(), [feed], {
          maxStreams: 10_000,
          session,
        });
        const peers = await Promise.all(
          Array.from({ length: sessions }, () => RawPeer.connect(server.address, session)),
        );
        const count = 4_000 / sessions;
        const bytes = manyRequests(count, 'list', 200);
        // Paused peers do not add the work of receiving.
        for (const peer of peers) peer.session.pause();
        const served = (): number => server.statistics().served[0]?.succeeded ?? 0;
        try {
          await expectShortTurns(async () => {
            for (const peer of peers) peer.session.writeBytes(bytes);
            await until(() => served() === sessions * count, 'all streams have ended', LIMIT);
          });
        } finally {
          for (const peer of peers) await peer[Symbol.asyncDispose]();
        }
      }
    },
    2 * LIMIT,
  );

  test(
    'the small messages of a large window that are read at once',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30, maxMessageBytes: 2 ** 26 };
      const count = 300_000;
      let read = 0;
      let areReceived = false;
      const Slow = contract('Feed', { sum: clientStream<number, number>() });
      const slow = implement(Slow, {
        async sum(numbers) {
          await until(() => areReceived, 'all messages have been received', LIMIT);
          for await (const n of numbers) read += n;
          return 0;
        },
      });
      await using server = await serve(freeMemoryAddress(), [slow], {
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
      // Frames are handled in order: the answer to a later heartbeat shows that all were received.
      peer.session.writeBytes(frameBytes({ command: 1, sequence: 5n, serviceId: 1 }));
      await until(
        () => peer.frames.all.some(({ command }) => command === 2),
        'the heartbeat is answered',
        LIMIT,
      );
      await expectShortTurns(async () => {
        areReceived = true;
        await until(() => read === count, 'all messages are read', LIMIT);
      });
    },
    2 * LIMIT,
  );

  test(
    'the large messages of many streams that are read at once',
    async () => {
      const session = { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30 };
      const streams = 300;
      let read = 0;
      let areReceived = false;
      const Slow = contract('Feed', { sum: clientStream<number[], number>() });
      const slow = implement(Slow, {
        async sum(items) {
          await until(() => areReceived, 'all messages have been received', LIMIT);
          for await (const _ of items) read++;
          return 0;
        },
      });
      await using server = await serve(freeMemoryAddress(), [slow], { session });
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
        LIMIT,
      );
      const most = await mostPerTurn(
        () => read,
        async () => {
          areReceived = true;
          await until(() => read === streams, 'all messages are read', LIMIT);
        },
      );
      // Each message takes 0.3 ms or more. Up to 64 waiting continuations run in one turn.
      expect(most).toBeLessThan(64);
    },
    2 * LIMIT,
  );

  test(
    'the messages of a client stream to a server in the same process',
    async () => {
      await using server = await serve(freeMemoryAddress(), [feed]);
      await using client = await connectOnce(server.address);
      const count = 50_000;
      await expectShortTurns(async () => {
        expect(await client.stub(Feed).sum(Array<number>(count).fill(1), { timeout: LIMIT })).toBe(
          count,
        );
      });
    },
    2 * LIMIT,
  );
});
