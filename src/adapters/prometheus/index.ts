/**
 * The statistics of rpc as metrics of prom-client. They are read when Prometheus scrapes, so they
 * cost nothing per call.
 */
import {
  register as defaultRegistry,
  type OpenMetricsContentType,
  type PrometheusContentType,
  type Registry,
} from 'prom-client';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { MetricSet, type RpcMetrics } from './metric-set.js';

export type { RpcMetrics } from './metric-set.js';
export type { StatisticsSource } from './metrics-source.js';

/** Options of rpcMetrics(). */
export interface RpcMetricsOptions {
  /** The registry that the metrics are added to. Default: the global one of prom-client. */
  register?: Registry<PrometheusContentType> | Registry<OpenMetricsContentType> | undefined;
  /** The beginning of the name of each metric. Default: `getty_rpc_`. */
  prefix?: string | undefined;
  /**
   * The upper limits of the buckets of durations, in milliseconds, ascending; 1 to 100. Their
   * labels are in seconds. Default: 14 buckets from 0.5 to 10,000.
   */
  buckets?: readonly number[] | undefined;
}

const NAMES = { register: true, prefix: true, buckets: true } satisfies NamesOf<RpcMetricsOptions>;

/** Defaults of RpcMetricsOptions. */
export const RPC_METRICS_DEFAULTS = {
  prefix: 'getty_rpc_',
  buckets: [
    0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000,
  ] as readonly number[],
} satisfies RpcMetricsOptions;

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
/** Each bucket is a time series for each method. */
const MAX_BUCKETS = 100;

/**
 * Adds the metrics of rpc to a registry. They report the servers and clients that are given to
 * add(). Throws BAD_OPTION, also if the registry has metrics of these names.
 */
export function rpcMetrics(options: RpcMetricsOptions = {}): RpcMetrics {
  checkNames('rpcMetrics()', options, NAMES);
  const { prefix, buckets } = withDefaults(RPC_METRICS_DEFAULTS, options);
  const { register = defaultRegistry } = options;
  if (typeof register?.registerMetric !== 'function')
    throw badOption('register', register, 'a Registry of prom-client');
  if (!METRIC_NAME.test(prefix))
    throw badOption('prefix', prefix, 'letters, digits, _ and :, and no digit first');
  const isAscending = (limit: unknown, index: number, all: readonly unknown[]): boolean =>
    typeof limit === 'number' &&
    Number.isFinite(limit) &&
    limit > (index === 0 ? 0 : Number(all[index - 1]));
  if (
    !Array.isArray(buckets) ||
    buckets.length === 0 ||
    buckets.length > MAX_BUCKETS ||
    !buckets.every(isAscending)
  ) {
    throw badOption(
      'buckets',
      buckets,
      `1 to ${MAX_BUCKETS} ascending numbers of milliseconds, above 0`,
    );
  }
  return new MetricSet(register as Registry<PrometheusContentType>, prefix, [...buckets]);
}
