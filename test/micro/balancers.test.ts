/** Balancers: their distribution, and lists that change under them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  consistentHash,
  leastActive,
  p2cEwma,
  random,
  roundRobin,
  weighted,
} from '../../src/micro/balancers/index.js';
import type { Balancer, NodeLoad, Picker, ServiceNode } from '../../src/micro/types.js';
import type { Call } from '../../src/rpc/types.js';
import { node } from '../fixtures/registries.js';

const CALL = {} as Call;
/** Nobody has anything to do. */
const idle = (): NodeLoad => ({ inFlight: 0, latency: 0, failureRate: 0 });
/** Loads by id; idle where none is given. */
const loads =
  (given: Readonly<Record<string, Partial<NodeLoad>>>) =>
  ({ id }: ServiceNode): NodeLoad => ({ ...idle(), ...given[id] });
const many = (size: number): readonly ServiceNode[] =>
  Array.from({ length: size }, (_, i) => node(`n${String(i).padStart(4, '0')}`));
const some = (...ids: string[]): readonly ServiceNode[] => ids.map((id) => node(id));
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

function counts(picker: Picker, nodes: readonly ServiceNode[], picks: number): number[] {
  const found = new Map(nodes.map((each) => [each, 0]));
  for (let i = 0; i < picks; i++) {
    const picked = picker(nodes, CALL, idle);
    found.set(picked, (found.get(picked) ?? 0) + 1);
  }
  return [...found.values()];
}

describe('random', () => {
  it.each([2, 3, 10, 100])('is within 3 standard deviations of even over %i nodes', (size) => {
    const picks = 100_000;
    const nodes = some(...Array.from({ length: size }, (_, i) => `n${i}`));
    const deviation = Math.sqrt(picks * (1 / size) * (1 - 1 / size));
    // With a hundred nodes some would be beyond three by right: no more than a few are.
    const beyond = counts(random({ random: seeded(1) })(), nodes, picks).filter(
      (count) => Math.abs(count - picks / size) > 3 * deviation,
    );
    expect(beyond.length).toBeLessThanOrEqual(size / 50);
  });

  it('stays in the list whatever the numbers', () => {
    for (const number of [0, 0.999999999999, 1])
      expect(random({ random: () => number })()(some('a', 'b'), CALL, idle)).toBeDefined();
  });
});

describe('roundRobin', () => {
  it('is exact', () => {
    const nodes = some('a', 'b', 'c');
    expect(counts(roundRobin()(), nodes, 3000)).toEqual([1000, 1000, 1000]);
    expect(pickIds(roundRobin({ random: () => 0 })(), nodes, 7)).toBe('abcabca');
  });

  it('begins anywhere', () => {
    expect(pickIds(roundRobin({ random: () => 0.5 })(), some('a', 'b', 'c'), 3)).toBe('bca');
  });

  it('each picker has its own state', () => {
    const balancer = roundRobin({ random: () => 0 });
    const [one, other] = [balancer(), balancer()];
    expect(pickIds(one, some('a', 'b'), 1) + pickIds(other, some('a', 'b'), 1)).toBe('aa');
  });

  it.each([
    ['a node is removed before its turn', 'ab', 'abd', 'dab'],
    ['the last picked is removed', 'ab', 'acd', 'cda'],
    ['nodes are added before and behind', 'ab', 'Aabcx', 'cxAab'],
    ['only one is left', 'ab', 'a', 'aaa'],
    ['all are new and before', 'ab', 'AB', 'ABA'],
    ['all are new and behind', 'ab', 'yz', 'yzy'],
  ])('goes on where it was when %s', (_, begin, list, expected) => {
    const picker = roundRobin({ random: () => 0 })();
    pickIds(picker, some('a', 'b', 'c', 'd'), begin.length);
    expect(pickIds(picker, some(...list), expected.length)).toBe(expected);
  });

  it('a list that changes with every pick skews nothing: nobody is picked twice before all who stay were picked', () => {
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
          const steady = picked.filter((id) => stay.includes(id));
          for (let i = 3; i < steady.length; i++) expect(steady[i]).toBe(steady[i - 3]);
        },
      ),
    );
  });

  it('a second try on a shorter list moves on, and the failed node keeps its place', () => {
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

  it('is within 3 standard deviations of the weights; a node that says none has 100', () => {
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
    '%j counts as 100',
    (weight) => {
      const found = counts(weighted({ random: seeded(4) })(), withWeights(weight, '300'), 10_000);
      expect(Math.abs((found[0] as number) - 2500)).toBeLessThan(
        3 * Math.sqrt(10_000 * 0.25 * 0.75),
      );
    },
  );

  it('is even when nobody has a weight above 0', () => {
    expect(
      counts(weighted({ random: seeded(5) })(), withWeights('0', '0'), 1000).every(
        (count) => count > 400,
      ),
    ).toBe(true);
  });

  it('follows a list whose weights change, and stays in it whatever the numbers', () => {
    const picker = weighted({ random: () => 0.999999999999 })();
    expect(picker(withWeights('1', '0'), CALL, idle).id).toBe('n0');
    expect(picker(withWeights('0', '1'), CALL, idle).id).toBe('n1');
    expect(weighted({ random: () => 1 })()(withWeights('3', '4'), CALL, idle).id).toBe('n1');
  });
});

describe('leastActive', () => {
  it('picks the node with the fewest calls under way, and any of several', () => {
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

  it('spreads calls that stay under way evenly', () => {
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
    ['answers quicker', { a: { latency: 2 }, b: { latency: 1 } }],
    ['has less to do', { a: { latency: 1, inFlight: 2 }, b: { latency: 1, inFlight: 1 } }],
    [
      'is slow and idle rather than quick and very busy',
      { a: { latency: 1, inFlight: 9 }, b: { latency: 5 } },
    ],
    ['is new and idle', { a: { latency: 1 }, b: {} }],
    [
      'does not fail, though the other answers quicker',
      { a: { latency: 0.1, failureRate: 0.5 }, b: { latency: 20, inFlight: 4 } },
    ],
    [
      'does not fail, though the other has never answered',
      { a: { failureRate: 0.05 }, b: { latency: 20 } },
    ],
    [
      'is known, when the new one has a call already',
      { a: { inFlight: 1 }, b: { latency: 50, inFlight: 20 } },
    ],
  ])('of two, picks the one that %s', (_, given) => {
    expect([...pickedBy(loads(given))]).toEqual(['b']);
  });

  it('never compares a node with itself: the worst of all is never picked', () => {
    const load = loads({ a: { latency: 1 }, b: { latency: 2 }, c: { latency: 3 } });
    expect([...pickedBy(load, some('a', 'b', 'c'))].sort()).toEqual(['a', 'b']);
  });

  it('with one node there is no choice', () => {
    expect([...pickedBy(idle, some('a'))]).toEqual(['a']);
  });

  it('is even over nodes that are alike', () => {
    const found = counts(p2cEwma({ random: seeded(9) })(), some('a', 'b', 'c', 'd'), 40_000);
    for (const count of found)
      expect(Math.abs(count - 10_000)).toBeLessThan(3 * Math.sqrt(40_000 * 0.25 * 0.75));
  });
});

describe('consistentHash', () => {
  const byKey = (): Picker => consistentHash((call) => call.input as string)();
  const KEYS = Array.from({ length: 10_000 }, (_, i) => ({ input: `customer-${i}` }) as Call);
  const places = (picker: Picker, nodes: readonly ServiceNode[]): string[] =>
    KEYS.map((call) => picker(nodes, call, idle).id);
  const moved = (before: string[], after: string[]): number =>
    before.filter((id, i) => id !== after[i]).length / before.length;

  it.each([3, 10, 50])(
    'moves at most 1.5/n keys when one of %i nodes goes, only its own, and as many when it comes back',
    (size) => {
      const nodes = many(size);
      const picker = byKey();
      const before = places(picker, nodes);
      for (const gone of [0, size >> 1, size - 1]) {
        const after = places(
          picker,
          nodes.filter((_, i) => i !== gone),
        );
        expect(moved(before, after)).toBeLessThanOrEqual(1.5 / size);
        expect(before.every((id, i) => id === after[i] || id === nodes[gone]?.id)).toBe(true);
        expect(places(picker, nodes)).toEqual(before);
      }
    },
  );

  it('is the same in every consumer, whatever it has seen before', () => {
    const nodes = many(10);
    const travelled = byKey();
    for (const size of [1, 3, 40, 7]) places(travelled, many(size));
    expect(places(travelled, nodes)).toEqual(places(byKey(), nodes));
    // Few of many, found on the ring of the many or on one of their own.
    const subset = nodes.filter((_, i) => i % 2 === 0);
    expect(places(travelled, subset)).toEqual(places(byKey(), subset));
  });

  it('spreads the keys: no node of ten has more than one and a half shares, none less than a half', () => {
    const found = new Map<string, number>();
    for (const id of places(byKey(), many(10))) found.set(id, (found.get(id) ?? 0) + 1);
    expect(found.size).toBe(10);
    for (const count of found.values()) expect(Math.abs(count - 1000)).toBeLessThan(500);
  });

  it('answers the node as the list has it now', () => {
    const picker = byKey();
    const call = { input: 'x' } as Call;
    picker(many(3), call, idle);
    const changed = many(3).map((each) => ({ ...each, metadata: { new: 'yes' } }));
    expect(picker(changed, call, idle).metadata).toEqual({ new: 'yes' });
  });

  it('says so when the key is no string', () => {
    const picker = consistentHash(() => 5 as never)();
    expect(() => picker(many(2), CALL, idle)).toThrowError(
      expect.objectContaining({ code: 'INTERNAL', unsent: true }),
    );
    expect(() => consistentHash('id' as never)).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

describe('the work of a pick', () => {
  /** What a picker reads of a list and asks of loads, in so many picks. */
  function work(balancer: Balancer, size: number, picks = 1000): number {
    let count = 0;
    const nodes = new Proxy(many(size), {
      get(list, key) {
        count++;
        return Reflect.get(list, key);
      },
    });
    const picker = balancer();
    const load = ({ id }: ServiceNode): NodeLoad => {
      count++;
      return { inFlight: 1, latency: 1 + Number(id.slice(1)), failureRate: 0 };
    };
    // What it does once for each list does not count.
    picker(nodes, { input: 'first' } as Call, load);
    count = 0;
    for (let i = 0; i < picks; i++) picker(nodes, { input: `${i}` } as Call, load);
    return count;
  }

  it.each<[string, Balancer]>([
    ['random', random()],
    ['roundRobin', roundRobin()],
    ['weighted', weighted()],
    ['p2cEwma', p2cEwma()],
    ['consistentHash', consistentHash((call) => call.input as string)],
  ])('of %s at 1,000 nodes is at most 1.5 times that at 10', (_, balancer) => {
    const few = work(balancer, 10);
    expect(work(balancer, 1000)).toBeLessThanOrEqual(1.5 * few);
  });

  it('is counted: one that looks at all nodes would be seen', () => {
    const slow: Balancer = () => (nodes) =>
      nodes.reduce((best, each) => (each.id > best.id ? each : best));
    expect(work(slow, 1000, 10)).toBeGreaterThan(50 * work(slow, 10, 10));
  });
});

describe('a self-defined balancer', () => {
  it('is a function over nodes and call', () => {
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
