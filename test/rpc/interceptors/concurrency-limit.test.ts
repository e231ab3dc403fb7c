/** concurrencyLimit(): calls at once, the queue and its order, and released slots. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Call,
  type ConcurrencyLimitOptions,
  concurrencyLimit,
  Introspection,
  RpcError,
} from '../../../src/rpc/index.js';
import { Calls, clientCall, receivedCall } from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

fakeTime();

test.each<[string, unknown]>([
  ['limit', { limit: 0 }],
  ['limit', { limit: 1.5 }],
  ['queue', { queue: -1 }],
  ['queueTimeout', { queueTimeout: 0 }],
  ['queueTimeout', { queueTimeout: 2 ** 31 }],
  ['options of .*', null],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => concurrencyLimit(options as ConcurrencyLimitOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: got `));
});

test('runs `limit` calls, queues the next ones in order and refuses more', async () => {
  const calls = new Calls();
  const invoke = concurrencyLimit({ limit: 2, queue: 2 })(calls.invoke);
  const answers = [0, 1, 2, 3].map((input) => invoke(clientCall({ input })));
  const refused = await rejection(invoke(clientCall({ input: 4 })));
  expect(refused).toMatchObject({ code: 'RESOURCE_EXHAUSTED', unsent: true });
  expect(refused.message).toBe('Service.ask was refused: 2 calls are in flight and 2 wait');
  expect(calls.inputs).toEqual([0, 1]);
  calls.open(1, 'one');
  expect([await answers[1], calls.inputs]).toEqual(['one', [0, 1, 2]]);
  calls.fail(0, new RpcError('ABORTED', 'no'));
  expect([await outcome(answers[0] as Promise<unknown>), calls.inputs]).toEqual([
    'ABORTED',
    [0, 1, 2, 3],
  ]);
  for (const at of [2, 3]) calls.open(at, at);
  expect(await Promise.all(answers.slice(2))).toEqual([2, 3]);
});

test('refuses a call at once when the queue has no room', async () => {
  const calls = new Calls();
  const invoke = concurrencyLimit({ limit: 1, queue: 0 })(calls.invoke);
  const first = invoke(clientCall());
  expect(await outcome(invoke(clientCall()))).toBe('RESOURCE_EXHAUSTED');
  calls.open(0);
  await first;
  const second = invoke(clientCall());
  calls.open(1);
  expect(await second).toBe('done');
});

test('does not count the calls of operators, of which four are in flight at once', async () => {
  const calls = new Calls();
  const invoke = concurrencyLimit({ limit: 1, queue: 0 })(calls.invoke);
  const operatorCall = (): Call => clientCall({ service: Introspection.name });
  const answers = [invoke(clientCall()), ...[1, 2, 3, 4].map(() => invoke(operatorCall()))];
  expect(await outcome(invoke(clientCall()))).toBe('RESOURCE_EXHAUSTED');
  expect(await outcome(invoke(operatorCall()))).toBe('RESOURCE_EXHAUSTED');
  answers.forEach((_, at) => {
    calls.open(at);
  });
  expect(await Promise.all(answers)).toHaveLength(5);
});

describe('a call in the queue', () => {
  /** One call under way, and the outcome of another that waits. */
  function waiting(
    options: ConcurrencyLimitOptions,
    call = clientCall(),
  ): { calls: Calls; waits: Promise<RpcError>; free(): Promise<string> } {
    const calls = new Calls();
    const invoke = concurrencyLimit({ limit: 1, ...options })(calls.invoke);
    const first = outcome(invoke(clientCall({ input: 'first' })));
    const waits = rejection<RpcError>(invoke(call));
    return {
      calls,
      waits,
      /** Ends the first call. Returns the outcome of one more. */
      async free() {
        calls.open(0);
        await first;
        const last = outcome(invoke(clientCall({ input: 'last' })));
        calls.open(1);
        return last;
      },
    };
  }

  test('fails after queueTimeout', async () => {
    const { waits, calls, free } = waiting({ queueTimeout: 100 });
    await pass(99);
    expect(calls.inputs).toEqual(['first']);
    await pass(1);
    expect(await waits).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
      message: 'Service.ask waited 100 ms in the queue',
    });
    expect([await free(), calls.inputs]).toEqual(['ok', ['first', 'last']]);
  });

  test('fails at its own deadline, on both sides', async () => {
    for (const call of [clientCall({ timeout: 50 }), receivedCall({ timeout: 50 })]) {
      const { waits, calls, free } = waiting(
        { queueTimeout: 100 },
        call as ReturnType<typeof clientCall>,
      );
      await pass(50);
      expect(await waits).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: true });
      expect([await free(), calls.inputs]).toEqual(['ok', ['first', 'last']]);
    }
  });

  test('fails when its signal aborts', async () => {
    const abort = new AbortController();
    const { waits, calls, free } = waiting({}, clientCall({ signal: abort.signal }));
    abort.abort('enough');
    expect(await waits).toMatchObject({ code: 'CANCELLED', unsent: true, cause: 'enough' });
    expect([await free(), calls.inputs, getEventListeners(abort.signal, 'abort')]).toEqual([
      'ok',
      ['first', 'last'],
      [],
    ]);
  });

  test('fails at once when its signal has aborted before', async () => {
    const { waits, free } = waiting({}, clientCall({ signal: AbortSignal.abort('before') }));
    expect(await waits).toMatchObject({ code: 'CANCELLED', unsent: true, cause: 'before' });
    expect(await free()).toBe('ok');
  });
});

test('gives an admitted call the rest of its time', async () => {
  const calls = new Calls();
  const invoke = concurrencyLimit({ limit: 1 })(calls.invoke);
  const abort = new AbortController();
  const answers = [
    invoke(clientCall()),
    invoke(clientCall({ timeout: 1_000, signal: abort.signal })),
    invoke(receivedCall({ timeout: 1_000 })),
  ];
  await pass(300);
  calls.open(0);
  await pass(0);
  expect([calls.all[1]?.call.deadline, getEventListeners(abort.signal, 'abort')]).toEqual([
    performance.now() + 700,
    [],
  ]);
  calls.open(1);
  await pass(0);
  // A received call has a deadline instead of a timeout.
  expect(calls.all[2]?.call).toMatchObject({ timeout: 1_000, deadline: performance.now() + 700 });
  calls.open(2);
  expect(await Promise.all(answers)).toEqual(['done', 'done', 'done']);
});

test('runs each call in its own async context, also after it has waited', async () => {
  const storage = new AsyncLocalStorage<number>();
  const calls = new Calls();
  const seen: unknown[] = [];
  const invoke = concurrencyLimit({ limit: 2 })((call) => {
    seen.push([call.input, storage.getStore()]);
    return calls.invoke(call);
  });
  const answers = [0, 1, 2, 3, 4].map((input) =>
    storage.run(input, () => invoke(clientCall({ input }))),
  );
  for (let at = 0; at < answers.length; at++) {
    calls.open(at, at);
    await pass(0);
  }
  expect(await Promise.all(answers)).toEqual([0, 1, 2, 3, 4]);
  expect(seen).toEqual([0, 1, 2, 3, 4].map((input) => [input, input]));
  storage.disable();
});

test('admits as many waiting calls as end together, before calls that come later', async () => {
  const calls = new Calls();
  const invoke = concurrencyLimit({ limit: 3 })(calls.invoke);
  const answers = [0, 1, 2, 3, 4, 5, 6].map((input) => invoke(clientCall({ input })));
  for (const at of [0, 1, 2]) calls.open(at, at);
  await answers[0];
  answers.push(invoke(clientCall({ input: 7 })));
  await pass(0);
  expect(calls.inputs).toEqual([0, 1, 2, 3, 4, 5]);
  for (const at of [3, 4, 5]) calls.open(at, at);
  await pass(0);
  expect(calls.inputs).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  for (const at of [6, 7]) calls.open(at, at);
  expect(await Promise.all(answers)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('releases the slot of a call that throws synchronously', async () => {
  let times = 0;
  const invoke = concurrencyLimit({ limit: 1 })(() => {
    times++;
    throw new RpcError('PERMISSION_DENIED', 'not you');
  });
  const outcomes = await Promise.all([1, 2, 3].map(() => outcome(invoke(clientCall()))));
  expect([outcomes, times]).toEqual([
    ['PERMISSION_DENIED', 'PERMISSION_DENIED', 'PERMISSION_DENIED'],
    3,
  ]);
});

test('never exceeds the limit and releases all slots, for random calls', async () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('call' as const),
      timeout: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
    }),
    fc.record({
      kind: fc.constantFrom('open' as const, 'fail' as const, 'abort' as const),
      at: fc.nat({ max: 30 }),
    }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 200 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const calls = new Calls();
      const ended = new Set<number>();
      const invoke = concurrencyLimit({ limit: 3, queue: 4, queueTimeout: 150 })(calls.invoke);
      const aborts: AbortController[] = [];
      const outcomes: Promise<string>[] = [];
      const end = (at: number, how: 'open' | 'fail'): void => {
        if (at >= calls.all.length) return;
        ended.add(at);
        if (how === 'open') calls.open(at);
        else calls.fail(at, new RpcError('ABORTED', 'no'));
      };
      for (const one of steps) {
        if (one.kind === 'call') {
          const abort = new AbortController();
          aborts.push(abort);
          outcomes.push(
            outcome(invoke(clientCall({ timeout: one.timeout, signal: abort.signal }))),
          );
        } else if (one.kind === 'pass') await pass(one.ms);
        else if (one.kind === 'abort') aborts[one.at]?.abort();
        else end(one.at, one.kind);
        await pass(0);
        expect(calls.all.length - ended.size).toBeLessThanOrEqual(3);
      }
      await pass(200);
      for (let at = 0; at < calls.all.length; at++) end(at, 'open');
      await Promise.all(outcomes);
      const last = [1, 2, 3].map(() => outcome(invoke(clientCall())));
      expect(calls.all.length - ended.size).toBe(3);
      for (let at = 0; at < calls.all.length; at++) end(at, 'open');
      expect(await Promise.all(last)).toEqual(['ok', 'ok', 'ok']);
    }),
    { numRuns: 60 },
  );
});
