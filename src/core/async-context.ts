/**
 * The async context, which is what AsyncLocalStorage holds, that handlers, callbacks and dials run
 * in. Portable code is given one; where the platform has none, as in a page, it is given none.
 */
export interface AsyncContext {
  /**
   * Calls `fn` with `self` as `this`. What it sets with AsyncLocalStorage.enterWith() is not seen
   * by the next.
   */
  run<A, R>(fn: (argument: A) => R, self: unknown, argument: A): R;
  /** Calls `fn` with `self` as `this` for the messages of one chunk; see `isEntered`. */
  runAll(fn: () => void, self: object): void;
  /**
   * The code that runs now was called by runAll(), and no store was set since: what it calls runs
   * in this context, as by run().
   */
  readonly isEntered: boolean;
}

/**
 * A listener may name the context in which its session reads a stream. While `isEntered`, the
 * listener calls handlers without run(): a chunk with many messages enters the context once.
 */
export const READ_CONTEXT = Symbol('readContext');

export interface ReadsInContext {
  readonly [READ_CONTEXT]?: AsyncContext | undefined;
}

const call = <R>(fn: () => R): R => fn();

/** Calls `fn` in `context`, or as it is where there is none. */
export function runIn<R>(context: AsyncContext | undefined, fn: () => R): R {
  return context === undefined ? fn() : context.run(call<R>, undefined, fn);
}
