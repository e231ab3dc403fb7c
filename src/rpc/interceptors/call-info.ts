/** Properties of a call for interceptors: its side, its deadline and its name. */
import type { Call, CallContext } from '../types.js';

/**
 * Returns whether the call was received by this process. Such a call has a `peer` and a `channel`,
 * and `next` leads to its handler.
 */
export function isReceived(call: Call): call is CallContext {
  return 'channel' in call;
}

/**
 * Returns the deadline of the call, in milliseconds of performance.now(); undefined: it has none.
 * `startedAt` is used when the call has only a timeout.
 */
export function deadlineOf(call: Call, startedAt: number): number | undefined {
  return call.deadline ?? (call.timeout === undefined ? undefined : startedAt + call.timeout);
}

/** Returns the service and the method: `Greeter.hello`. */
export function nameOf({ method }: Call): string {
  return `${method.service}.${method.name}`;
}
