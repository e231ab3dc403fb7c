/** Calls from a consumer to providers. */
import { describe, expect, it } from 'vitest';
import type { ServiceNode } from '../../src/micro/index.js';
import {
  consistentHash,
  consume,
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
  RpcError,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { ADDRESS, Greeter, greeter } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';
import { freePort } from '../fixtures/ports.js';
import { Inbox, until } from '../fixtures/waiting.js';

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
      message:
        'no node offers Greeter, version v2, group sh, json; consumer.explain() says what is published',
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

  it.each([
    ['registry', { registry: {} }, 'registry: got an object, expected a Registry'],
    [
      'balancer',
      { registry: memory(), balancer: 'random' },
      'balancer: got "random", expected a balancer, such as roundRobin()',
    ],
    [
      'strategy',
      { registry: memory(), strategy: 'failover' },
      'strategy: got "failover", expected a strategy, such as failover()',
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
