/** Where the timeout of a call comes from, and what it limits. */
import { describe, expect, test, vi } from 'vitest';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import {
  channelOf,
  connectOnce,
  freeMemoryAddress,
  LONG_TIMEOUT,
  outcome,
  rig,
  TestService,
  testService,
} from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

describe('the timeout of a call', () => {
  const Slow = contract('Slow', {
    ask: unary<number, number>(),
    own: unary<number, number>({ timeout: 20 }),
  });

  test.each([
    ['of CallOptions', {}, { timeout: 20 }, 'ask'],
    ['of the method', {}, undefined, 'own'],
    ['of the client', { timeout: 20 }, undefined, 'ask'],
    [
      'of CallOptions, if the method and the client have others',
      { timeout: LONG_TIMEOUT },
      { timeout: 20.5 },
      'own',
    ],
  ] as const)('is that %s', async (_, client, options, method) => {
    await using server = await RawServer.serve();
    await using caller = await connectOnce(server.address, {
      ...client,
    });
    expect(await outcome(caller.stub(Slow)[method](1, options))).toBe('DEADLINE_EXCEEDED');
    expect(JSON.parse((await server.requests.next()).head.toString()).Timeout).toBe(
      options?.timeout === 20.5 ? 21 : 20,
    );
  });

  test.each([
    2 ** 31,
    3_000_000_000,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    Number.POSITIVE_INFINITY,
  ])(
    'of %d ms does not pass early, although timers are limited to 2 ** 31 - 1 ms',
    async (timeout) => {
      let answer = gate<{ A: string }>();
      const aborted: unknown[] = [];
      await using pair = await rig({
        handlers: {
          test(_, { signal }) {
            signal.addEventListener('abort', () => aborted.push(signal.reason));
            return answer.promise;
          },
        },
      });
      for (const [client, options] of [
        [await connectOnce(pair.server.address), { timeout }],
        [
          await connectOnce(pair.server.address, {
            timeout,
          }),
          undefined,
        ],
      ] as const) {
        const call = client.stub(TestService).test({}, options);
        let settled = false;
        void outcome(call).then(() => {
          settled = true;
        });
        expect(await outcome(pair.stub.test({}, { timeout: 40 }))).toBe('DEADLINE_EXCEEDED');
        await until(() => aborted.length > 0, 'the handler of the short call aborts');
        expect([settled, aborted.length]).toEqual([false, 1]);
        answer.open({ A: '' });
        expect(await call).toMatchObject({ A: '' });
        await client.close();
        aborted.length = 0;
        answer = gate();
      }
    },
  );

  test('keeps the process running until it has passed, also over memory', async () => {
    const started = vi.spyOn(globalThis, 'setInterval');
    const kept = (): number =>
      started.mock.results.filter(({ value }) => (value as NodeJS.Timeout).hasRef()).length;
    try {
      await using server = await serve(freeMemoryAddress(), [
        implement(Slow, { ask: () => new Promise<number>(() => {}), own: (n) => n }),
      ]);
      await using client = await connectOnce(server.address);
      await until(() => kept() === 0, 'the opening heartbeat is answered');
      const call = outcome(client.stub(Slow).ask(1, { timeout: 20 }));
      expect(kept()).toBe(1);
      expect(await call).toBe('DEADLINE_EXCEEDED');
      await until(() => kept() === 0, 'nothing is pending');
    } finally {
      started.mockRestore();
    }
  });

  test('limits how long a server waits for the first frame of its client, as its signal does', async () => {
    await using server = await serve(freeMemoryAddress(), [testService()], { maxPendingCalls: 3 });
    await using peer = await RawPeer.connect(server.address);
    const stub = (await channelOf(server)).stub(TestService, { codec: 'json' });
    expect(await rejection(stub.add({}, { timeout: 20 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: true,
    });
    // A call that has failed does not count in maxPendingCalls.
    for (let n = 0; n < 5; n++)
      expect(await outcome(stub.add({}, { timeout: 1 }))).toBe('DEADLINE_EXCEEDED');
    const abort = new AbortController();
    const calls = [
      rejection(stub.add({}, { signal: abort.signal })),
      rejection(stub.add({}, { signal: AbortSignal.abort() })),
    ];
    abort.abort();
    for (const call of calls) expect(await call).toMatchObject({ code: 'CANCELLED', unsent: true });
    const patient = stub.add({ A: 1 }, { timeout: Number.POSITIVE_INFINITY });
    await peer.send(frameBytes({ command: 1, serviceId: 1 }));
    const [heartbeat, request] = await peer.frames.take(2);
    expect([
      heartbeat?.command,
      heartbeat?.serviceId,
      request?.command,
      (request?.sequence ?? 1n) & 1n,
    ]).toEqual([2, 2, 3, 0n]);
    await peer.send(
      frameBytes({ command: 4, sequence: request?.sequence as bigint, body: '{"Sum":5}' }),
    );
    expect(await patient).toMatchObject({ Sum: 5 });
    expect(peer.frames.unread).toEqual([]);
  });

  test('is sent to the peer without the time that the call has waited', async () => {
    await using server = await serve(freeMemoryAddress(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const call = outcome(
      (await channelOf(server)).stub(TestService, { codec: 'json' }).add({}, { timeout: 2_000 }),
    );
    const start = performance.now();
    await until(() => performance.now() - start > 50, '50 ms have passed');
    await peer.send(frameBytes({ command: 1, serviceId: 1 }));
    const { Timeout } = JSON.parse(`${(await peer.frames.take(2))[1]?.head}`) as {
      Timeout: number;
    };
    expect(Timeout).toBeLessThanOrEqual(1_951);
    expect(Timeout).toBeGreaterThan(0);
    expect(await call).toBe('DEADLINE_EXCEEDED');
  });
});
