/** Consumer.notify(), idle connections, and bad options of a consumer. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  consume,
  failfast,
  failover,
  hedge,
  type Provider,
  p2cEwma,
  type Registry,
  Resolver,
  roundRobin,
  type ServiceNode,
  type SnapshotChange,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { contract, implement, type RpcServer, serve, unary } from '../../src/rpc/index.js';
import { ADDRESS, Cluster, Greeter } from '../fixtures/cluster.js';
import { noLeaks } from '../fixtures/leaks.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { elapse, gate, Inbox, turns, until } from '../fixtures/waiting.js';

noLeaks();
noTimersLeft();

describe('notify', () => {
  it('reports the present nodes as added, then each change, until it is stopped', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume();
    await cluster.call(1);
    const changes = new Inbox<Record<string, string[]>>('a change');
    const ids = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id);
    const listener = ({ added, removed, updated }: SnapshotChange): void =>
      changes.push({ added: ids(added), removed: ids(removed), updated: ids(updated) });
    const stop = consumer.notify(Greeter, listener);
    expect(changes.all).toEqual([{ added: ['a'], removed: [], updated: [] }]);
    changes.dismiss();
    await cluster.add('b');
    expect(await changes.next()).toEqual({ added: ['b'], removed: [], updated: [] });
    const [node] = (cluster.providers.get('a') as Provider).nodes;
    await cluster.registry.register({ ...(node as ServiceNode), metadata: { x: 'y' } });
    expect(await changes.next()).toEqual({ added: [], removed: [], updated: ['a'] });
    await cluster.remove('b');
    expect(await changes.next()).toEqual({ added: [], removed: ['b'], updated: [] });
    stop();
    await cluster.add('c');
    await turns(5);
    expect(changes.unread).toEqual([]);
    expect(() => consumer.notify(Greeter, 'x' as never)).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

describe('a node that no call uses', () => {
  /** A server whose connections a test can count. */
  async function registeredServer(
    registry: Registry,
    hello: () => string | Promise<string> = () => 'a',
  ): Promise<RpcServer> {
    const server = await serve(ADDRESS, [implement(Greeter, { hello, count: () => [] })]);
    await registry.register({
      id: 'a',
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: server.address,
      metadata: {},
    });
    return server;
  }

  it('is disconnected after idleTimeout, and dialed again by the next call', async () => {
    await using registry = memory();
    await using server = await registeredServer(registry);
    await using consumer = consume({ registry, idleTimeout: 100, strategy: failfast() });
    const stub = consumer.stub(Greeter);
    for (let round = 0; round < 3; round++) {
      expect(await stub.hello('x')).toBe('a');
      expect(server.channels.size).toBeGreaterThan(0);
      await until(() => server.channels.size === 0, 'its connections are closed');
      expect((await consumer.explain(Greeter)).candidates).toHaveLength(1);
    }
  });

  it('stays connected while a call is in flight, and with idleTimeout: 0', async () => {
    const hold = gate<string>();
    await using registry = memory();
    await using server = await registeredServer(registry, () => hold.promise);
    await using consumer = consume({ registry, idleTimeout: 20 });
    await using withoutTimeout = consume({ registry, idleTimeout: 0 });
    const answers = [consumer, withoutTimeout].map((each) => each.stub(Greeter).hello('x'));
    await until(
      () => [...server.channels].reduce((sum, { serving }) => sum + serving, 0) === 2,
      'both calls are in flight',
    );
    // Each consumer has two connections.
    const all = 4;
    await until(() => server.channels.size === all, 'all connections are open');
    // Longer than idleTimeout.
    await elapse(120);
    expect(server.channels.size).toBe(all);
    hold.open('done');
    expect(await Promise.all(answers)).toEqual(['done', 'done']);
    await until(
      () => server.channels.size === all / 2,
      'the connections of the first consumer are closed',
    );
    await elapse(60);
    expect(server.channels.size).toBe(all / 2);
  });
});

it.each<[string, object]>([
  ['slowStart', { slowStart: -1 }],
  ['idleTimeout', { idleTimeout: 2 ** 31 }],
  ['failures', { ejection: { failures: 0 } }],
  ['ejection.failures', { ejection: { failures: 1.5 } }],
  ['share', { ejection: { share: 2 } }],
  ['time', { ejection: { time: 0 } }],
  ['codes', { ejection: { codes: 'UNAVAILABLE' } }],
  ['ejection.codes', { ejection: { codes: ['UNAVAILABLE', 'NOPE'] } }],
  ['ejection', { ejection: true }],
  ['ejection', { ejection: null }],
  ['group', { group: 5 }],
  ['group', { group: 'a\0' }],
  ['interceptors', { interceptors: 5 }],
  ['interceptors', { interceptors: [5] }],
  ['services', { services: 5 }],
  ['connections', { connections: 'x' }],
  ['connectTimeout', { connectTimeout: 0 }],
  ['reconnect.maxAttempts', { reconnect: { maxAttempts: 0 } }],
  ['timeout', { timeout: 'x' }],
  ['drainTimeout', { drainTimeout: -1 }],
  ['heartbeatPeriod', { heartbeatPeriod: 'x' }],
  ['maxMessageBytes', { session: { maxMessageBytes: 'x' } }],
  ['onState', { onState: 5 }],
  ['tls', { tls: 5 }],
  ['udp', { udp: null }],
  ['websocket', { websocket: 'x' }],
  ['logger', { logger: {} }],
])('consume() throws BAD_OPTION for a bad %s', async (name, options) => {
  await using registry = memory();
  expect(() => consume({ registry, ...options })).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(`${name}:`) }),
  );
});

it.each([
  ['strategy', async () => () => Promise.resolve()],
  ['balancer', async () => () => undefined],
])('a %s that is an async function is BAD_OPTION', async (name, given) => {
  await using registry = memory();
  expect(() => consume({ registry, [name]: given })).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION' }),
  );
});

it('fails with INTERNAL when the picker returns a node of another address, or a strategy none', async () => {
  await using cluster = new Cluster();
  await cluster.add('a', 'b');
  const forging = cluster.consume({
    balancer: () => (nodes) => ({ ...(nodes[0] as ServiceNode), address: 'memory://nobody' }),
  });
  await expect(forging.stub(Greeter).hello('x')).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringContaining('returned no node of the list'),
  });
  await forging.close();
  const careless = cluster.consume({
    strategy: (_, nodes) => (call) => nodes.call(undefined as never, call),
  });
  await expect(careless.stub(Greeter).hello('x')).rejects.toMatchObject({ code: 'INTERNAL' });
});

it('dials no node after close(), also for a call that waits for a connection', async () => {
  // It accepts connections, and answers no handshake.
  const silent = createServer();
  const sockets = new Inbox<Socket>('a connection');
  silent.on('connection', (socket) => sockets.push(socket.on('error', () => {})));
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  await using registry = memory();
  for (const id of ['a', 'b', 'c'])
    await registry.register({
      id,
      service: Greeter.name,
      group: '',
      version: Greeter.version,
      protocol: 'json',
      address: `ws://127.0.0.1:${port}/${id}`,
      metadata: {},
    });
  const consumer = consume({ registry });
  const call = consumer.stub(Greeter).hello('x');
  const failed = expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await sockets.next();
  await consumer.close();
  await failed;
  await turns(5);
  for (const socket of sockets.all) socket.destroy();
  expect(sockets.all).toHaveLength(1);
  await new Promise((resolve) => silent.close(resolve));
});

it('makes one picker for each service, the first at consume()', async () => {
  let pickers = 0;
  await using registry = memory();
  await using consumer = consume({
    registry,
    balancer: () => {
      pickers++;
      return ([node]) => node as ServiceNode;
    },
  });
  expect(pickers).toBe(1);
  consumer.stub(Greeter);
  consumer.stub(Greeter);
  expect(pickers).toBe(1);
  consumer.stub(contract('Other', { hello: unary<string, string>() }));
  expect(pickers).toBe(2);
});

it.each<[string, object]>([
  [
    'balancer: got the function roundRobin, expected its result: roundRobin()',
    { balancer: roundRobin },
  ],
  ['balancer: got the function p2cEwma, expected its result: p2cEwma()', { balancer: p2cEwma }],
  [
    'the result of balancer(): got 5, expected a picker, which is a function',
    { balancer: () => 5 },
  ],
  ['the result of strategy(): got 5, expected a function that makes a call', { strategy: () => 5 }],
  ['strategy: got the function failover, expected its result: failover()', { strategy: failover }],
  ['strategy: got the function hedge, expected its result: hedge()', { strategy: hedge }],
  ['registry: got a promise, expected a Registry: await it first', { registry: Promise.resolve() }],
  ['version is not an option of consume(); it is an option of contract()', { version: 'v1' }],
  ['group: got 5, expected a string', { group: 5 }],
])('consume() throws the message %s', async (message, options) => {
  await using registry = memory();
  expect(() => consume({ registry, ...options })).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION', message }),
  );
});

it('failfast() throws BAD_OPTION for options', () => {
  expect(() => (failfast as (options: object) => unknown)({ attempts: 1 })).toThrowError(
    expect.objectContaining({
      code: 'BAD_OPTION',
      message: 'attempts is not an option of failfast(), which has none',
    }),
  );
});

it('throws BAD_OPTION for arguments of a wrong type', async () => {
  await using registry = memory();
  await using consumer = consume({ registry });
  const wrong: [string, () => unknown][] = [
    ['options of consume()', () => consume(null as never)],
    ['options of consume()', () => consume(5 as never)],
    ['contract', () => consumer.resolver({} as never)],
    ['contract', () => consumer.notify(undefined as never, () => {})],
    ['protocol', () => consumer.notify(Greeter, () => {}, { codec: 'x' as never })],
    ['listener', () => consumer.resolver(Greeter).onChange(5 as never)],
    ['timeout', () => consumer.resolver(Greeter).ready({ timeout: -1 })],
    ['registry', () => new Resolver(5 as never, { service: 'x' })],
    ['service', () => new Resolver(registry, { service: '' })],
  ];
  for (const [name, run] of wrong)
    expect(run, name).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(`${name}:`) }),
    );
  await expect(consumer.explain(undefined as never)).rejects.toMatchObject({
    code: 'BAD_OPTION',
    message: 'contract: got undefined, expected a contract, or { name, version, codec }',
  });
});
