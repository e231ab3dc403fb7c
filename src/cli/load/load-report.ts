/** The result of a load, as JSON and as text. */
import { messageOf } from '../../core/errors.js';
import type { Histogram } from '../../rpc/index.js';
import { printable } from '../output/printable.js';
import { tableLines } from '../output/table.js';
import type { LoadRun } from './load-run.js';

/** The columns of the longest bar. */
const BAR_COLUMNS = 40;

interface Bucket {
  /** Milliseconds: the latencies of the bucket do not exceed it. */
  readonly limit: number;
  readonly count: number;
}

export interface LoadReport {
  readonly calls: number;
  readonly failed: number;
  readonly codes: Readonly<Record<string, number>>;
  /** From the start to the last answer. */
  readonly seconds: number;
  /** Whether it was an open load. */
  readonly isOpen: boolean;
  /** Calls per second: started ones of an open load, ended ones of a closed load. */
  readonly rate: number;
  /** Milliseconds until a failed call has failed, on average; 0 if none has. */
  readonly failedMean: number;
  /** Milliseconds, of the calls that have succeeded. */
  readonly latency: Readonly<Record<'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max', number>>;
  /** Of the calls that have succeeded. */
  readonly histogram: readonly Bucket[];
}

export function reportOf(run: LoadRun): LoadReport {
  const { latency } = run;
  const { count, sum, max } = latency;
  return {
    calls: run.ended,
    failed: run.failed,
    codes: Object.fromEntries([...run.codes].sort(([, a], [, b]) => b - a)),
    seconds: run.seconds,
    isOpen: run.isOpen,
    rate: run.rate,
    failedMean: run.failed > 0 ? run.failedTime / run.failed : 0,
    latency: {
      mean: count > 0 ? sum / count : 0,
      p50: latency.percentile(0.5),
      p90: latency.percentile(0.9),
      p99: latency.percentile(0.99),
      p999: latency.percentile(0.999),
      max,
    },
    histogram: bucketsOf(latency),
  };
}

/** The latencies in buckets, each of which is twice as wide as the one before. */
function bucketsOf(latency: Histogram): Bucket[] {
  if (latency.count === 0) return [];
  const limits: number[] = [];
  for (let limit = 1 / 64; limits.length === 0 || limit / 2 < latency.max; limit *= 2)
    limits.push(limit);
  const cumulative = latency.cumulative(limits);
  // The last limit is above the maximum, so that all latencies are within it.
  cumulative[cumulative.length - 1] = latency.count;
  const buckets = limits.map((limit, at) => ({
    limit,
    count: (cumulative[at] as number) - (cumulative[at - 1] ?? 0),
  }));
  return buckets.slice(buckets.findIndex(({ count }) => count > 0));
}

const ms = (latency: number): string => `${latency.toFixed(latency < 10 ? 2 : 0)} ms`;

/** The report as lines for people. */
export function reportLines(report: LoadReport, firstFailure: unknown): string[] {
  const { calls, failed, codes, seconds, isOpen, rate, failedMean, histogram } = report;
  return [
    `calls    ${calls} in ${seconds.toFixed(1)} s, ` +
      `${isOpen ? 'started at ' : ''}${Math.round(rate)} calls/s`,
    ...(failed === 0
      ? ['failed   0']
      : [
          `failed   ${failed}: ${codesText(codes)}; first: ${printable(messageOf(firstFailure))}`,
          `         mean ${ms(failedMean)} until a call has failed`,
        ]),
    `latency  ${calls === failed ? 'no call has succeeded' : latencyText(report)}`,
    ...(histogram.length === 0 ? [] : ['', ...histogramLines(histogram)]),
  ];
}

function histogramLines(histogram: readonly Bucket[]): string[] {
  const most = Math.max(...histogram.map(({ count }) => count));
  return tableLines(histogram, [
    { title: 'UP TO', cell: ({ limit }) => ms(limit) },
    { title: 'CALLS', cell: ({ count }) => count },
    { title: '', cell: ({ count }) => '█'.repeat(Math.round((count / most) * BAR_COLUMNS)) },
  ]);
}

function latencyText({ failed, latency }: LoadReport): string {
  return (
    `mean ${ms(latency.mean)}  p50 ${ms(latency.p50)}  p90 ${ms(latency.p90)}  ` +
    `p99 ${ms(latency.p99)}  p99.9 ${ms(latency.p999)}  max ${ms(latency.max)}` +
    `${failed > 0 ? '  (without failed calls)' : ''}`
  );
}

export function codesText(codes: LoadReport['codes']): string {
  return Object.entries(codes)
    .map(([code, count]) => `${code} ${count}`)
    .join(', ');
}
