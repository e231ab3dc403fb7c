/** The options that clients and servers share: defaults, ranges and checks. */

import { guardedLogger, rateLimited, SILENT } from '../core/logger.js';
import { badOption, checkNumber, type Ranges, withDefaults } from '../core/options.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { MAX_DECODED_OBJECTS } from '../transport/codecs/json-text.js';
import { resolveSetup } from '../transport/session/session-options.js';
import type { SessionOptions } from '../transport/types.js';
import type { Interceptor, RpcOptions } from './types.js';
import { INITIAL_WINDOW } from './wire/frame.js';

/** Defaults of RpcOptions. Times are in ms. */
export const RPC_DEFAULTS = {
  timeout: 5_000,
  heartbeatPeriod: 15_000,
  heartbeatTimeout: 5_000,
  maxPendingCalls: 65_536,
  maxPendingBytes: 64 * 1024 * 1024,
  streamWindow: 256 * 1024,
  maxStreams: 1_024,
  maxStreamBytes: 64 * 1024 * 1024,
  maxDecodedObjects: MAX_DECODED_OBJECTS,
  busyPoll: 0,
  inheritContext: false,
  drainTimeout: 10_000,
  interceptors: [] as readonly Interceptor[],
  logger: SILENT,
  session: {} as SessionOptions,
} satisfies RpcOptions;

export type ResolvedRpcOptions = typeof RPC_DEFAULTS;

const RANGES: Ranges<ResolvedRpcOptions> = {
  timeout: [1, Number.POSITIVE_INFINITY],
  heartbeatPeriod: [0, LONGEST_TIMER],
  heartbeatTimeout: [1, LONGEST_TIMER],
  maxPendingCalls: [1, 2 ** 24, 'integer'],
  maxPendingBytes: [1, Number.POSITIVE_INFINITY, 'integer'],
  streamWindow: [INITIAL_WINDOW, 2 ** 30, 'integer'],
  maxStreams: [0, 2 ** 24, 'integer'],
  maxStreamBytes: [INITIAL_WINDOW, Number.POSITIVE_INFINITY, 'integer'],
  maxDecodedObjects: [1, Number.POSITIVE_INFINITY, 'integer'],
  busyPoll: [0, 1_000],
  drainTimeout: [0, LONGEST_TIMER],
};

/** Returns the options with defaults. Throws BAD_OPTION. */
export function resolveRpcOptions(options: RpcOptions | undefined): ResolvedRpcOptions {
  const resolved = withDefaults(
    RPC_DEFAULTS,
    options as Partial<ResolvedRpcOptions> | undefined,
    RANGES,
  );
  const { interceptors, logger, session, heartbeatPeriod, inheritContext } = resolved;
  if (!Array.isArray(interceptors))
    throw badOption('interceptors', interceptors, 'an array of functions');
  for (const interceptor of interceptors)
    if (typeof interceptor !== 'function')
      throw badOption('interceptors', interceptor, 'functions');
  if (typeof inheritContext !== 'boolean')
    throw badOption('inheritContext', inheritContext, 'a boolean');
  // A channel reads each frame into one object, so a frame cannot wait in a pool.
  if (session.taskPool !== undefined)
    throw badOption(
      'session.taskPool',
      session.taskPool,
      'nothing: concurrencyLimit() limits handlers',
    );
  if (heartbeatPeriod > 0) checkNumber('heartbeatPeriod', heartbeatPeriod, 1, LONGEST_TIMER);
  // Sessions are created later, when no call of the program could throw the error.
  resolveSetup({
    ...session,
    ...(heartbeatPeriod > 0 && { cronPeriod: heartbeatPeriod }),
    codec: NO_CODEC,
    listener: NO_LISTENER,
  });
  return { ...resolved, logger: logger === SILENT ? SILENT : rateLimited(guardedLogger(logger)) };
}

const NO_CODEC = { read: () => undefined, write() {} };
const NO_LISTENER = { onMessage() {} };

/**
 * Whether sessions with these options compress their stream with DEFLATE. Snappy does not count: a
 * Go server with Snappy does not flush its answers, so no client of a Go server uses it.
 */
export function usesDeflate({ compression = 'none' }: SessionOptions): boolean {
  return compression !== 'none' && compression !== 'snappy';
}
