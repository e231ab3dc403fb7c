/**
 * Runs work again on each request, one run at a time, and tries again after a failure until a run
 * succeeds.
 */
import { backoffDelay, startTimer } from '../../core/timers.js';
import { isConnectionError } from './client/errors.js';

/** The first delay after a failure, in milliseconds. */
const INITIAL_DELAY = 100;
/** The longest delay, in ms. It is short, because the client has a backoff for connections. */
const MAX_DELAY = 500;
/** The longest delay after a refusal, in ms. A server repeats a refusal for some time. */
const MAX_DELAY_AFTER_REFUSAL = 5_000;

export class Reconciler {
  readonly #work: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #isRunning = false;
  #mustRunAgain = false;
  #isStopped = false;
  /** The number of failed runs in a row. */
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `onError` is called for each failed run; it must not throw. */
  constructor(work: () => Promise<void>, onError: (error: unknown) => void) {
    this.#work = work;
    this.#onError = onError;
  }

  /**
   * Requests a run, now or after `delay` ms. A request without a delay replaces a delayed one.
   * During a run it requests another run after it.
   */
  request(delay = 0): void {
    if (this.#isStopped) return;
    if (this.#isRunning) {
      this.#mustRunAgain = true;
      return;
    }
    if (delay > 0 && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (delay > 0) this.#runLater(delay);
    else void this.#run();
  }

  /** Starts no further run. A run that has begun ends by itself. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #runLater(delay: number): void {
    // The client keeps the process alive, not this timer.
    this.#timer = startTimer(() => {
      this.#timer = undefined;
      void this.#run();
    }, delay).unref();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      do {
        this.#mustRunAgain = false;
        await this.#work();
        this.#failures = 0;
      } while (this.#mustRunAgain && !this.#isStopped);
      this.#isRunning = false;
    } catch (error) {
      this.#isRunning = false;
      this.#failures++;
      if (this.#isStopped) return;
      const maxDelay = isConnectionError(error) ? MAX_DELAY : MAX_DELAY_AFTER_REFUSAL;
      this.#runLater(backoffDelay(this.#failures, INITIAL_DELAY, maxDelay));
      this.#onError(error);
    }
  }
}
