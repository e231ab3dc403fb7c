/** consistentHash(): which node a key goes to, and how many keys move. */
import { describe, expect, it } from 'vitest';
import { consistentHash } from '../../../src/micro/balancers/index.js';
import type { Picker, ServiceNode } from '../../../src/micro/types.js';
import type { Call } from '../../../src/rpc/types.js';
import { node } from '../../fixtures/registries.js';
import { CALL, idle, many } from './balancer-nodes.js';

describe('consistentHash', () => {
  const byKey = (): Picker => consistentHash((call) => call.input as string)();
  const KEYS = Array.from({ length: 10_000 }, (_, i) => ({ input: `customer-${i}` }) as Call);
  const CALL_OF_A = { input: 'a' } as Call;
  const pickedIds = (picker: Picker, nodes: readonly ServiceNode[]): string[] =>
    KEYS.map((call) => picker(nodes, call, idle).id);
  const movedShare = (before: string[], after: string[]): number =>
    before.filter((id, i) => id !== after[i]).length / before.length;

  it.each([3, 10, 50])(
    'moves only the keys of the node, at most 1.5/n, when one of %i nodes leaves or returns',
    (size) => {
      const nodes = many(size);
      const picker = byKey();
      const before = pickedIds(picker, nodes);
      for (const removed of [0, size >> 1, size - 1]) {
        const after = pickedIds(
          picker,
          nodes.filter((_, i) => i !== removed),
        );
        expect(movedShare(before, after)).toBeLessThanOrEqual(1.5 / size);
        expect(before.every((id, i) => id === after[i] || id === nodes[removed]?.id)).toBe(true);
        expect(pickedIds(picker, nodes)).toEqual(before);
      }
    },
  );

  it('picks the same nodes in every consumer, independently of earlier lists', () => {
    const nodes = many(10);
    const reused = byKey();
    for (const size of [1, 3, 40, 7]) pickedIds(reused, many(size));
    expect(pickedIds(reused, nodes)).toEqual(pickedIds(byKey(), nodes));
    // A part of the list is found on the ring of the whole list, or on a ring of its own.
    const subset = nodes.filter((_, i) => i % 2 === 0);
    expect(pickedIds(reused, subset)).toEqual(pickedIds(byKey(), subset));
  });

  it('gives each of ten nodes between 0.5 and 1.5 of its share of keys', () => {
    const found = new Map<string, number>();
    for (const id of pickedIds(byKey(), many(10))) found.set(id, (found.get(id) ?? 0) + 1);
    expect(found.size).toBe(10);
    for (const count of found.values()) expect(Math.abs(count - 1000)).toBeLessThan(500);
  });

  it('returns the node object of the present list', () => {
    const picker = byKey();
    const call = { input: 'x' } as Call;
    picker(many(3), call, idle);
    const changed = many(3).map((each) => ({ ...each, metadata: { new: 'yes' } }));
    expect(picker(changed, call, idle).metadata).toEqual({ new: 'yes' });
  });

  it('picks as a new consumer does after each change of the list', () => {
    const picker = byKey();
    let nodes = many(100);
    const left: ServiceNode[] = [];
    for (let i = 0; i < 40; i++) {
      left.push(...nodes.slice(i, i + 2));
      nodes = [...nodes.slice(0, i), ...nodes.slice(i + 2)];
      // The order of ids is not the order in which the nodes join.
      if (i % 4 !== 0) nodes = [node(`${i % 2 === 0 ? 'a' : 'z'}${i}`), ...nodes];
      if (i % 3 === 0) nodes = [...nodes, ...left.splice(0, 1)];
      nodes = nodes.map((each, at) => (at === i ? { ...each } : each));
      const expected = byKey();
      for (const call of KEYS.slice(0, 200))
        expect(picker(nodes, call, idle)).toBe(expected(nodes, call, idle));
    }
  });

  it('picks as a new consumer does from a short list of a long one', () => {
    const picker = byKey();
    const nodes = many(1000);
    picker(nodes, CALL_OF_A, idle);
    const short = nodes.slice(500, 502);
    const expected = pickedIds(byKey(), short);
    expect(pickedIds(picker, short)).toEqual(expected);
    expect(new Set(expected).size).toBe(2);
    expect(pickedIds(picker, nodes)).toEqual(pickedIds(byKey(), nodes));
  });

  it('does not read the nodes that stay when others leave, join or change', () => {
    let reads = 0;
    const counted = (id: string): ServiceNode => ({
      ...node(id),
      get id() {
        reads++;
        return id;
      },
    });
    let nodes = many(1000).map(({ id }) => counted(id));
    const picker = byKey();
    const readsOf = (change: readonly ServiceNode[]): number => {
      reads = 0;
      nodes = [...change];
      picker(nodes, CALL_OF_A, idle);
      return reads;
    };
    expect(readsOf(nodes)).toBeGreaterThanOrEqual(1000);
    // The first change needs the keys of all nodes.
    readsOf(nodes.with(3, counted('n0003')));
    expect(readsOf(nodes.with(4, counted('n0004')))).toBeLessThan(10);
    expect(readsOf(nodes.slice(1))).toBeLessThan(10);
    expect(readsOf([...nodes, counted('new')])).toBeLessThan(10);
    expect(readsOf([...nodes, counted('n0000')])).toBeLessThan(10);
  });

  it('fails the call with INTERNAL when the key is not a string', () => {
    const picker = consistentHash(() => 5 as never)();
    expect(() => picker(many(2), CALL, idle)).toThrowError(
      expect.objectContaining({ code: 'INTERNAL', unsent: true }),
    );
    expect(() => consistentHash('id' as never)).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});
