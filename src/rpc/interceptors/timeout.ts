/** The timeout interceptor: an upper bound for the duration of each call. */
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { checkTimeout, timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { invokeSafely, isStream } from '../streams/call-end.js';
import { closeIterator, iteratorOf } from '../streams/item-iterator.js';
import type { CallContext, Interceptor, Invoke, Messages } from '../types.js';
import { isReceived, nameOf } from './call-info.js';

/**
 * Makes an interceptor that bounds a call to `ms` milliseconds, or to the time that the call has
 * left if that is less. On a client the bound becomes the call's timeout, which is sent to the
 * server. On a server the caller gets DEADLINE_EXCEEDED at the bound, and the handler's context has
 * the nearer `deadline` and a `signal` that aborts at it. Throws BAD_OPTION.
 */
export function timeout(ms: number): Interceptor {
  const limit = checkTimeout(ms);
  return (next) => {
    if (limit === undefined) return next;
    return (call) => {
      if (!isReceived(call))
        return timeLeft(call) <= limit ? next(call) : next(call.with({ timeout: limit }));
      const deadline = performance.now() + limit;
      // The caller's deadline is nearer. An error at the bound would reach the caller too late.
      if (call.deadline !== undefined && call.deadline <= deadline) return next(call);
      return invokeWithDeadline(next, call, limit, deadline, limit);
    };
  };
}

/**
 * Calls next() with a context that has `deadline`, in ms of performance.now(), and a signal that
 * aborts at it. The result rejects then with DEADLINE_EXCEEDED, which names the timeout `ms`.
 * `left`: milliseconds until `deadline`.
 */
export function invokeWithDeadline(
  next: Invoke,
  call: CallContext,
  ms: number,
  deadline: number,
  left: number,
): Promise<unknown> {
  const timed = new DeadlineCall(call, ms, deadline, left);
  return new Promise((resolve, reject) => {
    timed.onTimeout = reject;
    invokeSafely(next, timed.context)
      // A user's iterable may throw when it is inspected or opened.
      .then((answer) =>
        isStream(call.method, answer) ? new DeadlineStream(answer, timed) : timed.settle(answer),
      )
      .then(resolve, (error) => reject(timed.settle(error)));
  });
}

/**
 * A stream that fails at the deadline. Its source is closed then, also when the stream is not being
 * read.
 */
class DeadlineStream implements AsyncIterableIterator<unknown> {
  readonly #items: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #timed: DeadlineCall;

  constructor(source: Messages<unknown>, timed: DeadlineCall) {
    this.#items = iteratorOf(source);
    this.#timed = timed;
    // The stream began after the deadline, and its caller has the error.
    if (timed.timedOut !== undefined) closeIterator(this.#items);
    timed.onTimeout = () => closeIterator(this.#items);
  }

  next(): Promise<IteratorResult<unknown>> {
    const timed = this.#timed;
    if (timed.timedOut !== undefined) return Promise.reject(timed.timedOut);
    return new Promise((resolve, reject) => {
      timed.onTimeout = (error) => {
        reject(error);
        closeIterator(this.#items);
      };
      this.#step().then(
        (item) => resolve(item.done ? timed.settle(item) : item),
        (error) => reject(timed.settle(error)),
      );
    });
  }

  /** Turns a synchronous throw of the iterator into a rejection. */
  async #step(): Promise<IteratorResult<unknown>> {
    return this.#items.next();
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#timed.settle(undefined);
    return (await this.#items.return?.(value)) ?? { done: true, value };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The timer of one call, and the context that has its deadline. */
class DeadlineCall {
  readonly context: CallContext;
  /** Called at the deadline. */
  onTimeout: (error: RpcError) => void = () => {};
  /** The error at the deadline. Undefined before. */
  timedOut: RpcError | undefined;
  #isSettled = false;
  readonly #timer: LongTimer;
  #abort: AbortController | undefined;
  #release: (() => void) | undefined;

  constructor(call: CallContext, ms: number, deadline: number, left: number) {
    this.#timer = new LongTimer(
      () =>
        this.#expire(
          new RpcError('DEADLINE_EXCEEDED', `${nameOf(call)} was not done within ${ms} ms`),
        ),
      left,
    );
    this.context = Object.create(call, {
      timeout: { value: ms, enumerable: true },
      deadline: { value: deadline, enumerable: true },
      // The timer above enforces the deadline.
      nearerDeadline: { value: undefined },
      // Made at the first access, because most handlers never read it.
      signal: { get: () => this.#signal(call), enumerable: true },
    });
  }

  #signal(call: CallContext): AbortSignal {
    if (this.#abort !== undefined) return this.#abort.signal;
    const abort = new AbortController();
    this.#abort = abort;
    if (this.timedOut !== undefined) abort.abort(this.timedOut);
    const outer = call.signal;
    if (outer.aborted) abort.abort(outer.reason);
    // After the end nothing would release it.
    if (!this.#isSettled && this.timedOut === undefined)
      this.#release = followSignal(outer, () => abort.abort(outer.reason));
    return abort.signal;
  }

  #expire(error: RpcError): void {
    this.timedOut = error;
    this.#abort?.abort(error);
    this.onTimeout(error);
    this.#release?.();
  }

  /** Stops the timer and removes the listener. Returns `outcome`. */
  settle<T>(outcome: T): T {
    this.#isSettled = true;
    this.#timer.cancel();
    this.#release?.();
    return outcome;
  }
}
