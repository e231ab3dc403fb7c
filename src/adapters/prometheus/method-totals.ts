/** The counts of one method. resetStatistics() does not reset them. */
import type { MethodStatistics } from '../../rpc/index.js';

/** The code of calls without an error. */
const OK = 'OK';

type Counts = ReadonlyMap<string, number>;

/**
 * A counter of Prometheus must not decrease, so the counts before a reset are added to the counts
 * after it.
 */
export class MethodTotals {
  readonly #limits: readonly number[];
  readonly method: Pick<MethodStatistics, 'service' | 'version' | 'method'>;
  inFlight = 0;
  /** The sums of the latest counts, by the keys of #countsOf(). */
  #latestCounts: Counts = new Map();
  /** The sums of the counts before each reset. */
  readonly #countsBeforeReset = new Map<string, number>();

  /** `limits`: upper limits of the buckets of the histogram, in milliseconds, ascending. */
  constructor(
    limits: readonly number[],
    { service, version, method }: Pick<MethodStatistics, 'service' | 'version' | 'method'>,
  ) {
    this.#limits = limits;
    this.method = { service, version, method };
  }

  /**
   * `rows`: all statistics of this method. A user's own object with statistics() may list a method
   * several times.
   * `wasReset`: the statistics were reset after the last update.
   */
  update(rows: readonly MethodStatistics[], wasReset: boolean): void {
    if (wasReset)
      for (const [key, count] of this.#latestCounts)
        this.#countsBeforeReset.set(key, (this.#countsBeforeReset.get(key) ?? 0) + count);
    this.inFlight = 0;
    const latest = new Map<string, number>();
    for (const row of rows) {
      this.inFlight += row.inFlight;
      for (const [key, count] of this.#countsOf(row))
        latest.set(key, (latest.get(key) ?? 0) + count);
    }
    this.#latestCounts = latest;
  }

  #countsOf({
    started,
    succeeded,
    failed,
    bytesSent,
    bytesReceived,
    latency,
  }: MethodStatistics): Counts {
    const counts = new Map([
      ['started', started],
      ['sent', bytesSent],
      ['received', bytesReceived],
      ['latency count', latency.count],
      ['latency sum', latency.sum],
    ]);
    counts.set(`code ${OK}`, succeeded);
    for (const [code, count] of Object.entries(failed)) counts.set(`code ${code}`, count);
    latency.cumulative(this.#limits).forEach((count, bucket) => {
      counts.set(`bucket ${bucket}`, count);
    });
    return counts;
  }

  #total(key: string): number {
    return (this.#countsBeforeReset.get(key) ?? 0) + (this.#latestCounts.get(key) ?? 0);
  }

  get started(): number {
    return this.#total('started');
  }

  get bytesSent(): number {
    return this.#total('sent');
  }

  get bytesReceived(): number {
    return this.#total('received');
  }

  /** By code, OK included. */
  get completed(): [code: string, count: number][] {
    const keys = new Set(
      [...this.#countsBeforeReset.keys(), ...this.#latestCounts.keys()].filter((key) =>
        key.startsWith('code '),
      ),
    );
    return [...keys].map((key) => [key.slice('code '.length), this.#total(key)]);
  }

  get latencyCount(): number {
    return this.#total('latency count');
  }

  /** Milliseconds. */
  get latencySum(): number {
    return this.#total('latency sum');
  }

  /** For each limit the number of latencies up to it; see LatencyStatistics.cumulative(). */
  get buckets(): number[] {
    return this.#limits.map((_, bucket) => this.#total(`bucket ${bucket}`));
  }
}
