/** The answer of the method `statistics` of the introspection service. */
import { RpcError } from '../errors.js';
import type { LatencyStatistics, MethodStatistics, RpcStatistics } from '../types.js';
import { bucketsOf, LATENCY_LIMITS } from './latency-buckets.js';

/** The latencies of a method, in milliseconds. */
export type LatencyReport = Omit<LatencyStatistics, 'cumulative'> & {
  /**
   * For each of StatisticsReport.limits, how many latencies did not exceed it. Limits at the end
   * are left out: for them the number is `count`. Absent unless the request asked for it.
   */
  readonly buckets?: readonly number[] | undefined;
};

/** The statistics of a method in one direction. */
export type MethodReport = Omit<MethodStatistics, 'latency'> & { readonly latency: LatencyReport };

/** The statistics of the server. */
export interface StatisticsReport {
  /** When counting began, in milliseconds since the epoch. */
  readonly since: number;
  /** The limits of LatencyReport.buckets, in milliseconds. Absent: there are no buckets. */
  readonly limits?: readonly number[] | undefined;
  /** Calls that the server made to its peers. */
  readonly calls: readonly MethodReport[];
  /** Calls that the server handled. */
  readonly served: readonly MethodReport[];
}

/** The argument of the method `statistics`. */
export interface StatisticsRequest {
  /** Whether the answer has LatencyReport.buckets: up to 89 numbers a method. Default: false. */
  readonly buckets?: boolean | undefined;
}

/** The report that a request asks for. Throws INVALID_ARGUMENT when the request is invalid. */
export function statisticsReport(
  { since, calls, served }: RpcStatistics,
  request: unknown,
): StatisticsReport {
  const { buckets = false } = (request ?? {}) as StatisticsRequest;
  if (typeof buckets !== 'boolean')
    throw new RpcError('INVALID_ARGUMENT', 'buckets: expected true or false');
  const report = (methods: readonly MethodStatistics[]): MethodReport[] =>
    methods.map((method) => ({ ...method, latency: latencyReport(method.latency, buckets) }));
  return {
    since,
    ...(buckets && { limits: LATENCY_LIMITS }),
    calls: report(calls),
    served: report(served),
  };
}

function latencyReport(latency: LatencyStatistics, hasBuckets: boolean): LatencyReport {
  const { cumulative: _, ...report } = latency;
  return hasBuckets ? { ...report, buckets: bucketsOf(latency) } : report;
}
