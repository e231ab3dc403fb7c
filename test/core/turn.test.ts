import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inTurns, nextTurn, onNextTurn, spend } from '../../src/core/turn.js';
import { turns, until } from '../fixtures/waiting.js';

let clock = 0;

/** Longer than the share of a turn. */
function work(): void {
  clock += 15;
}

beforeEach(async () => {
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  await turns(3);
});
afterEach(() => void vi.restoreAllMocks());

describe('the share of a turn', () => {
  it('is used up by work, and whole again in the next turn', async () => {
    work();
    // From here on the turn is timed.
    expect(spend(64)).toBe(false);
    work();
    expect(spend(1)).toBe(false);
    // The clock is read once in 64 units.
    expect(spend(64)).toBe(true);
    expect(spend(0)).toBe(true);
    await nextTurn();
    expect(spend(64)).toBe(false);
  });

  it('is timed from the beginning of a turn that goes on with earlier work', async () => {
    await nextTurn();
    work();
    expect(spend(64)).toBe(true);
  });

  it('is whole again without anyone who waits', async () => {
    for (const isOver of [false, true]) {
      work();
      expect(spend(64)).toBe(isOver);
    }
    await turns(2);
    expect(spend(1)).toBe(false);
  });

  it('is not timed for small amounts of work', async () => {
    await turns();
    for (let units = 0; units < 60; units++) expect(spend(1)).toBe(false);
  });
});

describe('what waits for the next turn', () => {
  it('shares a turn with what it sets off in promises', async () => {
    let resumed = 0;
    for (let i = 0; i < 10; i++) {
      onNextTurn(() => {
        resumed++;
        void Promise.resolve()
          .then(() => Promise.resolve())
          .then(work);
      });
    }
    const perTurn: number[] = [];
    for (let before = 0; resumed < 10; before = resumed) {
      await turns();
      perTurn.push(resumed - before);
    }
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(2);
  });

  it('goes on in its order, and not in this turn', async () => {
    const order: string[] = [];
    for (const name of ['a', 'b', 'c']) onNextTurn(() => order.push(name));
    await Promise.resolve();
    expect(order).toEqual([]);
    await nextTurn();
    expect(order).toEqual(['a', 'b', 'c']);
  });

  it('goes on in portions, so that timers and input come between', async () => {
    let resumed = 0;
    let largest = 0;
    let before = 0;
    let isOver = false;
    const watch = (): void => {
      largest = Math.max(largest, resumed - before);
      before = resumed;
      if (!isOver) setImmediate(watch);
    };
    for (let i = 0; i < 1_000; i++) onNextTurn(() => resumed++);
    watch();
    await nextTurn();
    isOver = true;
    expect(resumed).toBe(1_000);
    expect(largest).toBeLessThanOrEqual(64);
  });

  it('comes behind what waits already when it waits again', async () => {
    const order: string[] = [];
    onNextTurn(() => {
      order.push('first');
      onNextTurn(() => order.push('first again'));
    });
    onNextTurn(() => order.push('second'));
    await nextTurn();
    await turns();
    expect(order).toEqual(['first', 'second', 'first again']);
  });
});

describe('many items', () => {
  it('are handled in order, and in later turns once the share of this turn is used up', async () => {
    const items = Array.from({ length: 1_000 }, (_, i) => i);
    const handled: number[] = [];
    inTurns(items, (item) => {
      clock += 1;
      handled.push(item);
    });
    expect(handled.length).toBeLessThan(500);
    for (let turn = 0; handled.length < items.length && turn < 1_000; turn++) await nextTurn();
    expect(handled).toEqual(items);
  });

  it('are handled at once when they are few', () => {
    const handled: number[] = [];
    inTurns([1, 2], (item) => handled.push(item));
    expect(handled).toEqual([1, 2]);
    inTurns([], () => handled.push(3));
    expect(handled).toHaveLength(2);
  });

  it('are no more than 512 in a turn, however little time they take', async () => {
    let handled = 0;
    inTurns(Array(5_000).fill(0), () => handled++);
    expect(handled).toBe(512);
    await until(() => handled === 5_000, 'all are handled');
  });
});
