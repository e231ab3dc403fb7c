import { now } from '../session/flush-scheduler.js';

/** A debt below this number of tokens is a rounding error. */
const ROUNDING = 1e-6;

/**
 * Tokens that are added at a constant rate, until the bucket is full. take() may leave the bucket
 * in debt: then each caller waits until its own tokens are paid, so callers of one bucket take
 * turns. Time is that of now().
 */
export class TokenBucket {
  /** Tokens per second. */
  readonly rate: number;
  readonly #capacity: number;
  /** Negative: the debt. */
  #tokens: number;
  #updatedAt = now();

  /** `rate`: tokens per second. `burst`: how long it takes to fill the bucket, in ms. */
  constructor(rate: number, burst: number) {
    this.rate = rate;
    // A message takes one token, which must fit.
    this.#capacity = Math.max(1, (rate * burst) / 1_000);
    this.#tokens = this.#capacity;
  }

  /** Takes `count` tokens. Returns after how many ms they are paid; 0: at once. */
  take(count: number): number {
    if (count === 0) return 0;
    this.#refill();
    this.#tokens -= count;
    return this.#tokens > -ROUNDING ? 0 : (-this.#tokens / this.rate) * 1_000;
  }

  /** Returns tokens that were taken and are not used. */
  giveBack(count: number): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + count);
  }

  /** Whether take() would return 0. */
  has(count: number): boolean {
    this.#refill();
    return count === 0 || this.#tokens - count > -ROUNDING;
  }

  #refill(): void {
    const time = now();
    const added = ((time - this.#updatedAt) * this.rate) / 1_000;
    this.#updatedAt = time;
    this.#tokens = Math.min(this.#capacity, this.#tokens + added);
  }
}
