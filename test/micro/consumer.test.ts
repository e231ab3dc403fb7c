/**
 * What a consumer makes of its nodes: those that fail, those that are new, those that nobody calls;
 * and what it tells of them.
 */
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

/** Providers by id, whose answers a test decides, and a consumer of them. */
class Town implements AsyncDisposable {
  readonly registry: Registry = memory();
  readonly answers = new Map<string, () => unknown>();
  /** Calls that came, by provider. */
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

  /** Who answered so many calls, one after the other; the code where one failed. */
  async ask(count: number): Promise<string[]> {
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
  it('is left out after so many failures in a row, and comes back when one call has succeeded', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    await using patient = town.consume({
      ejection: { failures: 3, time: 60_000, maxTime: 60_000 },
    });
    town.fail('a');
    const first = await town.ask(8);
    expect(times(first, 'UNAVAILABLE')).toBe(3);
    expect(await town.ask(10)).toEqual(Array(10).fill('b'));
    expect((await town.reasons()).a).toMatch(
      /^- 3 calls in a row failed; left out for another \d+ ms$/,
    );
    await patient.close();
    town.consume({ ejection: { failures: 1, time: 100 } });
    await town.ask(2);
    town.answers.clear();
    const phase = async (): Promise<string> => (await town.reasons()).a ?? '';
    await until(async () => (await phase()).startsWith('+'), 'the node is a candidate again');
    expect(await phase()).toBe('+ failed; one call finds out whether it is well again');
    expect(times(await town.ask(10), 'a')).toBe(5);
    expect(await phase()).toBe('+ takes calls');
  });

  it('is probed by one call at a time', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    const consumer = town.consume({ ejection: { failures: 1, time: 40, maxTime: 10_000 } });
    town.fail('a');
    await town.ask(2);
    for (let round = 0; round < 3; round++) {
      const before = town.calls.get('a') as number;
      const stub = consumer.stub(Greeter);
      await until(async () => {
        // Many at once: no more than one of them may be the probe.
        await Promise.allSettled(Array.from({ length: 6 }, () => stub.hello('x')));
        return town.calls.get('a') !== before;
      }, 'the node is probed');
      expect(town.calls.get('a')).toBe(before + 1);
    }
  });

  it('never more than a share of all nodes: of two one at most, of one none, of five with a fifth one', async () => {
    for (const [ids, share, most] of [
      [['a', 'b'], 0.5, 1],
      [['a'], 0.5, 0],
      [['a', 'b', 'c', 'd', 'e'], 0.2, 1],
      [['a', 'b', 'c'], 0, 0],
    ] as const) {
      await using town = new Town();
      await town.add(...ids);
      const consumer = town.consume({
        ejection: { failures: 1, time: 60_000, maxTime: 60_000, share },
      });
      for (const id of ids) town.fail(id);
      await town.ask(20);
      const { candidates, leftOut } = await consumer.explain(Greeter);
      expect([leftOut.length, candidates.length]).toEqual([most, ids.length - most]);
    }
  });

  it('an answer that is an error is an answer, and failures must be in a row', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    town.consume({ ejection: { failures: 2, time: 60_000, maxTime: 60_000 } });
    town.fail('a', 'NOT_FOUND');
    await town.ask(10);
    expect(times(await town.ask(10), 'NOT_FOUND')).toBe(5);
    let turn = 0;
    town.answers.set('a', () => {
      if (turn++ % 2 === 0) throw new RpcError('UNAVAILABLE', 'now and then');
    });
    expect(times(await town.ask(20), 'UNAVAILABLE')).toBe(5);
  });

  it('keeps being left out when it says something else of itself', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    town.consume({ ejection: { failures: 1, time: 60_000, maxTime: 60_000 } });
    town.fail('a');
    await town.ask(4);
    const [entry] = (town.providers.get('a') as Provider).nodes;
    await town.registry.register({ ...(entry as ServiceNode), metadata: { said: 'more' } });
    await turns(5);
    expect(await town.ask(6)).toEqual(Array(6).fill('b'));
  });

  it('is not left out with ejection: false', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    town.consume({ ejection: false });
    town.fail('a');
    expect(times(await town.ask(40), 'UNAVAILABLE')).toBe(20);
  });
});

describe('a new node', () => {
  let offset = 0;
  let chance = 0;
  beforeEach(() => {
    offset = 0;
    // The clock stands still, however long the calls take.
    const start = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => start + offset);
    // Each chance comes up equally often.
    vi.spyOn(Math, 'random').mockImplementation(() => (chance = (chance + 0.618033988749895) % 1));
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is given more and more of its share over slowStart; those that were there first have all of it', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    const consumer = town.consume({ slowStart: 10_000, balancer: roundRobin() });
    const begin = await town.ask(40);
    expect(times(begin, 'a')).toBe(20);
    const seen = new Inbox<number>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.length));
    await town.add('c');
    await seen.next();
    const shares: number[] = [];
    // It joins the others when it is connected.
    while ((await town.ask(1))[0] !== 'c') await turns();
    for (const age of [0, 3_000, 6_000, 11_000]) {
      offset = age;
      shares.push(times(await town.ask(300), 'c') / 100);
    }
    // 1 is a whole share of three; it begins with a twentieth.
    expect(shares[0]).toBeLessThan(0.2);
    expect(shares[1]).toBeGreaterThan(0.2);
    expect(shares[1]).toBeLessThan(0.45);
    expect(shares[2]).toBeGreaterThan(0.5);
    expect(shares[2]).toBeLessThan(0.8);
    expect(shares[3]).toBeCloseTo(1, 1);
  });

  it('takes all calls when nobody else is there', async () => {
    await using town = new Town();
    await town.add('a');
    const consumer = town.consume({ slowStart: 60_000 });
    await town.ask(1);
    const seen = new Inbox<string>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.map(({ id }) => id).join()));
    await town.add('b');
    await seen.next();
    expect((await town.reasons()).b).toMatch(/^\+ new: takes 5 % of its share$/);
    await town.remove('a');
    await seen.next();
    expect(await town.ask(5)).toEqual(Array(5).fill('b'));
  });

  it('has its whole share at once without slowStart', async () => {
    await using town = new Town();
    await town.add('a');
    const consumer = town.consume();
    await town.ask(1);
    const seen = new Inbox<number>('a list');
    consumer.resolver(Greeter).onChange((_, nodes) => seen.push(nodes.length));
    await town.add('b');
    await seen.next();
    // It joins the others when it is connected.
    while ((await town.ask(1))[0] !== 'b') await turns();
    expect(times(await town.ask(20), 'b')).toBe(10);
  });
});

describe('the load of a node', () => {
  it('leads calls around one that is busy', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    town.consume({ balancer: leastActive() });
    const hold = gate();
    for (const id of ['a', 'b']) town.answers.set(id, () => hold.promise);
    const held = town.ask(1);
    await until(() => town.calls.size === 1, 'one has a call');
    const [busy = ''] = town.calls.keys();
    town.answers.delete(busy === 'a' ? 'b' : 'a');
    expect(await town.ask(5)).toEqual(Array(5).fill(busy === 'a' ? 'b' : 'a'));
    hold.open();
    expect(await held).toEqual([busy]);
  });

  it('leads calls around one that is slow', async () => {
    await using town = new Town();
    await town.add('a', 'b');
    town.consume({ balancer: p2cEwma() });
    town.answers.set('a', () => elapse(200));
    await town.ask(4);
    expect(times(await town.ask(30), 'b')).toBeGreaterThanOrEqual(29);
    const explained = await town.explained();
    expect(explained.a?.latency).toBeGreaterThan(explained.b?.latency as number);
  });

  it('counts a stream until its end', async () => {
    await using town = new Town();
    await town.add('a');
    const consumer = town.consume();
    const replies = consumer.stub(Greeter).count(3)[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 0 });
    expect((await town.explained()).a).toMatchObject({ inFlight: 1, latency: 0 });
    await replies.return?.();
    expect((await town.explained()).a).toMatchObject({ inFlight: 0 });
  });
});

describe('explain', () => {
  it('tells of other groups, versions and codecs, and of addresses that cannot be dialled', async () => {
    await using town = new Town();
    await town.add('a');
    const base = {
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    } as const;
    await town.registry.register({ ...base, id: 'dead' });
    await town.registry.register({ ...base, id: 'other', protocol: 'protobuf' });
    const consumer = town.consume();
    expect((await consumer.explain(Greeter)).query).toEqual({
      service: 'Greeter',
      protocol: 'json',
    });
    await town.ask(2);
    const { ready, candidates, leftOut } = await consumer.explain(Greeter);
    expect(ready).toBe(true);
    expect(candidates.map(({ node, reason }) => [node.id, reason])).toEqual([['a', 'takes calls']]);
    expect(leftOut.map(({ node, reason }) => [node.id, reason])).toEqual([
      [
        'dead',
        expect.stringMatching(/^it could not be dialed, and is dialed again later: .*ECONNREFUSED/),
      ],
      ['other', 'its protocol is "protobuf", asked for is "json"'],
    ]);
  });

  it('tells of a group, and that all are candidates when none is any good', async () => {
    await using town = new Town();
    await town.registry.register({
      id: 'dead',
      service: 'Greeter',
      group: 'bj',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    });
    town.consume({ group: 'sh' });
    expect(await town.reasons()).toEqual({ dead: '- its group is "bj", asked for is "sh"' });
    await using other = consume({ registry: town.registry, group: 'bj', strategy: failfast() });
    await expect(other.stub(Greeter).hello('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await other.explain(Greeter)).candidates.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/ECONNREFUSED.*; no other is better$/),
    ]);
  });
});

describe('notify', () => {
  it('tells of those that are there, then of what is added, removed and updated, until it is ended', async () => {
    await using town = new Town();
    await town.add('a');
    const consumer = town.consume();
    await town.ask(1);
    const told = new Inbox<Record<string, string[]>>('a change');
    const ids = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id);
    const listener = ({ added, removed, updated }: SnapshotChange): void =>
      told.push({ added: ids(added), removed: ids(removed), updated: ids(updated) });
    const stop = consumer.notify(Greeter, listener);
    expect(told.all).toEqual([{ added: ['a'], removed: [], updated: [] }]);
    told.dismiss();
    await town.add('b');
    expect(await told.next()).toEqual({ added: ['b'], removed: [], updated: [] });
    const [node] = (town.providers.get('a') as Provider).nodes;
    await town.registry.register({ ...(node as ServiceNode), metadata: { x: 'y' } });
    expect(await told.next()).toEqual({ added: [], removed: [], updated: ['a'] });
    await town.remove('b');
    expect(await told.next()).toEqual({ added: [], removed: ['b'], updated: [] });
    stop();
    await town.add('c');
    await turns(5);
    expect(told.unread).toEqual([]);
    expect(() => consumer.notify(Greeter, 'x' as never)).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

describe('a link that no call uses', () => {
  /** A server whose connections a test can count. */
  async function lone(
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

  it('is closed after idleTimeout, and dialled again by the next call', async () => {
    await using registry = memory();
    await using server = await lone(registry);
    await using consumer = consume({ registry, idleTimeout: 100, strategy: failfast() });
    const stub = consumer.stub(Greeter);
    for (let round = 0; round < 3; round++) {
      expect(await stub.hello('x')).toBe('a');
      expect(server.channels.size).toBeGreaterThan(0);
      await until(() => server.channels.size === 0, 'its connections are closed');
      expect((await consumer.explain(Greeter)).candidates).toHaveLength(1);
    }
  });

  it('stays while a call is under way, and with idleTimeout: 0', async () => {
    const hold = gate<string>();
    await using registry = memory();
    await using server = await lone(registry, () => hold.promise);
    await using consumer = consume({ registry, idleTimeout: 20 });
    await using faithful = consume({ registry, idleTimeout: 0 });
    const answers = [consumer, faithful].map((each) => each.stub(Greeter).hello('x'));
    await until(
      () => [...server.channels].reduce((sum, { serving }) => sum + serving, 0) === 2,
      'both calls are under way',
    );
    // Each has two connections.
    const all = 4;
    await until(() => server.channels.size === all, 'all connections are open');
    // Longer than its timeout.
    await elapse(120);
    expect(server.channels.size).toBe(all);
    hold.open('done');
    expect(await Promise.all(answers)).toEqual(['done', 'done']);
    await until(() => server.channels.size === all / 2, 'the connections of the one are closed');
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
])('a bad %s is refused', async (name, options) => {
  await using registry = memory();
  expect(() => consume({ registry, ...options })).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(`${name}:`) }),
  );
});
