/** consistentHash(): which node a key goes to, and how many keys move. */
import { describe, expect, it } from 'vitest';
import { consistentHash } from '../../../src/micro/balancers/index.js';
import type { Picker, ServiceNode } from '../../../src/micro/types.js';
import type { Call } from '../../../src/rpc/types.js';
import { CALL, idle, many } from './balancer-nodes.js';

describe('consistentHash', () => {
  const byKey = (): Picker => consistentHash((call) => call.input as string)();
  const KEYS = Array.from({ length: 10_000 }, (_, i) => ({ input: `customer-${i}` }) as Call);
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
