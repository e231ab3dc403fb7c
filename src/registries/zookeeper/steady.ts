/**
 * Work that is done again whenever there is reason to, one run at a time, and tried again until it
 * succeeds.
 */
import { startTimer } from '../../core/timers.js';
import { isConnectionTrouble } from './errors.js';

/** Milliseconds. */
const FIRST_DELAY = 100;
/** The client dials by itself, and with its own backoff. */
const LONGEST_DELAY = 500;
/** What the server refuses now it will refuse for a while. */
const LONGEST_AFTER_REFUSAL = 5_000;

export class Steady {
  readonly #work: () => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #running = false;
  #again = false;
  #stopped = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `failed` is told of each failure; must not throw. */
  constructor(work: () => Promise<void>, failed: (error: unknown) => void) {
    this.#work = work;
    this.#failed = failed;
  }

  /**
   * There is something to do: now, or after `delay` ms, which a call without a delay cuts short.
   * While a run is under way another one follows it.
   */
  wake(delay = 0): void {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    if (delay > 0 && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (delay > 0) this.#runLater(delay);
    else void this.#run();
  }

  /** Nothing is begun any more; a run that is under way ends by itself. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #runLater(delay: number): void {
    // What keeps the process is the client.
    this.#timer = startTimer(() => {
      this.#timer = undefined;
      void this.#run();
    }, delay).unref();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      do {
        this.#again = false;
        await this.#work();
        this.#failures = 0;
      } while (this.#again && !this.#stopped);
      this.#running = false;
    } catch (error) {
      this.#running = false;
      this.#failures++;
      if (this.#stopped) return;
      const longest = isConnectionTrouble(error) ? LONGEST_DELAY : LONGEST_AFTER_REFUSAL;
      const backoff = Math.min(longest, FIRST_DELAY * 2 ** Math.min(this.#failures - 1, 30));
      this.#runLater(backoff * (0.5 + Math.random() / 2));
      this.#failed(error);
    }
  }
}
