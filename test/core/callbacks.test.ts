import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { notify, promiseOf } from '../../src/core/callbacks.js';
import { messageOf } from '../../src/core/errors.js';
import { revokedProxy } from './callback-rows/failures.js';

const failure = new Error('no');

test.each<[string, () => unknown]>([
  [
    'throws',
    () => {
      throw failure;
    },
  ],
  ['returns a rejected promise', () => Promise.reject(failure)],
  [
    'returns a thenable that rejects',
    // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable.
    () => ({ then: (_: unknown, reject: (error: unknown) => void) => reject(failure) }),
  ],
  [
    'returns a rejected promise of another realm',
    () => runInNewContext('(error) => Promise.reject(error)')(failure),
  ],
  [
    'returns a promise whose constructor throws',
    () =>
      Object.defineProperty(Promise.resolve(), 'constructor', {
        get() {
          throw failure;
        },
      }),
  ],
  [
    'returns an object whose then throws',
    () => ({
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable.
      get then() {
        throw failure;
      },
    }),
  ],
])('notify() reports a callback that %s once', async (_, callback) => {
  const failures: unknown[] = [];
  await new Promise<void>((resolve) =>
    notify(callback, (error) => {
      failures.push(error);
      resolve();
    }),
  );
  expect(failures).toEqual([failure]);
});

test('notify() reports a callback that throws or returns a revoked proxy', async () => {
  const failures: string[] = [];
  notify(
    () => {
      throw revokedProxy();
    },
    (error) => failures.push(messageOf(error)),
  );
  await new Promise<void>((resolve) =>
    notify(revokedProxy, (error) => {
      failures.push(messageOf(error));
      resolve();
    }),
  );
  expect(failures[0]).toBe('a value that has no string form');
  expect(failures[1]).toMatch(/revoked/);
});

test('promiseOf() returns undefined for values that are no promises', () => {
  for (const value of [
    undefined,
    null,
    0,
    '',
    'then',
    Symbol('then'),
    {},
    [],
    // biome-ignore lint/suspicious/noThenProperty: then is no function, so this is no thenable.
    { then: 1 },
    () => {},
  ])
    expect(promiseOf(value)).toBeUndefined();
});

test('messageOf() cuts a long message', () => {
  const message = messageOf(new Error('x'.repeat(1_000_000)));
  expect(message).toBe(`${'x'.repeat(10_000)}…`);
  const many = new AggregateError(Array(100).fill(new Error('x'.repeat(1_000_000))), '');
  expect(messageOf(many)).toBe(message);
});

test('messageOf() shows the first errors of an AggregateError without a message', () => {
  const errors = Array.from({ length: 100 }, (_, i) => new Error(String(i)));
  expect(messageOf(new AggregateError(errors, ''))).toBe('0, 1, 2, 3, 4, 5, 6, 7, 8, 9');
});
