/** The latency histogram. */
import { describe, expect, test } from 'vitest';
import { Histogram } from '../../../src/rpc/index.js';
import { fc } from '../../fixtures/property.js';

describe('Histogram', () => {
  test('gives percentiles within 6 %', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(fc.constantFrom(0, 1, 2), fc.double({ min: 0, max: 3_000_000, noNaN: true })),
          { minLength: 1, maxLength: 200 },
        ),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (latencies, share) => {
          const histogram = new Histogram();
          for (const latency of latencies) histogram.add(latency);
          const sorted = [...latencies].sort((a, b) => a - b);
          const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
          const estimate = histogram.percentile(share);
          expect(estimate).toBeGreaterThanOrEqual(exact * 0.999 - 0.001);
          expect(estimate).toBeLessThanOrEqual(exact * 1.0626 + 0.001);
          expect([histogram.count, histogram.max]).toEqual([
            latencies.length,
            Math.max(...latencies),
          ]);
        },
      ),
    );
  });

  test('cumulative() counts the latencies up to each limit', () => {
    const histogram = new Histogram();
    for (const latency of [0.5, 3, 3, 70, 5_000_000]) histogram.add(latency);
    expect(histogram.cumulative([0, 1, 5, 100, 1e9])).toEqual([0, 1, 3, 4, 5]);
    histogram.add(3, 2);
    histogram.reset();
    expect([histogram.percentile(0.5), histogram.sum, histogram.cumulative([1e9])]).toEqual([
      0,
      0,
      [0],
    ]);
  });
});
