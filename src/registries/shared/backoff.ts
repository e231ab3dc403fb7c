/** Exponential backoff with jitter. */

export interface BackoffOptions {
  /** Milliseconds. The delay after the first failure. */
  readonly initialDelay: number;
  /** Milliseconds. The limit of the doubled delay. */
  readonly maxDelay: number;
}

/** The largest exponent: 2 ** 30 ms are 12 days. */
const MAX_DOUBLINGS = 30;

/**
 * Milliseconds before the next attempt after `failures` failures in a row, at least 1. The delay
 * doubles with each failure and is random between half of it and the whole.
 */
export function backoffDelay(failures: number, { initialDelay, maxDelay }: BackoffOptions): number {
  const delay = Math.min(maxDelay, initialDelay * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  return delay * (0.5 + Math.random() / 2);
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
    return backoffDelay(this.#failures, this.#options);
  }

  reset(): void {
    this.#failures = 0;
  }
}
