/** SweepTimer: how often a caller checks deadlines, heartbeats and resends. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SweepTimer } from '../../../src/rpc/peer/sweep-timer.js';
import { runningWheels } from '../../../src/transport/session/timer-wheel.js';
import { turns } from '../../fixtures/waiting.js';

/** When the sweeps ran, in ms since the first request. */
let sweeps: number[] = [];
/** When something is due. */
let nextAt = Number.POSITIVE_INFINITY;
let start = 0;
let timer: SweepTimer;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
  });
  sweeps = [];
  nextAt = Number.POSITIVE_INFINITY;
  start = performance.now();
  timer = new SweepTimer(() => {
    sweeps.push(performance.now() - start);
    timer.adapt(nextAt);
  });
});

afterEach(() => {
  timer.stop();
  vi.useRealTimers();
  expect(runningWheels()).toBe(0);
});

async function advance(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed++) {
    await vi.advanceTimersByTimeAsync(1);
    await turns(1);
  }
}

it('sweeps every 20 ms while something is due soon, and every 100 ms otherwise', async () => {
  nextAt = start + 150;
  timer.onRequest(nextAt);
  await advance(130);
  expect(sweeps.length).toBeGreaterThanOrEqual(5);
  nextAt = Number.POSITIVE_INFINITY;
  const before = sweeps.length;
  await advance(1_000);
  const later = sweeps.length - before;
  expect(later).toBeGreaterThanOrEqual(9);
  expect(later).toBeLessThanOrEqual(12);
});

it('sweeps within 20 ms of the deadline of each request, whenever it was made', async () => {
  timer.onRequest(Number.POSITIVE_INFINITY);
  for (const timeout of [1, 30, 99, 100, 101, 150, 199, 230, 310, 555]) {
    nextAt = Number.POSITIVE_INFINITY;
    await advance(200 + (timeout % 7) * 13);
    const deadline = performance.now() + timeout;
    nextAt = deadline;
    timer.onRequest(deadline);
    const late = (): number | undefined => sweeps.find((at) => at + start >= deadline);
    while (late() === undefined) await advance(1);
    // The timer of a browser or of Node.js may be a millisecond late.
    expect((late() as number) + start - deadline, `timeout ${timeout}`).toBeLessThanOrEqual(21);
  }
});

it('begins again after stop()', async () => {
  timer.onRequest(Number.POSITIVE_INFINITY);
  await advance(300);
  timer.stop();
  const before = sweeps.length;
  await advance(300);
  expect(sweeps.length).toBe(before);
  timer.onRequest(Number.POSITIVE_INFINITY);
  await advance(25);
  expect(sweeps.length).toBe(before + 1);
});
