/** A logger for events that peers cause: it limits the warnings per second. */
import type { Logger } from './logger.js';
import { WarningBudget } from './warning.js';

/** Warnings that may pass at once. */
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
 * A logger that passes 100 warnings at once, and 10 per second after that. The property
 * `suppressed` of the next warning is the number of warnings that did not pass.
 */
export function rateLimited(logger: Logger): Logger {
  return new RateLimitedLogger(logger);
}
