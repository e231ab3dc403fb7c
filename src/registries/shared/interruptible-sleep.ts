/** A sleep that another part of the program can end. */
import { startTimer } from '../../core/timers.js';

export class InterruptibleSleep {
  #wake: (() => void) | undefined;
  #isWoken = false;

  /**
   * Resolves after `ms` milliseconds or when wake() is called. Resolves at once if wake() was
   * called after the last sleep. Does not keep the process alive.
   */
  async sleep(ms: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const timer = startTimer(resolve, ms).unref();
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#isWoken = false;
  }

  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }
}
