/** Which nodes the balancers pick, how often, and after the list has changed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  leastActive,
  p2cEwma,
  random,
  roundRobin,
  weighted,
} from '../../../src/micro/balancers/index.js';
import type { Balancer, NodeLoad, Picker, ServiceNode } from '../../../src/micro/types.js';
import { node } from '../../fixtures/registries.js';
import { CALL, idle, some } from './balancer-nodes.js';

/** Loads by id; idle for the other nodes. */
const loads =
  (given: Readonly<Record<string, Partial<NodeLoad>>>) =>
  ({ id }: ServiceNode): NodeLoad => ({ ...idle(), ...given[id] });
/** The ids of `count` picks. */
const pickIds = (picker: Picker, nodes: readonly ServiceNode[], count: number): string =>
  Array.from({ length: count }, () => picker(nodes, CALL, idle).id).join('');

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How often each node is picked. */
function counts(picker: Picker, nodes: readonly ServiceNode[], picks: number): number[] {
  const found = new Map(nodes.map((each) => [each, 0]));
  for (let i = 0; i < picks; i++) {
    const picked = picker(nodes, CALL, idle);
    found.set(picked, (found.get(picked) ?? 0) + 1);
  }
  return [...found.values()];
}

describe('random', () => {
  it.each([2, 3, 10, 100])(
    'picks each of %i nodes equally often, within 3 standard deviations',
    (size) => {
      const picks = 100_000;
      const nodes = some(...Array.from({ length: size }, (_, i) => `n${i}`));
      const deviation = Math.sqrt(picks * (1 / size) * (1 - 1 / size));
      // With a hundred nodes, a few counts beyond three deviations are likely.
      const beyond = counts(random({ random: seeded(1) })(), nodes, picks).filter(
        (count) => Math.abs(count - picks / size) > 3 * deviation,
      );
      expect(beyond.length).toBeLessThanOrEqual(size / 50);
    },
  );

  it('picks a node of the list for every random number', () => {
    for (const number of [0, 0.999999999999, 1])
      expect(random({ random: () => number })()(some('a', 'b'), CALL, idle)).toBeDefined();
  });
});

describe('roundRobin', () => {
  it('picks each node equally often, in the order of the list', () => {
    const nodes = some('a', 'b', 'c');
    expect(counts(roundRobin()(), nodes, 3000)).toEqual([1000, 1000, 1000]);
    expect(pickIds(roundRobin({ random: () => 0 })(), nodes, 7)).toBe('abcabca');
  });

  it('begins with a random node', () => {
    expect(pickIds(roundRobin({ random: () => 0.5 })(), some('a', 'b', 'c'), 3)).toBe('bca');
  });

  it('makes pickers with separate states', () => {
    const balancer = roundRobin({ random: () => 0 });
    const [one, other] = [balancer(), balancer()];
    expect(pickIds(one, some('a', 'b'), 1) + pickIds(other, some('a', 'b'), 1)).toBe('aa');
  });

  it.each([
    ['a node is removed before its turn', 'ab', 'abd', 'dab'],
    ['the last picked node is removed', 'ab', 'acd', 'cda'],
    ['nodes are added before and after it', 'ab', 'Aabcx', 'cxAab'],
    ['one node is left', 'ab', 'a', 'aaa'],
    ['all nodes are new and before it', 'ab', 'AB', 'ABA'],
    ['all nodes are new and after it', 'ab', 'yz', 'yzy'],
  ])('continues after the last picked node when %s', (_, begin, list, expected) => {
    const picker = roundRobin({ random: () => 0 })();
    pickIds(picker, some('a', 'b', 'c', 'd'), begin.length);
    expect(pickIds(picker, some(...list), expected.length)).toBe(expected);
  });

  it('picks every node that stays in the list before it picks one again, when the list changes with each pick', () => {
    fc.assert(
      fc.property(
        fc.infiniteStream(fc.subarray(['v', 'w', 'x', 'y', 'z'])),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (extras, start) => {
          const picker = roundRobin({ random: () => start })();
          const stay = ['a', 'm', 'zz'];
          const picked: string[] = [];
          for (const extra of extras) {
            picked.push(picker(some(...[...stay, ...extra].sort()), CALL, idle).id);
            if (picked.length === 60) break;
          }
          const stayed = picked.filter((id) => stay.includes(id));
          for (let i = 3; i < stayed.length; i++) expect(stayed[i]).toBe(stayed[i - 3]);
        },
      ),
    );
  });

  it('continues after the failed node when a retry has picked from a shorter list', () => {
    const picker = roundRobin({ random: () => 0 })();
    const all = some('a', 'b', 'c');
    const failing = (): string => {
      const first = picker(all, CALL, idle).id;
      return first === 'a' ? picker(some('b', 'c'), CALL, idle).id : first;
    };
    expect(Array.from({ length: 6 }, failing).join('')).toBe('bcbcbc');
  });
});

describe('weighted', () => {
  const withWeights = (...weights: (string | undefined)[]): readonly ServiceNode[] =>
    weights.map((weight, i) =>
      node(`n${i}`, { metadata: weight === undefined ? {} : { 'getty-weight': weight } }),
    );

  it('picks nodes by their weights, within 3 standard deviations; a node without a weight has 100', () => {
    const picks = 100_000;
    const nodes = withWeights('50', '100', undefined, '250', '0');
    const found = counts(weighted({ random: seeded(3) })(), nodes, picks);
    [0.1, 0.2, 0.2, 0.5].forEach((share, i) => {
      const deviation = Math.sqrt(picks * share * (1 - share));
      expect(Math.abs((found[i] as number) - picks * share)).toBeLessThan(3 * deviation);
    });
    expect(found[4]).toBe(0);
  });

  it.each(['', '-1', '1e3', '0x10', '1.5', '1000001', '99999999999999999999', ' 5', 'NaN'])(
    'counts the weight %j as 100',
    (weight) => {
      const found = counts(weighted({ random: seeded(4) })(), withWeights(weight, '300'), 10_000);
      expect(Math.abs((found[0] as number) - 2500)).toBeLessThan(
        3 * Math.sqrt(10_000 * 0.25 * 0.75),
      );
    },
  );

  it('picks nodes equally often when all weights are 0', () => {
    expect(
      counts(weighted({ random: seeded(5) })(), withWeights('0', '0'), 1000).every(
        (count) => count > 400,
      ),
    ).toBe(true);
  });

  it('uses the changed weights of a new list, and picks a node for every random number', () => {
    const picker = weighted({ random: () => 0.999999999999 })();
    expect(picker(withWeights('1', '0'), CALL, idle).id).toBe('n0');
    expect(picker(withWeights('0', '1'), CALL, idle).id).toBe('n1');
    expect(weighted({ random: () => 1 })()(withWeights('3', '4'), CALL, idle).id).toBe('n1');
  });
});

describe('leastActive', () => {
  it('picks any of the nodes with the fewest calls in flight', () => {
    const picker = leastActive({ random: seeded(6) })();
    const nodes = some('a', 'b', 'c', 'd');
    const load = loads({
      a: { inFlight: 3 },
      b: { inFlight: 1 },
      c: { inFlight: 2 },
      d: { inFlight: 1 },
    });
    const ids = new Set(Array.from({ length: 50 }, () => picker(nodes, CALL, load).id));
    expect([...ids].sort()).toEqual(['b', 'd']);
  });

  it('spreads calls that do not end evenly', () => {
    const picker = leastActive({ random: seeded(7) })();
    const nodes = some('a', 'b', 'c');
    const busy: Record<string, { inFlight: number }> = {
      a: { inFlight: 0 },
      b: { inFlight: 0 },
      c: { inFlight: 0 },
    };
    for (let i = 0; i < 30; i++)
      (busy[picker(nodes, CALL, loads(busy)).id] as { inFlight: number }).inFlight++;
    expect(Object.values(busy)).toEqual([{ inFlight: 10 }, { inFlight: 10 }, { inFlight: 10 }]);
  });
});

describe('leastActive and failures', () => {
  it('prefers a busy node to a node whose calls fail', () => {
    const picker = leastActive({ random: seeded(7) })();
    const load = loads({ a: { inFlight: 0, failureRate: 0.9 }, b: { inFlight: 50 } });
    expect(
      new Set(Array.from({ length: 20 }, () => picker(some('a', 'b'), CALL, load).id)),
    ).toEqual(new Set(['b']));
  });
});

describe('p2cEwma', () => {
  const pickedBy = (load: (node: ServiceNode) => NodeLoad, nodes = some('a', 'b')): Set<string> => {
    const picker = p2cEwma({ random: seeded(8) })();
    return new Set(Array.from({ length: 100 }, () => picker(nodes, CALL, load).id));
  };

  it.each<[string, Record<string, Partial<NodeLoad>>]>([
    ['answers faster', { a: { latency: 2 }, b: { latency: 1 } }],
    [
      'has fewer calls in flight',
      { a: { latency: 1, inFlight: 2 }, b: { latency: 1, inFlight: 1 } },
    ],
    [
      'is slow and idle rather than fast and very busy',
      { a: { latency: 1, inFlight: 9 }, b: { latency: 5 } },
    ],
    ['is new and idle', { a: { latency: 1 }, b: {} }],
    [
      'does not fail, although the other answers faster',
      { a: { latency: 0.1, failureRate: 0.5 }, b: { latency: 20, inFlight: 4 } },
    ],
    [
      'does not fail, although the other has no latency yet',
      { a: { failureRate: 0.05 }, b: { latency: 20 } },
    ],
    [
      'has answered before, when the other has its first call in flight',
      { a: { inFlight: 1 }, b: { latency: 50, inFlight: 20 } },
    ],
    [
      'does not fail, if both have been called for streams only',
      { a: { failureRate: 0.05 }, b: { inFlight: 3, streams: 3 } },
    ],
    ['is new, although a stream is open', { a: { latency: 5 }, b: { inFlight: 1, streams: 1 } }],
    [
      'has fewer streams, if both have been called for streams only',
      { a: { inFlight: 2, streams: 2 }, b: { inFlight: 1, streams: 1 } },
    ],
  ])('picks of two nodes the one that %s', (_, given) => {
    expect([...pickedBy(loads(given))]).toEqual(['b']);
  });

  it('compares two different nodes, so it never picks the worst one', () => {
    const load = loads({ a: { latency: 1 }, b: { latency: 2 }, c: { latency: 3 } });
    expect([...pickedBy(load, some('a', 'b', 'c'))].sort()).toEqual(['a', 'b']);
  });

  it('picks the only node', () => {
    expect([...pickedBy(idle, some('a'))]).toEqual(['a']);
  });

  it('picks equal nodes equally often', () => {
    const found = counts(p2cEwma({ random: seeded(9) })(), some('a', 'b', 'c', 'd'), 40_000);
    for (const count of found)
      expect(Math.abs(count - 10_000)).toBeLessThan(3 * Math.sqrt(40_000 * 0.25 * 0.75));
  });
});

describe('a self-defined balancer', () => {
  it('is a function of the nodes and the call', () => {
    const byMeta: Balancer = () => (nodes) =>
      nodes.find(
        ({ metadata }) => JSON.parse(metadata['getty-micro-meta-key'] ?? '{}').group_id === 2,
      ) ?? (nodes[0] as ServiceNode);
    const nodes = [
      node('a'),
      node('b', { metadata: { 'getty-micro-meta-key': '{"group_id":2}' } }),
    ];
    expect(byMeta()(nodes, CALL, idle).id).toBe('b');
  });
});

it.each<[string, (options: object) => unknown]>([
  ['random', random],
  ['roundRobin', roundRobin],
  ['weighted', weighted],
  ['leastActive', leastActive],
  ['p2cEwma', p2cEwma],
])('%s() throws BAD_OPTION for a wrong option', (_, balancer) => {
  for (const options of [{ random: 5 }, { seed: 1 }, 5, null])
    expect(() => balancer(options as object)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
});
