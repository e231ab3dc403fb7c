/** Simulations with random faults, and violations that each check must find. */
import { describe, expect, test } from 'vitest';
import { FOUND_SEEDS } from './found-seeds.js';
import { PLANTS } from './plants.js';
import { runCluster } from './run.js';

/** Of faults. */
const SECONDS = 5;

test('a simulation without a planted violation violates nothing', async () => {
  const { violations, calls } = await runCluster(1, SECONDS);
  expect(violations).toEqual([]);
  expect(calls).toBeGreaterThan(100);
});

describe('the checks find', () => {
  test.each(Object.entries(PLANTS))('%s', async (_, { plant, expected }) => {
    const { violations } = await runCluster(1, SECONDS, { plant: plant() });
    expect(violations).toContainEqual(expect.stringContaining(expected));
  });
});

test.each(FOUND_SEEDS)('seed $seed, which has found: $finding', async ({ seed, seconds }) => {
  expect((await runCluster(seed, seconds)).violations).toEqual([]);
});
