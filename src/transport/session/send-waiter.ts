/**
 * The waits of send() and drained(), until the operating system has taken bytes of the outgoing
 * stream.
 */

import { asGettyError, GettyError } from '../../core/errors.js';
import { Queue } from '../../core/queue.js';
import { followSignal, reasonOf } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { inTurns } from '../../core/turn.js';
import type { SendResult } from '../types.js';

/** The error with which Session.send() rejects. */
export class SendError extends GettyError implements SendResult {
  /** Bytes that the message takes when encoded; 0 if it was not encoded. */
  readonly encodedBytes: number;
  /** How many of these bytes the operating system has taken. */
  readonly sentBytes: number;

  constructor(
    code: GettyError['code'],
    message: string,
    encodedBytes: number,
    sentBytes: number,
    cause?: unknown,
  ) {
    super(code, message, cause);
    this.name = 'SendError';
    this.encodedBytes = encodedBytes;
    this.sentBytes = sentBytes;
  }
}

/** The error of a send() that wrote nothing because of `error`. */
export function notEncodedError(error: unknown): SendError {
  const known = asGettyError(error, 'ENCODE_FAILED', 'the codec failed');
  const cause = known.code === 'ABORTED_BY_CALLER' ? known.cause : error;
  return new SendError(known.code, known.message, 0, 0, cause);
}

/** Waits until the operating system has taken all bytes of the stream up to `position`. */
export interface Waiter {
  readonly position: number;
  /** Without `error` the bytes have been taken. */
  settle(error?: GettyError): void;
}

/** The waiter of one send(). It has no closures, because very many may wait at once. */
export class SendWaiter implements Waiter {
  readonly position: number;
  readonly #start: number;
  readonly #encodedBytes: number;
  readonly #writer: { readonly takenPosition: number };
  readonly #resolve: (result: SendResult) => void;
  readonly #reject: (error: SendError) => void;
  #timer: LongTimer | undefined;
  #release: (() => void) | undefined;
  #isSettled = false;

  /** The message lies between the positions `start` and `position`, its end, in the stream. */
  constructor(
    start: number,
    position: number,
    encodedBytes: number,
    writer: { readonly takenPosition: number },
    resolve: (result: SendResult) => void,
    reject: (error: SendError) => void,
  ) {
    this.#start = start;
    this.position = position;
    this.#encodedBytes = encodedBytes;
    this.#writer = writer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Fails after `timeout` milliseconds, and when `signal` aborts. */
  limit(timeout: number | undefined, signal: AbortSignal | undefined, remoteAddress: string): void {
    if (timeout !== undefined) {
      this.#timer = new LongTimer(
        () =>
          this.#fail(
            'SEND_TIMEOUT',
            `${remoteAddress} did not take the message within ${timeout} ms`,
          ),
        timeout,
      );
    }
    if (signal !== undefined)
      this.#release = followSignal(signal, () =>
        this.#fail('ABORTED_BY_CALLER', 'the signal of the caller aborted', reasonOf(signal)),
      );
  }

  settle(error?: GettyError): void {
    if (error !== undefined) return this.#fail(error.code, error.message, error);
    if (this.#end())
      this.#resolve({ encodedBytes: this.#encodedBytes, sentBytes: this.#encodedBytes });
  }

  #fail(code: GettyError['code'], reason: string, cause?: unknown): void {
    if (!this.#end()) return;
    const encodedBytes = this.#encodedBytes;
    const sentBytes = Math.min(encodedBytes, Math.max(0, this.#writer.takenPosition - this.#start));
    this.#reject(
      new SendError(
        code,
        `${reason}; ${sentBytes} of ${encodedBytes} bytes were sent`,
        encodedBytes,
        sentBytes,
        cause,
      ),
    );
  }

  /** False: the waiter was settled before. */
  #end(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#timer?.cancel();
    this.#release?.();
    return true;
  }
}

/** Bytes of memory that a waiter takes, with its promise. */
const WAITER_BYTES = 512;
/** Waiters that do not count toward maxQueuedBytes, so that they cannot use up a small limit. */
const FREE_WAITERS = 64;

/** All waiters of one session. */
export class Waiters {
  /** Positions grow within each of the two queues, but not across both. */
  readonly #sends = new Queue<Waiter>();
  readonly #drains = new Queue<Waiter>();
  count = 0;

  /** Bytes of memory that count toward maxQueuedBytes. */
  get bytes(): number {
    return this.count > FREE_WAITERS ? (this.count - FREE_WAITERS) * WAITER_BYTES : 0;
  }

  /**
   * Adds the waiter of a send(). If it fails early, by a timeout or signal, it stays and counts
   * until the bytes of its message are taken.
   */
  addSend(waiter: Waiter): void {
    this.count++;
    this.#sends.push(waiter);
  }

  /** Adds the waiter of a drained(), which waits for the bytes up to `position`. */
  addDrain(position: number, resolve: () => void, reject: (error: GettyError) => void): void {
    this.count++;
    this.#drains.push({
      position,
      settle: (error) => (error === undefined ? resolve() : reject(error)),
    });
  }

  /** The bytes up to `position` have been taken. */
  settle(position: number): void {
    this.#settleUpTo(this.#drains, position);
    this.#settleUpTo(this.#sends, position);
  }

  /** Fails all waiters. */
  fail(error: GettyError): void {
    this.#settleUpTo(this.#drains, Number.POSITIVE_INFINITY, error);
    this.#settleUpTo(this.#sends, Number.POSITIVE_INFINITY, error);
  }

  #settleUpTo(waiters: Queue<Waiter>, position: number, error?: GettyError): void {
    const failed: Waiter[] = [];
    for (
      let next = waiters.peek();
      next !== undefined && next.position <= position;
      next = waiters.peek()
    ) {
      waiters.shift();
      this.count--;
      if (error === undefined) next.settle();
      else failed.push(next);
    }
    // Creating very many errors takes long, so it is divided among turns.
    if (error !== undefined) inTurns(failed, (waiter) => waiter.settle(error));
  }
}
