/** Counts of latencies by fixed limits, and percentiles of the time between two reports. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Histogram } from '../../../src/rpc/metrics/histogram.js';
import {
  bucketsOf,
  LATENCY_LIMITS,
  type LatencyCounts,
  percentileBetween,
} from '../../../src/rpc/metrics/latency-buckets.js';
import type { LatencyStatistics } from '../../../src/rpc/types.js';

/** A report of latencies in milliseconds. */
function reportOf(...latencies: readonly number[]): LatencyCounts {
  const histogram = new Histogram();
  for (const latency of latencies) histogram.add(latency);
  const { count } = histogram;
  const cumulative = (limits: readonly number[]) => histogram.cumulative(limits);
  return { count, buckets: bucketsOf({ count, cumulative } as LatencyStatistics) };
}

const percentile = (share: number, after: LatencyCounts, before?: LatencyCounts) =>
  percentileBetween(LATENCY_LIMITS, before, after, share);

describe('the limits', () => {
  test('ascend, four for each power of two, from 15 µs to 67 s', () => {
    expect(LATENCY_LIMITS.length).toBe(89);
    expect(LATENCY_LIMITS.slice(0, 5)).toEqual([0.015, 0.019, 0.023, 0.027, 0.031]);
    expect(LATENCY_LIMITS.at(-1)).toBe(67_108.863);
    expect([...LATENCY_LIMITS].sort((a, b) => a - b)).toEqual([...LATENCY_LIMITS]);
  });

  test('are exact: each latency counts up to the first limit that is not below it', () => {
    for (const [index, limit] of LATENCY_LIMITS.entries()) {
      expect(reportOf(limit)).toEqual({ count: 1, buckets: [...Array(index).fill(0), 1] });
      expect(reportOf(limit + 0.001).buckets?.[index] ?? 1).toBe(0);
    }
  });
});

describe('bucketsOf()', () => {
  test('ends with the first limit that no latency exceeds', () => {
    expect(reportOf().buckets).toEqual([0]);
    expect(reportOf(0.01, 0.02, 0.02).buckets).toEqual([1, 1, 3]);
    expect(reportOf(1e6).buckets).toEqual(Array(89).fill(0));
  });
});

describe('percentileBetween()', () => {
  test('counts the calls between the reports only', () => {
    const slow = Array(1_000).fill(1_000);
    const before = reportOf(...slow);
    const after = reportOf(...slow, ...Array(100).fill(1));
    expect(percentile(0.99, after)).toBeGreaterThan(800);
    expect(percentile(0.99, after, before)).toBeGreaterThan(0.75);
    expect(percentile(0.99, after, before)).toBeLessThan(1.25);
  });

  test('is undefined without calls, and without buckets', () => {
    const report = reportOf(1, 2);
    expect(percentile(0.5, report, report)).toBeUndefined();
    expect(percentile(0.5, reportOf())).toBeUndefined();
    expect(percentile(0.5, { count: 2 })).toBeUndefined();
    expect(percentile(0.5, report, { count: 1 })).toBeUndefined();
    expect(percentile(0.5, reportOf(1), report)).toBeUndefined();
  });

  test('is at most a quarter away from the true value', () => {
    const latency = fc.double({ min: 0.02, max: 60_000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(latency, { maxLength: 20 }),
        fc.array(latency, { minLength: 1, maxLength: 50 }),
        fc.constantFrom(0.5, 0.9, 0.99),
        (earlier, later, share) => {
          const found = percentile(share, reportOf(...earlier, ...later), reportOf(...earlier));
          const sorted = [...later].sort((a, b) => a - b);
          const exact = sorted[Math.ceil(sorted.length * share) - 1] as number;
          expect(found).toBeGreaterThan(exact * 0.75 - 0.001);
          expect(found).toBeLessThan(exact * 1.25 + 0.001);
        },
      ),
    );
  });

  test('accepts reports of a hostile server', () => {
    const wild = { count: 5, buckets: [9, -3, Number.NaN, 2] };
    for (const before of [undefined, wild, reportOf(1)])
      for (const after of [wild, { count: Number.POSITIVE_INFINITY, buckets: [] }])
        expect(['number', 'undefined']).toContain(typeof percentile(0.99, after, before));
  });
});
