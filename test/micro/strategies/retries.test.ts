/** Which calls a consumer retries when a provider is lost. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import type { Registry, ServiceNode, Strategy } from '../../../src/micro/index.js';
import { consume, failfast, failover, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { RetryBudget, RpcError } from '../../../src/rpc/index.js';
import { ADDRESS, Greeter, greeter } from '../../fixtures/greeter.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox } from '../../fixtures/waiting.js';

describe('when a provider is lost', () => {
  noLeaks();

  /** A provider that never answers; `entered` receives its calls. */
  async function withHangingProvider(registry: Registry) {
    const entered = new Inbox<string>('a call at the hanging provider');
    const hang = (input: string): Promise<string> => {
      entered.push(input);
      return new Promise(() => {});
    };
    const a = await provide({
      registry,
      id: 'a',
      address: ADDRESS,
      services: [greeter('a', { hello: hang, pay: hang })],
      drainTimeout: 0,
      session: { waitTime: 0 },
    });
    return { a, entered };
  }

  it('retries a call under way only if its method is idempotent', async () => {
    await using registry = memory();
    const { a, entered } = await withHangingProvider(registry);
    const retried: unknown[] = [];
    await using consumer = consume({
      registry,
      strategy: failover({ onRetry: (error) => retried.push(error) }),
    });
    const stub = consumer.stub(Greeter);
    const hello = stub.hello('x');
    const pay = stub.pay('y');
    pay.catch(() => {});
    await entered.next();
    await entered.next();
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b')],
    });
    await a.close();
    expect(await hello).toBe('b: x');
    await expect(pay).rejects.toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    expect(retried).toHaveLength(1);
  });

  it('retries a call that was not sent, whatever its method', async () => {
    await using registry = memory();
    // Nothing listens at this address.
    await using _dead = await registry.register({
      id: '0',
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    });
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b')],
    });
    await using consumer = consume({
      registry,
      balancer: () => (nodes) => nodes[0] as ServiceNode,
    });
    const stub = consumer.stub(Greeter);
    expect(await stub.pay('x')).toBe('b: x');
    // The address is in backoff and is not picked.
    expect(await stub.pay('y')).toBe('b: y');
  });

  it('rejects with the error of the one attempt with failfast()', async () => {
    await using registry = memory();
    await using _dead = await registry.register({
      id: '0',
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    });
    await using consumer = consume({
      registry,
      balancer: () => (nodes) => nodes[0] as ServiceNode,
      strategy: failfast(),
    });
    const stub = consumer.stub(Greeter);
    await expect(stub.hello('x')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      unsent: true,
      message: expect.stringContaining('ECONNREFUSED'),
    });
    // An address in backoff is not picked, so this attempt is made at the other node.
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b')],
    });
    expect(await stub.hello('x')).toBe('b: x');
  });

  it.each<[string, string | bigint, string]>([
    ['cannot be encoded', 1n, 'INVALID_ARGUMENT'],
    ['is too large to be sent', 'x'.repeat(2_000), 'RESOURCE_EXHAUSTED'],
  ])(
    'does not retry a call whose input %s, and leaves the budget as it is',
    async (_, input, code) => {
      await using registry = memory();
      const services = [greeter('a')];
      await using _a = await provide({ registry, id: 'a', address: ADDRESS, services });
      await using _b = await provide({ registry, id: 'b', address: ADDRESS, services });
      const budget = new RetryBudget({ ratio: 0, perSecond: 0.15 });
      const retried: unknown[] = [];
      await using consumer = consume({
        registry,
        strategy: failover({ budget, onRetry: (error) => retried.push(error) }),
        session: { maxMessageBytes: 1_000 },
      });
      const stub = consumer.stub(Greeter);
      await expect(stub.hello(input as string)).rejects.toMatchObject({ code, unsent: true });
      expect(retried).toEqual([]);
      expect(budget.withdraw()).toBe(true);
    },
  );

  const failing = (): never => {
    throw new RpcError('UNAVAILABLE', 'not now');
  };
  it.each<[string, (given: Strategy) => Strategy]>([
    ['the attempts of the consumer', (given) => given],
    // A function that a strategy wraps around an attempt has no other properties of the attempt.
    [
      'wrapped attempts',
      (given) => (attempt, nodes) => given((...args) => attempt(...args), nodes),
    ],
  ])('counts %s, and retries in the async context of the caller', async (_, wrap) => {
    await using registry = memory();
    const providers = [
      greeter('a', { hello: failing }),
      greeter('b', { hello: failing }),
      greeter('c'),
    ].map((service, at) =>
      provide({ registry, id: `${at}`, address: ADDRESS, services: [service] }),
    );
    const storage = new AsyncLocalStorage<string>();
    const seen: [what: string, store: string | undefined][] = [];
    await using consumer = consume({
      registry,
      strategy: wrap(failover({ onRetry: () => seen.push(['retry', storage.getStore()]) })),
      balancer: () => (nodes) => {
        seen.push(['pick', storage.getStore()]);
        return nodes[0] as ServiceNode;
      },
    });
    try {
      await Promise.all(providers);
      const stub = consumer.stub(Greeter);
      // The first call of each node connects it.
      for (const round of ['first', 'second']) {
        seen.length = 0;
        expect(await storage.run(round, () => stub.hello('x'))).toBe('c: x');
        expect(new Set(seen)).toEqual(new Set(seen.map(([what]) => [what, round])));
        expect(seen.filter(([what]) => what === 'retry')).toHaveLength(2);
      }
      expect(consumer.statistics()).toMatchObject({ attempts: 6, retries: 4 });
      for (const { inFlight } of (await consumer.explain(Greeter)).candidates)
        expect(inFlight).toBe(0);
    } finally {
      for (const provider of await Promise.all(providers)) await provider.close();
    }
  });

  it('does not retry after an error of the handler', async () => {
    await using registry = memory();
    let calls = 0;
    const hello = (): never => {
      calls++;
      throw new RpcError('NOT_FOUND', 'no such name');
    };
    await using _a = await provide({
      registry,
      id: 'a',
      address: ADDRESS,
      services: [greeter('a', { hello })],
    });
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b', { hello })],
    });
    await using consumer = consume({ registry });
    await expect(consumer.stub(Greeter).hello('x')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'no such name',
    });
    expect(calls).toBe(1);
  });
});
