/** RecentLatency: a percentile of the latest calls. */
import { describe, expect, it } from 'vitest';
import { RecentLatency } from '../../../src/micro/strategies/recent-latency.js';

describe('RecentLatency', () => {
  it('does not count old calls', () => {
    const latency = new RecentLatency(0.95);
    for (let i = 0; i < 5_000; i++) latency.add(100);
    expect(latency.value).toBeGreaterThan(94);
    for (let i = 0; i < 2_500; i++) latency.add(5);
    expect(latency.value).toBeLessThan(6);
  });
});
