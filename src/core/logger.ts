/**
 * Where the package reports events that need no error: shaped like pino's logger, silent by
 * default.
 */
import { notifyOrWarn } from './callbacks.js';
import { badOption } from './options.js';

export interface Logger {
  info(details: object, message: string): unknown;
  warn(details: object, message: string): unknown;
}

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
 * The user's `logger` in a form that never throws: its failure becomes a warning of the process,
 * HANDLER_FAILED. Silent without a logger. Throws BAD_OPTION.
 */
export function guardedLogger(logger: Logger | undefined): Logger {
  if (logger === undefined || logger === SILENT) return SILENT;
  if (logger instanceof GuardedLogger) return logger;
  if (typeof logger?.info !== 'function' || typeof logger.warn !== 'function')
    throw badOption('logger', logger, 'an object with info and warn');
  return new GuardedLogger(logger);
}
