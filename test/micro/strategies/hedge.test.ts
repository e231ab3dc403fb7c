/** hedge(): when another node is called, which attempt wins, and what happens to the others. */
import { describe, expect, it } from 'vitest';
import { type HedgeOptions, hedge, isOvertaken } from '../../../src/micro/strategies/hedge.js';
import type { Attempt, ServiceNode } from '../../../src/micro/types.js';
import { RetryBudget, type RpcCode, RpcError } from '../../../src/rpc/index.js';
import type { Call, Method, MethodKind } from '../../../src/rpc/types.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { node } from '../../fixtures/registries.js';
import { gate } from '../../fixtures/waiting.js';

const NODES = ['a', 'b', 'c', 'd', 'e'].map((id) => node(id));
const METHOD = { idempotent: true, kind: 'unary' } as Method;

function call(
  given: { method?: Partial<Method>; timeout?: number; signal?: AbortSignal } = {},
): Call {
  const made: Call = {
    method: given.method === undefined ? METHOD : ({ ...METHOD, ...given.method } as Method),
    input: undefined,
    codec: 'json',
    timeout: given.timeout,
    metadata: {},
    signal: given.signal,
    with: (changes) => ({ ...made, ...changes }),
  };
  return made;
}

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });

/** Attempts that end when the test calls answer() or fail(). */
class Attempts {
  readonly calls: Call[] = [];
  readonly tried: ServiceNode[] = [];
  readonly #nodes: number;
  readonly #gates: ReturnType<typeof gate<unknown>>[] = [];

  constructor(nodes = NODES.length) {
    this.#nodes = nodes;
  }

  readonly attempt: Attempt = async (made, tried) => {
    const next = NODES.slice(0, this.#nodes).find((each) => !tried.has(each));
    if (next === undefined) throw failure('UNAVAILABLE', true);
    tried.add(next);
    this.tried.push(next);
    this.calls.push(made);
    const outcome = gate<unknown>();
    this.#gates.push(outcome);
    made.signal?.addEventListener('abort', () => outcome.fail(failure('CANCELLED')));
    return outcome.promise;
  };

  answer(index: number, answer: unknown): void {
    this.#gates[index]?.open(answer);
  }

  fail(index: number, error: unknown): void {
    this.#gates[index]?.fail(error);
  }

  get cancelled(): boolean[] {
    return this.calls.map(({ signal }) => signal?.aborted ?? false);
  }
}

function hedged(attempts: Attempts, options: HedgeOptions, made = call()): Promise<unknown> {
  const answer = hedge(options)(attempts.attempt)(made);
  answer.catch(() => {});
  return answer;
}

describe('hedge', () => {
  fakeTime();

  it('takes what an attempt throws as its failure', async () => {
    const first = gate<unknown>();
    let calls = 0;
    const attempt: Attempt = () => {
      if (++calls > 1) throw new Error('mine');
      return first.promise;
    };
    const answer = hedge({ after: 50 })(attempt)(call());
    await pass(60);
    expect(calls).toBe(2);
    first.open('first');
    expect(await answer).toBe('first');
  });

  it('starts no attempt at the deadline', async () => {
    const attempts = new Attempts();
    const made = { ...call({ timeout: 100 }), deadline: performance.now() + 100 };
    const answer = hedged(attempts, { after: 100 }, made);
    await pass(120);
    expect(attempts.tried.length).toBe(1);
    attempts.fail(0, failure('DEADLINE_EXCEEDED'));
    await expect(answer).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: false });
  });

  it.each([
    ['was not sent in time', true],
    ['is late', false],
  ])('lets the attempts in flight end when one of them %s', async (_, unsent) => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 50 }, call({ timeout: 100 }));
    await pass(60);
    attempts.fail(1, failure('DEADLINE_EXCEEDED', unsent));
    await pass(1);
    expect(attempts.cancelled).toEqual([false, false]);
    const last = failure('DEADLINE_EXCEEDED');
    attempts.fail(0, last);
    await expect(answer).rejects.toBe(last);
  });

  it('is not unsent if the last attempt was not sent in time, and an earlier one was', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 50 }, call({ timeout: 100 }));
    await pass(60);
    const sent = failure('DEADLINE_EXCEEDED');
    attempts.fail(0, sent);
    attempts.fail(1, failure('DEADLINE_EXCEEDED', true));
    await expect(answer).rejects.toBe(sent);
  });

  it('calls another node after `after`, answers with the first answer, and cancels the other attempt', async () => {
    for (const winner of [0, 1]) {
      const attempts = new Attempts();
      const answer = hedged(attempts, { after: 50 });
      await pass(49);
      expect(attempts.tried).toHaveLength(1);
      await pass(1);
      expect(attempts.tried).toEqual([NODES[0], NODES[1]]);
      attempts.answer(winner, `of ${winner}`);
      expect(await answer).toBe(`of ${winner}`);
      expect(attempts.cancelled).toEqual([winner === 1, winner === 0]);
    }
  });

  it('counts an attempt as overtaken only when a later attempt was answered first', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10, attempts: 3 });
    await pass(25);
    attempts.answer(1, 'second');
    expect(await answer).toBe('second');
    expect(attempts.calls.map(isOvertaken)).toEqual([true, false, false]);
    expect(attempts.cancelled).toEqual([true, false, true]);
  });

  it.each([
    [undefined, 500],
    [60_000, 500],
    [400, 100],
  ])(
    'with a timeout of %s ms and no known latency, calls another node after %i ms',
    async (timeout, delay) => {
      const attempts = new Attempts();
      const answer = hedged(attempts, {}, call({ timeout }));
      await pass(delay - 1);
      expect(attempts.tried).toHaveLength(1);
      await pass(1);
      expect(attempts.tried).toHaveLength(2);
      attempts.answer(1, 'done');
      expect(await answer).toBe('done');
    },
  );

  it('waits to call another node until the budget allows it', async () => {
    const attempts = new Attempts();
    const budget = new RetryBudget({ ratio: 0, perSecond: 1 });
    while (budget.withdraw());
    const answer = hedged(attempts, { after: 10, budget });
    await pass(50);
    expect(attempts.tried).toHaveLength(1);
    await pass(2_000);
    expect(attempts.tried).toHaveLength(2);
    attempts.answer(1, 'done');
    expect(await answer).toBe('done');
  });

  it('calls no other node when the answer arrives in time', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 50 });
    await pass(40);
    attempts.answer(0, 'done');
    expect(await answer).toBe('done');
    await pass(100);
    expect(attempts.tried).toHaveLength(1);
  });

  it('makes up to `attempts` attempts, each after the same delay, within one timeout', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10, attempts: 3 }, call({ timeout: 100 }));
    await pass(60);
    expect(attempts.calls).toHaveLength(3);
    expect(new Set(attempts.calls.map(({ deadline }) => deadline)).size).toBe(1);
    attempts.answer(2, 'third');
    expect(await answer).toBe('third');
    expect(attempts.cancelled).toEqual([true, true, false]);
  });

  it('rejects with an error that may not be retried, and cancels the other attempt', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10 });
    await pass(10);
    const error = failure('NOT_FOUND');
    attempts.fail(1, error);
    await expect(answer).rejects.toBe(error);
    expect(attempts.cancelled).toEqual([true, false]);
  });

  it('does not reject after UNAVAILABLE while another attempt is under way', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10 });
    await pass(10);
    attempts.fail(0, failure('UNAVAILABLE'));
    await pass(1);
    attempts.answer(1, 'done');
    expect(await answer).toBe('done');
  });

  it('starts the next attempt at once after UNAVAILABLE', async () => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 1000 });
    attempts.fail(0, failure('UNAVAILABLE'));
    await pass(0);
    expect(attempts.tried).toHaveLength(2);
    const last = failure('UNAVAILABLE');
    attempts.fail(1, last);
    await expect(answer).rejects.toBe(last);
  });

  it('says that the call was not sent only if no attempt may have run', async () => {
    const refused = failure('RESOURCE_EXHAUSTED', true);
    for (const first of [failure('UNAVAILABLE'), failure('UNAVAILABLE', true)]) {
      const attempts = new Attempts();
      const answer = hedged(attempts, { after: 1000 });
      attempts.fail(0, first);
      await pass(0);
      attempts.fail(1, refused);
      await expect(answer).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        unsent: first.unsent,
      });
    }
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10 });
    await pass(10);
    attempts.fail(1, failure('INVALID_ARGUMENT', true));
    await expect(answer).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', unsent: false });
  });

  it('waits for the first attempt when there is no other node', async () => {
    const attempts = new Attempts(1);
    const answer = hedged(attempts, { after: 10, attempts: 3 });
    await pass(50);
    attempts.answer(0, 'done');
    expect(await answer).toBe('done');
    const failing = new Attempts(1);
    const failed = hedged(failing, { after: 10 });
    await pass(20);
    const error = failure('DEADLINE_EXCEEDED');
    failing.fail(0, error);
    await expect(failed).rejects.toBe(error);
  });

  it('cancels all attempts and starts none when the caller aborts', async () => {
    const abort = new AbortController();
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10, attempts: 5 }, call({ signal: abort.signal }));
    await pass(10);
    abort.abort();
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' });
    await pass(50);
    expect(attempts.cancelled).toEqual([true, true]);
  });

  it('makes no further attempt without budget', async () => {
    const attempts = new Attempts();
    const budget = new RetryBudget({ ratio: 0, perSecond: 0 });
    const answer = hedged(attempts, { after: 10, budget });
    await pass(50);
    expect(attempts.tried).toHaveLength(1);
    const lost = failure('UNAVAILABLE');
    attempts.fail(0, lost);
    await expect(answer).rejects.toBe(lost);
  });

  it.each<[string, Partial<Method>]>([
    ['methods that are not idempotent', { idempotent: false }],
    ...(['oneway', 'serverStream', 'clientStream', 'duplex'] satisfies MethodKind[]).map(
      (kind): [string, Partial<Method>] => [kind, { kind }],
    ),
  ])('does not hedge %s: only retries', async (_, method) => {
    const attempts = new Attempts();
    const answer = hedged(attempts, { after: 10 }, call({ method }));
    await pass(50);
    expect(attempts.tried).toHaveLength(1);
    attempts.fail(0, failure('UNAVAILABLE', true));
    await pass(0);
    expect(attempts.tried).toHaveLength(2);
    attempts.answer(1, 'done');
    expect(await answer).toBe('done');
  });

  it('without `after`, waits as long as 95 of 100 recent calls of the method took', async () => {
    const attempts = new Attempts();
    const strategy = hedge()(attempts.attempt);
    for (let i = 1; i <= 20; i++) {
      const answer = strategy(call());
      await pass(i === 20 ? 200 : 10);
      // The latency is not known before 20 calls.
      expect(attempts.tried).toHaveLength(i);
      attempts.answer(i - 1, i);
      await answer;
    }
    const slow = strategy(call());
    await pass(9);
    expect(attempts.tried).toHaveLength(21);
    await pass(3);
    expect(attempts.tried).toHaveLength(22);
    attempts.answer(21, 'second');
    expect(await slow).toBe('second');
  });

  it.each([
    { attempts: 0 },
    { attempts: 2.5 },
    { attempts: 11 },
    { after: -1 },
    { after: '5' as never },
    { percentile: 1 },
    { budget: { ratio: -1 } },
  ])('refuses %j', (options) => {
    expect(() => hedge(options)).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});
