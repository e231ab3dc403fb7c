/** Balancers: their distribution, and lists that change under them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { random, roundRobin } from '../../src/micro/balancers.js';
import type { Balancer, Picker, ServiceNode } from '../../src/micro/types.js';
import type { Call } from '../../src/rpc/types.js';
import { node } from '../fixtures/registries.js';

const CALL = {} as Call;
const some = (...ids: string[]): readonly ServiceNode[] => ids.map((id) => node(id));
const pickIds = (picker: Picker, nodes: readonly ServiceNode[], count: number): string =>
  Array.from({ length: count }, () => picker(nodes, CALL).id).join('');

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
    const picked = picker(nodes, CALL);
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
    const beyond = counts(random({ random: seeded(1) })(), nodes, picks).filter((count) => Math.abs(count - picks / size) > 3 * deviation);
    expect(beyond.length).toBeLessThanOrEqual(size / 50);
  });

  it('stays in the list whatever the numbers', () => {
    for (const number of [0, 0.999999999999, 1]) expect(random({ random: () => number })()(some('a', 'b'), CALL)).toBeDefined();
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
      fc.property(fc.infiniteStream(fc.subarray(['v', 'w', 'x', 'y', 'z'])), fc.double({ min: 0, max: 0.99, noNaN: true }), (extras, start) => {
        const picker = roundRobin({ random: () => start })();
        const stay = ['a', 'm', 'zz'];
        const picked: string[] = [];
        for (const extra of extras) {
          picked.push(picker(some(...[...stay, ...extra].sort()), CALL).id);
          if (picked.length === 60) break;
        }
        const steady = picked.filter((id) => stay.includes(id));
        for (let i = 3; i < steady.length; i++) expect(steady[i]).toBe(steady[i - 3]);
      }),
    );
  });

  it('a second try on a shorter list moves on, and the failed node keeps its place', () => {
    const picker = roundRobin({ random: () => 0 })();
    const all = some('a', 'b', 'c');
    const failing = (): string => {
      const first = picker(all, CALL).id;
      return first === 'a' ? picker(some('b', 'c'), CALL).id : first;
    };
    expect(Array.from({ length: 6 }, failing).join('')).toBe('bcbcbc');
  });
});

describe('a self-defined balancer', () => {
  it('is a function over nodes and call', () => {
    const byMeta: Balancer = () => (nodes) =>
      nodes.find(({ metadata }) => JSON.parse(metadata['getty-micro-meta-key'] ?? '{}').group_id === 2) ?? (nodes[0] as ServiceNode);
    const nodes = [node('a'), node('b', { metadata: { 'getty-micro-meta-key': '{"group_id":2}' } })];
    expect(byMeta()(nodes, CALL).id).toBe('b');
  });
});
