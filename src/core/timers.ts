/** Timers of any length, and waits with a limit. */
import { resources } from './resource-tracker.js';
import { followSignal } from './signals.js';
import { runInTurn } from './turn.js';

/** Milliseconds: the longest delay of setTimeout(). With a longer one it would fire at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** `ms` limited to the range of setTimeout(), 0 to LONGEST_TIMER. NaN becomes 0. */
export function boundedDelay(ms: number): number {
  return Math.min(Math.max(ms, 0), LONGEST_TIMER) || 0;
}

/**
 * A timer of any length. It calls `callback` once, unless cancel() is called first. If many timers
 * end together, some callbacks run in later turns of the event loop. `callback` must not throw.
 */
export class LongTimer {
  readonly #callback: () => void;
  readonly #end: number;
  readonly #keepsProcess: boolean;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  /** `ms`: Infinity means never. `keepsProcess`: whether the timer keeps the process running. */
  constructor(callback: () => void, ms: number, keepsProcess = true) {
    this.#callback = callback;
    this.#end = performance.now() + ms;
    this.#keepsProcess = keepsProcess;
    this.#start(ms);
  }

  #start(ms: number): void {
    if (ms === Number.POSITIVE_INFINITY) return;
    this.#timer = startTimer(
      () =>
        ms > LONGEST_TIMER ? this.#start(this.#end - performance.now()) : runInTurn(this.#call),
      ms,
    );
    // In a page a timer is a number, without unref().
    if (!this.#keepsProcess) this.#timer.unref?.();
  }

  readonly #call = (): void => {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#callback();
  };

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}

/** The largest exponent of a backoff: 2 ** 30 ms are 12 days. */
const MAX_DOUBLINGS = 30;

/**
 * Milliseconds before the next attempt after `failures` failures in a row, at least 1. The delay is
 * `initialDelay` after the first failure, and doubles with each further one up to `maxDelay`. The
 * result is random between half of the delay and the whole.
 */
export function backoffDelay(failures: number, initialDelay: number, maxDelay: number): number {
  const delay = Math.min(maxDelay, initialDelay * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  return delay * (0.5 + Math.random() / 2);
}

/** setTimeout() with a bounded delay. */
export function startTimer(callback: () => void, ms: number): NodeJS.Timeout {
  return tracked(setTimeout(callback, boundedDelay(ms)));
}

/** setInterval() with a bounded period. */
export function startInterval(callback: () => void, ms: number): NodeJS.Timeout {
  return tracked(setInterval(callback, boundedDelay(ms)));
}

function tracked(timer: NodeJS.Timeout): NodeJS.Timeout {
  resources.tracker?.onOpen('timer', timer);
  return timer;
}

/** Resolves when `promise` does, but after at most `ms` milliseconds. Rejects as `promise`. */
export async function atMost(ms: number, promise: Promise<unknown>): Promise<void> {
  await within(ms, promise, undefined);
}

/**
 * One wait for a promise. It ends when the promise settles, or before with resolve() or reject();
 * then it holds nothing of its result. Promise.race() instead keeps the result of each race until
 * the slowest promise has settled, so many short waits for one connection would add up.
 */
class Waiter<T> {
  #resolve: ((value: T | PromiseLike<T>) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  /** Begins the wait. The returned promise settles once, at the end of the wait. */
  start(source: Promise<T>): Promise<T> {
    follow(source, this);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Without effect after the end. */
  resolve(value: T): void {
    const resolve = this.#resolve;
    this.#end();
    resolve?.(value);
  }

  /** Without effect after the end. */
  reject(error: unknown): void {
    const reject = this.#reject;
    this.#end();
    reject?.(error);
  }

  #end(): void {
    this.#resolve = undefined;
    this.#reject = undefined;
  }
}

/** A function of its own: `source` keeps the closures, and with them what their scope has. */
function follow<T>(source: Promise<T>, waiter: Waiter<T>): void {
  source.then(
    (value) => waiter.resolve(value),
    (error) => waiter.reject(error),
  );
}

/**
 * Settles as `promise` does. After `ms` milliseconds it rejects with the error that `late` returns,
 * or, without `late`, resolves with undefined. Then `promise` holds nothing of the wait.
 */
export function within<T>(
  ms: number,
  promise: Promise<T>,
  late: (() => Error) | undefined,
): Promise<T> {
  return withinUnlessAborted(ms, promise, late, undefined, undefined);
}

/** As within(). Rejects with the error that `aborted` returns when `signal` aborts first. */
export async function withinUnlessAborted<T>(
  ms: number,
  promise: Promise<T>,
  late: (() => Error) | undefined,
  signal: AbortSignal | undefined,
  aborted: (() => Error) | undefined,
): Promise<T> {
  if (ms === Number.POSITIVE_INFINITY && signal === undefined) return promise;
  const waiter = new Waiter<T>();
  const settled = waiter.start(promise);
  const abort = (): void => waiter.reject(aborted?.());
  const release = followSignal(signal, abort);
  if (signal?.aborted) abort();
  const timer = new LongTimer(() => {
    if (late === undefined) waiter.resolve(undefined as T);
    else waiter.reject(late());
  }, ms);
  try {
    return await settled;
  } finally {
    timer.cancel();
    release();
  }
}

/**
 * Resolves with true after `ms` milliseconds, or with false as soon as `signal` aborts. `unref`:
 * the wait does not keep the process running.
 */
export function pause(
  ms: number,
  signal: AbortSignal | undefined,
  unref = false,
): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const end = (): void => {
      release();
      resolve(true);
    };
    const timer = new LongTimer(end, boundedDelay(ms), !unref);
    const release = followSignal(signal, () => {
      timer.cancel();
      resolve(false);
    });
  });
}
