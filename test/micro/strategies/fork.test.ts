/** fork(): which nodes are called at once, which reply wins, and what the call fails with. */
import { describe, expect, it } from 'vitest';
import { type ForkOptions, fork } from '../../../src/micro/strategies/fork.js';
import type { Attempt } from '../../../src/micro/types.js';
import { RpcError } from '../../../src/rpc/errors.js';
import type { RpcCode } from '../../../src/rpc/index.js';
import type { Call, Method, MethodKind } from '../../../src/rpc/types.js';
import { Cluster, Greeter, times } from '../../fixtures/cluster.js';
import { node } from '../../fixtures/registries.js';
import { gate } from '../../fixtures/waiting.js';

const NODES = ['a', 'b', 'c'].map((id) => node(id));

function callOf(method: Partial<Method> = {}, signal?: AbortSignal): Call {
  const made: Call = {
    method: { service: 'S', name: 'm', kind: 'unary', idempotent: true, ...method } as Method,
    input: undefined,
    codec: 'json',
    timeout: undefined,
    metadata: {},
    signal,
    with: (changes) => ({ ...made, ...changes }),
  };
  return made;
}

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });

/** Attempts that end when the test opens their gate. A cancelled one fails with CANCELLED. */
class Attempts {
  readonly calls: Call[] = [];
  readonly gates: ReturnType<typeof gate<unknown>>[] = [];

  readonly attempt: Attempt = async (call, tried) => {
    const next = NODES.find((each) => !tried.has(each));
    if (next === undefined) throw failure('UNAVAILABLE', true);
    tried.add(next);
    this.calls.push(call);
    const outcome = gate<unknown>();
    this.gates.push(outcome);
    call.signal?.addEventListener('abort', () => outcome.fail(failure('CANCELLED')));
    return outcome.promise;
  };

  start(options?: ForkOptions, call = callOf()): Promise<unknown> {
    const answer = fork(options)(this.attempt)(call);
    answer.catch(() => {});
    return answer;
  }
}

describe('fork', () => {
  it('takes what an attempt throws as its failure', async () => {
    let calls = 0;
    const attempt: Attempt = () => {
      if (++calls === 2) throw new Error('mine');
      return Promise.resolve('first');
    };
    expect(await fork()(attempt)(callOf())).toBe('first');
    const failing: Attempt = () => {
      throw new Error('mine');
    };
    await expect(fork()(failing)(callOf())).rejects.toThrow('mine');
  });

  it.each([
    [undefined, 2],
    [2, 2],
    [3, 3],
    [10, 3],
  ])('with nodes %j calls %i of 3 nodes at once', async (nodes, expected) => {
    const attempts = new Attempts();
    const answer = attempts.start({ nodes });
    expect(attempts.calls).toHaveLength(expected);
    attempts.gates[0]?.open('done');
    expect(await answer).toBe('done');
  });

  it.each([0, 1, 2])(
    'replies with the first reply, of attempt %i, and cancels the others',
    async (winner) => {
      const attempts = new Attempts();
      const answer = attempts.start({ nodes: 3 });
      attempts.gates[winner]?.open(`of ${winner}`);
      expect(await answer).toBe(`of ${winner}`);
      for (const { signal } of attempts.calls)
        expect(signal?.reason).toMatchObject({ code: 'CANCELLED' });
    },
  );

  it('waits for the other nodes after a failure of any code', async () => {
    const attempts = new Attempts();
    const answer = attempts.start({ nodes: 3 });
    attempts.gates[0]?.fail(failure('NOT_FOUND'));
    attempts.gates[1]?.fail(failure('UNAVAILABLE'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(attempts.calls[2]?.signal?.aborted).toBe(false);
    attempts.gates[2]?.open('done');
    expect(await answer).toBe('done');
  });

  it.each([
    ['the first that may have run', [true, false, false], 1, false],
    ['the first if none may have run', [true, true, true], 0, true],
  ])('fails with the error of %s', async (_, unsent, expected, isUnsent) => {
    const attempts = new Attempts();
    const answer = attempts.start({ nodes: 3 });
    const errors = unsent.map((each) => failure('RESOURCE_EXHAUSTED', each));
    for (const index of [2, 1, 0]) attempts.gates[index]?.fail(errors[index]);
    await expect(answer).rejects.toBe(errors[expected]);
    expect((errors[expected] as RpcError).unsent).toBe(isUnsent);
  });

  it('fails with the error of the only node, not with that of the missing one', async () => {
    const lost = failure('UNAVAILABLE');
    const single: Attempt = async (_, tried) => {
      if (tried.size > 0) throw failure('UNAVAILABLE', true);
      tried.add(NODES[0] as never);
      throw lost;
    };
    await expect(fork()(single)(callOf())).rejects.toBe(lost);
  });

  it.each<[string, Partial<Method>]>([
    ['that is not idempotent', { idempotent: false }],
    ['of the kind oneway', { kind: 'oneway' }],
  ])('calls one node for a method %s', async (_, method) => {
    const attempts = new Attempts();
    const answer = attempts.start({ nodes: 3 }, callOf(method));
    expect(attempts.calls).toHaveLength(1);
    attempts.gates[0]?.open('done');
    expect(await answer).toBe('done');
  });

  it.each<MethodKind>(['serverStream', 'clientStream', 'duplex'])(
    'refuses a method of the kind %s',
    async (kind) => {
      const attempts = new Attempts();
      await expect(attempts.start({}, callOf({ kind }))).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: 'S.m streams, and fork() makes no calls that stream',
        unsent: true,
      });
      expect(attempts.calls).toEqual([]);
    },
  );

  it('cancels all attempts when the caller aborts', async () => {
    const attempts = new Attempts();
    const controller = new AbortController();
    const answer = attempts.start({}, callOf({}, controller.signal));
    controller.abort();
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(attempts.calls.map(({ signal }) => signal?.aborted)).toEqual([true, true]);
  });

  it.each([
    [{ node: 2 }, 'node is not an option of fork(); did you mean nodes?'],
    [{ nodes: 1 }, 'nodes: got 1, expected an integer from 2 to 10'],
    [{ nodes: 2.5 }, 'nodes: got 2.5, expected an integer from 2 to 10'],
  ])('throws BAD_OPTION for %j', (options, message) => {
    expect(() => fork(options as object)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message }),
    );
  });
});

describe('fork of a consumer', () => {
  it('calls two different nodes from the first call on, and answers while one does not', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    const stuck = gate<void>();
    cluster.answers.set('a', () => stuck.promise);
    const consumer = cluster.consume({ strategy: fork(), ejection: { failures: 1 } });
    expect(await cluster.call(5)).toEqual(Array(5).fill('b'));
    expect(Object.fromEntries(cluster.calls)).toEqual({ a: 5, b: 5 });
    // To be slower than another node is no failure.
    expect(consumer.statistics().ejections).toBe(0);
    stuck.open();
  });

  it('calls one node when there is only one', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    cluster.consume({ strategy: fork() });
    expect(times(await cluster.call(3), 'a')).toBe(3);
    expect(cluster.calls.get('a')).toBe(3);
  });

  it('refuses a stream with FAILED_PRECONDITION', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    const replies = cluster.consume({ strategy: fork() }).stub(Greeter).count(3);
    const read = async (): Promise<void> => {
      for await (const _ of replies);
    };
    await expect(read()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true });
  });
});
