/** Loggers of users, and a limit for what peers can log. */
import { notifyOrWarn } from './callbacks.js';
import { badOption } from './options.js';
import { WarningBudget } from './warning.js';

/**
 * Receives events for a log, such as an outage of a registry. It takes the arguments of pino. It is
 * called synchronously. An exception or a rejection is a HANDLER_FAILED warning of the process.
 */
export interface Logger {
  /** `details`: the properties of the event. */
  info(details: object, message: string): unknown;
  /** An event that needs attention. `details.error` is the error, if there is one. */
  warn(details: object, message: string): unknown;
}

/** A logger that does nothing. */
export const SILENT: Logger = { info() {}, warn() {} };

class GuardedLogger implements Logger {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  info(details: object, message: string): void {
    notifyOrWarn('the logger', () => this.#logger.info(details, message));
  }

  warn(details: object, message: string): void {
    notifyOrWarn('the logger', () => this.#logger.warn(details, message));
  }
}

/**
 * A logger that calls `logger` of the user and never throws. Without `logger` it does nothing.
 * Throws BAD_OPTION if `logger` has no methods `info` and `warn`.
 */
export function guardedLogger(logger: Logger | undefined): Logger {
  if (logger === undefined || logger === SILENT) return SILENT;
  if (logger instanceof GuardedLogger) return logger;
  if (typeof logger?.info !== 'function' || typeof logger.warn !== 'function')
    throw badOption('logger', logger, 'an object with info and warn');
  return new GuardedLogger(logger);
}

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
 * A logger for events that peers cause: it passes 100 warnings at once, and 10 per second after
 * that. The property `suppressed` of the next warning is the number of warnings that did not pass.
 */
export function rateLimited(logger: Logger): Logger {
  return new RateLimitedLogger(logger);
}
