/** Async contexts on Node.js. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import type { AsyncContext } from './async-context.js';

/**
 * Node.js 24 keeps stores in a frame that runInAsyncScope() puts back. Before it, or with
 * --no-async-context-frame, a store is a property of the resource that runs, and stays there.
 */
const keepsStoresInResources = '_propagate' in AsyncLocalStorage.prototype;

/** The context that runs now. */
export function captureAsyncContext(): AsyncContext {
  return keepsStoresInResources ? new ResourceContext() : new FrameContext();
}

class FrameContext implements AsyncContext {
  readonly isEntered = false;
  readonly #resource = new AsyncResource('GETTY');

  run<A, R>(fn: (argument: A) => R, self: unknown, argument: A): R {
    return this.#resource.runInAsyncScope(fn, self, argument);
  }

  /** Each run() has to put the frame back anyway. */
  runAll(fn: () => void, self: object): void {
    fn.call(self);
  }
}

/**
 * Runs everything in one resource until a store is set in it, and from then on each call in a
 * resource of its own: that costs 0.1 µs more, and only a program that sets stores pays for it.
 */
class ResourceContext implements AsyncContext {
  readonly #base = makeResource();
  /** Undefined once a store was set. */
  #shared: AsyncResource | undefined;
  isEntered = false;

  constructor() {
    const shared = makeResource();
    // Where there is an AsyncLocalStorage, a new resource has a property for its store, undefined
    // or not.
    for (const key of Object.getOwnPropertySymbols(shared))
      if (Reflect.get(shared, key) === undefined) Reflect.deleteProperty(shared, key);
    // What is left besides its two ids is a store of this context.
    if (Object.getOwnPropertySymbols(shared).length > 2) return;
    watchers.set(shared, () => {
      this.#shared = undefined;
      this.isEntered = false;
    });
    this.#shared = Object.setPrototypeOf(shared, watch) as AsyncResource;
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
      // A store that was set meanwhile is in the shared resource: nothing runs there any more.
      this.isEntered = wasEntered && this.#shared !== undefined;
    }
  }
}

const { runInAsyncScope } = AsyncResource.prototype;
const makeResource = (): AsyncResource => new AsyncResource('GETTY');
/** What is called when a store is set in a resource. */
const watchers = new WeakMap<object, () => void>();

/**
 * A new property is looked up in the prototypes of its object first. This one learns of it there,
 * which costs nothing until then.
 */
const watch = new Proxy(AsyncResource.prototype, {
  set(_, key, value, resource: object) {
    watchers.get(resource)?.();
    return Reflect.defineProperty(resource, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  },
});
