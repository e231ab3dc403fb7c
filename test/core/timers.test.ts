import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  boundedDelay,
  LONGEST_TIMER,
  LongTimer,
  startTimer,
  within,
} from '../../src/core/timers.js';
import { fakeTime, pass } from '../fixtures/fake-time.js';
import { collectGarbage } from '../fixtures/garbage.js';
import { elapse, until } from '../fixtures/waiting.js';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

test.each([
  [0, 0],
  [-1, 0],
  [Number.NaN, 0],
  [1.5, 1.5],
  [LONGEST_TIMER, LONGEST_TIMER],
  [LONGEST_TIMER + 1, LONGEST_TIMER],
  [Number.POSITIVE_INFINITY, LONGEST_TIMER],
])('boundedDelay(%d) is %d', (given, bounded) => {
  expect(boundedDelay(given)).toBe(bounded);
});

test('startTimer() with Infinity does not fire at once', async () => {
  let fired = false;
  const timer = startTimer(() => {
    fired = true;
  }, Number.POSITIVE_INFINITY);
  await elapse(5);
  clearTimeout(timer);
  expect(fired).toBe(false);
});

test('only core uses setTimeout(), abort listeners and instanceof Promise', () => {
  const found: string[] = [];
  for (const file of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    // A simulation implements timers.
    if (!file.endsWith('.ts') || file.startsWith(join('testing', 'simulation'))) continue;
    const text = readFileSync(join(SRC, file), 'utf8');
    const isCore = (name: string): boolean => file === join('core', name);
    // A socket has a method setTimeout().
    if (!isCore('timers.ts') && /(?<!\.|\w)(globalThis\.)?set(Timeout|Interval)\(/.test(text))
      found.push(`${file}: use startTimer() of core/timers`);
    if (!isCore('signals.ts') && /\.addEventListener\('abort'|AbortSignal\.any/.test(text))
      found.push(`${file}: use followSignal() of core/signals`);
    if (!isCore('callbacks.ts') && /instanceof Promise\b/.test(text))
      found.push(`${file}: use promiseOf() of core/callbacks`);
  }
  expect(found).toEqual([]);
});

describe('LongTimer', () => {
  fakeTime();
  const days = 24 * 3_600_000;

  test('fires once after 30 days, not after cancel(), and never with Infinity', async () => {
    let fired = 0;
    new LongTimer(() => fired++, 30 * days);
    const cancelled = new LongTimer(() => fired++, 30 * days);
    new LongTimer(() => fired++, Number.POSITIVE_INFINITY);
    await pass(29 * days);
    cancelled.cancel();
    expect(fired).toBe(0);
    await pass(days);
    expect(fired).toBe(1);
    await pass(100 * days);
    expect(fired).toBe(1);
  });
});

test('a promise holds nothing of waits that have ended', async () => {
  const forever = new Promise<never>(() => {});
  const errors: WeakRef<Error>[] = [];
  const late = (): Error => {
    const error = new Error('late');
    errors.push(new WeakRef(error));
    return error;
  };
  for (let i = 0; i < 10; i++) await within(0, forever, late).catch(() => {});
  expect(errors.length).toBe(10);
  await until(() => {
    collectGarbage();
    return errors.every((error) => error.deref() === undefined);
  }, 'the errors to be collected');
});

test('within() settles as the promise does, or at its limit', async () => {
  const value = within(1_000, Promise.resolve(1), undefined);
  expect(await value).toBe(1);
  await expect(within(1_000, Promise.reject(new Error('no')), undefined)).rejects.toThrow('no');
  let fail!: (error: Error) => void;
  const source = new Promise<number>((_, reject) => {
    fail = reject;
  });
  expect(await within(0, source, undefined)).toBe(undefined);
  // It is not an unhandled rejection: the wait has handled it.
  fail(new Error('too late'));
});
