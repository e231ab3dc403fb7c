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
  /**
   * Calls `fn` with `self` as `this`. `fn` handles all messages of a chunk. It runs in this context
   * only if `isEntered` is then true.
   */
  runAll(fn: () => void, self: object): void;
  /**
   * True while the `fn` of runAll() runs in this context. A function that is called directly then
   * runs in this context too, as with run(). Always false in Node.js 24, and in a context in which
   * a store was set.
   */
  readonly isEntered: boolean;
}

/**
 * The name of a listener's property: the context in which its session reads a stream. While
 * `isEntered`, the listener calls handlers without run(). So in Node.js 20 and 22 a chunk with many
 * messages enters the context once.
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
