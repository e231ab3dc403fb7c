/**
 * Counts of latencies below fixed limits. A watcher subtracts two reports of them to get the
 * percentiles of the time between the reports.
 */
import { badOption, checkArray, checkNumber, checkObject } from '../../core/options.js';
import type { LatencyStatistics } from '../types.js';

/** The first limit is below 2 ** 4 µs, the last one below 2 ** 26 µs, about 67 s. */
const FIRST_POWER = 4;
const LAST_POWER = 26;
const LIMITS_PER_POWER = 4;

/**
 * The limits, in milliseconds, ascending: 0.015, and four for each power of two up to 67,108.863.
 * Each one is the end of a bucket of Histogram, so its count is exact.
 */
export const LATENCY_LIMITS: readonly number[] = limits();

function limits(): number[] {
  const all = [(2 ** FIRST_POWER - 1) / 1_000];
  for (let power = FIRST_POWER; power < LAST_POWER; power++)
    for (let part = 1; part <= LIMITS_PER_POWER; part++)
      all.push((2 ** power * (1 + part / LIMITS_PER_POWER) - 1) / 1_000);
  return all;
}

/**
 * For each of LATENCY_LIMITS, how many latencies did not exceed it. It ends with the first limit
 * that no latency exceeded.
 */
export function bucketsOf({ count, cumulative }: LatencyStatistics): number[] {
  const counts = cumulative(LATENCY_LIMITS);
  const end = counts.indexOf(count);
  return end < 0 ? counts : counts.slice(0, end + 1);
}

/** The latencies of a method up to one moment: LatencyReport has them. */
export interface LatencyCounts {
  readonly count: number;
  /** See LatencyReport.buckets. */
  readonly buckets?: readonly number[] | undefined;
}

/**
 * Returns the latency, in milliseconds, that a part of the calls between two reports did not
 * exceed. It may be too high or too low by at most 1/4. Undefined: there was no call, or a report
 * has no buckets.
 *
 * - `limits`: StatisticsReport.limits
 * - `before`: the earlier report; undefined if there is none, or if StatisticsReport.since differs
 * - `share`: the part, from 0 to 1, such as 0.99
 *
 * Throws BAD_OPTION.
 */
export function percentileBetween(
  limits: readonly number[],
  before: LatencyCounts | undefined,
  after: LatencyCounts,
  share: number,
): number | undefined {
  checkArray('limits', limits);
  if (before !== undefined) checkCounts('before', before);
  checkCounts('after', after);
  checkNumber('share', share, 0, 1);
  if (after.buckets === undefined || (before !== undefined && before.buckets === undefined))
    return undefined;
  const until = (index: number): number => countUntil(after, index) - countUntil(before, index);
  const total = after.count - (before?.count ?? 0);
  if (!(total > 0)) return undefined;
  const rank = total * share;
  let seen = 0;
  for (let index = 0; index < limits.length; index++) {
    const next = until(index);
    if (next > seen && next >= rank) {
      const low = index === 0 ? 0 : (limits[index - 1] as number);
      const part = Math.max(0, (rank - seen) / (next - seen));
      return low + ((limits[index] as number) - low) * part;
    }
    seen = Math.max(seen, next);
  }
  return limits.at(-1);
}

function checkCounts(name: string, counts: LatencyCounts): void {
  checkObject(name, counts);
  if (typeof counts.count !== 'number') throw badOption(`${name}.count`, counts.count, 'a number');
  if (counts.buckets !== undefined) checkArray(`${name}.buckets`, counts.buckets);
}

function countUntil(latencies: LatencyCounts | undefined, index: number): number {
  return latencies === undefined ? 0 : (latencies.buckets?.[index] ?? latencies.count);
}
