/** How many calls each method served between two samples. */
import { describe, expect, test } from 'vitest';
import { mergeNodes, methodRates, type Sample } from '../../../src/cli/top/method-rates.js';
import type { MethodReport } from '../../../src/rpc/index.js';
import { turnCounter } from '../../fixtures/waiting.js';

function report(given: Partial<MethodReport> & { count?: number; sum?: number }): MethodReport {
  const { count = 0, sum = 0, ...others } = given;
  return {
    service: 'Greeter',
    version: 'v1',
    method: 'hello',
    started: 0,
    succeeded: 0,
    failed: {},
    inFlight: 0,
    bytesSent: 0,
    bytesReceived: 0,
    latency: { count, sum, mean: 0, p50: 1, p90: 1, p99: 2, max: 3 },
    ...others,
  };
}

function sample(seconds: number, served: readonly MethodReport[], since = 1): Sample {
  return { time: seconds * 1_000, report: { since, served } };
}

describe('methodRates()', () => {
  test('are the differences of two samples, per second', () => {
    const [rate, ...others] = methodRates(
      'a',
      sample(10, [report({ succeeded: 100, failed: { INTERNAL: 4 }, count: 104, sum: 208 })]),
      sample(12, [
        report({
          succeeded: 140,
          failed: { INTERNAL: 8, NOT_FOUND: 2 },
          inFlight: 3,
          count: 150,
          sum: 668,
        }),
      ]),
    );
    expect(others).toEqual([]);
    expect(rate).toEqual({
      service: 'Greeter',
      version: 'v1',
      method: 'hello',
      node: 'a',
      rate: 23,
      failures: 3,
      codes: { INTERNAL: 2, NOT_FOUND: 1 },
      inFlight: 3,
      mean: 10,
      p50: 1,
      p99: 2,
    });
  });

  test('have the percentiles of the interval if the server reports buckets', () => {
    const limits = [1, 2, 4, 8];
    const latency = (buckets: number[]) => {
      const count = buckets.at(-1) as number;
      return { count, sum: 1, mean: 1, p50: 90, p90: 91, p99: 92, max: 100, buckets };
    };
    const at = (seconds: number, buckets: number[]): Sample => ({
      time: seconds * 1_000,
      report: { since: 1, limits, served: [report({ latency: latency(buckets) })] },
    });
    const before = at(1, [1_000]);
    expect(methodRates('a', before, at(2, [1_000, 1_000, 1_100]))[0]).toMatchObject({
      p50: 3,
      p99: 3.98,
    });
    // Without a call in the interval there is none.
    expect(methodRates('a', before, before)[0]).toMatchObject({ p50: undefined, p99: undefined });
    const other = { ...before, report: { ...before.report, since: 0 } };
    expect(methodRates('a', other, before)[0]?.p99).toBeLessThanOrEqual(1);
  });

  test('have no mean if no call ended', () => {
    const same = [report({ succeeded: 1, count: 1, sum: 1 })];
    expect(methodRates('a', sample(1, same), sample(2, same))).toMatchObject([
      { rate: 0, mean: undefined },
    ]);
  });

  test('count from 0 after a restart', () => {
    const [rate] = methodRates(
      'a',
      sample(1, [report({ succeeded: 1_000 })], 1),
      sample(2, [report({ succeeded: 5 })], 2),
    );
    expect(rate?.rate).toBe(5);
  });

  test('are never negative and never infinite', () => {
    const [rate] = methodRates(
      'a',
      sample(1, [report({ succeeded: 9, failed: { INTERNAL: 9 }, count: 9, sum: 9 })]),
      sample(1, [report({ succeeded: 1, failed: { INTERNAL: 1 }, count: 10, sum: 1 })]),
    );
    expect(rate).toMatchObject({ rate: 0, failures: 0, mean: 0 });
  });
});

test('mergeNodes() adds the nodes of a method, and has the percentiles of the slowest', async () => {
  const rate = {
    service: 'Greeter',
    version: 'v1',
    method: 'hello',
    failures: 1,
    codes: { INTERNAL: 1 },
    inFlight: 2,
  };
  const merged = await mergeNodes([
    { ...rate, node: 'a', rate: 30, mean: 1, p50: 1, p99: 9 },
    { ...rate, node: 'b', rate: 10, mean: 5, p50: 2, p99: 4 },
    { ...rate, node: 'a', method: 'pay', rate: 0, mean: undefined, p50: 0, p99: 0 },
  ]);
  expect(merged).toEqual([
    {
      ...rate,
      node: '2 nodes',
      rate: 40,
      failures: 2,
      codes: { INTERNAL: 2 },
      inFlight: 4,
      mean: 2,
      p50: 2,
      p99: 9,
    },
    expect.objectContaining({ method: 'pay', node: 'a', mean: undefined }),
  ]);
});

test('mergeNodes() divides many rows into turns', async () => {
  const rates = Array.from({ length: 100_000 }, (_, at) => ({
    service: 'Greeter',
    version: '',
    method: `m${at % 1_000}`,
    node: 'a',
    rate: 1,
    failures: 0,
    codes: {},
    inFlight: 0,
    mean: 1,
    p50: 1,
    p99: 1,
  }));
  const counter = turnCounter();
  const merged = await mergeNodes(rates);
  counter.stop();
  expect(merged).toHaveLength(1_000);
  expect(merged[0]?.rate).toBe(100);
  expect(counter.turns).toBeGreaterThan(1);
});
