/**
 * What was counted of one method since it was first seen, whatever resetStatistics() has thrown
 * away in between.
 */
import type { MethodStatistics } from '../../rpc/index.js';

/** The name of the outcome of calls that did not fail. */
const OK = 'OK';

type Counts = ReadonlyMap<string, number>;

/**
 * A counter of Prometheus never goes down: what was counted before a reset is added to what was
 * counted since.
 */
export class MethodTotals {
  readonly #limits: readonly number[];
  #now: MethodStatistics;
  /** What the last snapshot said, by counter. */
  #last: Counts = new Map();
  /** What was counted before the last reset that was noticed. */
  readonly #before = new Map<string, number>();

  /** `limits`: of the histogram's buckets, in ms, ascending. */
  constructor(limits: readonly number[], first: MethodStatistics) {
    this.#limits = limits;
    this.#now = first;
  }

  /** `reset`: counting has begun anew since the last snapshot. */
  update(now: MethodStatistics, reset: boolean): void {
    if (reset)
      for (const [key, count] of this.#last)
        this.#before.set(key, (this.#before.get(key) ?? 0) + count);
    this.#now = now;
    this.#last = this.#countsOf(now);
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
      ['latencies', latency.count],
      ['milliseconds', latency.sum],
    ]);
    counts.set(`code ${OK}`, succeeded);
    for (const [code, count] of Object.entries(failed)) counts.set(`code ${code}`, count);
    latency.cumulative(this.#limits).forEach((count, bucket) => {
      counts.set(`bucket ${bucket}`, count);
    });
    return counts;
  }

  #total(key: string): number {
    return (this.#before.get(key) ?? 0) + (this.#last.get(key) ?? 0);
  }

  get method(): Pick<MethodStatistics, 'service' | 'version' | 'method'> {
    return this.#now;
  }

  get inFlight(): number {
    return this.#now.inFlight;
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

  /** By code, OK among them. */
  get completed(): [code: string, count: number][] {
    const keys = new Set(
      [...this.#before.keys(), ...this.#last.keys()].filter((key) => key.startsWith('code ')),
    );
    return [...keys].map((key) => [key.slice('code '.length), this.#total(key)]);
  }

  get latencies(): number {
    return this.#total('latencies');
  }

  /** Of all latencies, in ms. */
  get milliseconds(): number {
    return this.#total('milliseconds');
  }

  /** How many latencies did not exceed each of the limits. */
  get buckets(): number[] {
    return this.#limits.map((_, bucket) => this.#total(`bucket ${bucket}`));
  }
}
