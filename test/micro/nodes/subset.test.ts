/** ConsumeOptions.subset: which nodes a consumer uses, and what a change of the list moves. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { consume } from '../../../src/micro/index.js';
import { Subset, type SubsetOptions } from '../../../src/micro/nodes/subset.js';
import { broadcast } from '../../../src/micro/strategies/broadcast.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { memory } from '../../../src/registries/memory.js';
import { Cluster } from '../../fixtures/cluster.js';
import { node } from '../../fixtures/registries.js';

/** Nodes in the order of lists. */
const nodesOf = (count: number): ServiceNode[] =>
  Array.from({ length: count }, (_, i) => node(`10.0.0.${String(i).padStart(4, '0')}:8080`));
const idsOf = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id);

const IDS: Record<string, (index: number) => number | string> = {
  integers: (index) => index,
  strings: (index) => `consumer-${index}`,
};

/** How many of `consumers` use each node. */
function loadsOf(
  nodes: readonly ServiceNode[],
  size: number,
  consumers: number,
  idOf: (index: number) => number | string,
): number[] {
  const counts = new Map(nodes.map(({ id }) => [id, 0]));
  for (let i = 0; i < consumers; i++)
    for (const { id } of new Subset(nodes, { size, id: idOf(i) }).members)
      counts.set(id, (counts.get(id) as number) + 1);
  return [...counts.values()];
}

/** The members that a subset may lose when one node leaves: see rankedFromPosition(). */
const MOST_REPLACED: Readonly<Record<string, number>> = { integers: 2, strings: 1 };

describe.each(Object.entries(IDS))('a subset by %s', (kind, idOf) => {
  it('has `size` nodes in the order of lists, and as many in reserve', () => {
    const nodes = nodesOf(100);
    for (let i = 0; i < 50; i++) {
      const { members, candidates } = new Subset(nodes, { size: 10, id: idOf(i) });
      expect(members).toHaveLength(10);
      expect(candidates).toHaveLength(20);
      for (const list of [members, candidates]) expect(idsOf(list)).toEqual(idsOf(list).sort());
      expect(idsOf(candidates)).toEqual(expect.arrayContaining(idsOf(members)));
    }
  });

  it.each([1, 9, 10])('is the list itself when the list has %i nodes', (count) => {
    const nodes = nodesOf(count);
    const { members, candidates } = new Subset(nodes, { size: 10, id: idOf(3) });
    expect(members).toBe(nodes);
    expect(candidates).toBe(nodes);
  });

  it('is the same for lists of different services with the same ids', () => {
    const others = nodesOf(50).map((each) => ({ ...each, service: 'Other', version: '' }));
    const options = { size: 8, id: idOf(7) };
    expect(idsOf(new Subset(others, options).members)).toEqual(
      idsOf(new Subset(nodesOf(50), options).members),
    );
  });

  const most = MOST_REPLACED[kind] as number;
  it(`replaces at most ${most} members when a node leaves or joins`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 80 }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(79),
        fc.nat(1_000),
        (count, size, at, consumer) => {
          const nodes = nodesOf(count);
          const fewer = nodes.filter((_, index) => index !== at % count);
          const options = { size, id: idOf(consumer) };
          const [all, left] = [nodes, fewer].map(
            (list) => new Set(idsOf(new Subset(list, options).members)),
          ) as [Set<string>, Set<string>];
          expect([...left].filter((id) => !all.has(id)).length).toBeLessThanOrEqual(most);
          expect([...all].filter((id) => !left.has(id)).length).toBeLessThanOrEqual(most);
        },
      ),
    );
  });

  it('replaces unavailable members by the next nodes in its ranking, and returns to them', () => {
    const nodes = nodesOf(60);
    const subset = new Subset(nodes, { size: 5, id: idOf(11) });
    expect(subset.select(subset.candidates)).toBe(subset.members);
    const gone = subset.members[2] as ServiceNode;
    const selected = subset.select(subset.candidates.filter((each) => each !== gone));
    expect(selected).toHaveLength(5);
    expect(idsOf(selected)).toEqual(idsOf(selected).sort());
    expect(subset.members.filter((each) => !selected.includes(each))).toEqual([gone]);
    const few = subset.candidates.slice(0, 3);
    expect(subset.select(few)).toBe(few);
  });
});

describe('the load of nodes', () => {
  it.each([
    [20, 100, 20],
    [300, 1_000, 20],
    [50, 37, 10],
    [1_000, 100, 20],
  ])('is even with %i integer ids, %i nodes and size %i', (consumers, count, size) => {
    const loads = loadsOf(nodesOf(count), size, consumers, (index) => index);
    const mean = (consumers * size) / count;
    expect(Math.min(...loads)).toBeGreaterThanOrEqual(Math.floor(mean) - 2);
    expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil(mean) + 2);
  });

  it('is even on average with string ids', () => {
    const loads = loadsOf(nodesOf(100), 20, 1_000, (index) => `consumer-${index}`);
    // Four standard deviations of a binomial distribution with the mean 200.
    const deviation = Math.sqrt(200 * (1 - 20 / 100));
    for (const load of loads) expect(Math.abs(load - 200)).toBeLessThan(4 * deviation);
  });
});

describe('consume({ subset })', () => {
  const wrong: [unknown, string][] = [
    [5, 'subset: got 5, expected an object'],
    [{ size: 1, id: 0, sise: 2 }, 'sise is not an option of subset; did you mean size?'],
    [{ id: 0 }, 'subset.size: got undefined, expected an integer from 1'],
    [{ size: 0, id: 0 }, 'subset.size: got 0, expected an integer from 1'],
    [
      { size: 1 },
      'subset.id: got undefined, expected an integer from 0, or a string that is not empty',
    ],
    [{ size: 1, id: -1 }, 'subset.id: got -1, expected an integer from 0 to 4294967295'],
    [
      { size: 1, id: '' },
      'subset.id: got "", expected an integer from 0, or a string that is not empty',
    ],
  ];
  it.each(wrong)('throws BAD_OPTION for %j', (subset, message) => {
    const options = { registry: memory(), subset: subset as SubsetOptions };
    expect(() => consume(options)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(message) }),
    );
  });

  const ALL = ['a', 'b', 'c', 'd', 'e'];
  const OPTIONS = { size: 2, id: 'x' };

  /** The nodes of a cluster of ALL, in the order of the ranking, by the published ids. */
  async function subsetOf(cluster: Cluster): Promise<Subset> {
    return new Subset(await cluster.registry.list(), OPTIONS);
  }

  /**
   * Makes calls until these nodes answer, and no others. While a dial takes long, its node is
   * replaced, so other nodes may answer the first calls.
   */
  async function callUntil(cluster: Cluster, expected: readonly string[]): Promise<void> {
    const wanted = [...expected].sort().join();
    while ([...new Set(await cluster.call(8))].sort().join() !== wanted);
  }

  it('calls the members only, and explains the others', async () => {
    await using cluster = new Cluster();
    await cluster.add(...ALL);
    const { members, candidates } = await subsetOf(cluster);
    cluster.consume({ subset: OPTIONS });
    await callUntil(cluster, idsOf(members));
    const reserve = idsOf(candidates).filter((id) => !idsOf(members).includes(id));
    const [outside = ''] = ALL.filter((id) => !idsOf(candidates).includes(id));
    const reasons = await cluster.reasons();
    for (const id of idsOf(members)) expect(reasons[id]).toBe('+ receives calls');
    for (const id of reserve)
      expect(reasons[id]).toBe('- in reserve: used when a node of the subset is unavailable');
    expect(reasons[outside]).toBe('- outside of the subset of this consumer');
    expect(cluster.calls.get(outside)).toBeUndefined();
  });

  it('uses a node in reserve while a member is ejected', async () => {
    await using cluster = new Cluster();
    await cluster.add(...ALL);
    const subset = await subsetOf(cluster);
    const [failing, other] = subset.members as [ServiceNode, ServiceNode];
    cluster.consume({
      subset: OPTIONS,
      ejection: { failures: 1, time: 600_000, maxTime: 600_000 },
    });
    cluster.fail(failing.id);
    const replaced = subset.select(subset.candidates.filter((each) => each !== failing));
    expect(replaced).toContain(other);
    await callUntil(cluster, idsOf(replaced));
  });

  it('uses another node when a member leaves the list', async () => {
    await using cluster = new Cluster();
    await cluster.add(...ALL);
    const { members } = await subsetOf(cluster);
    cluster.consume({ subset: OPTIONS });
    await callUntil(cluster, idsOf(members));
    await cluster.remove(members[0]?.id as string);
    const next = (await subsetOf(cluster)).members;
    expect(next).toHaveLength(2);
    await callUntil(cluster, idsOf(next));
  });

  it('broadcasts to all nodes', async () => {
    await using cluster = new Cluster();
    await cluster.add(...ALL);
    cluster.consume({ subset: OPTIONS, strategy: broadcast() });
    await cluster.call(1);
    expect([...cluster.calls.keys()].sort()).toEqual(ALL);
  });
});
