/** Waits for the operating system to take bytes of the outgoing stream: send() and drained(). */

import { GettyError } from '../../core/errors.js';
import { Queue } from '../../core/queue.js';
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { inTurns } from '../../core/turn.js';
import type { SendResult } from '../types.js';

/** The rejection of Session.send(). `code` and `message` say why. */
export class SendError extends GettyError implements SendResult {
  /** Bytes that the message takes when encoded; 0 if it was not encoded. */
  readonly encodedBytes: number;
  /** Bytes of them that the operating system has taken. */
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

  /** The message is between the positions `start` and `position` of the stream. */
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
        this.#fail('ABORTED_BY_CALLER', 'the caller gave up', signal.reason),
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

/** Memory that a waiter takes with its promise. Bytes. */
const WAITER_BYTES = 512;
/** Waiters of a session that are not counted, so that a small maxQueuedBytes is left for bytes. */
const FREE_WAITERS = 64;

/** All waiters of one session. */
export class Waiters {
  /** Positions grow within each of the two queues, but not across both. */
  readonly #sends = new Queue<Waiter>();
  readonly #drains = new Queue<Waiter>();
  count = 0;

  /** Memory that counts toward maxQueuedBytes. Bytes. */
  get bytes(): number {
    return this.count > FREE_WAITERS ? (this.count - FREE_WAITERS) * WAITER_BYTES : 0;
  }

  /** A waiter of send() that has failed stays until the bytes before it are taken. */
  addSend(waiter: Waiter): void {
    this.count++;
    this.#sends.push(waiter);
  }

  addDrain(waiter: Waiter): void {
    this.count++;
    this.#drains.push(waiter);
  }

  /** The bytes up to `position` have been taken. */
  settle(position: number): void {
    this.#settleUpTo(this.#drains, position);
    this.#settleUpTo(this.#sends, position);
  }

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
    // Creating very many errors takes long.
    if (error !== undefined) inTurns(failed, (waiter) => waiter.settle(error));
  }
}
