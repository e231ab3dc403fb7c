/**
 * When a call has ended: with its answer, or, when the answer is a stream, with the end of that.
 */
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { cancelled } from '../calls/call-errors.js';
import { timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { streamsReplies } from '../method-kind.js';
import type { Call, Invoke, Messages, Method } from '../types.js';
import { isIterable, iteratorOf } from './item-iterator.js';
import { signalInUse } from './reply-stream-call.js';

/**
 * Told once: with the error of a call that failed, with undefined of one that did not. Must not
 * throw.
 */
export type Ended = (error: RpcError | undefined) => void;

/**
 * Whether the answer to a call of `method` is a stream; of one that was not made yet it may be an
 * array too.
 */
export function isStream(method: Method, answer: unknown): answer is Messages<unknown> {
  return streamsReplies(method.kind) && isIterable(answer);
}

/** Do the call; what an interceptor throws at once is a rejection like any other. */
export function invokeSafely(next: Invoke, call: Call): Promise<unknown> {
  try {
    return next(call);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Do the call and be told of its end. The answer is the same, but for streams: there it is one
 * round the other. A stream ends when it is read to its end, fails or is left, when the call's
 * signal aborts, and when its deadline passes; else one that nobody reads would never end.
 */
export function invokeUntilEnd(next: Invoke, call: Call, ended: Ended): Promise<unknown> {
  return invokeSafely(next, call).then(
    (answer) => {
      if (isStream(call.method, answer)) return new WatchedStream(answer, call, ended);
      ended(undefined);
      return answer;
    },
    (error) => {
      ended(RpcError.from(error));
      throw error;
    },
  );
}

type MaybePromise<T> = T | Promise<T>;

class WatchedStream implements AsyncIterable<unknown> {
  readonly #source: Messages<unknown>;
  readonly #release: () => void;
  readonly #timer: LongTimer | undefined;
  #ended: Ended | undefined;

  constructor(source: Messages<unknown>, call: Call, ended: Ended) {
    this.#source = source;
    this.#ended = ended;
    const { timeout } = call;
    const signal = signalInUse(call);
    const left = timeLeft(call);
    const abort = (): void => this.#end(cancelled(call, false));
    this.#release = followSignal(signal, abort);
    if (left !== Number.POSITIVE_INFINITY) {
      // The caller who waits for the stream keeps the process; this only counts.
      this.#timer = new LongTimer(
        () =>
          this.#end(
            new RpcError('DEADLINE_EXCEEDED', `the stream was not at its end within ${timeout} ms`),
          ),
        left,
        false,
      );
    }
    if (signal?.aborted) abort();
  }

  #end(error: RpcError | undefined): void {
    const ended = this.#ended;
    this.#ended = undefined;
    this.#timer?.cancel();
    this.#release();
    ended?.(error);
  }

  /** What `step` of the source comes to; the end of the source is ours. */
  async #watch(
    step: () => MaybePromise<IteratorResult<unknown> | undefined>,
    leaves: unknown,
  ): Promise<IteratorResult<unknown>> {
    try {
      const result = (await step()) ?? { done: true, value: leaves };
      if (result.done) this.#end(undefined);
      return result;
    } catch (error) {
      this.#end(RpcError.from(error));
      throw error;
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<unknown> {
    const source = iteratorOf(this.#source);
    return {
      next: () => this.#watch(() => source.next(), undefined),
      return: (value) => this.#watch(async () => source.return?.(await value), value),
      throw: (error) =>
        this.#watch(
          () => (source.throw === undefined ? Promise.reject(error) : source.throw(error)),
          undefined,
        ),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
