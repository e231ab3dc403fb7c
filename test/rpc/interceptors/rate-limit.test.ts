/** rateLimit(): calls per second for each key, and a limited number of keys. */
import { expect, test } from 'vitest';
import {
  type Invoke,
  isReceived,
  type RateLimitOptions,
  rateLimit,
} from '../../../src/rpc/index.js';
import { KeyedStates } from '../../../src/rpc/interceptors/keyed-states.js';
import { clientCall, receivedCall, scripted } from '../../fixtures/calls.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

test.each<[string, unknown]>([
  ['perSecond', { perSecond: 0 }],
  ['burst', { burst: -1 }],
  ['burst', { burst: 1.5 }],
  ['maxKeys', { maxKeys: 0 }],
  ['key', { key: 'peer' }],
  ['now', { now: 0 }],
  ['options of rateLimit\\(\\)', null],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => rateLimit(options as RateLimitOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: got `));
});

/** Returns how many of `times` calls pass. */
async function passing(invoke: Invoke, times: number, service?: string): Promise<number> {
  const outcomes = await Promise.all(
    Array.from({ length: times }, () => outcome(invoke(clientCall({ service })))),
  );
  expect(outcomes.filter((one) => one !== 'ok' && one !== 'RESOURCE_EXHAUSTED')).toEqual([]);
  return outcomes.filter((one) => one === 'ok').length;
}

test('allows a burst, then the rate, and at most a burst after a pause', async () => {
  let now = 5_000;
  const invoke = rateLimit({ perSecond: 10, burst: 20, now: () => now })(scripted('done').invoke);
  expect(await passing(invoke, 50)).toBe(20);
  now += 99;
  expect(await passing(invoke, 5)).toBe(0);
  now += 1;
  expect(await passing(invoke, 5)).toBe(1);
  now += 550;
  expect(await passing(invoke, 50)).toBe(5);
  now += 50;
  expect(await passing(invoke, 50)).toBe(1);
  now += 3_600_000;
  expect(await passing(invoke, 50)).toBe(20);
  // A clock that goes back neither adds nor removes tokens.
  now -= 10_000;
  expect(await passing(invoke, 5)).toBe(0);
});

test('refuses a call as unsent', async () => {
  const { invoke, calls } = scripted('done');
  const limited = rateLimit({ perSecond: 1, now: () => 0 })(invoke);
  expect(await limited(clientCall())).toBe('done');
  const error = await rejection(limited(clientCall()));
  expect(error).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    unsent: true,
    message: 'Service.ask was refused: more than 1 calls a second',
  });
  expect(calls).toHaveLength(1);
});

test.each([
  [10, 10],
  [0.5, 1],
  [2.5, 3],
])('without a burst %d a second are %i at once', async (perSecond, expected) => {
  expect(await passing(rateLimit({ perSecond, now: () => 0 })(scripted('done').invoke), 50)).toBe(
    expected,
  );
});

test('gives each key a bucket', async () => {
  const invoke = rateLimit({
    perSecond: 2,
    now: () => 0,
    key: (call) => (isReceived(call) ? call.peer : ''),
  })(scripted('done').invoke);
  const from = (peer: string): Promise<string[]> =>
    Promise.all([1, 2, 3].map(() => outcome(invoke(receivedCall({ peer })))));
  expect([await from('a'), await from('b')]).toEqual([
    ['ok', 'ok', 'RESOURCE_EXHAUSTED'],
    ['ok', 'ok', 'RESOURCE_EXHAUSTED'],
  ]);
});

test('lets keys beyond maxKeys share a bucket, and removes full buckets', async () => {
  let now = 0;
  const invoke = rateLimit({
    perSecond: 1,
    burst: 3,
    maxKeys: 2,
    now: () => now,
    key: ({ method }) => method.service,
  })(scripted('done').invoke);
  expect([await passing(invoke, 3, 'a'), await passing(invoke, 1, 'b')]).toEqual([3, 1]);
  const flood = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => passing(invoke, 1, `forged ${n}`)),
  );
  expect(flood.reduce((sum, one) => sum + one)).toBe(3);
  // No bucket in use was removed.
  expect([await passing(invoke, 3, 'a'), await passing(invoke, 3, 'b')]).toEqual([0, 2]);
  now += 3_000;
  expect([await passing(invoke, 5, 'new'), await passing(invoke, 5, 'newer')]).toEqual([3, 3]);
});

test('KeyedStates searches for idle states at most once a second', () => {
  let now = 0;
  let looks = 0;
  const idle = new Set<object>();
  const states = new KeyedStates<object>(
    () => ({}),
    (state) => {
      looks++;
      return idle.has(state);
    },
    100,
    () => now,
  );
  const own = Array.from({ length: 100 }, (_, n) => states.of(`${n}`));
  const shared = states.of('100');
  for (let n = 0; n < 10_000; n++) expect(states.of(`more ${n}`)).toBe(shared);
  expect([states.size, looks, states.of('7') === own[7], new Set([...own, shared]).size]).toEqual([
    100,
    100,
    true,
    101,
  ]);
  for (const state of own.slice(0, 50)) idle.add(state);
  now = 1_000;
  expect([
    states.of('new') === shared,
    states.size,
    states.of('0') === own[0],
    states.of('99') === own[99],
  ]).toEqual([false, 51, false, true]);
});
