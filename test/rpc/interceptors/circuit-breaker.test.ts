/** circuitBreaker(): when a circuit opens, which calls pass, and how it closes again. */
import { describe, expect, test } from 'vitest';
import { type CircuitBreakerOptions, circuitBreaker } from '../../../src/rpc/index.js';
import { clientCall, collect, Source, scripted } from '../../fixtures/calls.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { failure, TestBreaker } from './test-breaker.js';
import { recordWarnings } from './warnings.js';

test.each<[string, unknown]>([
  ['failures', { failures: 0 }],
  ['failures', { failures: 2.5 }],
  ['ratio', { ratio: 1.1 }],
  ['window', { window: 0 }],
  ['openFor', { openFor: 0 }],
  ['probes', { probes: 0 }],
  ['maxKeys', { maxKeys: 0 }],
  ['key', { key: 'service' }],
  ['isFailure', { isFailure: ['INTERNAL'] }],
  ['onState', { onState: true }],
  ['now', { now: 5 }],
  ['options of .*', null],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => circuitBreaker(options as CircuitBreakerOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: got `));
});

test('opens after `failures` failures and refuses calls as unsent', async () => {
  const breaker = new TestBreaker();
  await breaker.fail(2);
  expect(breaker.states).toEqual([]);
  await breaker.fail(1);
  expect(breaker.states).toEqual(['A open']);
  breaker.now = 100;
  const error = await rejection(breaker.invoke(clientCall({ service: 'A' })));
  expect(error).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  expect(error.message).toBe(
    'the circuit of A is open: too many calls failed; the next probe may start in 400 ms',
  );
  expect(breaker.calls.all).toHaveLength(3);
});

test('stays closed below the ratio of failures, unless the ratio is 0', async () => {
  for (const [ratio, states] of [
    [0.5, []],
    [0, ['A open']],
  ] as const) {
    const breaker = new TestBreaker({ ratio });
    for (let n = 0; n < 10; n++) await breaker.do();
    await breaker.fail(5);
    expect(breaker.states).toEqual(states);
  }
});

test('stays closed after one success when the ratio is 1', async () => {
  const breaker = new TestBreaker({ ratio: 1 });
  await breaker.do();
  await breaker.fail(5);
  expect(breaker.states).toEqual([]);
  breaker.now = 2_000;
  await breaker.fail(3);
  expect(breaker.states).toEqual(['A open']);
});

test('does not count failures older than the window', async () => {
  const breaker = new TestBreaker();
  await breaker.fail(2);
  breaker.now = 1_100;
  await breaker.fail(2);
  expect(breaker.states).toEqual([]);
  await breaker.fail(1);
  expect(breaker.states).toEqual(['A open']);
});

test('counts an error that the caller caused as a success of the service', async () => {
  const breaker = new TestBreaker();
  for (const code of [
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'UNKNOWN',
    'CANCELLED',
    'UNAUTHENTICATED',
  ] as const)
    for (let n = 0; n < 5; n++) await breaker.do(failure(code));
  expect(breaker.states).toEqual([]);
  const strict = new TestBreaker({ isFailure: ({ code }) => code === 'NOT_FOUND' });
  await strict.fail(5);
  for (let n = 0; n < 5; n++) await strict.do(failure('NOT_FOUND'));
  expect(strict.states).toEqual(['A open']);
});

describe('half-open', () => {
  async function opened(options: CircuitBreakerOptions = {}): Promise<TestBreaker> {
    const breaker = new TestBreaker(options);
    await breaker.fail(3);
    breaker.now = 499;
    expect(await breaker.do()).toBe('refused');
    breaker.now = 500;
    return breaker;
  }

  test('lets one call pass and closes when it succeeds', async () => {
    const breaker = await opened();
    const probe = outcome(breaker.invoke(clientCall({ service: 'A' })));
    expect([breaker.states, await breaker.do()]).toEqual([['A open', 'A half-open'], 'refused']);
    breaker.calls.open(3);
    expect([await probe, await breaker.do(), breaker.states.at(-1)]).toEqual([
      'ok',
      'ok',
      'A closed',
    ]);
    // Earlier failures do not count.
    await breaker.fail(2);
    expect(breaker.states.at(-1)).toBe('A closed');
  });

  test('opens again for all of openFor when the probe fails', async () => {
    const breaker = await opened();
    breaker.now = 600;
    expect(await breaker.do(failure())).toBe('UNAVAILABLE');
    expect(breaker.states).toEqual(['A open', 'A half-open', 'A open']);
    breaker.now = 1_099;
    expect(await breaker.do()).toBe('refused');
    breaker.now = 1_100;
    expect(await breaker.do()).toBe('ok');
  });

  test('closes after `probes` successful probes', async () => {
    const breaker = await opened({ probes: 3 });
    expect([await breaker.do(), await breaker.do(), breaker.states.at(-1)]).toEqual([
      'ok',
      'ok',
      'A half-open',
    ]);
    expect([await breaker.do(), breaker.states.at(-1)]).toEqual(['ok', 'A closed']);
  });

  test('lets `probes` calls be under way and opens at the first failure', async () => {
    const breaker = await opened({ probes: 2 });
    const probes = [1, 2].map(() => outcome(breaker.invoke(clientCall({ service: 'A' }))));
    expect(await breaker.do()).toBe('refused');
    breaker.calls.open(3);
    breaker.calls.fail(4, failure());
    expect([await Promise.all(probes), breaker.states.at(-1)]).toEqual([
      ['ok', 'UNAVAILABLE'],
      'A open',
    ]);
  });

  test('lets another probe pass when the caller cancels one', async () => {
    const breaker = await opened();
    expect([await breaker.do(failure('CANCELLED')), breaker.states.at(-1)]).toEqual([
      'CANCELLED',
      'A half-open',
    ]);
    expect([await breaker.do(), breaker.states.at(-1)]).toEqual(['ok', 'A closed']);
  });

  test('lets another probe pass when one does not end within openFor', async () => {
    const breaker = await opened();
    const slowProbe = outcome(breaker.invoke(clientCall({ service: 'A' })));
    breaker.now = 999;
    expect(await breaker.do()).toBe('refused');
    breaker.now = 1_000;
    expect([await breaker.do(), breaker.states]).toEqual([
      'ok',
      ['A open', 'A half-open', 'A closed'],
    ]);
    // The late end of the probe does not count.
    breaker.calls.fail(3, failure());
    expect([await slowProbe, breaker.states.length]).toEqual(['UNAVAILABLE', 3]);
  });

  test('does not count calls that began before it opened', async () => {
    const breaker = new TestBreaker();
    const early = [1, 2].map(() => outcome(breaker.invoke(clientCall({ service: 'A' }))));
    await breaker.fail(3);
    breaker.now = 500;
    const probe = outcome(breaker.invoke(clientCall({ service: 'A' })));
    breaker.calls.open(0);
    breaker.calls.fail(1, failure());
    expect([await Promise.all(early), breaker.states.at(-1)]).toEqual([
      ['ok', 'UNAVAILABLE'],
      'A half-open',
    ]);
    breaker.calls.open(5);
    expect([await probe, breaker.states.at(-1)]).toEqual(['ok', 'A closed']);
  });
});

describe('keys', () => {
  test('gives each service a circuit', async () => {
    const breaker = new TestBreaker();
    await breaker.fail(3, 'A');
    expect([await breaker.do('ok', 'A'), await breaker.do('ok', 'B')]).toEqual(['refused', 'ok']);
  });

  test('gives each key a circuit', async () => {
    const breaker = new TestBreaker({ key: ({ method }) => `${method.service[0]}` });
    await breaker.fail(3, 'A1');
    expect([await breaker.do('ok', 'A2'), await breaker.do('ok', 'B1')]).toEqual(['refused', 'ok']);
  });

  test('lets keys beyond maxKeys share a circuit, and removes idle circuits', async () => {
    const breaker = new TestBreaker({ maxKeys: 2 });
    await breaker.fail(1, 'A');
    await breaker.fail(1, 'B');
    await breaker.fail(2, 'C');
    await breaker.fail(1, 'D');
    expect([breaker.states, await breaker.do('ok', 'E'), await breaker.do('ok', 'A')]).toEqual([
      ['D open'],
      'refused',
      'ok',
    ]);
    // The circuits of A and B are idle.
    breaker.now = 1_100;
    expect(await breaker.do('ok', 'E')).toBe('ok');
    await breaker.fail(3, 'F');
    expect([await breaker.do('ok', 'F'), await breaker.do('ok', 'E')]).toEqual(['refused', 'ok']);
  });
});

test('counts a stream when it ends', async () => {
  const breaker = circuitBreaker({ failures: 1, ratio: 0 });
  const whole = breaker(scripted(new Source(1, 2)).invoke);
  expect([
    await collect(await whole(clientCall({ kind: 'serverStream' }))),
    await outcome(whole(clientCall({ kind: 'serverStream' }))),
  ]).toEqual([[1, 2], 'ok']);
  const failing = breaker(scripted(new Source(1, failure())).invoke);
  const stream = await failing(clientCall({ kind: 'serverStream' }));
  expect(await outcome(failing(clientCall({ kind: 'serverStream' })))).toBe('ok');
  expect([
    await outcome(collect(stream)),
    await outcome(failing(clientCall({ kind: 'serverStream' }))),
  ]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  expect(await rejection(failing(clientCall({ kind: 'serverStream' })))).toMatchObject({
    unsent: true,
  });
});

test('counts the timeout of a stream as a failure only if it has delivered no item', async () => {
  const breaker = circuitBreaker({ failures: 1, ratio: 0 });
  const timedOut = failure('DEADLINE_EXCEEDED');
  const call = () => clientCall({ kind: 'serverStream' });
  const bounded = breaker(scripted(new Source(1, timedOut), new Source(timedOut)).invoke);
  expect(await outcome(collect(await bounded(call())))).toBe('DEADLINE_EXCEEDED');
  const silent = await bounded(call());
  expect(await outcome(collect(silent))).toBe('DEADLINE_EXCEEDED');
  expect(await rejection(bounded(call()))).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
});

test('warns when a function of the user fails', async () => {
  const warnings = recordWarnings();
  const faulty = (): never => {
    throw new Error('a faulty function');
  };
  const breaker = new TestBreaker({ failures: 1, isFailure: faulty, onState: faulty });
  expect([await breaker.do(failure()), await breaker.do()]).toEqual(['UNAVAILABLE', 'refused']);
  expect(warnings).toMatchObject([
    { message: 'isFailure failed: a faulty function' },
    { message: 'onState failed: a faulty function' },
  ]);
});
