/**
 * The latency histogram, in constant memory. Each power of two is divided into 16 buckets, so a
 * percentile is at most 1/16 above the true value.
 */
import { checkArray, checkNumber } from '../../core/options.js';

/** Each number of microseconds below this has a separate bucket. */
const LINEAR_BUCKETS = 16;
/** The largest latency in microseconds, about 71 minutes. Longer ones count as this one. */
const MAX_MICROSECONDS = 0xffff_ffff;
/** The powers of two from LINEAR_BUCKETS, 2 ** 4, to MAX_MICROSECONDS, below 2 ** 32. */
const POWERS = 28;
const BUCKET_COUNT = LINEAR_BUCKETS + POWERS * LINEAR_BUCKETS;

function bucketOf(microseconds: number): number {
  if (microseconds < LINEAR_BUCKETS) return microseconds;
  const power = 31 - Math.clz32(microseconds);
  return (power - 3) * LINEAR_BUCKETS + ((microseconds >>> (power - 4)) & (LINEAR_BUCKETS - 1));
}

/**
 * The largest latency of each bucket, in milliseconds. Limits are compared with these, because
 * limit * 1000 may be rounded down below the end that it names.
 */
const ENDS = Float64Array.from({ length: BUCKET_COUNT }, (_, bucket) => endOf(bucket) / 1_000);

/** In microseconds. */
function endOf(bucket: number): number {
  if (bucket < LINEAR_BUCKETS) return bucket;
  const power = Math.floor(bucket / LINEAR_BUCKETS) + 3;
  return (LINEAR_BUCKETS + (bucket % LINEAR_BUCKETS) + 1) * 2 ** (power - 4) - 1;
}

/** A histogram of latencies in milliseconds. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKET_COUNT);
  #count = 0;
  #sum = 0;
  #max = 0;
  /**
   * How many times the last latency was added and is not counted yet. Calls that are made in one
   * tick and answered in one tick have the same latency, so they are counted together.
   */
  #pendingTimes = 0;
  #pendingLatency = 0;

  /** Adds a latency in milliseconds, `times` times. Default of `times`: 1. */
  add(latency: number, times = 1): void {
    if (latency !== this.#pendingLatency) {
      this.#countPending();
      this.#pendingLatency = latency;
    }
    this.#pendingTimes += times;
  }

  #countPending(): void {
    const latency = this.#pendingLatency;
    const times = this.#pendingTimes;
    if (times === 0) return;
    this.#pendingTimes = 0;
    const microseconds = Math.min(MAX_MICROSECONDS, Math.max(0, Math.round(latency * 1000))) >>> 0;
    const bucket = bucketOf(microseconds);
    this.#counts[bucket] = (this.#counts[bucket] as number) + times;
    this.#count += times;
    this.#sum += latency * times;
    if (latency > this.#max) this.#max = latency;
  }

  /** How many latencies were added. */
  get count(): number {
    this.#countPending();
    return this.#count;
  }

  /** The sum of all latencies, in milliseconds. */
  get sum(): number {
    this.#countPending();
    return this.#sum;
  }

  /** The largest latency, in milliseconds. It is exact. 0 when there is none. */
  get max(): number {
    this.#countPending();
    return this.#max;
  }

  /**
   * Returns the latency, in milliseconds, that a part of all latencies does not exceed; 0 when
   * there is none. `share`: that part, from 0 to 1, such as 0.99 for the 99th percentile. Throws
   * BAD_OPTION.
   */
  percentile(share: number): number {
    checkNumber('share', share, 0, 1);
    this.#countPending();
    const rank = this.#count * share;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      seen += this.#counts[bucket] as number;
      if (seen > 0 && seen >= rank) return Math.min(this.#max, ENDS[bucket] as number);
    }
    return this.#max;
  }

  /**
   * Returns for each limit how many latencies do not exceed it. A latency that is up to 6 % below
   * the limit may be missing. `limits`: in milliseconds, ascending. Throws BAD_OPTION.
   */
  cumulative(limits: readonly number[]): number[] {
    checkArray('limits', limits);
    this.#countPending();
    let bucket = 0;
    let seen = 0;
    return limits.map((limit) => {
      while (seen < this.#count && (ENDS[bucket] as number) <= limit)
        seen += this.#counts[bucket++] as number;
      return seen;
    });
  }

  /** Removes all latencies. */
  reset(): void {
    this.#pendingTimes = 0;
    this.#counts.fill(0);
    this.#count = 0;
    this.#sum = 0;
    this.#max = 0;
  }
}
