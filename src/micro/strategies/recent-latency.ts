/** How long the recent calls of one method took. */
import { Histogram } from '../../rpc/index.js';

/** The fewest calls that give a percentile. */
const MIN_CALLS = 20;
/** How many calls later the percentile is computed again. */
const REFRESH_PERIOD = 64;
/** The most calls that count as recent. */
const MAX_CALLS = 2_000;

/** A percentile of the latencies of recent calls, in constant memory. */
export class RecentLatency {
  readonly #percentile: number;
  /**
   * The calls are counted in two halves. One is full, so the percentile is stable when the other
   * half starts empty.
   */
  #fullHalf = new Histogram();
  #currentHalf = new Histogram();
  #value: number | undefined;
  #callsSinceRefresh = 0;

  /** `percentile`: from 0 to 1. */
  constructor(percentile: number) {
    this.#percentile = percentile;
  }

  /** The percentile in milliseconds, 1 at least; undefined before 20 calls. */
  get value(): number | undefined {
    return this.#value;
  }

  /** Adds the latency of a call, in milliseconds. */
  add(ms: number): void {
    this.#currentHalf.add(ms);
    if (this.#currentHalf.count + this.#fullHalf.count < MIN_CALLS) return;
    if (this.#value !== undefined && ++this.#callsSinceRefresh < REFRESH_PERIOD) return;
    this.#callsSinceRefresh = 0;
    const larger =
      this.#fullHalf.count > this.#currentHalf.count ? this.#fullHalf : this.#currentHalf;
    this.#value = Math.max(1, larger.percentile(this.#percentile));
    if (this.#currentHalf.count < MAX_CALLS / 2) return;
    [this.#fullHalf, this.#currentHalf] = [this.#currentHalf, this.#fullHalf];
    this.#currentHalf.reset();
  }
}
