/** The calls of a concurrency limit: those in flight, and the queue of the others. */
import { runInTurn } from '../../../core/turn.js';
import { cancelledError } from '../../calls/call-errors.js';
import { RpcError } from '../../errors.js';
import { invokeUntilEnd } from '../../streams/call-end.js';
import type { Call, Invoke } from '../../types.js';
import { nameOf } from '../call-info.js';
import { WaitingCall, WaitingCalls } from './waiting-calls.js';

export interface QueueSettings {
  /** The most calls in flight. It may change. */
  readonly limit: number;
  /** The most calls that wait. */
  readonly queue: number;
  /** Milliseconds. */
  readonly queueTimeout: number;
}

/** The calls of the introspection and admin services that may be in flight. */
const OPERATOR_LIMIT = 4;

/** An Invoke that leaves out the calls of operators: they have a queue of their own. */
export function besidesOperatorCalls(
  next: Invoke,
  calls: { invoke: Invoke },
  settings: QueueSettings,
): Invoke {
  const operatorCalls = new CallQueue(next, { ...settings, limit: OPERATOR_LIMIT });
  return (call) => (isOperatorCall(call) ? operatorCalls : calls).invoke(call);
}

const isOperatorCall = ({ method }: Call): boolean => method.service.startsWith('getty.');

export class CallQueue {
  readonly #next: Invoke;
  readonly #settings: QueueSettings;
  readonly #priorityOf: (call: Call) => number;
  readonly #waiting = new WaitingCalls();
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
    const waiting = this.#waiting.takeNext();
    if (waiting === undefined) return;
    this.#active++;
    this.#isAdmitting = true;
    waiting.admit();
  };
  #active = 0;
  /** A call was admitted, and its promise callback has not run. */
  #isAdmitting = false;

  /**
   * `priorityOf` returns an integer from 0 to MAX_PRIORITY. It is called for a call that cannot
   * start at once.
   */
  constructor(next: Invoke, settings: QueueSettings, priorityOf: (call: Call) => number = () => 0) {
    this.#next = next;
    this.#settings = settings;
    this.#priorityOf = priorityOf;
  }

  /** The calls in flight. */
  get active(): number {
    return this.#active;
  }

  invoke(call: Call): Promise<unknown> {
    const { limit, queue } = this.#settings;
    if (this.#active < limit && this.#waiting.size === 0) {
      this.#active++;
      return this.#run(call);
    }
    const priority = this.#priorityOf(call);
    if (this.#waiting.size >= queue && !this.#waiting.refuseOneBelow(priority)) {
      const text = `${nameOf(call)} was refused: ${this.#active} calls are in flight and ${this.#waiting.size} wait`;
      return Promise.reject(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
    }
    if (call.signal?.aborted) return Promise.reject(cancelledError(call, true));
    return this.#runWhenAdmitted(call, priority);
  }

  #run(call: Call): Promise<unknown> {
    return invokeUntilEnd(this.#next, call, this.#onCallSettled);
  }

  /**
   * `await` keeps the async context of the call. #admitNext() runs in the context of another call,
   * so it must not call #run().
   */
  async #runWhenAdmitted(call: Call, priority: number): Promise<unknown> {
    await new Promise<void>((resolve, reject) => {
      const waiting = new WaitingCall(call, this.#settings.queueTimeout, resolve, (error) => {
        this.#waiting.delete(waiting, priority);
        reject(error);
      });
      this.#waiting.add(waiting, priority);
    });
    this.#isAdmitting = false;
    const answer = this.#run(call);
    // After #run(), so that its work counts in the budget of this turn.
    if (this.#active < this.#settings.limit && this.#waiting.size > 0) runInTurn(this.#admitNext);
    return answer;
  }
}
