/** circuitBreaker(): when a circuit opens, what passes, and how it closes again. */
import { describe, expect, test, vi } from 'vitest';
import {
  type CircuitBreakerOptions,
  circuitBreaker,
  type Invoke,
  type RpcCode,
  RpcError,
} from '../../../src/rpc/index.js';
import { RollingCount } from '../../../src/rpc/interceptors/rolling-count.js';
import { Calls, clientCall, collect, Source, scripted } from '../../fixtures/calls.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

const failure = (code: RpcCode = 'UNAVAILABLE'): RpcError => new RpcError(code, code);

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
  ['options', null],
])('throws BAD_OPTION for a wrong %s', (name, options) => {
  const error = thrown(() => circuitBreaker(options as CircuitBreakerOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: given `));
});

/** A circuit breaker with a manual clock, and the calls behind it. */
class Bench {
  now = 0;
  readonly calls = new Calls();
  readonly states: string[] = [];
  readonly invoke: Invoke;

  constructor(options: CircuitBreakerOptions = {}) {
    const onState: CircuitBreakerOptions['onState'] = (key, state) =>
      this.states.push(`${key} ${state}`);
    this.invoke = circuitBreaker({
      failures: 3,
      ratio: 0.5,
      window: 1_000,
      openFor: 500,
      onState,
      now: () => this.now,
      ...options,
    })(this.calls.invoke);
  }

  /** Makes a call that ends at once. Returns 'refused' when the circuit refused it. */
  async do(result: RpcError | 'ok' = 'ok', service = 'A'): Promise<string> {
    const at = this.calls.all.length;
    const call = outcome(this.invoke(clientCall({ service })));
    if (this.calls.all.length === at) {
      await call;
      return 'refused';
    }
    if (result === 'ok') this.calls.open(at);
    else this.calls.fail(at, result);
    return call;
  }

  async fail(times: number, service?: string): Promise<void> {
    for (let time = 0; time < times; time++) await this.do(failure(), service);
  }
}

test('opens after `failures` failures and refuses calls as unsent', async () => {
  const bench = new Bench();
  await bench.fail(2);
  expect(bench.states).toEqual([]);
  await bench.fail(1);
  expect(bench.states).toEqual(['A open']);
  bench.now = 100;
  const error = await rejection(bench.invoke(clientCall({ service: 'A' })));
  expect(error).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  expect(error.message).toBe(
    'the circuit of A is open: too many calls failed; the next probe may start in 400 ms',
  );
  expect(bench.calls.all).toHaveLength(3);
});

test('stays closed below the ratio of failures, unless the ratio is 0', async () => {
  for (const [ratio, states] of [
    [0.5, []],
    [0, ['A open']],
  ] as const) {
    const bench = new Bench({ ratio });
    for (let n = 0; n < 10; n++) await bench.do();
    await bench.fail(5);
    expect(bench.states).toEqual(states);
  }
});

test('stays closed after one success when the ratio is 1', async () => {
  const bench = new Bench({ ratio: 1 });
  await bench.do();
  await bench.fail(5);
  expect(bench.states).toEqual([]);
  bench.now = 2_000;
  await bench.fail(3);
  expect(bench.states).toEqual(['A open']);
});

test('does not count failures older than the window', async () => {
  const bench = new Bench();
  await bench.fail(2);
  bench.now = 1_100;
  await bench.fail(2);
  expect(bench.states).toEqual([]);
  await bench.fail(1);
  expect(bench.states).toEqual(['A open']);
});

test('counts an error that the caller caused as a success of the service', async () => {
  const bench = new Bench();
  for (const code of [
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'UNKNOWN',
    'CANCELLED',
    'UNAUTHENTICATED',
  ] as const)
    for (let n = 0; n < 5; n++) await bench.do(failure(code));
  expect(bench.states).toEqual([]);
  const strict = new Bench({ isFailure: ({ code }) => code === 'NOT_FOUND' });
  await strict.fail(5);
  for (let n = 0; n < 5; n++) await strict.do(failure('NOT_FOUND'));
  expect(strict.states).toEqual(['A open']);
});

describe('half-open', () => {
  async function opened(options: CircuitBreakerOptions = {}): Promise<Bench> {
    const bench = new Bench(options);
    await bench.fail(3);
    bench.now = 499;
    expect(await bench.do()).toBe('refused');
    bench.now = 500;
    return bench;
  }

  test('lets one call pass and closes when it succeeds', async () => {
    const bench = await opened();
    const probe = outcome(bench.invoke(clientCall({ service: 'A' })));
    expect([bench.states, await bench.do()]).toEqual([['A open', 'A half-open'], 'refused']);
    bench.calls.open(3);
    expect([await probe, await bench.do(), bench.states.at(-1)]).toEqual(['ok', 'ok', 'A closed']);
    // Earlier failures do not count.
    await bench.fail(2);
    expect(bench.states.at(-1)).toBe('A closed');
  });

  test('opens again for all of openFor when the probe fails', async () => {
    const bench = await opened();
    bench.now = 600;
    expect(await bench.do(failure())).toBe('UNAVAILABLE');
    expect(bench.states).toEqual(['A open', 'A half-open', 'A open']);
    bench.now = 1_099;
    expect(await bench.do()).toBe('refused');
    bench.now = 1_100;
    expect(await bench.do()).toBe('ok');
  });

  test('closes after `probes` successful probes', async () => {
    const bench = await opened({ probes: 3 });
    expect([await bench.do(), await bench.do(), bench.states.at(-1)]).toEqual([
      'ok',
      'ok',
      'A half-open',
    ]);
    expect([await bench.do(), bench.states.at(-1)]).toEqual(['ok', 'A closed']);
  });

  test('lets `probes` calls be under way and opens at the first failure', async () => {
    const bench = await opened({ probes: 2 });
    const probes = [1, 2].map(() => outcome(bench.invoke(clientCall({ service: 'A' }))));
    expect(await bench.do()).toBe('refused');
    bench.calls.open(3);
    bench.calls.fail(4, failure());
    expect([await Promise.all(probes), bench.states.at(-1)]).toEqual([
      ['ok', 'UNAVAILABLE'],
      'A open',
    ]);
  });

  test('lets another probe pass when the caller cancels one', async () => {
    const bench = await opened();
    expect([await bench.do(failure('CANCELLED')), bench.states.at(-1)]).toEqual([
      'CANCELLED',
      'A half-open',
    ]);
    expect([await bench.do(), bench.states.at(-1)]).toEqual(['ok', 'A closed']);
  });

  test('lets another probe pass when one does not end within openFor', async () => {
    const bench = await opened();
    const stuck = outcome(bench.invoke(clientCall({ service: 'A' })));
    bench.now = 999;
    expect(await bench.do()).toBe('refused');
    bench.now = 1_000;
    expect([await bench.do(), bench.states]).toEqual(['ok', ['A open', 'A half-open', 'A closed']]);
    // The late end of the probe does not count.
    bench.calls.fail(3, failure());
    expect([await stuck, bench.states.length]).toEqual(['UNAVAILABLE', 3]);
  });

  test('does not count calls that began before it opened', async () => {
    const bench = new Bench();
    const early = [1, 2].map(() => outcome(bench.invoke(clientCall({ service: 'A' }))));
    await bench.fail(3);
    bench.now = 500;
    const probe = outcome(bench.invoke(clientCall({ service: 'A' })));
    bench.calls.open(0);
    bench.calls.fail(1, failure());
    expect([await Promise.all(early), bench.states.at(-1)]).toEqual([
      ['ok', 'UNAVAILABLE'],
      'A half-open',
    ]);
    bench.calls.open(5);
    expect([await probe, bench.states.at(-1)]).toEqual(['ok', 'A closed']);
  });
});

describe('keys', () => {
  test('gives each service a circuit', async () => {
    const bench = new Bench();
    await bench.fail(3, 'A');
    expect([await bench.do('ok', 'A'), await bench.do('ok', 'B')]).toEqual(['refused', 'ok']);
  });

  test('gives each key a circuit', async () => {
    const bench = new Bench({ key: ({ method }) => `${method.service[0]}` });
    await bench.fail(3, 'A1');
    expect([await bench.do('ok', 'A2'), await bench.do('ok', 'B1')]).toEqual(['refused', 'ok']);
  });

  test('lets keys beyond maxKeys share a circuit, and removes idle circuits', async () => {
    const bench = new Bench({ maxKeys: 2 });
    await bench.fail(1, 'A');
    await bench.fail(1, 'B');
    await bench.fail(2, 'C');
    await bench.fail(1, 'D');
    expect([bench.states, await bench.do('ok', 'E'), await bench.do('ok', 'A')]).toEqual([
      ['D open'],
      'refused',
      'ok',
    ]);
    // The circuits of A and B are idle.
    bench.now = 1_100;
    expect(await bench.do('ok', 'E')).toBe('ok');
    await bench.fail(3, 'F');
    expect([await bench.do('ok', 'F'), await bench.do('ok', 'E')]).toEqual(['refused', 'ok']);
  });
});

test('counts a stream when it ends', async () => {
  const bench = circuitBreaker({ failures: 1, ratio: 0 });
  const whole = bench(scripted(new Source(1, 2)).invoke);
  expect([
    await collect(await whole(clientCall({ kind: 'serverStream' }))),
    await outcome(whole(clientCall({ kind: 'serverStream' }))),
  ]).toEqual([[1, 2], 'ok']);
  const torn = bench(scripted(new Source(1, failure())).invoke);
  const stream = await torn(clientCall({ kind: 'serverStream' }));
  expect(await outcome(torn(clientCall({ kind: 'serverStream' })))).toBe('ok');
  expect([
    await outcome(collect(stream)),
    await outcome(torn(clientCall({ kind: 'serverStream' }))),
  ]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  expect(await rejection(torn(clientCall({ kind: 'serverStream' })))).toMatchObject({
    unsent: true,
  });
});

test('warns when a function of the user fails', async () => {
  const warnings: unknown[] = [];
  const emit = vi
    .spyOn(process, 'emitWarning')
    .mockImplementation((warning) => void warnings.push(warning));
  try {
    const broken = (): never => {
      throw new Error('my own fault');
    };
    const bench = new Bench({ failures: 1, isFailure: broken, onState: broken });
    expect([await bench.do(failure()), await bench.do()]).toEqual(['UNAVAILABLE', 'refused']);
    expect(warnings).toMatchObject([
      { message: 'isFailure failed: my own fault' },
      { message: 'onState failed: my own fault' },
    ]);
  } finally {
    emit.mockRestore();
  }
});

test('RollingCount removes events after the window and not before', () => {
  const count = new RollingCount(1_000);
  expect([
    count.add(50),
    count.add(950),
    count.at(1_049),
    count.at(1_050),
    count.at(1_099),
  ]).toEqual([1, 2, 2, 2, 2]);
  expect([
    count.at(1_100),
    count.add(1_999),
    count.at(2_000),
    count.at(99_999),
    count.add(1e9),
  ]).toEqual([1, 2, 1, 0, 1]);
  count.clear();
  expect(count.at(1e9)).toBe(0);
});
