/** Calls that end together end in many turns of the event loop. */
import { describe, expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../../../src/rpc/index.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { RawPeer } from '../../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress } from '../../../fixtures/rpc.js';
import { jsonRequest } from '../../../fixtures/rpc-frames.js';
import { until } from '../../../fixtures/waiting.js';
import { block, expectShortTurns, LIMIT, manyRequests, mostPerTurn } from './turn-budget.js';

noLeaks();

describe('an endpoint divides into many turns', () => {
  test(
    'answers that turn out to be too large',
    async () => {
      const item = { name: 'an item of a list', count: 1 };
      const list = Array.from({ length: 40_000 }, () => item);
      let encoded = 0;
      const answer = { toJSON: () => [list, encoded++] };
      const Lists = contract('Feed', { double: unary<number, unknown>() });
      for (const double of [() => answer, async () => answer]) {
        encoded = 0;
        await using server = await serve(freeMemoryAddress(), [implement(Lists, { double })]);
        await using peer = await RawPeer.connect(server.address);
        const count = 60;
        const most = await mostPerTurn(
          () => encoded,
          async () => {
            peer.session.writeBytes(manyRequests(count, 'double', 1));
            await until(() => encoded === count, 'all answers are encoded', LIMIT);
          },
        );
        // One encoding takes some milliseconds, and a turn has 10.
        expect(most).toBeLessThan(count / 4);
      }
    },
    2 * LIMIT,
  );

  test(
    'the aborts of the handlers of a lost session',
    async () => {
      let aborted = 0;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const wait = implement(Wait, {
        double: (_, { signal }) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(++aborted))),
      });
      const count = 30_000;
      await using server = await serve(freeMemoryAddress(), [wait], {
        maxPendingCalls: count,
        session: { maxHandling: count },
      });
      await using peer = await RawPeer.connect(server.address, { maxQueuedBytes: 2 ** 30 });
      peer.session.writeBytes(manyRequests(count, 'double', 1));
      await until(
        () => [...server.channels].some(({ serving }) => serving === count),
        'all calls are under way',
        LIMIT,
      );
      await expectShortTurns(async () => {
        peer.session.destroy();
        await until(() => aborted === count, 'all handlers are aborted', LIMIT);
      });
    },
    2 * LIMIT,
  );

  test(
    'deadlines that pass together',
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
              block(1);
              resolve(++aborted);
            }),
          );
        },
      });
      await using server = await serve(freeMemoryAddress(), [wait]);
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
          await until(() => waiting === count, 'all calls are under way', LIMIT);
          await until(() => aborted === count, 'all handlers are aborted', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
    },
    2 * LIMIT,
  );

  test(
    'the aborts of the handlers of many lost sessions with a few calls each',
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
      const sessions = 500;
      const count = 50;
      await using server = await serve(freeMemoryAddress(), [wait]);
      const peers: RawPeer[] = [];
      for (let n = 0; n < sessions; n++) {
        const peer = await RawPeer.connect(server.address);
        peer.session.writeBytes(manyRequests(count, 'double', 1));
        peers.push(peer);
      }
      await until(() => waiting === sessions * count, 'all calls are under way', LIMIT);
      const most = await mostPerTurn(
        () => aborted,
        async () => {
          for (const peer of peers) peer.session.destroy();
          await until(() => aborted === sessions * count, 'all handlers are aborted', LIMIT);
        },
      );
      expect(most).toBeLessThan((sessions * count) / 2);
      for (const peer of peers) await peer[Symbol.asyncDispose]();
    },
    2 * LIMIT,
  );

  test(
    'the failures of the calls of a lost session',
    async () => {
      const count = 30_000;
      const Wait = contract('Feed', { double: unary<number, number>() });
      const hold: ((n: number) => void)[] = [];
      const wait = implement(Wait, { double: () => new Promise((resolve) => hold.push(resolve)) });
      const session = { maxQueuedBytes: 2 ** 30, maxHandling: count };
      await using server = await serve(freeMemoryAddress(), [wait], {
        maxPendingCalls: count,
        session,
      });
      await using client = await connectOnce(server.address, { maxPendingCalls: count, session });
      const stub = client.stub(Wait);
      let failed = 0;
      for (let n = 0; n < count; n++) {
        stub.double(n, { timeout: LIMIT }).catch(() => failed++);
        if (n % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => hold.length === count, 'all calls are under way', LIMIT);
      const most = await mostPerTurn(
        () => failed,
        async () => {
          server.destroy();
          await until(() => failed === count, 'all calls have failed', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
    },
    2 * LIMIT,
  );
});
