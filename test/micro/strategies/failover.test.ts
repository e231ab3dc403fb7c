/** failfast() and failover(): when a call is retried. */
import { describe, expect, it } from 'vitest';
import {
  type FailoverOptions,
  failfast,
  failover,
} from '../../../src/micro/strategies/failover.js';
import type { Attempt, ServiceNode } from '../../../src/micro/types.js';
import { type RpcCode, RpcError } from '../../../src/rpc/errors.js';
import type { Call, Method } from '../../../src/rpc/types.js';
import { node } from '../../fixtures/registries.js';

const NODES = ['a', 'b', 'c', 'd', 'e'].map((id) => node(id));

function call({
  idempotent = true,
  timeout,
  signal,
}: {
  idempotent?: boolean;
  timeout?: number;
  signal?: AbortSignal;
} = {}): Call {
  const made: Call = {
    method: { idempotent } as Method,
    input: undefined,
    codec: 'json',
    timeout,
    metadata: {},
    signal,
    with: (changes) => ({ ...made, ...changes }),
  };
  return made;
}

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });

/**
 * Attempts with the given outcomes, one after another, each at another node. `calls` and `tried`
 * are the calls and nodes of these attempts.
 */
function attempts(...outcomes: (Error | string | (() => void))[]): {
  attempt: Attempt;
  calls: Call[];
  tried: ServiceNode[];
} {
  const calls: Call[] = [];
  const tried: ServiceNode[] = [];
  const attempt: Attempt = async (made, triedNodes) => {
    const next = NODES.find((each) => !triedNodes.has(each)) as ServiceNode;
    triedNodes.add(next);
    tried.push(next);
    calls.push(made);
    const outcome = outcomes[calls.length - 1];
    if (outcome instanceof Error) throw outcome;
    return outcome;
  };
  return { attempt, calls, tried };
}

const lost = failure('UNAVAILABLE');

describe('failfast', () => {
  it('makes one attempt', async () => {
    const { attempt, calls } = attempts(lost, 'too late');
    await expect(failfast()(attempt)(call())).rejects.toBe(lost);
    expect(calls).toHaveLength(1);
  });
});

describe('failover', () => {
  it.each<[again: boolean, idempotent: boolean, unsent: boolean, code: RpcCode]>([
    [true, false, true, 'UNAVAILABLE'],
    [true, true, true, 'UNAVAILABLE'],
    [true, false, true, 'RESOURCE_EXHAUSTED'],
    [true, false, true, 'UNIMPLEMENTED'],
    [true, false, true, 'FAILED_PRECONDITION'],
    [false, true, true, 'INVALID_ARGUMENT'],
    [false, true, true, 'DEADLINE_EXCEEDED'],
    [true, true, false, 'UNAVAILABLE'],
    [false, false, false, 'UNAVAILABLE'],
    [false, true, false, 'RESOURCE_EXHAUSTED'],
    [false, true, false, 'DEADLINE_EXCEEDED'],
    [false, true, false, 'CANCELLED'],
    [false, true, false, 'INTERNAL'],
    [false, true, false, 'UNKNOWN'],
    [false, true, false, 'INVALID_ARGUMENT'],
  ])(
    'retries: %s, when the method is idempotent: %s, unsent: %s, code: %s',
    async (again, idempotent, unsent, code) => {
      const error = failure(code, unsent);
      const { attempt, calls } = attempts(error, 'done');
      const result = failover()(attempt)(call({ idempotent }));
      if (again) expect(await result).toBe('done');
      else await expect(result).rejects.toBe(error);
      expect(calls).toHaveLength(again ? 2 : 1);
    },
  );

  it('does not retry after an error that is not an RpcError', async () => {
    for (const thrown of [
      null,
      'UNAVAILABLE',
      new Error('x'),
      { unsent: 'true' },
      { unsent: 1, code: 'UNAVAILABLE?' },
    ]) {
      let count = 0;
      const attempt: Attempt = (_, tried) => {
        tried.add(NODES[count++] as ServiceNode);
        return Promise.reject(thrown);
      };
      await expect(failover()(attempt)(call())).rejects.toBe(thrown);
      expect(count).toBe(1);
    }
  });

  it.each([1, 2, 3, 5])(
    'makes at most %i attempts, each at another node, and rejects with the last error',
    async (most) => {
      const errors = NODES.map(() => failure('UNAVAILABLE', true));
      const { attempt, tried } = attempts(...errors);
      await expect(failover({ attempts: most })(attempt)(call())).rejects.toBe(errors[most - 1]);
      expect(tried).toEqual(NODES.slice(0, most));
    },
  );

  it('calls onRetry with each error that another attempt follows, and with no other', async () => {
    const told: unknown[] = [];
    const onRetry: FailoverOptions['onRetry'] = (error) => told.push(error);
    const [first, second, third] = [
      failure('UNAVAILABLE'),
      failure('UNAVAILABLE', true),
      failure('INTERNAL'),
    ];
    await expect(
      failover({ onRetry })(attempts(first, second, third).attempt)(call()),
    ).rejects.toBe(third);
    expect(told).toEqual([first, second]);
  });

  it('does not retry after the caller aborted', async () => {
    const abort = new AbortController();
    const { calls } = attempts();
    const attempt: Attempt = async (made, tried) => {
      calls.push(made);
      tried.add(NODES[0] as ServiceNode);
      abort.abort();
      throw failure('UNAVAILABLE', true);
    };
    await expect(failover()(attempt)(call({ signal: abort.signal }))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(calls).toHaveLength(1);
  });

  it("shares the call's timeout among all attempts", async () => {
    const { attempt, calls } = attempts(lost, 'done');
    await failover()(attempt)(call({ timeout: 1000 }));
    expect(calls).toHaveLength(2);
    expect(calls[1]?.deadline).toBe(calls[0]?.deadline);
    const late = attempts(lost, 'too late');
    await expect(failover()(late.attempt)(call({ timeout: 0 }))).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      cause: lost,
    });
  });

  it('rejects with the error of the last attempt when no node is left', async () => {
    const none = failure('UNAVAILABLE', true);
    const attempt: Attempt = async (_, tried) => {
      if (tried.size > 0) throw none;
      tried.add(NODES[0] as ServiceNode);
      throw lost;
    };
    await expect(failover()(attempt)(call())).rejects.toBe(lost);
    await expect(failover()(() => Promise.reject(none))(call())).rejects.toBe(none);
  });

  it('says that the call was not sent only if no attempt may have run', async () => {
    const refused = new RpcError('RESOURCE_EXHAUSTED', 'full', {
      unsent: true,
      reason: 'refused',
      metadata: { by: 'b' },
    });
    const { attempt } = attempts(lost, refused);
    await expect(failover({ attempts: 2 })(attempt)(call())).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: 'full',
      unsent: false,
      reason: 'refused',
      metadata: { by: 'b' },
      cause: refused,
    });
    const never = attempts(failure('UNAVAILABLE', true), refused);
    await expect(failover({ attempts: 2 })(never.attempt)(call())).rejects.toBe(refused);
    const none = attempts(lost, failure('UNAVAILABLE', true), refused);
    const onlyTwo: Attempt = (made, tried) =>
      tried.size < 2 ? none.attempt(made, tried) : Promise.reject(failure('UNAVAILABLE', true));
    await expect(failover()(onlyTwo)(call())).rejects.toMatchObject({ unsent: false });
    const late = attempts(lost, 'too late');
    await expect(failover()(late.attempt)(call({ timeout: 0 }))).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: false,
      cause: lost,
    });
  });

  it('does not retry without budget, unless the call was not sent to a reachable node', async () => {
    const { attempt, calls } = attempts(lost, lost, lost);
    await expect(failover({ budget: { ratio: 0, perSecond: 0 } })(attempt)(call())).rejects.toBe(
      lost,
    );
    expect(calls).toHaveLength(1);
    const free = attempts(failure('UNAVAILABLE', true), 'done');
    expect(await failover({ budget: { ratio: 0, perSecond: 0 } })(free.attempt)(call())).toBe(
      'done',
    );
    const refused = attempts(failure('RESOURCE_EXHAUSTED', true), 'too much');
    await expect(
      failover({ budget: { ratio: 0, perSecond: 0 } })(refused.attempt)(call()),
    ).rejects.toThrow();
  });

  it('gives each consumer a budget of its own', async () => {
    const strategy = failover({ budget: { ratio: 1, perSecond: 0 } });
    for (let consumer = 0; consumer < 3; consumer++)
      expect(await strategy(attempts(lost, 'done').attempt)(call())).toBe('done');
  });

  it.each([
    { attempts: 0 },
    { attempts: 1.5 },
    { attempts: 101 },
    { budget: { ratio: -1 } },
    { onRetry: 1 as never },
  ])('refuses %j', (options) => {
    expect(() => failover(options)).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});
