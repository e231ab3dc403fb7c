/** A logger for what a peer can cause: it passes on few lines a second. */
import type { Logger } from './logger.js';
import { WarningBudget } from './warning.js';

/** So many warnings are passed on at once. */
const BURST = 100;

class RateLimitedLogger implements Logger {
  readonly #logger: Logger;
  readonly #budget = new WarningBudget(BURST);

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  info(details: object, message: string): void {
    this.#logger.info(details, message);
  }

  warn(details: object, message: string): void {
    const suppressed = this.#budget.take();
    if (suppressed === undefined) return;
    this.#logger.warn(suppressed === 0 ? details : { ...details, suppressed }, message);
  }
}

/**
 * Passes on 100 warnings at once and 10 a second after that. The next one that is passed on has the
 * number of the others as `suppressed`.
 */
export function rateLimited(logger: Logger): Logger {
  return new RateLimitedLogger(logger);
}
