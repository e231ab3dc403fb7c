/** zoneFirst(): which zone gets a call, and which balancer picks the node. */
import { describe, expect, it } from 'vitest';
import { consistentHash, roundRobin } from '../../../src/micro/balancers/index.js';
import { type ZoneFirstOptions, zoneFirst } from '../../../src/micro/balancers/zone-first.js';
import { provide, ZONE_KEY } from '../../../src/micro/index.js';
import type { Balancer, ServiceNode } from '../../../src/micro/types.js';
import { memory } from '../../../src/registries/memory.js';
import { staticRegistry } from '../../../src/registries/static/index.js';
import { implement } from '../../../src/rpc/index.js';
import { Cluster, Greeter } from '../../fixtures/cluster.js';
import { node } from '../../fixtures/registries.js';
import { CALL, idle } from './balancer-nodes.js';

/** Nodes such as `a1`: the letter is the zone. A number after a colon is the weight. */
const nodesOf = (text: string): readonly ServiceNode[] =>
  text.split(' ').map((each) => {
    const [id = '', weight] = each.split(':');
    const metadata: Record<string, string> = {};
    if (!id.startsWith('-')) metadata[ZONE_KEY] = id.slice(0, 1);
    if (weight !== undefined) metadata['getty-weight'] = weight;
    return node(id, { metadata });
  });

/** The part of the calls that go to the zone `a`, found by bisection of the random number. */
function ownShare(available: string, listed: string, options: Partial<ZoneFirstOptions> = {}) {
  const all = nodesOf(listed);
  const ids = available.split(' ').map((each) => each.split(':')[0]);
  const nodes = all.filter(({ id }) => ids.includes(id));
  let number = 0;
  const picker = zoneFirst({ zone: 'a', random: () => number, ...options })();
  const isOwn = (at: number): boolean => {
    number = at;
    return picker(nodes, CALL, idle, all).id.startsWith('a');
  };
  if (isOwn(1 - 1e-9)) return 1;
  if (!isOwn(0)) return 0;
  let [low, high] = [0, 1];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (isOwn(middle)) low = middle;
    else high = middle;
  }
  return low;
}

describe('zoneFirst', () => {
  it.each<[string, string, string, number]>([
    ['all nodes are available', 'a1 a2 a3 a4 b1', 'a1 a2 a3 a4 b1', 1],
    ['enough nodes are available', 'a1 a2 a3 b1', 'a1 a2 a3 a4 b1', 1],
    ['half of the nodes are available', 'a1 a2 b1 b2', 'a1 a2 a3 a4 b1 b2', 0.5 / 0.7],
    ['one of four nodes is available', 'a1 b1 b2', 'a1 a2 a3 a4 b1 b2', 0.25 / 0.7],
    ['no node of it is available', 'b1 b2', 'a1 b1 b2', 0],
    ['it has no nodes', 'b1 b2', 'b1 b2', 0],
    ['no other zone has nodes', 'a1', 'a1 a2 a3 a4', 1],
    ['the other nodes have the weight 0', 'a1 b1:0', 'a1 a2 a3 b1:0', 1],
    ['its nodes have the weight 0', 'a1:0 b1', 'a1:0 b1', 0],
    ['all nodes have the weight 0', 'a1:0 b1:0', 'a1:0 b1:0', 1],
    ['nodes have weights', 'a1:10 a2:20 b1', 'a1:10 a2:20 a3:70 b1', 0.3 / 0.7],
    ['other nodes have no zone', 'a1 -1', 'a1 a2 -1', 0.5 / 0.7],
  ])('gives the zone its share when %s', (_, available, listed, expected) => {
    expect(ownShare(available, listed)).toBeCloseTo(expected, 6);
  });

  it('spills over below `threshold` of the nodes', () => {
    const share = (threshold: number): number =>
      ownShare('a1 a2 a3 b1', 'a1 a2 a3 a4 b1', { threshold });
    expect(share(0.75)).toBe(1);
    expect(share(1)).toBeCloseTo(0.75, 6);
  });

  it('counts nodes that have left the list if `capacity` is given', () => {
    expect(ownShare('a1 a2 b1', 'a1 a2 b1', { capacity: 400 })).toBeCloseTo(0.5 / 0.7, 6);
    expect(ownShare('a1 a2 b1', 'a1 a2 b1', { capacity: 200 })).toBe(1);
  });

  it('uses the nodes as the list if it gets no list', () => {
    const picker = zoneFirst({ zone: 'a', random: () => 0.999 })();
    expect(picker(nodesOf('a1 b1'), CALL, idle).id).toBe('a1');
  });

  it('follows a list that changes while the available nodes stay the same', () => {
    const picker = zoneFirst({ zone: 'a', random: () => 0.99 })();
    const nodes = nodesOf('a1 b1');
    expect(picker(nodes, CALL, idle, nodes).id).toBe('a1');
    expect(picker(nodes, CALL, idle, nodesOf('a1 a2 a3 b1')).id).toBe('b1');
  });

  it('has a picker of `balancer` for its zone and one for the others', () => {
    let number = 0;
    const balancer = roundRobin({ random: () => 0 });
    const picker = zoneFirst({ zone: 'a', balancer, random: () => number })();
    const listed = nodesOf('a1 a2 a3 a4 b1 b2');
    const nodes = listed.filter(({ id }) => id !== 'a3' && id !== 'a4');
    const picked = [0, 0.9, 0, 0.9, 0, 0.9].map((next) => {
      number = next;
      return picker(nodes, CALL, idle, listed).id;
    });
    expect(picked.join(' ')).toBe('a1 b1 a2 b2 a1 b1');
  });

  it('keeps the keys of consistentHash() at their nodes', () => {
    const picker = zoneFirst({ zone: 'a', balancer: consistentHash(() => 'key') })();
    const nodes = nodesOf('a1 a2 a3 b1');
    const ids = new Set(Array.from({ length: 20 }, () => picker(nodes, CALL, idle, nodes).id));
    expect(ids.size).toBe(1);
  });

  it('makes the pickers of each service with separate states', () => {
    const balancer = zoneFirst({ zone: 'a', balancer: roundRobin({ random: () => 0 }) });
    const nodes = nodesOf('a1 a2');
    expect([balancer(), balancer()].map((picker) => picker(nodes, CALL, idle).id)).toEqual([
      'a1',
      'a1',
    ]);
  });

  it.each<[unknown, string]>([
    [undefined, 'options of zoneFirst(): got undefined, expected an object'],
    [{}, 'zone: got undefined, expected the name of a zone, a string that is not empty'],
    [{ zone: '' }, 'zone: got "", expected the name of a zone, a string that is not empty'],
    [
      { zone: 'a', treshold: 1 },
      'treshold is not an option of zoneFirst(); did you mean threshold?',
    ],
    [{ zone: 'a', balancer: 1 }, 'balancer: got 1, expected a balancer, such as roundRobin()'],
    [{ zone: 'a', random: 1 }, 'random: got 1, expected a function'],
  ])('throws BAD_OPTION for %j', (options, message) => {
    expect(() => zoneFirst(options as ZoneFirstOptions)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message }),
    );
  });

  it.each([
    ['threshold', 0],
    ['threshold', 1.1],
    ['capacity', 0],
    ['capacity', Number.POSITIVE_INFINITY],
  ])('throws BAD_OPTION for %s: %d', (name, value) => {
    expect(() => zoneFirst({ zone: 'a', [name]: value })).toThrow(
      expect.objectContaining({
        code: 'BAD_OPTION',
        message: expect.stringContaining(`${name}: got ${value}, expected a number from `),
      }),
    );
  });

  it('throws BAD_OPTION at consume() for a balancer that makes no picker', () => {
    const balancer = zoneFirst({ zone: 'a', balancer: (() => 1) as unknown as Balancer });
    expect(() => balancer()).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});

describe('the zone of a node', () => {
  it('is published by provide({ zone }), also after update()', async () => {
    await using registry = memory();
    const services = [implement(Greeter, { hello: (name) => name, async *count() {} })];
    const address = 'memory://zone-of-a-node';
    await using provider = await provide({ registry, services, address, zone: 'z1' });
    expect(provider.nodes[0]?.metadata).toEqual({ 'getty-zone': 'z1' });
    await provider.update({ weight: 7, metadata: { rack: '1' } });
    const [found] = await registry.list();
    expect(found?.metadata).toEqual({ 'getty-zone': 'z1', 'getty-weight': '7', rack: '1' });
    await expect(
      provide({ registry, services, address: 'memory://no-zone', zone: '' }),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });

  it('is an option of the nodes of a static registry', async () => {
    const address = 'tcp://127.0.0.1:1';
    await using registry = staticRegistry([{ address, zone: 'z1', weight: 3 }]);
    const [found] = await registry.list();
    expect(found?.metadata).toEqual({ 'getty-zone': 'z1', 'getty-weight': '3' });
    expect(() => staticRegistry([{ address, zone: 1 as unknown as string }])).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

describe('zoneFirst of a consumer', () => {
  it('counts an ejected node of the zone as missing', async () => {
    await using cluster = new Cluster();
    await cluster.add('a', 'b');
    // Both nodes get a zone of their own by their id.
    const zoneOf = (nodes: readonly ServiceNode[]): readonly ServiceNode[] =>
      nodes.map((each) => ({ ...each, metadata: { [ZONE_KEY]: each.id } }));
    const inner = cluster.registry;
    const registry = {
      ...inner,
      async *watch(...args: Parameters<typeof inner.watch>) {
        for await (const nodes of inner.watch(...args)) yield zoneOf(nodes);
      },
    };
    cluster.consume({
      registry: registry as typeof inner,
      balancer: zoneFirst({ zone: 'a' }),
      ejection: { failures: 1, time: 600_000, maxTime: 600_000 },
    });
    expect(await cluster.call(3)).toEqual(['a', 'a', 'a']);
    cluster.fail('a');
    expect(await cluster.call(3)).toEqual(['UNAVAILABLE', 'b', 'b']);
  });
});
