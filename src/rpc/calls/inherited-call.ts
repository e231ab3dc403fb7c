/**
 * The call whose handler runs now. The calls that the handler makes inherit from it; see
 * RpcOptions.inheritContext.
 */
import type { CallContext } from '../types.js';

/** An AsyncLocalStorage, which exists only in Node.js. */
interface CallStorage {
  run<R>(call: CallContext, fn: () => R): R;
  getStore(): CallContext | undefined;
}

/** Undefined until an endpoint of this process uses inheritContext, which takes time per call. */
let storage: CallStorage | undefined;

/** Sets the storage of handled calls. Only the first call has an effect. */
export function setCallStorage(given: CallStorage): void {
  storage ??= given;
}

/** The call whose handler runs in the current async context. */
export function currentCall(): CallContext | undefined {
  return storage?.getStore();
}

/** Calls `fn`; calls made in it inherit from `context`. */
export function runInCall<R>(context: CallContext, fn: () => R): R {
  return storage === undefined ? fn() : storage.run(context, fn);
}
