/** Async contexts of Node.js. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import type { AsyncContext } from './async-context.js';

/**
 * Whether a store is a property of the running resource, and stays there: before Node.js 24, and
 * with --no-async-context-frame. Otherwise stores are in a frame, which runInAsyncScope() restores.
 */
const keepsStoresInResources = '_propagate' in AsyncLocalStorage.prototype;

/** The current context. */
export function captureAsyncContext(): AsyncContext {
  return keepsStoresInResources ? new ResourceContext() : new FrameContext();
}

class FrameContext implements AsyncContext {
  readonly isEntered = false;
  readonly #resource = new AsyncResource('GETTY');

  run<A, R>(fn: (argument: A) => R, self: unknown, argument: A): R {
    return this.#resource.runInAsyncScope(fn, self, argument);
  }

  /** Enters nothing, because each run() must restore the frame. */
  runAll(fn: () => void, self: object): void {
    fn.call(self);
  }
}

/**
 * Runs all calls in one shared resource until a store is set in it. After that each call gets a new
 * resource, which costs 0.1 µs more. So only a program that sets stores pays for it.
 */
class ResourceContext implements AsyncContext {
  readonly #base = makeResource();
  /** Undefined after a store was set in it. */
  #shared: AsyncResource | undefined;
  isEntered = false;

  constructor() {
    const shared = makeResource();
    // A new resource has a property for the store of each AsyncLocalStorage, even if it is
    // undefined. The Proxy sees only new properties.
    for (const key of Object.getOwnPropertySymbols(shared))
      if (Reflect.get(shared, key) === undefined) Reflect.deleteProperty(shared, key);
    // Two symbols are the ids of the resource. A further one is a store, which must not be shared.
    if (Object.getOwnPropertySymbols(shared).length > 2) return;
    storeListeners.set(shared, () => {
      this.#shared = undefined;
      this.isEntered = false;
    });
    this.#shared = Object.setPrototypeOf(shared, watchedPrototype) as AsyncResource;
  }

  run<A, R>(fn: (argument: A) => R, self: unknown, argument: A): R {
    const resource = this.#shared ?? this.#base.runInAsyncScope(makeResource);
    return runInAsyncScope.call(resource, fn as never, self, argument as never) as R;
  }

  runAll(fn: () => void, self: object): void {
    const shared = this.#shared;
    if (shared === undefined) return fn.call(self);
    const wasEntered = this.isEntered;
    this.isEntered = true;
    try {
      runInAsyncScope.call(shared, fn as never, self);
    } finally {
      // If a store was set in the shared resource, nothing may run there again.
      this.isEntered = wasEntered && this.#shared !== undefined;
    }
  }
}

const { runInAsyncScope } = AsyncResource.prototype;
const makeResource = (): AsyncResource => new AsyncResource('GETTY');
/** Called when a store is set in the resource. */
const storeListeners = new WeakMap<object, () => void>();

/**
 * The prototype of shared resources. The first assignment of a property calls set() of a Proxy in
 * the prototype chain. Until then the Proxy costs nothing.
 */
const watchedPrototype = new Proxy(AsyncResource.prototype, {
  set(_, key, value, resource: object) {
    storeListeners.get(resource)?.();
    return Reflect.defineProperty(resource, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  },
});
