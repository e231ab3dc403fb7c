/**
 * A histogram whose buckets are read at each scrape. The histogram of prom-client can only observe
 * single values.
 */
import type { Metric } from 'prom-client';

export interface HistogramTotals {
  readonly labels: Readonly<Record<string, string>>;
  /** For each limit the number of values that do not exceed it. */
  readonly buckets: readonly number[];
  readonly sum: number;
  readonly count: number;
}

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * `limits`: the upper limits of the buckets, in the unit of the values. `read` is called at each
 * scrape.
 */
export function makeHistogram(
  name: string,
  help: string,
  limits: readonly number[],
  read: () => Iterable<HistogramTotals>,
): Metric {
  const description = { name, help, type: 'histogram', aggregator: 'sum' } as const;
  const metric = {
    ...description,
    get: async () => ({
      ...description,
      values: [...read()].flatMap((totals) => valuesOf(name, limits, totals)),
    }),
    reset() {},
  };
  // The object has the members of a Metric that a Registry uses, and no others.
  return metric as unknown as Metric;
}

function valuesOf(
  name: string,
  limits: readonly number[],
  { labels, buckets, sum, count }: HistogramTotals,
): Value[] {
  const bucket = (le: string | number, value: number): Value => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le },
    value,
  });
  return [
    ...buckets.map((value, index) => bucket(limits[index] as number, value)),
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
