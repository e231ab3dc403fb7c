/** Defaults of the rpc layer, and what clients and servers make of the options. */

import { promiseOf } from '../core/callbacks.js';
import { guardedLogger, SILENT } from '../core/logger.js';
import { badOption, type Ranges, withDefaults } from '../core/options.js';
import { rateLimited } from '../core/rate-limited-logger.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { MAX_DECODED_OBJECTS } from '../transport/json-text.js';
import { resolveSetup } from '../transport/session/session-options.js';
import type { SessionOptions } from '../transport/types.js';
import type { Interceptor, Invoke, RpcOptions } from './types.js';
import { FIRST_WINDOW } from './wire/frame.js';

/** Milliseconds. */
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
  maxPendingCalls: [1, 2 ** 24],
  maxPendingBytes: [1, Number.POSITIVE_INFINITY],
  streamWindow: [FIRST_WINDOW, 2 ** 30],
  maxStreams: [0, 2 ** 24],
  maxStreamBytes: [FIRST_WINDOW, Number.POSITIVE_INFINITY],
  maxDecodedObjects: [1, Number.POSITIVE_INFINITY],
  busyPoll: [0, 1_000],
  drainTimeout: [0, LONGEST_TIMER],
};

/** Throws BAD_OPTION. */
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
  if (session === null) throw badOption('session', session, 'an object');
  // Sessions are made later, when nobody is there who could be told.
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
 * Whether a session with these options compresses its stream with DEFLATE. Go's Snappy flushes
 * nothing, so no Go peer is reached with it.
 */
export function isCompressed({ compression = 'none' }: SessionOptions): boolean {
  return compression !== 'none' && compression !== 'snappy';
}

/** One Invoke of many interceptors; the first sees the call first. */
export function compose(interceptors: readonly Interceptor[], invoke: Invoke): Invoke {
  return interceptors.reduceRight((next, interceptor) => {
    const made = interceptor(next);
    return made === next ? next : settled(made);
  }, invoke);
}

/**
 * An Invoke of the user's own as one that answers a promise, whatever it throws or answers. Throws
 * BAD_OPTION.
 */
export function settled(invoke: Invoke): Invoke {
  if (typeof invoke !== 'function') {
    promiseOf(invoke)?.catch(() => {});
    throw badOption('interceptors', invoke, 'functions that return a function');
  }
  return (call) => {
    try {
      const outcome: unknown = invoke(call);
      return promiseOf(outcome) ?? Promise.resolve(outcome);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}
