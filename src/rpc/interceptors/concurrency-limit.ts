/** The concurrency limit: bounds the calls in flight, and queues a bounded number of others. */
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { followSignal } from '../../core/signals.js';
import { LONGEST_TIMER, LongTimer } from '../../core/timers.js';
import { runInTurn } from '../../core/turn.js';
import { cancelledError } from '../calls/call-errors.js';
import { RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/call-end.js';
import type { Call, Interceptor, Invoke } from '../types.js';
import { deadlineOf, nameOf } from './call-info.js';

/** Options of concurrencyLimit(). */
export interface ConcurrencyLimitOptions {
  /**
   * The most calls in flight at once. A call whose reply is a stream is in flight until the stream
   * ends. Default: 256.
   */
  limit?: number | undefined;
  /** The most calls that wait. The call that has waited longest goes first. Default: 1,024. */
  queue?: number | undefined;
  /** How long a call may wait, in milliseconds. Default: 1,000. */
  queueTimeout?: number | undefined;
}

const OPTION_NAMES = {
  limit: true,
  queue: true,
  queueTimeout: true,
} satisfies NamesOf<ConcurrencyLimitOptions>;

/** The default values of concurrencyLimit(). Times are in milliseconds. */
export const CONCURRENCY_LIMIT_DEFAULTS = {
  limit: 256,
  queue: 1_024,
  queueTimeout: 1_000,
} satisfies ConcurrencyLimitOptions;

/**
 * Makes an interceptor that lets `limit` calls be in flight and `queue` calls wait, in order. A
 * call waits no longer than `queueTimeout`, its own timeout and its signal allow. Other calls are
 * refused with RESOURCE_EXHAUSTED and `unsent`. Throws BAD_OPTION.
 *
 * Calls of the introspection and admin services do not count: 4 of them may be in flight besides,
 * so that an overloaded server can be inspected and drained.
 */
export function concurrencyLimit(options: ConcurrencyLimitOptions = {}): Interceptor {
  checkNames('concurrencyLimit()', options, OPTION_NAMES);
  const settings = withDefaults(CONCURRENCY_LIMIT_DEFAULTS, options, {
    limit: [1, 2 ** 31, 'integer'],
    queue: [0, 2 ** 24, 'integer'],
    queueTimeout: [1, LONGEST_TIMER],
  });
  return (next) => {
    const calls = new CallQueue(next, settings);
    const operatorCalls = new CallQueue(next, { ...settings, limit: OPERATOR_LIMIT });
    return (call) => (isOperatorCall(call) ? operatorCalls : calls).invoke(call);
  };
}

/** The calls of the introspection and admin services that may be in flight. */
const OPERATOR_LIMIT = 4;
const isOperatorCall = ({ method }: Call): boolean => method.service.startsWith('getty.');

class CallQueue {
  readonly #next: Invoke;
  readonly #settings: Required<ConcurrencyLimitOptions>;
  readonly #waiting = new Set<WaitingCall>();
  /**
   * Releases the slot of a call. If a call waits, the slot is released and given to it in a later
   * turn: many calls may end in one turn, and an admitted call may end at once.
   */
  readonly #onCallSettled = (): void => {
    if (this.#waiting.size === 0) this.#active--;
    else runInTurn(this.#releaseSlot);
  };
  readonly #releaseSlot = (): void => {
    this.#active--;
    this.#admitNext();
  };
  /** Admits one call. #runWhenAdmitted() admits the next one. */
  readonly #admitNext = (): void => {
    if (this.#isAdmitting || this.#active >= this.#settings.limit) return;
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      this.#active++;
      this.#isAdmitting = true;
      return waiting.admit();
    }
  };
  #active = 0;
  /** A call was admitted, and its promise callback has not run. */
  #isAdmitting = false;

  constructor(next: Invoke, settings: Required<ConcurrencyLimitOptions>) {
    this.#next = next;
    this.#settings = settings;
  }

  invoke(call: Call): Promise<unknown> {
    const { limit, queue } = this.#settings;
    if (this.#active < limit && this.#waiting.size === 0) {
      this.#active++;
      return this.#run(call);
    }
    if (this.#waiting.size >= queue) {
      const text = `${nameOf(call)} was refused: ${limit} calls are in flight and ${queue} wait`;
      return Promise.reject(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
    }
    if (call.signal?.aborted) return Promise.reject(cancelledError(call, true));
    return this.#runWhenAdmitted(call);
  }

  #run(call: Call): Promise<unknown> {
    return invokeUntilEnd(this.#next, call, this.#onCallSettled);
  }

  /**
   * `await` keeps the async context of the call. #admitNext() runs in the context of another call,
   * so it must not call #run().
   */
  async #runWhenAdmitted(call: Call): Promise<unknown> {
    await new Promise<void>((resolve, reject) => {
      const waiting = new WaitingCall(call, this.#settings.queueTimeout, resolve, (error) => {
        this.#waiting.delete(waiting);
        reject(error);
      });
      this.#waiting.add(waiting);
    });
    this.#isAdmitting = false;
    const answer = this.#run(call);
    // After #run(), so that its work counts in the budget of this turn.
    if (this.#active < this.#settings.limit && this.#waiting.size > 0) runInTurn(this.#admitNext);
    return answer;
  }
}

/** A call in the queue. It leaves when it is admitted, at a timeout or when its signal aborts. */
class WaitingCall {
  readonly #startedAt = performance.now();
  readonly #timer: LongTimer;
  readonly #resolve: () => void;
  readonly #release: () => void;

  constructor(
    call: Call,
    queueTimeout: number,
    resolve: () => void,
    fail: (error: RpcError) => void,
  ) {
    this.#resolve = resolve;
    const deadline = deadlineOf(call, this.#startedAt);
    const left = deadline === undefined ? Number.POSITIVE_INFINITY : deadline - this.#startedAt;
    const onTimeout = (): void => {
      this.#stopWaiting();
      const text = `${nameOf(call)} waited ${Math.ceil(Math.min(left, queueTimeout))} ms in the queue`;
      fail(
        new RpcError(left <= queueTimeout ? 'DEADLINE_EXCEEDED' : 'RESOURCE_EXHAUSTED', text, {
          unsent: true,
        }),
      );
    };
    this.#timer = new LongTimer(onTimeout, Math.max(0, Math.min(left, queueTimeout)));
    this.#release = followSignal(call.signal, () => {
      this.#stopWaiting();
      fail(cancelledError(call, true));
    });
  }

  admit(): void {
    this.#stopWaiting();
    this.#resolve();
  }

  #stopWaiting(): void {
    this.#timer.cancel();
    this.#release();
  }
}
