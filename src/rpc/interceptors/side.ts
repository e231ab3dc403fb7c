/**
 * What an interceptor has to know of the side that it is on: a server's calls have a context, a
 * client's have not.
 */
import type { Call, CallContext } from '../types.js';

/**
 * True on the side that serves: the call is one that came, with its peer and channel, and `next`
 * leads to its handler.
 */
export function isReceived(call: Call): call is CallContext {
  return 'channel' in call;
}

/**
 * The instant of performance.now() when the call's time is over; undefined: never. `began`: when
 * the caller made it, if the call does not know.
 */
export function deadlineOf(call: Call, began: number): number | undefined {
  return call.deadline ?? (call.timeout === undefined ? undefined : began + call.timeout);
}

/** `Greeter.hello`. */
export function nameOf({ method }: Call): string {
  return `${method.service}.${method.name}`;
}
