/** RetryBudget: the most retries under load and after a quiet time. */
import { describe, expect, it } from 'vitest';
import { RetryBudget } from '../../../src/rpc/interceptors/retry-budget.js';

describe('RetryBudget', () => {
  /** Makes calls that all want a retry, for `seconds`. Returns the retries that were allowed. */
  function allowedRetries(callsPerSecond: number, seconds: number): number {
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
    'allows 20 %% of %i calls/s, 10 a second and the initial tokens, over %i s',
    (rate, seconds) => {
      const granted = allowedRetries(rate, seconds);
      expect(granted).toBeLessThanOrEqual(0.2 * rate * seconds + 10 * seconds + 100);
      expect(granted).toBeGreaterThan(0.15 * rate * seconds);
    },
  );

  it('allows a retry of each call when calls are few', () => {
    expect(allowedRetries(5, 60)).toBe(300);
  });

  it('holds the tokens of ten seconds after an hour without retries', () => {
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
