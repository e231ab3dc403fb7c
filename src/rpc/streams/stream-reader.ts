/**
 * The receiving end of a stream. By credits it tells the writer how many bytes of frames it
 * accepts, so a slow reader delays its own stream only.
 */
import type { Bytes } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, nextTurn, spend, unitsOf } from '../../core/turn.js';
import { RpcError } from '../errors.js';
import { FIRST_WINDOW } from '../wire/frame.js';
import type { StreamMemory } from './stream-memory.js';
import { type WaitingItem, WaitingItems } from './waiting-items.js';

/** Units of work that are counted at once: to count each item costs a few percent of a stream. */
export const UNITS_PER_SPEND = 16;

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: RpcError): void;
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** The call that a reader belongs to. */
export interface ReaderCall<T> {
  /** Decodes the body of a message. Throws when it is invalid. */
  decode(bytes: Bytes, start: number, end: number): T;
  /** Ends the call because decode() threw `error`, and returns the error of the call. */
  fail(error: unknown): RpcError;
  /** Allows the peer to send this many bytes more. */
  sendCredit(bytes: number): void;
  /** The consumer has called return(). */
  cancel(): void;
}

/** The messages of a stream, for its consumer. */
export class StreamReader<T = unknown> implements AsyncIterableIterator<T, undefined> {
  /** Bytes. */
  readonly #window: number;
  readonly #call: ReaderCall<T>;
  readonly #items: WaitingItems;
  /**
   * Bytes that the peer may still send. It may begin a message while this is above 0, so the last
   * message can make it negative.
   */
  #credit = FIRST_WINDOW;
  /** Bytes of the messages that were consumed since the last credit. */
  #consumed = 0;
  readonly #waiters = new Queue<Waiter<T>>();
  /** Units of work for messages that had waited, since the last call of spend(). */
  #units = 0;
  #isOver = false;
  #error: RpcError | undefined;

  /** `window`: bytes, at least FIRST_WINDOW. `memory`: that of the session. */
  constructor(window: number, memory: StreamMemory, call: ReaderCall<T>) {
    this.#window = window;
    this.#items = new WaitingItems(memory);
    this.#call = call;
  }

  /** Grants the part of the window beyond FIRST_WINDOW. To be called when the peer has the call. */
  open(): void {
    if (this.#window > FIRST_WINDOW) this.#grant(this.#window - FIRST_WINDOW);
  }

  /**
   * Adds a message whose body is in `bytes` from `start` to `end`; `bytes` may be overwritten
   * afterwards. `size`: bytes of its frame. Throws RESOURCE_EXHAUSTED when the peer had no credit
   * or StreamMemory is full, and what decode() throws.
   */
  push(bytes: Bytes, start: number, end: number, size: number): void {
    if (this.#isOver) return;
    if (this.#credit <= 0) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `the peer sent a message of the stream without credit; the window is ${this.#window} bytes`,
      );
    }
    this.#credit -= size;
    if (this.#waiters.length > 0) {
      const value = this.#call.decode(bytes, start, end);
      this.#onConsumed(size);
      this.#waiters.shift()?.resolve({ done: false, value });
      return;
    }
    this.#items.push(bytes, start, end, size);
  }

  /** Grants at least half a window at once: small credits would cost a frame for each item. */
  #onConsumed(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed * 2 < this.#window) return;
    const granted = this.#consumed;
    this.#consumed = 0;
    this.#grant(granted);
  }

  #grant(bytes: number): void {
    this.#credit += bytes;
    this.#call.sendCredit(bytes);
  }

  /** No message follows. Without `error`, waiting messages can still be read. */
  end(error?: RpcError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    if (error !== undefined) this.#items.clear();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      if (error === undefined) waiter.resolve(DONE);
      else waiter.reject(error);
    }
  }

  /** The call is over: discards waiting messages, also when the stream has ended. */
  discard(reason: RpcError): void {
    this.end(reason);
    if (this.#items.length === 0) return;
    this.#error = reason;
    this.#items.clear();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.take();
    if (item !== undefined) return this.#read(item);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#isOver) return Promise.resolve(DONE);
    return this.#wait();
  }

  /** A method of its own, so that next() creates no closure when a message waits. */
  #wait(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /**
   * Counts a message as work before it is decoded: a loop over a large window would block the event
   * loop.
   */
  #read(item: WaitingItem): Promise<IteratorResult<T, undefined>> {
    this.#units += unitsOf(item.size);
    if (this.#units < UNITS_PER_SPEND && !isTurnOver()) return this.#decode(item);
    const units = this.#units;
    this.#units = 0;
    return spend(units) ? this.#decodeLater(item, units) : this.#decode(item);
  }

  /** Repeats, because the items of many streams may wait for the same turn. */
  async #decodeLater(item: WaitingItem, units: number): Promise<IteratorResult<T, undefined>> {
    do await nextTurn();
    while (spend(units));
    return this.#decode(item);
  }

  #decode({ bytes, start, end, size }: WaitingItem): Promise<IteratorResult<T, undefined>> {
    let value: T;
    try {
      value = this.#call.decode(bytes, start, end);
    } catch (error) {
      const callError = this.#call.fail(error);
      this.discard(callError);
      this.#error = callError;
      return Promise.reject(callError);
    }
    if (!this.#isOver) this.#onConsumed(size);
    return Promise.resolve({ done: false, value });
  }

  /** The consumer wants no more messages. */
  return(): Promise<IteratorResult<T, undefined>> {
    const wasOver = this.#isOver;
    this.end();
    this.#items.clear();
    this.#error = undefined;
    if (!wasOver) this.#call.cancel();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
