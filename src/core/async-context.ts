/**
 * An async context: the stores of AsyncLocalStorage. Handlers, callbacks and dials run in the
 * context of their endpoint. Portable code takes it as an argument, which is undefined in a page.
 */
export interface AsyncContext {
  /**
   * Calls `fn` with `self` as `this`. A later call does not see the stores that `fn` sets with
   * AsyncLocalStorage.enterWith().
   */
  run<A, R>(fn: (argument: A) => R, self: unknown, argument: A): R;
  /** Calls `fn` with `self` as `this`, once for all messages of a chunk; see `isEntered`. */
  runAll(fn: () => void, self: object): void;
  /**
   * True within runAll(), until a store is set. A function that is called directly then runs in
   * this context, as with run().
   */
  readonly isEntered: boolean;
}

/**
 * The context in which the session of a listener reads a stream. While `isEntered`, the listener
 * calls handlers without run(), so a chunk with many messages enters the context once.
 */
export const READ_CONTEXT = Symbol('readContext');

export interface ReadsInContext {
  readonly [READ_CONTEXT]?: AsyncContext | undefined;
}

const call = <R>(fn: () => R): R => fn();

/** Calls `fn` in `context`; in the current context if that is undefined. */
export function runIn<R>(context: AsyncContext | undefined, fn: () => R): R {
  return context === undefined ? fn() : context.run(call<R>, undefined, fn);
}
