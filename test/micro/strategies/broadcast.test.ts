/** broadcast(): all nodes are called, and which failures make the call fail. */
import { describe, expect, it } from 'vitest';
import {
  type BroadcastStrategyOptions,
  broadcast,
} from '../../../src/micro/strategies/broadcast.js';
import type { Attempt, NodeAccess, ServiceNode } from '../../../src/micro/types.js';
import { RpcError } from '../../../src/rpc/errors.js';
import type { RpcCode } from '../../../src/rpc/index.js';
import type { Call, Method, MethodKind } from '../../../src/rpc/types.js';
import { Cluster, Greeter } from '../../fixtures/cluster.js';
import { node } from '../../fixtures/registries.js';
import { gate } from '../../fixtures/waiting.js';

const NODES = ['a', 'b', 'c', 'd'].map((id) => node(id, { address: `tcp://${id}:1` }));

const callOf = (kind: MethodKind = 'unary', signal?: AbortSignal): Call =>
  ({ method: { service: 'S', name: 'm', kind, idempotent: false } as Method, signal }) as Call;

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });

/** No strategy of this file may use the balancer. */
const noAttempt: Attempt = () => Promise.reject(new Error('the balancer was used'));

/** Nodes whose calls have these outcomes. Without an outcome the id of the node is the reply. */
function access(
  outcomes: Readonly<Record<string, unknown>> = {},
  nodes: readonly ServiceNode[] = NODES,
): NodeAccess & { called: string[] } {
  const called: string[] = [];
  return {
    called,
    list: async () => nodes,
    call: async ({ id }) => {
      called.push(id);
      const outcome = await outcomes[id];
      if (outcome instanceof Error) throw outcome;
      return outcome ?? id;
    },
  };
}

const invoke = (nodes: NodeAccess, options?: BroadcastStrategyOptions, call = callOf()) =>
  broadcast(options)(noAttempt, nodes)(call);

describe('broadcast', () => {
  it.each<MethodKind>(['unary', 'oneway', 'noReply'])(
    'calls every node once for a method of the kind %s, and replies with the first reply of the list',
    async (kind) => {
      const nodes = access();
      expect(await invoke(nodes, {}, callOf(kind))).toBe('a');
      expect(nodes.called).toEqual(['a', 'b', 'c', 'd']);
    },
  );

  it.each<MethodKind>(['serverStream', 'clientStream', 'duplex'])(
    'refuses a method of the kind %s and calls no node',
    async (kind) => {
      const nodes = access();
      await expect(invoke(nodes, {}, callOf(kind))).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: 'S.m streams, and broadcast() makes no calls that stream',
        unsent: true,
      });
      expect(nodes.called).toEqual([]);
    },
  );

  it('waits for the other nodes after a failure', async () => {
    const last = gate<string>();
    const nodes = access({ a: failure('NOT_FOUND'), d: last.promise });
    let isSettled = false;
    const answer = invoke(nodes).finally(() => {
      isSettled = true;
    });
    answer.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    expect(isSettled).toBe(false);
    last.open('d');
    await expect(answer).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('fails with the code of the first failed node, all addresses and all errors', async () => {
    const errors = [failure('UNAVAILABLE', true), failure('NOT_FOUND')];
    await expect(invoke(access({ b: errors[0], d: errors[1] }))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'S.m failed at 2 of 4 nodes (tcp://b:1, tcp://d:1): UNAVAILABLE',
      cause: { errors },
      unsent: false,
    });
  });

  it('names three addresses at most', async () => {
    const failed = failure('UNAVAILABLE');
    await expect(invoke(access({ a: failed, b: failed, c: failed, d: failed }))).rejects.toThrow(
      'at 4 of 4 nodes (tcp://a:1, tcp://b:1, tcp://c:1, …)',
    );
  });

  it.each([
    ['no node has run the call', true, ['a', 'b', 'c', 'd'], true],
    ['a node has run it', false, ['a', 'b', 'c'], true],
    ['a failed node may have run it', false, ['a', 'b', 'c', 'd'], false],
  ])('is unsent only if no node has run the call: %s', async (_, unsent, failed, isUnsent) => {
    const outcomes = Object.fromEntries(
      failed.map((id) => [id, failure('UNAVAILABLE', id === 'c' ? isUnsent : true)]),
    );
    await expect(invoke(access(outcomes))).rejects.toMatchObject({ unsent });
  });

  it.each([
    [0, 0, true],
    [0, 1, false],
    [0.49, 1, true],
    [0.49, 2, false],
    [0.5, 2, true],
    [1, 3, true],
    [1, 4, false],
  ])('with maxFailedShare %d and %i failed of 4 nodes, success is %s', async (share, count, ok) => {
    const ids = ['a', 'b', 'c', 'd'].slice(0, count);
    const nodes = access(Object.fromEntries(ids.map((id) => [id, failure('INTERNAL')])));
    const outcome = await invoke(nodes, { maxFailedShare: share }).catch(({ code }) => code);
    expect(outcome).toBe(ok ? NODES[count]?.id : 'INTERNAL');
  });

  it('replies with what `combine` makes of all outcomes', async () => {
    const failed = failure('INTERNAL');
    const outcomes = await invoke(access({ b: failed }), {
      maxFailedShare: 0.25,
      combine: async (all) => all.map(({ node: { id }, reply, error }) => [id, reply, error]),
    });
    expect(outcomes).toEqual([
      ['a', 'a', undefined],
      ['b', undefined, failed],
      ['c', 'c', undefined],
      ['d', 'd', undefined],
    ]);
  });

  it('fails with what `combine` throws', async () => {
    const thrown = new RpcError('DATA_LOSS', 'they differ');
    const combine = (): never => {
      throw thrown;
    };
    await expect(invoke(access(), { combine })).rejects.toBe(thrown);
  });

  it('calls nodes with one address once', async () => {
    const nodes = access({}, [...NODES, node('e', { address: 'tcp://b:1' })]);
    await invoke(nodes);
    expect(nodes.called).toEqual(['a', 'b', 'c', 'd']);
  });

  it('waits for `concurrency` nodes at the same time', async () => {
    const first = gate<string>();
    const second = gate<string>();
    const nodes = access({ a: first.promise, b: second.promise });
    const answer = invoke(nodes, { concurrency: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(nodes.called).toEqual(['a', 'b']);
    second.open('b');
    await new Promise((resolve) => setImmediate(resolve));
    expect(nodes.called).toEqual(['a', 'b', 'c', 'd']);
    first.open('a');
    expect(await answer).toBe('a');
  });

  it('fails with CANCELLED when the caller has aborted', async () => {
    const reason = new Error('enough');
    const nodes = access({ a: failure('NOT_FOUND'), b: failure('CANCELLED') });
    await expect(
      invoke(nodes, {}, callOf('unary', AbortSignal.abort(reason))),
    ).rejects.toMatchObject({ code: 'CANCELLED', cause: reason });
  });

  it.each([
    [{ concurency: 2 }, 'concurency is not an option of broadcast(); did you mean concurrency?'],
    [{ maxFailedShare: 2 }, 'maxFailedShare: got 2, expected a number from 0 to 1'],
    [{ concurrency: 0 }, 'concurrency: got 0, expected an integer from 1'],
    [{ combine: 1 }, 'combine: got 1, expected a function'],
  ])('throws BAD_OPTION for %j', (options, message) => {
    expect(() => broadcast(options as object)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message }),
    );
  });
});

describe('broadcast of a consumer', () => {
  it('calls all providers, also the first time and after one has joined', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b', 'c');
    const consumer = cluster.consume({ strategy: broadcast() });
    expect(await cluster.call(2)).toEqual(['a', 'a']);
    expect(Object.fromEntries(cluster.calls)).toEqual({ a: 2, b: 2, c: 2 });
    const joined = new Promise<void>((resolve) => {
      consumer.notify(Greeter, (_, nodes) => nodes.length === 4 && resolve());
    });
    await cluster.add('d');
    await joined;
    await cluster.call(1);
    expect(Object.fromEntries(cluster.calls)).toEqual({ a: 3, b: 3, c: 3, d: 1 });
    expect(consumer.statistics()).toMatchObject({ attempts: 10, retries: 0 });
  });

  it('calls an ejected node too', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ strategy: broadcast(), ejection: { failures: 1 } });
    cluster.fail('b');
    expect(await cluster.call(3)).toEqual(Array(3).fill('UNAVAILABLE'));
    expect(Object.fromEntries(cluster.calls)).toEqual({ a: 3, b: 3 });
  });

  it('fails with the address of a node that cannot be reached', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const address = 'tcp://127.0.0.1:1';
    await using _ = await cluster.registry.register(node('b', { service: 'Greeter', address }));
    const consumer = cluster.consume({ strategy: broadcast() });
    const error = await consumer
      .stub(Greeter)
      .hello('x')
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    expect(error.message).toContain(`at 1 of 2 nodes (${address}): ${address} cannot be called`);
    expect(cluster.calls.get('a')).toBe(1);
  });

  it('fails with UNAVAILABLE when there is no node', async () => {
    await using cluster = new Cluster();
    cluster.consume({ strategy: broadcast() });
    expect(await cluster.call(1)).toEqual(['UNAVAILABLE']);
  });

  it('fails after close()', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume({ strategy: broadcast() });
    await consumer.close();
    await expect(
      consumer.invoke({ method: { kind: 'unary' }, codec: 'json' } as Call),
    ).rejects.toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  });
});

describe('combine', () => {
  it('fails the call with DEADLINE_EXCEEDED when it does not settle in time', async () => {
    const never = new Promise(() => {});
    const call = { ...callOf(), timeout: 20, deadline: performance.now() + 20 } as Call;
    await expect(invoke(access(), { combine: () => never }, call)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: false,
    });
  });

  it('ends when the caller cancels', async () => {
    const controller = new AbortController();
    const combine = (): Promise<unknown> => {
      controller.abort();
      return new Promise(() => {});
    };
    const call = callOf('unary', controller.signal);
    await expect(invoke(access(), { combine }, call)).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it.each([undefined, null, 'a text', new TypeError('no number')])(
    'fails the call with UNKNOWN when it throws %s, and with an RpcError as it is',
    async (thrown) => {
      const throws = (error: unknown) => () => {
        throw error;
      };
      await expect(invoke(access(), { combine: throws(thrown) })).rejects.toMatchObject({
        code: 'UNKNOWN',
        ...(thrown !== undefined && { cause: thrown }),
      });
      await expect(
        invoke(access(), { combine: () => Promise.reject(thrown) }),
      ).rejects.toBeInstanceOf(RpcError);
      const refusal = failure('ABORTED');
      await expect(invoke(access(), { combine: throws(refusal) })).rejects.toBe(refusal);
    },
  );
});
