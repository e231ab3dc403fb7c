/**
 * The functions that a user gives to interceptors, in a form that cannot harm the calls of others.
 */
import { answerOf, refusePromise } from '../../core/callbacks.js';
import { RpcError } from '../errors.js';
import type { Call } from '../types.js';

/** A clock in milliseconds: `now`, or performance.now() where it is undefined or fails. */
export function guardedClock(now: (() => number) | undefined): () => number {
  if (now === undefined) return () => performance.now();
  return () => answerOf('now', now, performance.now());
}

/** The key of a call. Throws what `key` throws, and INTERNAL when it answers no string. */
export function keyOf(name: string, key: (call: Call) => string, call: Call): string {
  const answer: unknown = key(call);
  if (typeof answer === 'string') return answer;
  refusePromise('BAD_OPTION', `the key of ${name}`, answer);
  throw new RpcError('INTERNAL', `the key of ${name} is a ${typeof answer}, expected a string`, {
    unsent: true,
  });
}
