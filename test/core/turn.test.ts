import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  exchangeState,
  inTurns,
  isTurnOver,
  nextTurn,
  onNextTurn,
  runInTurn,
  spend,
  type TurnState,
} from '../../src/core/turn.js';
import { turns, until } from '../fixtures/waiting.js';
import { bundleWeb, runAsPage } from '../fixtures/web.js';

let clock = 0;

/** Takes longer than TURN_SHARE, by the fake clock. */
function work(): void {
  clock += 15;
}

function presentState(): TurnState {
  const state = exchangeState();
  exchangeState(state);
  return state;
}

/** Uses up the budget of this turn. The timing of the turn may begin here. */
function useUpTurn(): void {
  while (!spend(64)) work();
}

/** Work that never ends: it continues whenever it is resumed, as the reader of a flood does. */
class Flood {
  resumed = 0;
  #isStopped = false;

  /** `step`: the milliseconds between two calls of spend(). */
  constructor(step = 0.1) {
    const resume = (): void => {
      if (this.#isStopped) return;
      this.resumed++;
      do clock += step;
      while (!spend(64));
      onNextTurn(resume);
    };
    onNextTurn(resume);
  }

  stop(): void {
    this.#isStopped = true;
  }
}

const floods: Flood[] = [];

function startFloods(count: number, step?: number): void {
  for (let i = 0; i < count; i++) floods.push(new Flood(step));
}

const resumedFloods = (): number => floods.reduce((sum, { resumed }) => sum + resumed, 0);

/** The turns of the event loop that pass until `isDone()`, at most `most`. */
async function turnsUntil(isDone: () => boolean, most = 1_000): Promise<number> {
  let passed = 0;
  for (; !isDone() && passed < most; passed++) await turns();
  return passed;
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
afterEach(async () => {
  for (const flood of floods.splice(0)) flood.stop();
  await until(() => presentState().waiting.length === 0, 'all floods have ended');
  vi.restoreAllMocks();
});

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

describe('work that waits in many places', () => {
  it('gives a resumed task 1 ms while others wait', async () => {
    startFloods(300);
    let isResumed = false;
    onNextTurn(() => {
      isResumed = true;
    });
    const passed = await turnsUntil(() => isResumed);
    // About ten floods in each turn of 10 ms.
    expect(passed).toBeGreaterThan(20);
    expect(passed).toBeLessThan(45);
    expect(Math.min(...floods.map(({ resumed }) => resumed))).toBe(1);
    expect(Math.max(...floods.map(({ resumed }) => resumed))).toBeLessThanOrEqual(2);
  });

  it('does not make the turns longer', async () => {
    startFloods(300);
    for (let turn = 0; turn < 50; turn++) {
      const before = clock;
      await turns();
      expect(clock - before).toBeLessThan(12);
    }
  });

  it('gives a task that waits alone the whole turn', async () => {
    startFloods(1);
    await turns();
    const before = clock;
    await turns();
    expect(clock - before).toBeGreaterThan(9);
  });

  it('leaves the rest of the turn to other work when few tasks wait', async () => {
    startFloods(3);
    for (let turn = 0; turn < 5; turn++) {
      await turns();
      expect(isTurnOver()).toBe(false);
      expect(spend(64)).toBe(false);
    }
    expect(resumedFloods()).toBeGreaterThanOrEqual(12);
  });

  it('counts the promise callbacks of a task to its share', async () => {
    startFloods(20);
    const isOver: boolean[] = [];
    onNextTurn(() => {
      void Promise.resolve().then(() => {
        isOver.push(spend(64));
        clock += 1;
        isOver.push(spend(64));
      });
    });
    await turnsUntil(() => isOver.length > 0);
    expect(isOver).toEqual([false, true]);
  });

  it('continues a list of inTurns() before the next task', async () => {
    startFloods(300);
    let handled = 0;
    onNextTurn(() => inTurns(Array(400).fill(0), () => handled++));
    expect(await turnsUntil(() => handled === 400)).toBeLessThan(45);
  });

  it('lets a list of inTurns() wait after its share', async () => {
    startFloods(20);
    let handled = 0;
    const handle = (): void => {
      clock += 0.05;
      handled++;
    };
    onNextTurn(() => inTurns(Array(400).fill(0), handle));
    expect(await mostPerTurn(() => handled, 400)).toBeLessThanOrEqual(48);
  });

  it('runs the tasks of runInTurn() before it resumes others', async () => {
    startFloods(300);
    useUpTurn();
    const order: number[] = [];
    for (let task = 0; task < 100; task++) runInTurn(() => order.push(task));
    expect(order).toEqual([]);
    await turns();
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(resumedFloods()).toBeGreaterThan(0);
  });

  it('runs tasks of runInTurn() for half of each turn while others wait', async () => {
    startFloods(300);
    useUpTurn();
    const order: number[] = [];
    for (let task = 0; task < 100; task++) {
      runInTurn(() => {
        clock += 0.5;
        order.push(task);
      });
    }
    for (let before = 0; order.length < 100; before = order.length) {
      const resumed = resumedFloods();
      await turns();
      expect(order.length - before).toBeGreaterThanOrEqual(Math.min(8, 100 - before));
      expect(order.length - before).toBeLessThanOrEqual(28);
      expect(resumedFloods() - resumed).toBeGreaterThanOrEqual(3);
    }
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('resumes a waiting task in each turn even if runInTurn() uses up the turn', async () => {
    startFloods(3);
    useUpTurn();
    let done = 0;
    const long = (): void => {
      work();
      if (++done < 50) runInTurn(long);
    };
    for (let i = 0; i < 20; i++) runInTurn(long);
    for (let turn = 0; turn < 10; turn++) {
      const before = { done, resumed: resumedFloods() };
      await turns();
      expect(done).toBeGreaterThan(before.done);
      expect(resumedFloods()).toBeGreaterThan(before.resumed);
    }
    await until(() => presentState().tasks.length === 0, 'all tasks have run');
  });

  it('runs at most 512 tasks of runInTurn() in one turn', async () => {
    useUpTurn();
    let done = 0;
    for (let i = 0; i < 2_000; i++) runInTurn(() => done++);
    expect(await mostPerTurn(() => done, 2_000)).toBe(512);
  });

  it('continues after a task that throws', async () => {
    const thrown: unknown[] = [];
    const onUncaught = (error: unknown): void => void thrown.push(error);
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', onUncaught);
    try {
      useUpTurn();
      const done: string[] = [];
      const fail = (name: string) => (): never => {
        throw new Error(name);
      };
      onNextTurn(fail('resumed'));
      onNextTurn(() => done.push('resumed'));
      runInTurn(fail('task'));
      runInTurn(() => done.push('task'));
      await until(() => done.length === 2, 'both have run');
      expect(done).toEqual(['task', 'resumed']);
      expect(thrown.map(String)).toEqual(['Error: task', 'Error: resumed']);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  it('runs tasks, and resumes one other, in each turn of a page', async () => {
    const code = await bundleWeb('iife', `export * from '../../src/core/turn.js'`);
    const page = runAsPage(code) as typeof import('../../src/core/turn.js');
    const order: string[] = [];
    while (!page.spend(64)) work();
    for (const name of ['a', 'b', 'c']) {
      page.onNextTurn(() => {
        order.push(`resumed ${name}`);
        clock += 5;
        // A page has no shares: its one task has the turn.
        expect(page.spend(64)).toBe(false);
      });
    }
    page.runInTurn(() => order.push('task'));
    await turns();
    expect(order).toEqual(['task', 'resumed a']);
    await until(() => order.length === 4, 'all have run');
    expect(order.slice(2)).toEqual(['resumed b', 'resumed c']);
  });
});
