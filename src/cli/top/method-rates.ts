/** How many calls each method served between two samples. */
import { nextTurn, spend } from '../../core/turn.js';
import { type MethodReport, percentileBetween, type RpcCode } from '../../rpc/index.js';
import type { ServedReport } from '../target/introspection-answer.js';

/** What one server had counted at one moment. */
export interface Sample {
  /** When it was taken, in milliseconds of performance.now(). */
  readonly time: number;
  readonly report: ServedReport;
}

/** The calls of one method at one node, between two samples. */
export interface MethodRate {
  readonly service: string;
  readonly version: string;
  readonly method: string;
  readonly node: string;
  /** Calls that ended, per second. */
  readonly rate: number;
  /** Failed calls per second. */
  readonly failures: number;
  /** The codes of failed calls, with their calls per second. */
  readonly codes: Readonly<Partial<Record<RpcCode, number>>>;
  readonly inFlight: number;
  /** The mean of the interval, in milliseconds. Undefined: no call ended. */
  readonly mean: number | undefined;
  /**
   * Percentiles of the interval, in milliseconds; of an older server, since it began to count.
   * Undefined: no latency was measured.
   */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

type Counts = Pick<MethodReport, 'succeeded' | 'failed' | 'latency'>;

const NOTHING: Counts = {
  succeeded: 0,
  failed: {},
  latency: { count: 0, sum: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 },
};

/**
 * The rates of all methods of a node. `before` may be of an earlier process at the same address.
 */
export function methodRates(node: string, before: Sample, after: Sample): MethodRate[] {
  const seconds = Math.max(0.001, (after.time - before.time) / 1_000);
  const known = new Map<string, Counts>();
  // A server that counts since another moment has restarted, or resetStatistics() was called.
  if (before.report.since === after.report.since)
    for (const method of before.report.served) known.set(keyOf(method), method);
  return after.report.served.map((method) => {
    const old = known.get(keyOf(method)) ?? NOTHING;
    const codes: Partial<Record<RpcCode, number>> = {};
    let failures = 0;
    for (const [code, count] of Object.entries(method.failed) as [RpcCode, number][]) {
      const more = Math.max(0, count - (old.failed[code] ?? 0));
      failures += more;
      if (more > 0) codes[code] = more / seconds;
    }
    const ended = Math.max(0, method.succeeded - old.succeeded) + failures;
    const timed = method.latency.count - old.latency.count;
    const percentile = (share: number): number | undefined =>
      percentileBetween(
        after.report.limits ?? [],
        old === NOTHING ? undefined : old.latency,
        method.latency,
        share,
      );
    // It does not tell buckets.
    const olderServer = after.report.limits === undefined ? method.latency : undefined;
    return {
      service: method.service,
      version: method.version,
      method: method.method,
      node,
      rate: ended / seconds,
      failures: failures / seconds,
      codes,
      inFlight: method.inFlight,
      mean: timed > 0 ? Math.max(0, method.latency.sum - old.latency.sum) / timed : undefined,
      p50: percentile(0.5) ?? olderServer?.p50,
      p99: percentile(0.99) ?? olderServer?.p99,
    };
  });
}

/** Units of spend() for a row. */
const ROW_UNITS = 8;

const keyOf = ({ service, version, method }: MethodReport): string =>
  JSON.stringify([service, version, method]);

/**
 * One row for each method, over all nodes. Percentiles are those of the slowest node. Divided into
 * turns, because hundreds of nodes may have thousands of methods each.
 */
export async function mergeNodes(rates: readonly MethodRate[]): Promise<MethodRate[]> {
  const byMethod = new Map<string, MethodRate[]>();
  for (const rate of rates) {
    const key = JSON.stringify([rate.service, rate.version, rate.method]);
    const same = byMethod.get(key);
    if (same === undefined) byMethod.set(key, [rate]);
    else same.push(rate);
    if (spend(ROW_UNITS)) await nextTurn();
  }
  const merged: MethodRate[] = [];
  for (const same of byMethod.values()) {
    merged.push(mergeRates(same));
    if (spend(ROW_UNITS * same.length)) await nextTurn();
  }
  return merged;
}

/** The sums of all rows. Without latencies: percentiles of several rows have no sum. */
export type TotalRate = Pick<MethodRate, 'rate' | 'failures' | 'codes' | 'inFlight'>;

export function totalOf(rates: readonly MethodRate[]): TotalRate {
  const codes: Partial<Record<RpcCode, number>> = {};
  const total = { rate: 0, failures: 0, codes, inFlight: 0 };
  for (const row of rates) {
    total.rate += row.rate;
    total.failures += row.failures;
    total.inFlight += row.inFlight;
    for (const [code, more] of Object.entries(row.codes) as [RpcCode, number][])
      codes[code] = (codes[code] ?? 0) + more;
  }
  return total;
}

function mergeRates(rates: readonly MethodRate[]): MethodRate {
  const [first] = rates as readonly [MethodRate];
  if (rates.length === 1) return first;
  const timed = rates.filter(({ mean }) => mean !== undefined);
  const weight = timed.reduce((total, { rate }) => total + rate, 0);
  return {
    ...first,
    node: `${rates.length} nodes`,
    ...totalOf(rates),
    mean:
      weight > 0
        ? timed.reduce((total, { rate, mean = 0 }) => total + rate * mean, 0) / weight
        : undefined,
    p50: largest(rates.map(({ p50 }) => p50)),
    p99: largest(rates.map(({ p99 }) => p99)),
  };
}

/** Undefined: none is known. */
export function largest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
