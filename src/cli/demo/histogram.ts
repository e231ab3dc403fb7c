/** Latencies in buckets that grow by 2 %: percentiles within 2 % in constant memory, however long it runs. */

const GROWTH = Math.log(1.02);
/** One microsecond, in ms: the first bucket ends there. */
const SMALLEST = 0.001;
const BUCKETS = 1200;

export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;

  /** `latency` in milliseconds. */
  add(latency: number): void {
    const bucket = latency <= SMALLEST ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(latency / SMALLEST) / GROWTH));
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#total++;
  }

  /** The latency, in ms, that the given share of calls did not exceed; 0 when there are none. */
  percentile(share: number): number {
    const wanted = this.#total * share;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] as number;
      if (seen > 0 && seen >= wanted) return SMALLEST * Math.exp(bucket * GROWTH);
    }
    return 0;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }
}
