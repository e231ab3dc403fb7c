/** The queue of a concurrency limit, by priority. */
import { followSignal } from '../../../core/signals.js';
import { LongTimer } from '../../../core/timers.js';
import { cancelledError } from '../../calls/call-errors.js';
import { RpcError } from '../../errors.js';
import type { Call } from '../../types.js';
import { deadlineOf, nameOf } from '../call-info.js';

/** The highest priority; the lowest is 0. */
export const MAX_PRIORITY = 9;

export class WaitingCalls {
  /** By priority, in the order of arrival. */
  readonly #calls: (Set<WaitingCall> | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(waiting: WaitingCall, priority: number): void {
    this.#calls[priority] ??= new Set();
    this.#calls[priority].add(waiting);
    this.#size++;
  }

  delete(waiting: WaitingCall, priority: number): void {
    if (this.#calls[priority]?.delete(waiting)) this.#size--;
  }

  /** Removes the call that is next: of those with the highest priority the one that came first. */
  takeNext(): WaitingCall | undefined {
    for (let priority = this.#calls.length - 1; priority >= 0; priority--) {
      for (const waiting of this.#calls[priority] ?? []) {
        this.delete(waiting, priority);
        return waiting;
      }
    }
    return undefined;
  }

  /**
   * Refuses one call with a lower priority: of those with the lowest priority the one that came
   * last. False: all have this priority or a higher one.
   */
  refuseOneBelow(priority: number): boolean {
    for (let lower = 0; lower < priority; lower++) {
      let last: WaitingCall | undefined;
      for (const waiting of this.#calls[lower] ?? []) last = waiting;
      if (last === undefined) continue;
      last.refuse();
      return true;
    }
    return false;
  }
}

/** A call in the queue. It leaves when it is admitted, at a timeout or when its signal aborts. */
export class WaitingCall {
  readonly #call: Call;
  readonly #startedAt = performance.now();
  readonly #timer: LongTimer;
  readonly #resolve: () => void;
  readonly #fail: (error: RpcError) => void;
  readonly #release: () => void;

  constructor(
    call: Call,
    queueTimeout: number,
    resolve: () => void,
    fail: (error: RpcError) => void,
  ) {
    this.#call = call;
    this.#resolve = resolve;
    this.#fail = fail;
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

  /** Refuses the call, because a call with a higher priority takes its place. */
  refuse(): void {
    this.#stopWaiting();
    const waited = Math.ceil(performance.now() - this.#startedAt);
    const text = `${nameOf(this.#call)} waited ${waited} ms and was refused: a call with a higher priority took its place`;
    this.#fail(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
  }

  #stopWaiting(): void {
    this.#timer.cancel();
    this.#release();
  }
}
