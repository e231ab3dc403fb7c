import { expect, test } from 'vitest';
import { within } from '../../src/core/timers.js';
import { Waiter } from '../../src/core/waiter.js';
import { collectGarbage } from '../fixtures/garbage.js';
import { until } from '../fixtures/waiting.js';

const forever = new Promise<never>(() => {});

test.each([
  ['a value', () => Promise.resolve(1), { status: 'fulfilled', value: 1 }],
  ['an error', () => Promise.reject('no'), { status: 'rejected', reason: 'no' }],
])('settles with %s of the promise, and with nothing later', async (_, source, outcome) => {
  const waiter = new Waiter<number>();
  const settled = waiter.start(source());
  expect(await Promise.allSettled([settled])).toEqual([outcome]);
  waiter.resolve(2);
  waiter.reject('late');
  expect(await Promise.allSettled([settled])).toEqual([outcome]);
});

test('ends before the promise settles', async () => {
  const resolved = new Waiter<number>();
  const value = resolved.start(forever);
  resolved.resolve(3);
  expect(await value).toBe(3);

  const rejected = new Waiter<number>();
  const error = rejected.start(forever);
  rejected.reject(new Error('cancelled'));
  await expect(error).rejects.toThrow('cancelled');
});

test('a promise holds nothing of waits that have ended', async () => {
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
