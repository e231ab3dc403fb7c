/**
 * Latencies in constant memory: sixteen buckets for each doubling, so a percentile is right within
 * 6 %.
 */

/** Whole microseconds below this have a bucket of their own. */
const LINEAR = 16;
/** An hour and more fall into the last bucket. */
const LARGEST = 0xffff_ffff;
const BUCKETS = LINEAR + 28 * LINEAR;

function bucketOf(microseconds: number): number {
  if (microseconds < LINEAR) return microseconds;
  const power = 31 - Math.clz32(microseconds);
  return (power - 3) * LINEAR + ((microseconds >>> (power - 4)) & (LINEAR - 1));
}

/** The largest that the bucket holds, in microseconds. */
function endOf(bucket: number): number {
  if (bucket < LINEAR) return bucket;
  const power = Math.floor(bucket / LINEAR) + 3;
  return (LINEAR + (bucket % LINEAR) + 1) * 2 ** (power - 4) - 1;
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;
  /**
   * Calls of one tick, answered in one tick, took the same time. So many of the last latency are
   * not in the rest yet.
   */
  #times = 0;
  #last = 0;

  /** `latency` in milliseconds; `times`: so many of them. */
  add(latency: number, times = 1): void {
    if (latency !== this.#last) {
      this.#apply();
      this.#last = latency;
    }
    this.#times += times;
  }

  #apply(): void {
    const latency = this.#last;
    const times = this.#times;
    if (times === 0) return;
    this.#times = 0;
    const microseconds = Math.min(LARGEST, Math.max(0, Math.round(latency * 1000))) >>> 0;
    const bucket = bucketOf(microseconds);
    this.#counts[bucket] = (this.#counts[bucket] as number) + times;
    this.#count += times;
    this.#sum += latency * times;
    if (latency > this.#max) this.#max = latency;
  }

  get count(): number {
    this.#apply();
    return this.#count;
  }

  /** Of all latencies, in ms. */
  get sum(): number {
    this.#apply();
    return this.#sum;
  }

  /** In ms, exact; 0 when there are none. */
  get max(): number {
    this.#apply();
    return this.#max;
  }

  /** The latency, in ms, that the given share of them did not exceed; 0 when there are none. */
  percentile(share: number): number {
    this.#apply();
    const wanted = this.#count * share;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] as number;
      if (seen > 0 && seen >= wanted) return Math.min(this.#max, endOf(bucket) / 1000);
    }
    return this.#max;
  }

  /**
   * How many did not exceed each of `limits`, which are in ms and ascending; within a bucket's
   * width.
   */
  cumulative(limits: readonly number[]): number[] {
    this.#apply();
    let bucket = 0;
    let seen = 0;
    return limits.map((limit) => {
      while (bucket < BUCKETS && endOf(bucket) <= limit * 1000)
        seen += this.#counts[bucket++] as number;
      return seen;
    });
  }

  reset(): void {
    this.#times = 0;
    this.#counts.fill(0);
    this.#count = 0;
    this.#sum = 0;
    this.#max = 0;
  }
}
