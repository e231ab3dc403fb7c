/** Exponential backoff with jitter. */
import { backoffDelay } from '../../core/timers.js';

export interface BackoffOptions {
  /** Milliseconds. The delay after the first failure. */
  readonly initialDelay: number;
  /** Milliseconds. The limit of the doubled delay. */
  readonly maxDelay: number;
}

/** A count of failures in a row, with the delay after each. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Counts one more failure. Returns the milliseconds before the next attempt. */
  next(): number {
    this.#failures++;
    const { initialDelay, maxDelay } = this.#options;
    return backoffDelay(this.#failures, initialDelay, maxDelay);
  }

  reset(): void {
    this.#failures = 0;
  }
}
