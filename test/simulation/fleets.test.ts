/** The measurements of `npm run fleets`: each part of a large fleet does what its documents say. */
import { describe, expect, it } from 'vitest';
import { measureConnectionAge } from './fleets/connection-age.js';
import { LIMITS, measureOverload } from './fleets/overload.js';
import { measureRedundancy, REDUNDANCY_STRATEGIES } from './fleets/redundancy.js';
import { measureSubsets, SUBSETS } from './fleets/subsets.js';
import { measureZones, NODES_PER_ZONE } from './fleets/zones.js';

describe('zoneFirst()', () => {
  it.each([0, 3, NODES_PER_ZONE])(
    'keeps its share of the calls when %i nodes are killed',
    async (killed) => {
      const { calls, failures, ownShare } = await measureZones(true, killed, 5);
      const expected = Math.min(1, (NODES_PER_ZONE - killed) / NODES_PER_ZONE / 0.7);
      expect([calls, failures]).toEqual([1_000, 0]);
      expect(Math.abs(ownShare - expected)).toBeLessThan(0.07);
    },
  );
});

describe('subset', () => {
  it('has a fifth of the connections, evenly by integers, and moves few of them', async () => {
    const [byInteger, byString] = [
      await measureSubsets(SUBSETS['an integer'] as never),
      await measureSubsets(SUBSETS['a string'] as never),
    ];
    for (const { connections, failures } of [byInteger, byString])
      expect([connections, failures]).toEqual([480, 0]);
    expect(byInteger.fewest).toBeGreaterThanOrEqual(6);
    expect(byInteger.most).toBeLessThanOrEqual(10);
    expect(byInteger.moved).toBeLessThanOrEqual(40);
    expect(byString.moved).toBeLessThanOrEqual(16);
  });
});

it('maxConnectionAge replaces sessions, and no call fails', async () => {
  const { calls, failures, sessions } = await measureConnectionAge(2_000, 10);
  expect([calls, failures]).toEqual([5_000, 0]);
  expect(sessions).toBeGreaterThan(30);
});

it('adaptiveLimit() lets an overloaded server answer what it can, and the important calls', async () => {
  const without = await measureOverload([], 2_000, 2);
  const { answered, p99, late, importantAnswered } = await measureOverload(
    (LIMITS['adaptiveLimit()'] as () => never[])(),
    2_000,
    2,
  );
  expect(without.answered).toBeLessThan(100);
  expect(answered).toBeGreaterThan(850);
  expect(p99).toBeLessThan(250);
  expect(late).toBeLessThan(0.02);
  expect(importantAnswered).toBeGreaterThan(0.98);
});

it('fork() hides slow nodes for twice the calls, and broadcast() calls all nodes', async () => {
  const measure = (name: string) =>
    measureRedundancy((REDUNDANCY_STRATEGIES[name] as () => never)(), 5);
  const [plain, forked, all] = [
    await measure('failover()'),
    await measure('fork()'),
    await measure('broadcast()'),
  ];
  expect([plain.failures, forked.failures, all.failures]).toEqual([0, 0, 0]);
  expect(plain.p99).toBeGreaterThan(300);
  expect(forked.p99).toBeLessThan(30);
  expect([plain.received, forked.received, all.received]).toEqual([1, 2, 5]);
});
