/** The context of a handler: deadline, signal, and copies by with(). */

import { describe, expect, test } from 'vitest';
import {
  type Call,
  type CallContext,
  type Interceptor,
  RPC_DEFAULTS,
  type RpcError,
} from '../../../src/rpc/index.js';
import type { Session } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { channelOf, LONG_TIMEOUT, outcome, rig } from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';

/** Milliseconds; on a busy machine, long enough for a call to reach its handler. */
const TIMEOUT = 250;

/** Adds the reason of the abort of `signal` to `reasons`. */
function recordAbort(signal: AbortSignal, reasons: Inbox<RpcError>): void {
  signal.addEventListener('abort', () => reasons.push(signal.reason), { once: true });
}

testInEveryEnvironment({
  async 'a handler gets the deadline of the call, and its signal aborts when the deadline passes'(
    environment,
  ) {
    const seen: CallContext[] = [];
    const aborted = new Inbox<RpcError>('an abort');
    await using pair = await environment.rig({
      handlers: {
        test(_, context) {
          seen.push(context);
          recordAbort(context.signal, aborted);
          return new Promise((_resolve, reject) =>
            context.signal.addEventListener('abort', () => reject(context.signal.reason)),
          );
        },
        add(_, context) {
          seen.push(context);
          return { Sum: 0 };
        },
      },
    });
    // With compression the first call waits until the peer is known. Then it has less time left.
    const channel = await channelOf(pair.client);
    await until(() => channel.extended === true, 'the server has answered');
    const before = performance.now();
    expect(await outcome(pair.stub.test({}, { timeout: TIMEOUT }))).toBe('DEADLINE_EXCEEDED');
    expect((await aborted.next()).code).toBe('DEADLINE_EXCEEDED');
    // It may be less than TIMEOUT: time passes between the call and the write of its request.
    expect(seen[0]?.timeout).toBeGreaterThan(0);
    expect(seen[0]?.timeout).toBeLessThanOrEqual(TIMEOUT);
    expect(seen[0]?.deadline).toBeGreaterThanOrEqual(before + TIMEOUT - 1);
    expect(seen[0]?.deadline).toBeLessThan(performance.now() + TIMEOUT);
    await pair.stub.add({}, { timeout: Number.POSITIVE_INFINITY });
    await pair.stub.add({}, { timeout: 1.2 * 1_000 + 0.5 });
    const [, unlimited, rounded] = seen;
    expect([unlimited?.timeout, unlimited?.deadline]).toEqual([undefined, undefined]);
    expect(rounded).toMatchObject({ timeout: expect.any(Number), deadline: expect.any(Number) });
    expect(Number.isInteger(rounded?.timeout)).toBe(true);
    expect(rounded?.timeout).toBeLessThanOrEqual(1_201);
  },

  async 'the signal of a handler aborts when the session is lost'(environment) {
    const [arrived, aborted] = [gate(), new Inbox<RpcError>('an abort')];
    await using pair = await environment.rig({
      handlers: {
        test(_, { signal }) {
          recordAbort(signal, aborted);
          arrived.open();
          return new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason)),
          );
        },
      },
    });
    const call = outcome(pair.stub.test({}, { timeout: LONG_TIMEOUT }));
    await arrived.promise;
    for (const channel of pair.client.channels)
      (channel as unknown as { session: Session<never, never> }).session.destroy();
    expect((await aborted.next()).code).toBe('CANCELLED');
    expect(await call).toBe('UNAVAILABLE');
  },
});

describe('the context of a handler', () => {
  noLeaks();

  test('a signal that is created after the answer does not abort and starts no timer', async () => {
    const kept: CallContext[] = [];
    await using pair = await rig({
      handlers: {
        add(_, context) {
          kept.push(context);
          return { Sum: 0 };
        },
      },
    });
    await pair.stub.add({}, { timeout: LONG_TIMEOUT });
    // noLeaks() fails when a timer is left.
    expect(kept[0]?.signal.aborted).toBe(false);
    await pair.client.close();
    await until(() => pair.server.channels.size === 0, 'the session is over');
    expect(kept[0]?.signal.aborted).toBe(false);
  });

  test('the channel keeps no context after the answer, also when its signal was created', async () => {
    await using pair = await rig({
      handlers: {
        add: (_, { signal }) => ({ Sum: signal.aborted ? 1 : 0 }),
        err: async (_, { signal }) => Promise.reject(signal.reason ?? new Error('no')),
      },
    });
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        outcome(n % 2 === 0 ? pair.stub.add({}) : pair.stub.err({})),
      ),
    );
    expect((await channelOf(pair.server)).serving).toBe(0);
  });

  test('a signal that is created after the loss of the session has aborted', async () => {
    const [arrived, waiting] = [gate<CallContext>(), gate<{ A: string }>()];
    await using pair = await rig({
      handlers: {
        test(_, context) {
          arrived.open(context);
          return waiting.promise;
        },
      },
    });
    const call = outcome(pair.stub.test({}));
    const context = await arrived.promise;
    pair.client.destroy();
    await until(() => pair.server.channels.size === 0, 'the session is over');
    expect(context.signal.reason).toMatchObject({ code: 'CANCELLED' });
    waiting.open({ A: '' });
    expect(await call).toBe('UNAVAILABLE');
  });

  test('with() changes the given properties only, also when it is called again', async () => {
    const seen: Call[] = [];
    const changing: Interceptor = (next) => (call) => {
      const copy = call.with({ timeout: undefined, metadata: undefined, signal: undefined });
      const other = copy
        .with({ timeout: 17.2, metadata: { x: 'y' } })
        .with({ input: undefined })
        .with({});
      seen.push(call, copy, other);
      return next(call);
    };
    for (const side of ['client', 'server'] as const) {
      seen.length = 0;
      await using pair = await rig({ [side]: { interceptors: [changing] } });
      await pair.stub.add({ A: 1 }, { metadata: { a: 'b' } });
      const fieldsOf = ({ input, timeout, metadata, method, codec }: Call) => [
        (input as { A: number } | undefined)?.A,
        timeout,
        { ...metadata },
        method.name,
        codec,
      ];
      expect(seen.map(fieldsOf)).toEqual([
        [1, RPC_DEFAULTS.timeout, { a: 'b' }, 'Add', 'json'],
        [1, RPC_DEFAULTS.timeout, { a: 'b' }, 'Add', 'json'],
        [undefined, 18, { x: 'y' }, 'Add', 'json'],
      ]);
      if (side === 'server')
        expect(
          seen.map((call) => [(call as CallContext).peer, (call as CallContext).channel]),
        ).toEqual(
          Array(3).fill([(await channelOf(pair.server)).peer, await channelOf(pair.server)]),
        );
    }
  });

  test.each(['client', 'server'] as const)(
    'with() throws BAD_OPTION for an invalid timeout or metadata: %s',
    async (side) => {
      for (const changes of [
        { timeout: 0 },
        { timeout: '5' },
        { metadata: { a: 1 } },
        { metadata: 'x' },
      ] as unknown as { timeout: number }[]) {
        await using pair = await rig({
          [side]: {
            interceptors: [((next) => (call) => next(call.with(changes))) satisfies Interceptor],
          },
        });
        const error = await rejection(pair.stub.add({}));
        expect(side === 'client' ? error.code : error.message).toMatch(
          side === 'client' ? 'BAD_OPTION' : /^(timeout|metadata)/,
        );
      }
    },
  );
});
