/** The call log: one line for each call, when it has ended. */
import { checkCallback, notifyOrWarn, refusePromise } from '../../core/callbacks.js';
import type { Logger } from '../../core/logger.js';
import {
  badOption,
  checkNames,
  checkObject,
  type NamesOf,
  withDefaults,
} from '../../core/options.js';
import { ServerCall } from '../calls/server-call.js';
import type { RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/call-end.js';
import type { Call, Interceptor } from '../types.js';
import { isReceived, nameOf } from './call-info.js';
import { guardedClock } from './user-callbacks.js';

/** Options of logging(). */
export interface LoggingOptions {
  /**
   * info() is called for successful calls, and on a server for calls that the caller cancelled.
   * warn() is called for other failed calls, and for slow calls. A logger of pino has both.
   */
  logger: Logger;
  /** A call that takes at least this long is slow. Milliseconds. Default: 1,000. */
  slow?: number | undefined;
  /** False: logs slow and failed calls only. Default: true. */
  all?: boolean | undefined;
  /**
   * Returns further fields of the line. Only this function can put arguments, metadata and error
   * messages into the line. Called once for each line.
   */
  details?: ((call: Call, error: RpcError | undefined) => object) | undefined;
  /** A monotonic clock in milliseconds. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const OPTION_NAMES = {
  logger: true,
  slow: true,
  all: true,
  details: true,
  now: true,
} satisfies NamesOf<LoggingOptions>;

/** The default values of logging(). Times are in milliseconds. */
export const LOGGING_DEFAULTS = {
  slow: 1_000,
  all: true as boolean,
} satisfies Partial<LoggingOptions>;

/** The fields of a line. */
export interface CallLine {
  readonly service: string;
  readonly method: string;
  /** The address of the caller; undefined on a client. */
  readonly peer: string | undefined;
  /** `OK`, or the code of the error. */
  readonly code: string;
  /** Milliseconds from the call to its reply; for a stream, to its end. */
  readonly ms: number;
}

/**
 * Makes an interceptor that logs a CallLine for each call when it has ended. The line has no
 * arguments, no metadata and no error message. Throws BAD_OPTION.
 */
export function logging(options: LoggingOptions): Interceptor {
  checkObject('options of logging()', options);
  checkNames('logging()', options, OPTION_NAMES);
  const { slow, all } = withDefaults(LOGGING_DEFAULTS, options);
  const { logger, details } = options;
  if (typeof logger?.info !== 'function' || typeof logger.warn !== 'function')
    throw badOption('logger', logger, 'an object with info and warn');
  checkCallback('details', details);
  checkCallback('now', options.now);
  const now = guardedClock(options.now);
  const logCall = (call: Call, ms: number, error: RpcError | undefined): unknown => {
    const isSlow = ms >= slow;
    const isNotable = isSlow || (error !== undefined && !isCancelledByCaller(call, error));
    if (!all && !isNotable && error === undefined) return undefined;
    const extra = details?.(call, error);
    refusePromise('BAD_OPTION', 'details', extra);
    // Each character of a text would become a field.
    if (extra !== undefined && extra !== null) checkObject('the result of details', extra);
    const line = { ...lineOf(call, ms, error), ...extra };
    let outcome = isSlow ? 'was slow' : 'done';
    if (error !== undefined) outcome = `failed: ${error.code}`;
    const text = `${nameOf(call)} ${outcome}, ${line.ms} ms`;
    return isNotable ? logger.warn(line, text) : logger.info(line, text);
  };
  return (next) => (call) => {
    const startedAt = now();
    return invokeUntilEnd(next, call, (error) =>
      notifyOrWarn('the logger', () =>
        logCall(call, now() - startedAt, outcomeAtCaller(call, error)),
      ),
    );
  };
}

/** A handler may end after its caller has cancelled the call, or after the deadline. */
function outcomeAtCaller(call: Call, error: RpcError | undefined): RpcError | undefined {
  // A program may pass a Call object of its own.
  const { origin } = call as Partial<ServerCall>;
  return origin instanceof ServerCall ? (origin.checkDeadline() ?? error) : error;
}

/** Whether the caller, or the loss of its session, ended a call of this server. */
function isCancelledByCaller(call: Call, error: RpcError): boolean {
  const { origin } = call as Partial<ServerCall>;
  return (
    error.code === 'CANCELLED' &&
    origin instanceof ServerCall &&
    origin.aborted?.code === 'CANCELLED'
  );
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
