/** An upper bound for the time of each call. */
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { checkTimeout, timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { iteratorOf } from '../streams/flow-control.js';
import { invokeSafely, isStream } from '../streams/stream-end.js';
import type { CallContext, Interceptor, Invoke, Messages } from '../types.js';
import { isReceived, nameOf } from './side.js';

/**
 * A call may take `ms` milliseconds, or what it has if that is less. On a client that is its
 * timeout, and travels. On a server the caller is answered DEADLINE_EXCEEDED after it, and the
 * context has the nearer deadline, with a signal that aborts when it passes. Throws BAD_OPTION.
 */
export function timeout(ms: number): Interceptor {
  const limit = checkTimeout(ms);
  return (next) => {
    if (limit === undefined) return next;
    return (call) => {
      if (isReceived(call)) return answerInTime(next, call, limit);
      return timeLeft(call) <= limit ? next(call) : next(call.with({ timeout: limit }));
    };
  };
}

function answerInTime(next: Invoke, call: CallContext, limit: number): Promise<unknown> {
  const deadline = performance.now() + limit;
  // Its caller waits no longer than that, so nobody would see our answer.
  if (call.deadline !== undefined && call.deadline <= deadline) return next(call);
  const bounded = new BoundedCall(call, limit, deadline);
  return new Promise((resolve, reject) => {
    bounded.onLate = reject;
    invokeSafely(next, bounded.context)
      // A user's iterable may throw when it is looked at or opened.
      .then((answer) =>
        isStream(call.method, answer) ? new BoundedStream(answer, bounded) : bounded.end(answer),
      )
      .then(resolve, (error) => reject(bounded.end(error)));
  });
}

/** A stream that is not at its end in time fails where it is read. */
class BoundedStream implements AsyncIterableIterator<unknown> {
  readonly #items: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #bounded: BoundedCall;

  constructor(source: Messages<unknown>, bounded: BoundedCall) {
    this.#items = iteratorOf(source);
    this.#bounded = bounded;
    // Nobody reads what came after the caller was answered.
    if (bounded.late !== undefined) void leave(this.#items);
    bounded.onLate = () => void leave(this.#items);
  }

  next(): Promise<IteratorResult<unknown>> {
    const bounded = this.#bounded;
    if (bounded.late !== undefined) return Promise.reject(bounded.late);
    return new Promise((resolve, reject) => {
      bounded.onLate = (error) => {
        reject(error);
        void leave(this.#items);
      };
      this.#step().then(
        (item) => resolve(item.done ? bounded.end(item) : item),
        (error) => reject(bounded.end(error)),
      );
    });
  }

  /** Of an iterator that throws at once, too. */
  async #step(): Promise<IteratorResult<unknown>> {
    return this.#items.next();
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#bounded.end(undefined);
    return (await this.#items.return?.(value)) ?? { done: true, value };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function leave(items: AsyncIterator<unknown> | Iterator<unknown>): Promise<void> {
  try {
    await items.return?.();
  } catch {
    // Its reader has gone, and with it whoever would want to know.
  }
}

/** The timer of one call, and the context that knows of it. */
class BoundedCall {
  readonly context: CallContext;
  onLate: (error: RpcError) => void = () => {};
  late: RpcError | undefined;
  readonly #timer: LongTimer;
  #abort: AbortController | undefined;
  #release: (() => void) | undefined;

  constructor(call: CallContext, limit: number, deadline: number) {
    this.#timer = new LongTimer(
      () =>
        this.#pass(
          new RpcError('DEADLINE_EXCEEDED', `${nameOf(call)} was not done within ${limit} ms`),
        ),
      limit,
    );
    this.context = Object.create(call.with({ timeout: limit }), {
      deadline: { value: deadline, enumerable: true },
      // Most handlers never touch it.
      signal: { get: () => this.#signal(call), enumerable: true },
    });
  }

  #signal(call: CallContext): AbortSignal {
    if (this.#abort !== undefined) return this.#abort.signal;
    const abort = new AbortController();
    this.#abort = abort;
    if (this.late !== undefined) abort.abort(this.late);
    const outer = call.signal;
    if (outer.aborted) abort.abort(outer.reason);
    this.#release = followSignal(outer, () => abort.abort(outer.reason));
    return abort.signal;
  }

  #pass(error: RpcError): void {
    this.late = error;
    this.#abort?.abort(error);
    this.onLate(error);
    this.#release?.();
  }

  /** Over, with `outcome`: no timer and no listener is left. */
  end<T>(outcome: T): T {
    this.#timer.cancel();
    this.#release?.();
    return outcome;
  }
}
