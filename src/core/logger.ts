/**
 * The logger option: receives events that are no errors. Its methods take the arguments of pino.
 * Without it nothing is logged.
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
 * `logger` of the user, wrapped so that it never throws: a failure is a HANDLER_FAILED warning of
 * the process. Without `logger`, a logger that does nothing. Throws BAD_OPTION.
 */
export function guardedLogger(logger: Logger | undefined): Logger {
  if (logger === undefined || logger === SILENT) return SILENT;
  if (logger instanceof GuardedLogger) return logger;
  if (typeof logger?.info !== 'function' || typeof logger.warn !== 'function')
    throw badOption('logger', logger, 'an object with info and warn');
  return new GuardedLogger(logger);
}
