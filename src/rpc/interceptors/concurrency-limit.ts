/** No more than so many calls at once; a few more wait for their turn. */
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { followSignal } from '../../core/signals.js';
import { LONGEST_TIMER, LongTimer } from '../../core/timers.js';
import { runInTurn } from '../../core/turn.js';
import { cancelled } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/stream-end.js';
import type { Call, Interceptor, Invoke } from '../types.js';
import { deadlineOf, nameOf } from './side.js';

/** Milliseconds. Defaults: CONCURRENCY_LIMIT_DEFAULTS. */
export interface ConcurrencyLimitOptions {
  /**
   * The most calls under way at once. A call whose answer is a stream is under way until the stream
   * ends.
   */
  limit?: number | undefined;
  /** The most calls that wait for one of them to end; those that wait longest go first. */
  queue?: number | undefined;
  /** How long a call may wait. */
  queueTimeout?: number | undefined;
}

const NAMES = {
  limit: true,
  queue: true,
  queueTimeout: true,
} satisfies NamesOf<ConcurrencyLimitOptions>;

/** Milliseconds. */
export const CONCURRENCY_LIMIT_DEFAULTS = {
  limit: 256,
  queue: 1_024,
  queueTimeout: 1_000,
} satisfies ConcurrencyLimitOptions;

/**
 * At most `limit` calls are under way; `queue` more wait, in order, no longer than `queueTimeout`,
 * their own timeout and their signal allow. All else is refused with RESOURCE_EXHAUSTED (`unsent`).
 * Throws BAD_OPTION.
 */
export function concurrencyLimit(options: ConcurrencyLimitOptions = {}): Interceptor {
  checkNames('concurrencyLimit()', options, NAMES);
  const settings = withDefaults(CONCURRENCY_LIMIT_DEFAULTS, options, {
    limit: [1, 2 ** 31],
    queue: [0, 2 ** 24],
    queueTimeout: [1, LONGEST_TIMER],
  });
  for (const name of ['limit', 'queue'] as const)
    if (!Number.isInteger(settings[name])) throw badOption(name, settings[name], 'a whole number');
  return (next) => {
    const gate = new CallGate(next, settings);
    return (call) => gate.invoke(call);
  };
}

class CallGate {
  readonly #next: Invoke;
  readonly #settings: Required<ConcurrencyLimitOptions>;
  readonly #waiting = new Set<WaitingCall>();
  /**
   * The place of a call that has ended is kept for a call that waits: very many calls may end
   * together, or one after the other at once.
   */
  readonly #leave = (): void => {
    if (this.#waiting.size === 0) this.#active--;
    else runInTurn(this.#giveUpPlace);
  };
  readonly #giveUpPlace = (): void => {
    this.#active--;
    this.#admit();
  };
  #active = 0;

  constructor(next: Invoke, settings: Required<ConcurrencyLimitOptions>) {
    this.#next = next;
    this.#settings = settings;
  }

  invoke(call: Call): Promise<unknown> {
    const { limit, queue, queueTimeout } = this.#settings;
    if (this.#active < limit) return this.#run(call);
    if (this.#waiting.size >= queue) {
      const text = `${nameOf(call)} was refused: ${limit} calls are under way and ${queue} wait`;
      return Promise.reject(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
    }
    if (call.signal?.aborted) return Promise.reject(cancelled(call, true));
    return new Promise((resolve, reject) => {
      const waiting = new WaitingCall(call, queueTimeout, resolve, (error) => {
        this.#waiting.delete(waiting);
        reject(error);
      });
      this.#waiting.add(waiting);
    });
  }

  #run(call: Call): Promise<unknown> {
    this.#active++;
    return invokeUntilEnd(this.#next, call, this.#leave);
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      if (this.#active >= this.#settings.limit) return;
      this.#waiting.delete(waiting);
      waiting.admit((call) => this.#run(call));
    }
  }
}

/** A call in the queue, with what may end its waiting. */
class WaitingCall {
  readonly #call: Call;
  readonly #began = performance.now();
  readonly #timer: LongTimer;
  readonly #resolve: (answer: Promise<unknown>) => void;
  readonly #release: () => void;

  constructor(
    call: Call,
    queueTimeout: number,
    resolve: (answer: Promise<unknown>) => void,
    fail: (error: RpcError) => void,
  ) {
    this.#call = call;
    this.#resolve = resolve;
    const deadline = deadlineOf(call, this.#began);
    const left = deadline === undefined ? Number.POSITIVE_INFINITY : deadline - this.#began;
    const late = (): void => {
      this.#settle();
      const text = `${nameOf(call)} waited ${Math.ceil(Math.min(left, queueTimeout))} ms for others to end`;
      fail(
        new RpcError(left <= queueTimeout ? 'DEADLINE_EXCEEDED' : 'RESOURCE_EXHAUSTED', text, {
          unsent: true,
        }),
      );
    };
    this.#timer = new LongTimer(late, Math.max(0, Math.min(left, queueTimeout)));
    this.#release = followSignal(call.signal, () => {
      this.#settle();
      fail(cancelled(call, true));
    });
  }

  admit(run: (call: Call) => Promise<unknown>): void {
    this.#settle();
    this.#resolve(run(this.#call));
  }

  #settle(): void {
    this.#timer.cancel();
    this.#release();
  }
}
