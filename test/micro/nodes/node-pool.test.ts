/** Which nodes receive calls: ejected nodes, new nodes, busy nodes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  leastActive,
  type Provider,
  p2cEwma,
  roundRobin,
  type ServiceNode,
} from '../../../src/micro/index.js';
import { RpcError } from '../../../src/rpc/index.js';
import { seededRandom } from '../../../src/testing/random.js';
import { Cluster, Greeter, times } from '../../fixtures/cluster.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, gate, Inbox, turns, until } from '../../fixtures/waiting.js';

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
    expect(await phase()).toBe('+ ejection has ended; the next call is the probe');
    expect(times(await cluster.call(10), 'a')).toBe(5);
    expect(await phase()).toBe('+ receives calls');
  });

  it('is not ejected any more when a new process at another address has its id', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    cluster.consume({ ejection: { failures: 1, time: 60_000, maxTime: 60_000 } });
    cluster.fail('a');
    await cluster.call(4);
    expect((await cluster.reasons()).a).toMatch(/^- ejected/);
    const old = cluster.providers.get('a');
    cluster.answers.clear();
    await cluster.add('a');
    await until(async () => (await cluster.reasons()).a === '+ receives calls', 'a is used again');
    await old?.close();
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
  beforeEach(() => {
    offset = 0;
    // The age of the node is `offset` ms, however long the calls take.
    const start = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => start + offset);
    vi.spyOn(Math, 'random').mockImplementation(seededRandom(1, 'a new node'));
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
      shares.push(times(await cluster.call(900), 'c') / 300);
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
