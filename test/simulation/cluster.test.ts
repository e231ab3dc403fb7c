/** Simulations with random faults, and with injected bugs that the checks must find. */
import { describe, expect, test } from 'vitest';
import { FOUND_SEEDS } from './found-seeds.js';
import { INJECTED_BUGS } from './injected-bugs.js';
import { runCluster } from './run.js';

/** Of faults. */
const SECONDS = 2;

test('a simulation without an injected bug violates nothing', async () => {
  const { violations, calls } = await runCluster(1, SECONDS);
  expect(violations).toEqual([]);
  expect(calls).toBeGreaterThan(100);
});

describe('the checks find', () => {
  test.each(Object.entries(INJECTED_BUGS))('%s', async (_, { make, expected }) => {
    const { violations } = await runCluster(1, SECONDS, { bug: make() });
    expect(violations).toContainEqual(expect.stringContaining(expected));
  });
});

test.each(FOUND_SEEDS)('seed $seed, which has found: $finding', async ({ seed, seconds }) => {
  expect((await runCluster(seed, seconds)).violations).toEqual([]);
});
