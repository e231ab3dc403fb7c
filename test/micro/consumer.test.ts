/** How a consumer treats nodes that fail, are new, or receive no calls; and what it reports. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type ConsumeOptions,
  type Consumer,
  consume,
  type ExplainedNode,
  failfast,
  leastActive,
  type Provider,
  p2cEwma,
  provide,
  type Registry,
  roundRobin,
  type ServiceNode,
  type SnapshotChange,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  contract,
  implement,
  RpcError,
  type RpcServer,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { elapse, gate, Inbox, turns, until } from '../fixtures/waiting.js';

const Greeter = contract('Greeter', {
  hello: unary<string, string>({ idempotent: true }),
  count: serverStream<number, number>(),
});
const ADDRESS = 'tcp://127.0.0.1:0';

/** Providers by id, whose answers a test controls, and a consumer of them. */
class Cluster implements AsyncDisposable {
  readonly registry: Registry = memory();
  readonly answers = new Map<string, () => unknown>();
  /** Calls received, by provider. */
  readonly calls = new Map<string, number>();
  readonly providers = new Map<string, Provider>();
  #consumer: Consumer | undefined;

  async add(...ids: string[]): Promise<void> {
    for (const id of ids) {
      const hello = async (): Promise<string> => {
        this.calls.set(id, (this.calls.get(id) ?? 0) + 1);
        await this.answers.get(id)?.();
        return id;
      };
      async function* count(to: number) {
        for (let i = 0; i < to; i++) yield i;
      }
      this.providers.set(
        id,
        await provide({
          registry: this.registry,
          id,
          address: ADDRESS,
          services: [implement(Greeter, { hello, count })],
        }),
      );
    }
  }

  async remove(id: string): Promise<void> {
    await this.providers.get(id)?.close();
    this.providers.delete(id);
  }

  consume(options: Partial<ConsumeOptions> = {}): Consumer {
    this.#consumer = consume({ registry: this.registry, strategy: failfast(), ...options });
    return this.#consumer;
  }

  /** Makes calls one after another; the ids that answered them, or the codes of their errors. */
  async call(count: number): Promise<string[]> {
    const stub = (this.#consumer as Consumer).stub(Greeter);
    const answers: string[] = [];
    for (let i = 0; i < count; i++) answers.push(await stub.hello('x').catch(({ code }) => code));
    return answers;
  }

  fail(id: string, code: 'UNAVAILABLE' | 'NOT_FOUND' = 'UNAVAILABLE'): void {
    this.answers.set(id, () => {
      throw new RpcError(code, 'not now');
    });
  }

  async reasons(): Promise<Record<string, string>> {
    const all = Object.values(await this.explained());
    return Object.fromEntries(
      all.map(({ node, candidate, reason }) => [node.id, `${candidate ? '+' : '-'} ${reason}`]),
    );
  }

  async explained(): Promise<Record<string, ExplainedNode>> {
    const { candidates, leftOut } = await (this.#consumer as Consumer).explain(Greeter);
    return Object.fromEntries([...candidates, ...leftOut].map((each) => [each.node.id, each]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer?.close();
    for (const provider of this.providers.values()) await provider.close();
    await this.registry[Symbol.asyncDispose]();
  }
}

const times = (list: readonly string[], what: string): number =>
  list.filter((each) => each === what).length;

noLeaks();
noTimersLeft();

describe('a node whose calls fail', () => {
  it('is ejected after `failures` failed calls in a row, and receives calls again after a probe', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    await using first = cluster.consume({
      ejection: { failures: 3, time: 60_000, maxTime: 60_000 },
    });
    cluster.fail('a');
    const answers = await cluster.call(8);
    expect(times(answers, 'UNAVAILABLE')).toBe(3);
    expect(await cluster.call(10)).toEqual(Array(10).fill('b'));
    expect((await cluster.reasons()).a).toMatch(
      /^- ejected after 3 failed calls in a row, for another \d+ ms$/,
    );
    await first.close();
    cluster.consume({ ejection: { failures: 1, time: 100 } });
    await cluster.call(2);
    cluster.answers.clear();
    const phase = async (): Promise<string> => (await cluster.reasons()).a ?? '';
    await until(async () => (await phase()).startsWith('+'), 'the node is a candidate again');
    expect(await phase()).toBe('+ ejection is over; the next call is the probe');
    expect(times(await cluster.call(10), 'a')).toBe(5);
    expect(await phase()).toBe('+ receives calls');
  });

  it('receives one probe at a time', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    const consumer = cluster.consume({ ejection: { failures: 1, time: 40, maxTime: 10_000 } });
    cluster.fail('a');
    await cluster.call(2);
    for (let round = 0; round < 3; round++) {
      const before = cluster.calls.get('a') as number;
      const stub = consumer.stub(Greeter);
      await until(async () => {
        // Only one of concurrent calls may be the probe.
        await Promise.allSettled(Array.from({ length: 6 }, () => stub.hello('x')));
        return cluster.calls.get('a') !== before;
      }, 'the node is probed');
      expect(cluster.calls.get('a')).toBe(before + 1);
    }
  });

  it('is not ejected when the part `share` of all nodes is ejected already', async () => {
    for (const [ids, share, maxEjected] of [
      [['a', 'b'], 0.5, 1],
      [['a'], 0.5, 0],
      [['a', 'b', 'c', 'd', 'e'], 0.2, 1],
      [['a', 'b', 'c'], 0, 0],
    ] as const) {
      await using cluster = new Cluster();
      await cluster.add(...ids);
      const consumer = cluster.consume({
        ejection: { failures: 1, time: 60_000, maxTime: 60_000, share },
      });
      for (const id of ids) cluster.fail(id);
      await cluster.call(20);
      const { candidates, leftOut } = await consumer.explain(Greeter);
      expect([leftOut.length, candidates.length]).toEqual([maxEjected, ids.length - maxEjected]);
    }
  });

  it('is not ejected for other codes, or when a call succeeds between failures', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ ejection: { failures: 2, time: 60_000, maxTime: 60_000 } });
    cluster.fail('a', 'NOT_FOUND');
    await cluster.call(10);
    expect(times(await cluster.call(10), 'NOT_FOUND')).toBe(5);
    let turn = 0;
    cluster.answers.set('a', () => {
      if (turn++ % 2 === 0) throw new RpcError('UNAVAILABLE', 'now and then');
    });
    expect(times(await cluster.call(20), 'UNAVAILABLE')).toBe(5);
  });

  it('stays ejected when its metadata change', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ ejection: { failures: 1, time: 60_000, maxTime: 60_000 } });
    cluster.fail('a');
    await cluster.call(4);
    const [entry] = (cluster.providers.get('a') as Provider).nodes;
    await cluster.registry.register({ ...(entry as ServiceNode), metadata: { said: 'more' } });
    await turns(5);
    expect(await cluster.call(6)).toEqual(Array(6).fill('b'));
  });

  it('is not ejected with ejection: false', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ ejection: false });
    cluster.fail('a');
    expect(times(await cluster.call(40), 'UNAVAILABLE')).toBe(20);
  });
});

describe('a new node', () => {
  let offset = 0;
  let random = 0;
  beforeEach(() => {
    offset = 0;
    // The age of the node is `offset` ms, however long the calls take.
    const start = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => start + offset);
    // Evenly distributed numbers in a fixed order.
    vi.spyOn(Math, 'random').mockImplementation(() => (random = (random + 0.618033988749895) % 1));
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('reaches its full share of calls within slowStart; nodes of the first list have it at once', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    const consumer = cluster.consume({ slowStart: 10_000, balancer: roundRobin() });
    const firstCalls = await cluster.call(40);
    expect(times(firstCalls, 'a')).toBe(20);
    const seen = new Inbox<number>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.length));
    await cluster.add('c');
    await seen.next();
    const shares: number[] = [];
    // It receives calls when it is connected.
    while ((await cluster.call(1))[0] !== 'c') await turns();
    for (const age of [0, 3_000, 6_000, 11_000]) {
      offset = age;
      shares.push(times(await cluster.call(300), 'c') / 100);
    }
    // 1 is the full share of one of three nodes; it starts with a twentieth of that.
    expect(shares[0]).toBeLessThan(0.2);
    expect(shares[1]).toBeGreaterThan(0.2);
    expect(shares[1]).toBeLessThan(0.45);
    expect(shares[2]).toBeGreaterThan(0.5);
    expect(shares[2]).toBeLessThan(0.8);
    expect(shares[3]).toBeCloseTo(1, 1);
  });

  it('receives all calls when it is the only node', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume({ slowStart: 60_000 });
    await cluster.call(1);
    const seen = new Inbox<string>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.map(({ id }) => id).join()));
    await cluster.add('b');
    await seen.next();
    expect((await cluster.reasons()).b).toMatch(/^\+ new: receives 5 % of its share$/);
    await cluster.remove('a');
    await seen.next();
    expect(await cluster.call(5)).toEqual(Array(5).fill('b'));
  });

  it('has its full share at once without slowStart', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume();
    await cluster.call(1);
    const seen = new Inbox<number>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.length));
    await cluster.add('b');
    await seen.next();
    // It receives calls when it is connected.
    while ((await cluster.call(1))[0] !== 'b') await turns();
    expect(times(await cluster.call(20), 'b')).toBe(10);
  });
});

describe('the load of a node', () => {
  it('makes leastActive() avoid a busy node', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ balancer: leastActive() });
    const hold = gate();
    for (const id of ['a', 'b']) cluster.answers.set(id, () => hold.promise);
    const held = cluster.call(1);
    await until(() => cluster.calls.size === 1, 'one node has a call');
    const [busy = ''] = cluster.calls.keys();
    cluster.answers.delete(busy === 'a' ? 'b' : 'a');
    expect(await cluster.call(5)).toEqual(Array(5).fill(busy === 'a' ? 'b' : 'a'));
    hold.open();
    expect(await held).toEqual([busy]);
  });

  it('makes p2cEwma() avoid a slow node', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ balancer: p2cEwma() });
    cluster.answers.set('a', () => elapse(200));
    await cluster.call(4);
    expect(times(await cluster.call(30), 'b')).toBeGreaterThanOrEqual(29);
    const explained = await cluster.explained();
    expect(explained.a?.latency).toBeGreaterThan(explained.b?.latency as number);
  });

  it('includes a stream until its end', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume();
    const replies = consumer.stub(Greeter).count(3)[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 0 });
    expect((await cluster.explained()).a).toMatchObject({ inFlight: 1, latency: 0 });
    await replies.return?.();
    expect((await cluster.explained()).a).toMatchObject({ inFlight: 0 });
  });
});

describe('explain', () => {
  it('lists nodes of other codecs, and addresses that cannot be dialed', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const base = {
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    } as const;
    await cluster.registry.register({ ...base, id: 'dead' });
    await cluster.registry.register({ ...base, id: 'other', protocol: 'protobuf' });
    const consumer = cluster.consume();
    expect((await consumer.explain(Greeter)).query).toEqual({
      service: 'Greeter',
      protocol: 'json',
    });
    await cluster.call(2);
    const { ready, candidates, leftOut } = await consumer.explain(Greeter);
    expect(ready).toBe(true);
    expect(candidates.map(({ node, reason }) => [node.id, reason])).toEqual([
      ['a', 'receives calls'],
    ]);
    expect(leftOut.map(({ node, reason }) => [node.id, reason])).toEqual([
      [
        'dead',
        expect.stringMatching(/^the last dial failed, the next one follows: .*ECONNREFUSED/),
      ],
      ['other', 'its protocol is "protobuf", this consumer needs "json"'],
    ]);
  });

  it('lists nodes of other groups; all nodes are candidates when none is available', async () => {
    await using cluster = new Cluster();
    await cluster.registry.register({
      id: 'dead',
      service: 'Greeter',
      group: 'bj',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    });
    cluster.consume({ group: 'sh' });
    expect(await cluster.reasons()).toEqual({
      dead: '- its group is "bj", this consumer needs "sh"',
    });
    await using other = consume({ registry: cluster.registry, group: 'bj', strategy: failfast() });
    await expect(other.stub(Greeter).hello('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await other.explain(Greeter)).candidates.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/ECONNREFUSED.*; no node is better$/),
    ]);
  });
});

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

  it('stays connected while a call is under way, and with idleTimeout: 0', async () => {
    const hold = gate<string>();
    await using registry = memory();
    await using server = await registeredServer(registry, () => hold.promise);
    await using consumer = consume({ registry, idleTimeout: 20 });
    await using withoutTimeout = consume({ registry, idleTimeout: 0 });
    const answers = [consumer, withoutTimeout].map((each) => each.stub(Greeter).hello('x'));
    await until(
      () => [...server.channels].reduce((sum, { serving }) => sum + serving, 0) === 2,
      'both calls are under way',
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

it.each([
  ['slowStart', { slowStart: -1 }],
  ['idleTimeout', { idleTimeout: 2 ** 31 }],
  ['failures', { ejection: { failures: 0 } }],
  ['ejection.failures', { ejection: { failures: 1.5 } }],
  ['share', { ejection: { share: 2 } }],
  ['time', { ejection: { time: 0 } }],
  ['codes', { ejection: { codes: 'UNAVAILABLE' as never } }],
])('consume() throws BAD_OPTION for a bad %s', async (name, options) => {
  await using registry = memory();
  expect(() => consume({ registry, ...options })).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(`${name}:`) }),
  );
});
