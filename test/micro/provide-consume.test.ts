import { describe, expect, it } from 'vitest';
import type { Registry, ServiceNode } from '../../src/micro/index.js';
import {
  consistentHash,
  consume,
  failfast,
  failover,
  leastActive,
  p2cEwma,
  provide,
  roundRobin,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  type CallContext,
  contract,
  type Interceptor,
  implement,
  oneway,
  RpcError,
  type Service,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { freePort } from '../fixtures/ports.js';
import { Inbox, until } from '../fixtures/waiting.js';

const Greeter = contract('Greeter', {
  hello: unary<string, string>({ idempotent: true }),
  pay: unary<string, string>(),
  note: oneway<string>(),
});
const ADDRESS = 'tcp://127.0.0.1:0';

/** A Greeter whose answers begin with its name; handlers can be replaced. */
function greeter(
  name: string,
  handlers: Partial<
    Record<'hello' | 'pay' | 'note', (input: string, context: CallContext) => unknown>
  > = {},
): Service {
  return implement(Greeter, {
    hello: (input, context) =>
      (handlers.hello?.(input, context) ?? `${name}: ${input}`) as string | Promise<string>,
    pay: (input, context) =>
      (handlers.pay?.(input, context) ?? `${name}: ${input}`) as string | Promise<string>,
    note: (input, context) => void handlers.note?.(input, context),
  });
}

describe('provide and consume', () => {
  noLeaks();

  it('calls a provider that the registry lists', async () => {
    await using registry = memory();
    await using _provider = await provide({
      registry,
      group: 'bj',
      address: ADDRESS,
      services: [greeter('a')],
    });
    await using consumer = consume({ registry, group: 'bj' });
    expect(await consumer.stub(Greeter).hello('world')).toBe('a: world');
  });

  // A call that makes attempts without a turn of the event loop would block the process.
  it.each([
    ['p2cEwma', p2cEwma()],
    ['leastActive', leastActive()],
    ['consistentHash', consistentHash(() => 'key')],
    [
      'a balancer that picks the first node',
      () => (nodes: readonly ServiceNode[]) => nodes[0] as ServiceNode,
    ],
  ])('settles calls when two nodes refuse them and one is unreachable: %s', async (_, balancer) => {
    await using registry = memory();
    const refuse: Interceptor = () => async () => {
      throw new RpcError('UNAVAILABLE', 'no');
    };
    await using _a = await provide({
      registry,
      id: 'a',
      address: ADDRESS,
      services: [greeter('a')],
      interceptors: [refuse],
    });
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b')],
      interceptors: [refuse],
    });
    const address = `tcp://127.0.0.1:${await freePort()}`;
    await registry.register({
      id: 'c',
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address,
      metadata: {},
    });
    await using consumer = consume({ registry, balancer });
    const stub = consumer.stub(Greeter);
    for (let i = 0; i < 15; i++)
      await expect(stub.hello('x', { timeout: 2_000 })).rejects.toBeInstanceOf(RpcError);
  });

  it('calls every provider in turn with roundRobin()', async () => {
    await using registry = memory();
    await using _a = await provide({
      registry,
      id: 'a',
      address: ADDRESS,
      services: [greeter('a')],
    });
    await using _b = await provide({
      registry,
      id: 'b',
      address: ADDRESS,
      services: [greeter('b')],
    });
    await using _c = await provide({
      registry,
      id: 'c',
      address: ADDRESS,
      services: [greeter('c')],
    });
    await using consumer = consume({ registry, balancer: roundRobin() });
    const stub = consumer.stub(Greeter);
    const names: string[] = [];
    for (let i = 0; i < 9; i++) names.push((await stub.hello('x')).slice(0, 1));
    for (const name of ['a', 'b', 'c']) expect(names.filter((one) => one === name)).toHaveLength(3);
  });

  it('gives a self-defined balancer the nodes, their metadata and the call', async () => {
    await using registry = memory();
    await using _a = await provide({
      registry,
      id: 'a',
      meta: '{"group_id":1}',
      address: ADDRESS,
      services: [greeter('a')],
    });
    await using _b = await provide({
      registry,
      id: 'b',
      meta: '{"group_id":2}',
      address: ADDRESS,
      services: [greeter('b')],
    });
    const byGroup = () => (nodes: readonly ServiceNode[], call: { input: unknown }) =>
      nodes.find(
        (node) =>
          JSON.parse(node.metadata['getty-micro-meta-key'] ?? '{}').group_id === Number(call.input),
      ) as ServiceNode;
    await using consumer = consume({ registry, balancer: byGroup });
    const stub = consumer.stub(Greeter);
    expect(await stub.hello('2')).toBe('b: 2');
    expect(await stub.hello('1')).toBe('a: 1');
    await expect(stub.hello('3')).rejects.toMatchObject({ code: 'INTERNAL', unsent: true });
  });

  it('keeps versions and groups apart', async () => {
    const v1 = contract('Greeter', { hello: unary<string, string>() }, { version: 'v1' });
    const v2 = contract('Greeter', { hello: unary<string, string>() }, { version: 'v2' });
    await using registry = memory();
    await using _one = await provide({
      registry,
      group: 'bj',
      id: 'x',
      address: ADDRESS,
      services: [implement(v1, { hello: () => 'one' })],
    });
    await using _two = await provide({
      registry,
      group: 'bj',
      id: 'x',
      address: ADDRESS,
      services: [implement(v2, { hello: () => 'two' })],
    });
    await using _other = await provide({
      registry,
      group: 'sh',
      id: 'x',
      address: ADDRESS,
      services: [implement(v1, { hello: () => 'other' })],
    });
    await using bj = consume({ registry, group: 'bj' });
    await using sh = consume({ registry, group: 'sh' });
    for (let i = 0; i < 3; i++) {
      expect(await bj.stub(v1).hello('')).toBe('one');
      expect(await bj.stub(v2).hello('')).toBe('two');
      expect(await sh.stub(v1).hello('')).toBe('other');
    }
    await expect(sh.stub(v2).hello('')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'no node offers Greeter, version v2, group sh, json',
    });
  });

  it('calls a provider that is published after the consumer started', async () => {
    await using registry = memory();
    await using consumer = consume({ registry });
    const stub = consumer.stub(Greeter);
    await expect(stub.hello('x')).rejects.toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    const changes = new Inbox<number>('a change of the list');
    consumer.resolver(Greeter).onChange((_, nodes) => changes.push(nodes.length));
    await using _provider = await provide({ registry, address: ADDRESS, services: [greeter('a')] });
    expect(await changes.next()).toBe(1);
    expect(await stub.hello('x')).toBe('a: x');
  });

  it('shares one dial among concurrent first calls, and one connection among services at one address', async () => {
    const Other = contract('Other', { hello: unary<string, string>() });
    const peers = new Set<string>();
    const hello = (_: string, context: CallContext): string => {
      peers.add(context.peer);
      return 'x';
    };
    await using registry = memory();
    await using _provider = await provide({
      registry,
      address: ADDRESS,
      services: [greeter('a', { hello }), implement(Other, { hello })],
    });
    await using consumer = consume({ registry });
    const [one, other] = [consumer.stub(Greeter), consumer.stub(Other)];
    await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).hello('')));
    expect(peers.size).toBe(1);
  });

  describe('when a provider is lost', () => {
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

  it('disconnects a node that left the list, and does not dial it again', async () => {
    await using registry = memory();
    await using _a = await provide({
      registry,
      id: 'a',
      address: ADDRESS,
      services: [greeter('a')],
    });
    await using server = await serve(ADDRESS, [greeter('b')]);
    const entry = await registry.register({
      id: 'b',
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: server.address,
      metadata: {},
    });
    await using consumer = consume({ registry });
    const stub = consumer.stub(Greeter);
    await Promise.all([stub.hello('y'), stub.hello('y')]);
    expect(server.channels.size).toBeGreaterThan(0);
    await entry[Symbol.asyncDispose]();
    await until(() => server.channels.size === 0, 'the consumer is disconnected');
    for (let i = 0; i < 5; i++) expect(await stub.hello('y')).toBe('a: y');
    expect(server.channels.size).toBe(0);
  });

  it('listens before it registers, and deregisters before it stops to accept calls', async () => {
    const steps: string[] = [];
    const inner = memory();
    await using _inner = inner;
    const registry: Registry = {
      async register(node) {
        // The provider answers while it registers.
        await using early = consume({ registry: inner });
        const registration = await inner.register(node);
        steps.push(`registering: ${await early.stub(Greeter).hello('1')}`);
        return {
          async [Symbol.asyncDispose]() {
            await using late = consume({ registry: inner });
            steps.push(`deregistering: ${await late.stub(Greeter).hello('2')}`);
            await registration[Symbol.asyncDispose]();
          },
        };
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    const provider = await provide({ registry, address: ADDRESS, services: [greeter('a')] });
    await provider.close();
    expect(steps).toEqual(['registering: a: 1', 'deregistering: a: 2']);
  });

  it('loses no call with failfast() when providers are replaced one after another under load', async () => {
    await using registry = memory();
    const start = (id: string) =>
      provide({
        registry,
        id,
        address: ADDRESS,
        services: [
          greeter(id, {
            pay: (input) => new Promise((resolve) => setImmediate(() => resolve(input))),
          }),
        ],
      });
    let providers = await Promise.all(['a', 'b', 'c'].map(start));
    await using consumer = consume({ registry, strategy: failfast() });
    const stub = consumer.stub(Greeter);
    let isRunning = true;
    let calls = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (isRunning) {
        expect(await stub.pay('x')).toBe('x');
        calls++;
      }
    });
    for (const id of ['a2', 'b2', 'c2']) {
      const before = calls;
      while (calls < before + 50) await new Promise((resolve) => setImmediate(resolve));
      const [old, ...rest] = providers;
      providers = [...rest, await start(id)];
      await old?.close();
    }
    isRunning = false;
    await Promise.all(load);
    expect(calls).toBeGreaterThan(150);
    await Promise.all(providers.map((provider) => provider.close()));
  });

  it('closes its server when it cannot register', async () => {
    const registry: Registry = {
      register: () => Promise.reject(new Error('no')),
      watch: () => memory().watch({ service: 'x' }),
      list: async () => [],
      async [Symbol.asyncDispose]() {},
    };
    await expect(provide({ registry, address: ADDRESS, services: [greeter('a')] })).rejects.toThrow(
      'no',
    );
  });

  it('publishes one entry for each service and codec, at the advertised address', async () => {
    await using registry = memory();
    await using provider = await provide({
      registry,
      group: 'bj',
      address: 'tcp://0.0.0.0:0',
      advertise: 'gateway.example',
      services: [greeter('a')],
      metadata: { zone: 'z1' },
    });
    const port = Number(provider.address.split(':').at(-1));
    expect(provider.nodes).toEqual([
      {
        id: `gateway.example:${port}`,
        service: 'Greeter',
        group: 'bj',
        version: '',
        protocol: 'json',
        address: `tcp://gateway.example:${port}`,
        metadata: { zone: 'z1' },
      },
    ]);
    await using mapped = await provide({
      registry,
      address: ADDRESS,
      advertise: '10.0.0.7:9000',
      services: [greeter('a')],
    });
    expect(mapped.nodes[0]?.address).toBe('tcp://10.0.0.7:9000');
    await using allInterfaces = await provide({ registry, services: [greeter('a')] });
    expect(allInterfaces.nodes[0]?.address).not.toContain('0.0.0.0');
  });

  it.each([
    [
      'registry',
      { registry: undefined, services: [greeter('a')] },
      'registry: given undefined, expected a Registry',
    ],
    [
      'services',
      { registry: memory(), services: [] },
      'services: given an array, expected at least one of what implement() returns',
    ],
    [
      'advertise',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, advertise: 'a b' },
      'advertise: given "a b", expected a host, or host:port',
    ],
    [
      'timeout',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, timeout: 0 },
      'timeout: given 0, expected a number from 1',
    ],
  ])('provide() rejects with BAD_OPTION for a bad %s', async (_, options, message) => {
    await expect(provide(options as never)).rejects.toMatchObject({ code: 'BAD_OPTION', message });
  });

  it.each([
    ['registry', { registry: {} }, 'registry: given an object, expected a Registry'],
    [
      'balancer',
      { registry: memory(), balancer: 'random' },
      'balancer: given "random", expected a function that returns a picker, as roundRobin() is',
    ],
    [
      'strategy',
      { registry: memory(), strategy: 'failover' },
      'strategy: given "failover", expected what failover() or failfast() returns',
    ],
  ])('consume() throws BAD_OPTION for a bad %s', (_, options, message) => {
    expect(() => consume(options as never)).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION', message }),
    );
  });

  it('rejects calls with UNAVAILABLE after close() of the consumer', async () => {
    await using registry = memory();
    const consumer = consume({ registry });
    const stub = consumer.stub(Greeter);
    await consumer.close();
    await expect(stub.hello('x')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the consumer is closed',
    });
  });
});
