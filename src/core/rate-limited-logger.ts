/** A logger for what a peer can cause: it passes on few lines a second, so that a peer fills no disk. */
import type { Logger } from './logger.js';

/** So many warnings are passed on at once. */
const BURST = 100;
const PER_SECOND = 10;

class RateLimitedLogger implements Logger {
  readonly #logger: Logger;
  #left = BURST;
  #refilledAt = 0;
  #suppressed = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  info(details: object, message: string): void {
    this.#logger.info(details, message);
  }

  warn(details: object, message: string): void {
    const now = performance.now();
    this.#left = Math.min(BURST, this.#left + ((now - this.#refilledAt) / 1_000) * PER_SECOND);
    this.#refilledAt = now;
    if (this.#left < 1) {
      this.#suppressed++;
      return;
    }
    this.#left--;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    this.#logger.warn(suppressed === 0 ? details : { ...details, suppressed }, message);
  }
}

/** Passes on 100 warnings at once and 10 a second after that. The next one that is passed on has the number of the others as `suppressed`. */
export function rateLimited(logger: Logger): Logger {
  return new RateLimitedLogger(logger);
}
