/**
 * A histogram that is told whole. That of prom-client can only observe one value after the other.
 */
import type { Metric } from 'prom-client';

export interface HistogramTotals {
  readonly labels: Readonly<Record<string, string>>;
  /** How many values did not exceed each of the limits. */
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
 * `limits`: the upper ends of the buckets, in the unit of the values. `read` is asked at each
 * scrape.
 */
export function histogramOf(
  name: string,
  help: string,
  limits: readonly number[],
  read: () => Iterable<HistogramTotals>,
): Metric {
  const fixed = { name, help, type: 'histogram', aggregator: 'sum' } as const;
  const metric = {
    ...fixed,
    get: async () => ({
      ...fixed,
      values: [...read()].flatMap((totals) => valuesOf(name, limits, totals)),
    }),
    reset() {},
  };
  // As much of a metric as a registry ever asks for.
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
    ...buckets.map((value, at) => bucket(limits[at] as number, value)),
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
