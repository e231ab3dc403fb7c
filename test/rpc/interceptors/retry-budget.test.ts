/** The budget of retries: how many second tries there may be, at most. */
import { describe, expect, it } from 'vitest';
import { RetryBudget } from '../../../src/rpc/interceptors/retry-budget.js';

describe('RetryBudget', () => {
  /** Seconds of calls of which every one wants a retry; the retries granted. */
  function storm(callsPerSecond: number, seconds: number): number {
    let now = 0;
    const budget = new RetryBudget({}, () => now);
    let granted = 0;
    for (let i = 0; i < callsPerSecond * seconds; i++) {
      now = (i * 1000) / callsPerSecond;
      budget.deposit();
      if (budget.withdraw()) granted++;
    }
    return granted;
  }

  it.each([
    [1000, 60],
    [100, 60],
    [2000, 10],
  ])(
    'in a storm of %i calls/s for %i s it adds at most 20 %% and 10 a second, and what a quiet start holds',
    (rate, seconds) => {
      const granted = storm(rate, seconds);
      expect(granted).toBeLessThanOrEqual(0.2 * rate * seconds + 10 * seconds + 100);
      expect(granted).toBeGreaterThan(0.15 * rate * seconds);
    },
  );

  it('few calls may all be tried again', () => {
    expect(storm(5, 60)).toBe(300);
  });

  it('does not save up: after an hour of good calls it holds ten seconds of them', () => {
    let now = 0;
    const budget = new RetryBudget({}, () => now);
    for (let i = 0; i < 360_000; i++) {
      now = i * 10;
      budget.deposit();
    }
    let granted = 0;
    while (budget.withdraw()) granted++;
    // 100 calls/s: (20 + 10) a second, over ten seconds.
    expect(granted).toBeGreaterThan(290);
    expect(granted).toBeLessThan(310);
  });
});
