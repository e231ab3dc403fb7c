/** The latencies of one second, so that those of several methods and nodes can be put together. */
import { percentileBetween } from '../../../rpc/index.js';
import { largest, type MethodRate, methodRates, type Sample } from '../../top/method-rates.js';

interface LatencyWindow {
  /** Milliseconds, ascending; the same for all nodes of one version. */
  readonly limits: readonly number[];
  readonly count: number;
  /** How many latencies did not exceed each limit. */
  readonly buckets: readonly number[];
}

/** The calls of a method in one second. */
export interface TimedRate extends MethodRate {
  /** Undefined: there were no calls, or the node does not tell its latencies. */
  readonly window: LatencyWindow | undefined;
}

/** The rates of all methods of a node. */
export function timedRates(node: string, before: Sample, after: Sample): TimedRate[] {
  const isSame = before.report.since === after.report.since;
  const reports = new Map(after.report.served.map((report) => [keyOf(report), report]));
  const earlier = new Map(
    isSame ? before.report.served.map((report) => [keyOf(report), report]) : [],
  );
  return methodRates(node, before, after).map((rate) => {
    const key = keyOf(rate);
    const { limits } = after.report;
    const [last, next] = [earlier.get(key)?.latency, reports.get(key)?.latency];
    const count = (next?.count ?? 0) - (last?.count ?? 0);
    const isKnown = limits !== undefined && next?.buckets !== undefined && count > 0;
    if (!isKnown || (last !== undefined && last.buckets === undefined))
      return { ...rate, window: undefined };
    const buckets = limits.map(
      (_, at) => (next.buckets?.[at] ?? next.count) - (last?.buckets?.[at] ?? last?.count ?? 0),
    );
    return { ...rate, window: { limits, count, buckets } };
  });
}

const keyOf = ({
  service,
  version,
  method,
}: Pick<MethodRate, 'service' | 'version' | 'method'>): string =>
  JSON.stringify([service, version, method]);

/**
 * The latency that a part of all calls of `rates` did not exceed. If a node does not tell its
 * latencies, the largest percentile of a method since its node began to count. null: no calls.
 */
export function percentileOf(rates: readonly TimedRate[], share: 0.5 | 0.99): number | null {
  const called = rates.filter(({ rate }) => rate > 0);
  if (called.length === 0) return null;
  const windows = called.flatMap(({ window }) => window ?? []);
  const limits = windows[0]?.limits ?? [];
  const isSame = windows.every((window) => window.limits.length === limits.length);
  if (windows.length < called.length || !isSame)
    return largest(called.map(({ p50, p99 }) => (share === 0.5 ? p50 : p99))) ?? null;
  const count = windows.reduce((sum, window) => sum + window.count, 0);
  const buckets = limits.map((_, at) =>
    windows.reduce((sum, window) => sum + (window.buckets[at] as number), 0),
  );
  return percentileBetween(limits, undefined, { count, buckets }, share) ?? null;
}
