/** Loggers of users. */
import { notifyOrWarn } from './callbacks.js';
import { badOption } from './options.js';

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
