import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inTurns, nextTurn, onNextTurn, runInTurn, spend } from '../../src/core/turn.js';
import { turns, until } from '../fixtures/waiting.js';

let clock = 0;

/** Takes longer than TURN_SHARE, by the fake clock. */
function work(): void {
  clock += 15;
}

/** Waits until `count` is `end`. Returns its largest growth in one turn of the event loop. */
async function mostPerTurn(count: () => number, end: number): Promise<number> {
  let largest = 0;
  let before = 0;
  let isOver = false;
  const watch = (): void => {
    largest = Math.max(largest, count() - before);
    before = count();
    if (!isOver) setImmediate(watch);
  };
  watch();
  await until(() => count() === end, 'all tasks are done');
  isOver = true;
  return Math.max(largest, count() - before);
}

beforeEach(async () => {
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  await turns(3);
});
afterEach(() => void vi.restoreAllMocks());

describe('spend()', () => {
  it('returns true after 10 ms of work, and false again in the next turn', async () => {
    work();
    // The timing of the turn begins here.
    expect(spend(64)).toBe(false);
    work();
    expect(spend(1)).toBe(false);
    // The clock is read once per 64 units.
    expect(spend(64)).toBe(true);
    expect(spend(0)).toBe(true);
    await nextTurn();
    expect(spend(64)).toBe(false);
  });

  it('times a turn that continues earlier work from its beginning', async () => {
    await nextTurn();
    work();
    expect(spend(64)).toBe(true);
  });

  it('returns false again in a later turn when no task waits', async () => {
    for (const isOver of [false, true]) {
      work();
      expect(spend(64)).toBe(isOver);
    }
    await turns(2);
    expect(spend(1)).toBe(false);
  });

  it('reads no clock for less than 64 units', async () => {
    await turns();
    for (let units = 0; units < 60; units++) expect(spend(1)).toBe(false);
  });
});

describe('onNextTurn()', () => {
  it('counts the promise callbacks of a task as its work', async () => {
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

  it('calls tasks in order, in a later turn', async () => {
    const order: string[] = [];
    for (const name of ['a', 'b', 'c']) onNextTurn(() => order.push(name));
    await Promise.resolve();
    expect(order).toEqual([]);
    await nextTurn();
    expect(order).toEqual(['a', 'b', 'c']);
  });

  it('calls at most 64 tasks in one turn', async () => {
    let resumed = 0;
    for (let i = 0; i < 1_000; i++) onNextTurn(() => resumed++);
    expect(await mostPerTurn(() => resumed, 1_000)).toBeLessThanOrEqual(64);
  });

  it('calls a task that a task adds after the waiting tasks', async () => {
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

describe('inTurns()', () => {
  it('handles items in order, in several turns if they take longer than 10 ms', async () => {
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

  it('handles few items at once', () => {
    const handled: number[] = [];
    inTurns([1, 2], (item) => handled.push(item));
    expect(handled).toEqual([1, 2]);
    inTurns([], () => handled.push(3));
    expect(handled).toHaveLength(2);
  });

  it('handles at most 512 items in one turn', async () => {
    let handled = 0;
    inTurns(Array(5_000).fill(0), () => handled++);
    expect(await mostPerTurn(() => handled, 5_000)).toBe(512);
  });

  it('counts the promise callbacks of the items as work', async () => {
    let handled = 0;
    inTurns(Array(1_000).fill(0), () => {
      void Promise.resolve().then(() => {
        handled++;
        clock += 1;
      });
    });
    expect(await mostPerTurn(() => handled, 1_000)).toBeLessThanOrEqual(32);
  });
});

describe('runInTurn()', () => {
  it('counts the promise callbacks of waiting tasks as work', async () => {
    let done = 0;
    const task = (): void => {
      void Promise.resolve().then(() => {
        done++;
        clock += 5;
      });
    };
    for (let i = 0; i < 200; i++) {
      // The budget is used up, so that the first task waits, and the others wait for it.
      if (i === 0) for (work(); !spend(64); ) work();
      runInTurn(task);
    }
    expect(done).toBe(0);
    expect(await mostPerTurn(() => done, 200)).toBeLessThanOrEqual(8);
  });
});
