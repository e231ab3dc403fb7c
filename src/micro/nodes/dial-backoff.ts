/** The pause between a failed dial and the next one. */
import { backoffDelay, startTimer } from '../../core/timers.js';

/**
 * Milliseconds of the first pause and of the longest one at most; see backoffDelay(). A node that
 * is reachable again is used within the longest pause.
 */
const INITIAL_BACKOFF = 200;
export const MAX_BACKOFF = 1_000;

export class DialBackoff {
  /** Failed dials in a row. NodeClient resets it, and sets 1 for a lost connection. */
  failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Whether the pause has not ended. */
  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  /** Counts a failed dial and starts the pause. `keepsAlive`: its timer keeps the process alive. */
  start(onEnd: () => void, keepsAlive: boolean): void {
    this.failures++;
    this.#timer = startTimer(
      () => {
        this.#timer = undefined;
        onEnd();
      },
      backoffDelay(this.failures, INITIAL_BACKOFF, MAX_BACKOFF),
    );
    if (!keepsAlive) this.#timer.unref();
  }

  /** Ends the pause without calling onEnd(). */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
