/** retry(): which calls are repeated, when and how often. */
import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import {
  type MethodKind,
  RETRY_DEFAULTS,
  RetryBudget,
  type RetryOptions,
  type RpcCode,
  RpcError,
  retry,
} from '../../../src/rpc/index.js';
import { type CallDraft, clientCall, receivedCall, scripted } from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { recordWarnings } from './warnings.js';

fakeTime();

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });
const lost = failure('UNAVAILABLE');
const unsent = failure('UNAVAILABLE', true);
const ENOUGH = 60_000;

test.each<[string, unknown]>([
  ['attempts', { attempts: 0 }],
  ['attempts', { attempts: 1.5 }],
  ['initialDelay', { initialDelay: -1 }],
  ['maxDelay', { maxDelay: 2 ** 31 }],
  ['codes', { codes: 'UNAVAILABLE' }],
  ['codes', { codes: ['OK'] }],
  ['codes', { codes: ['unavailable'] }],
  ['onRetry', { onRetry: 'yes' }],
  ['ratio', { budget: { ratio: -1 } }],
  ['options of .*', null],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => retry(options as RetryOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: got `));
});

/** Returns whether a call that fails once, with `error`, is repeated. */
async function secondTry(
  error: unknown,
  draft: CallDraft,
  options: RetryOptions = {},
): Promise<boolean> {
  const { invoke, calls } = scripted(error, 'done');
  const answer = retry(options)(invoke)(clientCall(draft)).then(
    () => true,
    () => false,
  );
  await pass(ENOUGH);
  const again = await answer;
  expect(calls).toHaveLength(again ? 2 : 1);
  return again;
}

describe('which calls', () => {
  test.each<[again: boolean, idempotent: boolean, unsent: boolean, code: RpcCode]>([
    [true, false, true, 'UNAVAILABLE'],
    [true, false, true, 'RESOURCE_EXHAUSTED'],
    [true, true, false, 'UNAVAILABLE'],
    [false, false, false, 'UNAVAILABLE'],
    [false, true, false, 'RESOURCE_EXHAUSTED'],
    [false, true, false, 'DEADLINE_EXCEEDED'],
    [false, true, false, 'INTERNAL'],
    [false, true, false, 'UNKNOWN'],
    // It was not sent, and cannot be sent.
    [false, true, true, 'INVALID_ARGUMENT'],
    [false, true, true, 'FAILED_PRECONDITION'],
    [false, true, true, 'CANCELLED'],
    [false, true, true, 'DEADLINE_EXCEEDED'],
  ])('again: %s, when idempotent %s, unsent %s, %s', async (again, idempotent, unsent, code) => {
    expect(await secondTry(failure(code, unsent), { idempotent })).toBe(again);
  });

  test('repeats an idempotent method after the errors of `codes`', async () => {
    const codes: RpcCode[] = ['ABORTED', 'RESOURCE_EXHAUSTED'];
    expect(await secondTry(failure('ABORTED'), { idempotent: true }, { codes })).toBe(true);
    expect(await secondTry(failure('ABORTED'), {}, { codes })).toBe(false);
    expect(await secondTry(lost, { idempotent: true }, { codes })).toBe(false);
    expect(await secondTry(unsent, {}, { codes })).toBe(true);
  });

  test('does not repeat after an error that is no RpcError', async () => {
    for (const error of [
      new Error('x'),
      Object.assign(new Error('x'), { code: 'UNAVAILABLE', unsent: true }),
    ])
      expect(await secondTry(error, { idempotent: true })).toBe(false);
  });

  test.each(['serverStream', 'clientStream', 'duplex'])('never repeats a %s', async (kind) => {
    expect(await secondTry(unsent, { kind: kind as MethodKind, idempotent: true })).toBe(false);
  });

  test('repeats a oneway call', async () => {
    expect(await secondTry(unsent, { kind: 'oneway' })).toBe(true);
  });

  test('repeats idempotent methods only, on a server', async () => {
    for (const idempotent of [true, false]) {
      const { invoke, calls } = scripted(unsent, 'done');
      const answer = retry()(invoke)(receivedCall({ idempotent, timeout: 1_000 })).catch(
        () => 'failed',
      );
      await pass(100);
      expect([await answer, calls.length]).toEqual(idempotent ? ['done', 2] : ['failed', 1]);
    }
  });

  test('repeats after a synchronous throw', async () => {
    let calls = 0;
    const answer = retry()(() => {
      if (calls++ === 0) throw unsent;
      return Promise.resolve('done');
    })(clientCall());
    await pass(100);
    expect(await answer).toBe('done');
  });
});

describe('how often', () => {
  test.each([1, 2, 5])(
    'makes at most %i attempts and rejects with the last error',
    async (attempts) => {
      const errors = [1, 2, 3, 4, 5, 6].map(() => failure('UNAVAILABLE', true));
      const { invoke, calls } = scripted(...errors);
      const error = rejection(retry({ attempts })(invoke)(clientCall()));
      await pass(ENOUGH);
      expect([await error, calls.length]).toEqual([errors[attempts - 1], attempts]);
    },
  );

  test('takes tokens for calls that may have run, not for calls without a node', async () => {
    const budget = new RetryBudget({ ratio: 0, perSecond: 0.1 });
    const through = retry({ budget, attempts: 2 });
    const outcomes = async (error: RpcError): Promise<number> => {
      const { invoke, calls } = scripted(error, 'done');
      const answer = through(invoke)(clientCall({ idempotent: true })).catch(() => 'failed');
      await pass(100);
      await answer;
      return calls.length;
    };
    // It holds one token, for all callers that share it.
    expect([
      await outcomes(lost),
      await outcomes(lost),
      await outcomes(failure('RESOURCE_EXHAUSTED', true)),
      await outcomes(unsent),
    ]).toEqual([2, 1, 1, 2]);
  });

  test('adds tokens to the budget with each call', async () => {
    const budget = new RetryBudget({ ratio: 0.5, perSecond: 0 });
    const call = retry({ budget })(scripted('done').invoke);
    expect(budget.withdraw()).toBe(false);
    await call(clientCall());
    await call(clientCall());
    expect([budget.withdraw(), budget.withdraw()]).toEqual([true, false]);
  });
});

describe('when', () => {
  test('waits for a pause that doubles, with jitter, up to maxDelay', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0);
    try {
      for (const [value, expected] of [
        [0, [50, 100, 150, 150]],
        [1, [100, 200, 300, 300]],
      ] as const) {
        random.mockReturnValue(value);
        const delays: number[] = [];
        const { invoke, calls } = scripted(unsent);
        const onRetry: RetryOptions['onRetry'] = (error, call, delay) =>
          delays.push(error === unsent && call.method.name === 'ask' ? delay : -1);
        const error = rejection(
          retry({ attempts: 5, initialDelay: 100, maxDelay: 300, onRetry })(invoke)(clientCall()),
        );
        const times: number[] = [];
        for (const delay of expected) {
          await pass(delay - 1);
          times.push(calls.length);
          await pass(1);
        }
        expect([delays, times, calls.length, await error]).toEqual([
          expected,
          [1, 2, 3, 4],
          5,
          unsent,
        ]);
      }
    } finally {
      random.mockRestore();
    }
  });

  test('shares the call’s timeout between all attempts', async () => {
    const { invoke, calls } = scripted(unsent, unsent, 'done');
    const answer = retry({ initialDelay: 100 })(invoke)(clientCall({ timeout: 1_000 }));
    await pass(ENOUGH);
    expect(await answer).toBe('done');
    expect(calls).toHaveLength(3);
    expect(new Set(calls.map(({ deadline }) => deadline)).size).toBe(1);
  });

  test('rejects at once when the pause would exceed the timeout', async () => {
    for (const call of [
      clientCall({ timeout: 20, idempotent: true }),
      receivedCall({ timeout: 20, idempotent: true }),
    ]) {
      const { invoke, calls } = scripted(lost);
      expect(await rejection(retry({ initialDelay: 100 })(invoke)(call))).toBe(lost);
      expect(calls).toHaveLength(1);
    }
  });

  test.each([
    ['unsent', unsent, true],
    ['may have run', lost, false],
  ])(
    'ends the pause when the signal aborts; a call that %s stays so',
    async (_, error, isUnsent) => {
      const abort = new AbortController();
      const { invoke, calls } = scripted(error);
      const answer = rejection(
        retry({ initialDelay: 1_000 })(invoke)(
          clientCall({ idempotent: true, signal: abort.signal }),
        ),
      );
      await pass(100);
      abort.abort('enough');
      expect(await answer).toMatchObject({ code: 'CANCELLED', unsent: isUnsent, cause: 'enough' });
      expect([calls.length, getEventListeners(abort.signal, 'abort')]).toEqual([1, []]);
    },
  );

  test('does not repeat after the signal aborted, and removes its listener', async () => {
    const abort = new AbortController();
    const answer = retry()(scripted(unsent, 'done').invoke)(clientCall({ signal: abort.signal }));
    await pass(100);
    expect([await answer, getEventListeners(abort.signal, 'abort')]).toEqual(['done', []]);
    abort.abort();
    const { invoke, calls } = scripted(unsent);
    expect(await rejection(retry()(invoke)(clientCall({ signal: abort.signal })))).toBe(unsent);
    expect(calls).toHaveLength(1);
  });
});

test('warns when onRetry fails, and repeats the call', async () => {
  const warnings = recordWarnings();
  const onRetry = (): void => {
    throw new Error('a faulty function');
  };
  const answer = retry({ onRetry })(scripted(unsent, 'done').invoke)(clientCall());
  await pass(100);
  expect(await answer).toBe('done');
  expect(warnings).toMatchObject([
    { code: 'HANDLER_FAILED', message: 'onRetry failed: a faulty function' },
  ]);
});

test('has three attempts and short pauses by default', () => {
  expect(RETRY_DEFAULTS).toEqual({
    attempts: 3,
    initialDelay: 50,
    maxDelay: 2_000,
    codes: ['UNAVAILABLE'],
  });
});
