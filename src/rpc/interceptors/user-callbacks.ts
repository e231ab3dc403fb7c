/**
 * Calls the functions that a user gives to interceptors. A function that fails ends at most one
 * call.
 */
import { refusePromise, resultOf } from '../../core/callbacks.js';
import { RpcError } from '../errors.js';
import type { Call } from '../types.js';

/**
 * Returns the clock `now`, in milliseconds. Where it is undefined or fails, performance.now() is
 * used.
 */
export function guardedClock(now: (() => number) | undefined): () => number {
  if (now === undefined) return () => performance.now();
  return () => resultOf('now', now, performance.now());
}

/** Returns the key of a call. Throws what `key` throws, and INTERNAL when it returns no string. */
export function keyOf(name: string, key: (call: Call) => string, call: Call): string {
  const result: unknown = key(call);
  if (typeof result === 'string') return result;
  refusePromise('BAD_OPTION', `the key of ${name}`, result);
  throw new RpcError('INTERNAL', `the key of ${name} is a ${typeof result}, expected a string`, {
    unsent: true,
  });
}
