/**
 * The call that a handler is handling, which the calls that it makes inherit from; see
 * RpcOptions.inheritContext.
 */
import type { CallContext } from '../types.js';

/** An AsyncLocalStorage, which only Node.js has. */
interface CallStorage {
  run<R>(call: CallContext, fn: () => R): R;
  getStore(): CallContext | undefined;
}

/**
 * Undefined until an endpoint of this process has inheritContext: until then nothing is paid for
 * it.
 */
let storage: CallStorage | undefined;

/** Where handled calls are kept. The first one given stays. */
export function setCallStorage(given: CallStorage): void {
  storage ??= given;
}

/** The call that is being handled here, where it may be inherited from. */
export function handledCall(): CallContext | undefined {
  return storage?.getStore();
}

/** Calls `fn`; calls made in it inherit from `context`. */
export function handling<R>(context: CallContext, fn: () => R): R {
  return storage === undefined ? fn() : storage.run(context, fn);
}
