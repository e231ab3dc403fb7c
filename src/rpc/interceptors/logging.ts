/** One line for each call, when it has ended. */
import { checkCallback, notifyOrWarn, refusePromise } from '../../core/callbacks.js';
import type { Logger } from '../../core/logger.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import type { RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/stream-end.js';
import type { Call, Interceptor } from '../types.js';
import { guardedClock } from './guarded.js';
import { isReceived, nameOf } from './side.js';

/** Milliseconds. Defaults: LOGGING_DEFAULTS. */
export interface LoggingOptions {
  /** Gets `info` for what went well, and `warn` for what failed or was slow. pino's fits. */
  logger: Logger;
  /** A call that took so long is slow. */
  slow?: number | undefined;
  /** False: a line for slow and failed calls only. */
  all?: boolean | undefined;
  /**
   * More for the line. Arguments, metadata and messages of errors are in it only if this puts them
   * there.
   */
  details?: ((call: Call, error: RpcError | undefined) => object) | undefined;
  /** A clock in milliseconds that never goes back. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const NAMES = {
  logger: true,
  slow: true,
  all: true,
  details: true,
  now: true,
} satisfies NamesOf<LoggingOptions>;

/** Milliseconds. */
export const LOGGING_DEFAULTS = {
  slow: 1_000,
  all: true as boolean,
} satisfies Partial<LoggingOptions>;

/** What a line says. */
export interface CallLine {
  readonly service: string;
  readonly method: string;
  /** Where the call came from; undefined on a client. */
  readonly peer: string | undefined;
  /** `OK`, or the code of the error. */
  readonly code: string;
  /** Milliseconds from the call to its answer; for a stream, to its end. */
  readonly ms: number;
}

/**
 * Writes a CallLine for each call when it has ended: no arguments, no metadata, no message of an
 * error. Throws BAD_OPTION.
 */
export function logging(options: LoggingOptions): Interceptor {
  checkNames('logging()', options, NAMES);
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object with a logger');
  const { slow, all } = withDefaults(LOGGING_DEFAULTS, options);
  const { logger, details } = options;
  const now = guardedClock(options.now);
  if (typeof logger?.info !== 'function' || typeof logger.warn !== 'function')
    throw badOption('logger', logger, 'an object with info and warn');
  checkCallback('details', details);
  checkCallback('now', options.now);
  const log = (call: Call, ms: number, error: RpcError | undefined): unknown => {
    const isSlow = ms >= slow;
    const isNotable = isSlow || error !== undefined;
    if (!all && !isNotable) return undefined;
    const more = details?.(call, error);
    refusePromise('BAD_OPTION', 'details', more);
    const line = { ...lineOf(call, ms, error), ...more };
    const text = `${nameOf(call)} ${error === undefined ? (isSlow ? 'was slow' : 'done') : `failed: ${error.code}`}, ${line.ms} ms`;
    return isNotable ? logger.warn(line, text) : logger.info(line, text);
  };
  return (next) => (call) => {
    const began = now();
    return invokeUntilEnd(next, call, (error) =>
      notifyOrWarn('the logger', () => log(call, now() - began, error)),
    );
  };
}

function lineOf(call: Call, ms: number, error: RpcError | undefined): CallLine {
  const { service, name } = call.method;
  const peer = isReceived(call) ? call.peer : undefined;
  return {
    service,
    method: name,
    peer,
    code: error?.code ?? 'OK',
    ms: Math.round(ms * 1000) / 1000,
  };
}
