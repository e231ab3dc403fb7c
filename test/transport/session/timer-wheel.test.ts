/** every(): periodic work, with one timer per period. */
import { describe, expect, it, vi } from 'vitest';
import { every, runningWheels } from '../../../src/transport/session/timer-wheel.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox, turns } from '../../fixtures/waiting.js';

describe('every', () => {
  noLeaks();

  it.each([1, 7, 20, 50])('calls a task every %d ms, first after one period', async (period) => {
    const calls = new Inbox<number>('a call');
    const start = performance.now();
    const stop = every(period, () => calls.push(performance.now()));
    const times = await calls.take(4);
    stop();
    // A slice of a wheel is a whole number of milliseconds, so a period may be shorter by one
    // millisecond per slice.
    expect((times[0] as number) - start).toBeGreaterThan(period * 0.8 - 1.5);
    expect((times[3] as number) - start).toBeGreaterThan(4 * (period * 0.8 - 1.5));
  });

  it('does not call a cancelled task, and stops the wheel of the last one', async () => {
    const calls = new Inbox<string>('a call');
    const stopOne = every(10, () => calls.push('one'));
    const stopOther = every(10, () => calls.push('other'));
    expect(runningWheels()).toBe(1);
    await calls.take(2);
    stopOne();
    stopOne();
    expect(runningWheels()).toBe(1);
    const before = calls.all.length;
    while (calls.all.length < before + 3) await calls.next();
    expect(calls.all.slice(before)).toEqual(['other', 'other', 'other']);
    stopOther();
    expect(runningWheels()).toBe(0);
  });

  it('has one wheel per period', () => {
    const stops = [10, 10, 20, 30, 30].map((period) => every(period, () => {}));
    expect(runningWheels()).toBe(3);
    for (const stop of stops) stop();
    expect(runningWheels()).toBe(0);
  });

  it('keeps the process running while a task asks for it', () => {
    const started = vi.spyOn(globalThis, 'setInterval');
    try {
      const stopIdle = every(10, () => {});
      const timer = started.mock.results[0]?.value as NodeJS.Timeout;
      expect(timer.hasRef()).toBe(false);
      const stops = [every(10, () => {}, true), every(10, () => {}, true)];
      expect([timer.hasRef(), started.mock.calls.length]).toEqual([true, 1]);
      stops[0]?.();
      stops[0]?.();
      expect(timer.hasRef()).toBe(true);
      stops[1]?.();
      expect(timer.hasRef()).toBe(false);
      stopIdle();
    } finally {
      started.mockRestore();
    }
  });

  it('counts the same function twice as two tasks', async () => {
    const calls = new Inbox<number>('a call');
    const task = (): void => calls.push(performance.now());
    const stops = [every(15, task), every(15, task)];
    await calls.next();
    expect(calls.all.length).toBe(2);
    stops[0]?.();
    expect(runningWheels()).toBe(1);
    stops[1]?.();
    expect(runningWheels()).toBe(0);
  });

  it('does not call tasks that another task of the turn has cancelled', async () => {
    const calls = new Inbox<string>('a call');
    const stops: (() => void)[] = [];
    const cancelAll = (name: string) => (): void => {
      calls.push(name);
      for (const stop of stops) stop();
    };
    stops.push(every(10, cancelAll('first')), every(10, cancelAll('second')));
    await calls.next();
    await turns(5);
    expect(calls.all).toEqual(['first']);
  });

  it('calls a task that another task adds after one period', async () => {
    const calls = new Inbox<number>('a call');
    const stops: (() => void)[] = [];
    const start = performance.now();
    const again = (): void => {
      calls.push(performance.now() - start);
      if (stops.length < 3) stops.push(every(20, again));
    };
    stops.push(every(20, again));
    const first = await calls.next();
    const second = await calls.next();
    for (const stop of stops) stop();
    expect(second - first).toBeGreaterThan(14);
  });

  it('spreads tasks over the period by the time of their start', async () => {
    const calls = new Inbox<{ name: string; at: number }>('a call');
    const stopEarly = every(60, () => calls.push({ name: 'early', at: performance.now() }));
    const wait = new Inbox<void>('half of the period');
    const stopPause = every(25, () => wait.push());
    await wait.next();
    stopPause();
    const stopLate = every(60, () => calls.push({ name: 'late', at: performance.now() }));
    const [first, second] = await calls.take(2);
    stopEarly();
    stopLate();
    expect([first?.name, second?.name]).toEqual(['early', 'late']);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(8);
  });

  it('does not keep a process alive', () => {
    const before = process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length;
    const stop = every(1_000, () => {});
    expect(process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length).toBe(
      before,
    );
    stop();
  });
});
