/** The pauses between the dials of a node. */
import { backoffDelay, pause, startTimer } from '../../core/timers.js';

/**
 * Milliseconds of the first pause and of the longest one at most; see backoffDelay(). A node that
 * is reachable again is used within the longest pause.
 */
const INITIAL_BACKOFF = 200;
export const MAX_BACKOFF = 1_000;

/**
 * Milliseconds. An unused connection that is lost earlier counts as a failed dial: no call fails
 * with it, so the calls that wait would dial without an end.
 */
const MIN_CONNECTION_AGE = 1_000;

export class DialBackoff {
  /** Failed dials in a row. NodeClient resets it, and sets 1 for a lost connection. */
  failures = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When the last dial succeeded: performance.now(). Undefined if a call used the connection. */
  #unusedSince: number | undefined;
  /** Unused connections in a row that were lost before MIN_CONNECTION_AGE. */
  #unusedLosses = 0;

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

  /** A dial has succeeded. */
  onConnect(): void {
    this.failures = 0;
    this.#unusedSince = performance.now();
  }

  /** A call uses the connection. */
  onUse(): void {
    this.#unusedSince = undefined;
  }

  /** Call it before a dial. Waits if the last connection was lost early and unused. */
  async pauseAfterUnusedLoss(signal: AbortSignal): Promise<void> {
    const age = performance.now() - (this.#unusedSince ?? Number.NEGATIVE_INFINITY);
    this.#unusedLosses = age < MIN_CONNECTION_AGE ? this.#unusedLosses + 1 : 0;
    if (this.#unusedLosses > 0)
      await pause(backoffDelay(this.#unusedLosses, INITIAL_BACKOFF, MAX_BACKOFF), signal);
  }
}
