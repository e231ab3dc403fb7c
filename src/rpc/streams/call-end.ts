/** Observes the end of a call: its answer or error, or the end of the stream that it answers. */
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { cancelledError } from '../calls/call-errors.js';
import { timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { streamsReplies } from '../method-kind.js';
import type { Call, Invoke, Messages, Method } from '../types.js';
import { isIterable, iteratorOf } from './item-iterator.js';
import { signalInUse } from './reply-stream-call.js';

/**
 * Called once, when a call ends: with its error, or with undefined when it succeeded. `hasItems`:
 * the answer was a stream, and its reader got an item. It must not throw.
 */
export type OnCallEnd = (error: RpcError | undefined, hasItems: boolean) => void;

/**
 * Whether the answer to a call of `method` is a stream. A handler or an interceptor may answer with
 * any iterable, such as an array.
 */
export function isStream(method: Method, answer: unknown): answer is Messages<unknown> {
  return streamsReplies(method.kind) && isIterable(answer);
}

/** Calls next(). An error that it throws becomes a rejection. */
export function invokeSafely(next: Invoke, call: Call): Promise<unknown> {
  try {
    return next(call);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Calls next(), and calls `onEnd` when the call ends. Returns the answer; a stream is wrapped. A
 * stream ends when its reader gets the last item or an error, or calls return(). It also ends when
 * the signal of the call aborts or its deadline passes, because the stream may have no reader.
 */
export function invokeUntilEnd(next: Invoke, call: Call, onEnd: OnCallEnd): Promise<unknown> {
  return invokeSafely(next, call).then(
    (answer) => {
      if (isStream(call.method, answer)) return new WatchedStream(answer, call, onEnd);
      onEnd(undefined, false);
      return answer;
    },
    (error) => {
      onEnd(RpcError.from(error), false);
      throw error;
    },
  );
}

type MaybePromise<T> = T | Promise<T>;

/** A stream that reports its end once. */
class WatchedStream implements AsyncIterable<unknown> {
  readonly #source: Messages<unknown>;
  readonly #release: () => void;
  readonly #timer: LongTimer | undefined;
  /** Undefined after the end. */
  #onEnd: OnCallEnd | undefined;
  #hasItems = false;

  constructor(source: Messages<unknown>, call: Call, onEnd: OnCallEnd) {
    this.#source = source;
    this.#onEnd = onEnd;
    const signal = signalInUse(call);
    const left = timeLeft(call);
    const abort = (): void => this.#end(cancelledError(call, false));
    this.#release = followSignal(signal, abort);
    if (left !== Number.POSITIVE_INFINITY) {
      // The timer does not keep the process alive: the connection of the call does.
      this.#timer = new LongTimer(
        () =>
          this.#end(new RpcError('DEADLINE_EXCEEDED', 'the stream did not end within its timeout')),
        left,
        false,
      );
    }
    if (signal?.aborted) abort();
  }

  #end(error: RpcError | undefined): void {
    const onEnd = this.#onEnd;
    this.#onEnd = undefined;
    this.#timer?.cancel();
    this.#release();
    onEnd?.(error, this.#hasItems);
  }

  /**
   * Returns the result of a step of the source. `returned`: the last value when the source has no
   * return().
   */
  async #watch(
    step: () => MaybePromise<IteratorResult<unknown> | undefined>,
    returned: unknown,
  ): Promise<IteratorResult<unknown>> {
    try {
      const result = (await step()) ?? { done: true, value: returned };
      if (result.done) this.#end(undefined);
      else this.#hasItems = true;
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
