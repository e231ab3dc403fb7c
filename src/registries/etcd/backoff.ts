/**
 * The rest between attempts: it doubles, is random between half of it and the whole, and can be cut
 * short.
 */
import { startTimer } from '../../core/timers.js';

export interface BackoffOptions {
  /** Milliseconds. */
  readonly initialDelay: number;
  /** Milliseconds. */
  readonly maxDelay: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** How long to rest after one more failure, in milliseconds. */
  next(): number {
    const { initialDelay, maxDelay } = this.#options;
    const delay = Math.min(maxDelay, initialDelay * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return delay * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** A sleep that somebody may end. */
export class Nap {
  #wake: (() => void) | undefined;
  #woken = false;

  /**
   * Resolves after `ms`, or when wake() is called, or at once when it was called since the last
   * sleep. Does not keep the process alive.
   */
  async sleep(ms: number): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        const timer = startTimer(resolve, ms).unref();
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#woken = false;
  }

  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }
}
