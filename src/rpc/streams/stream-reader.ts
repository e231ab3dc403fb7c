/**
 * The receiving end of a stream. It sends credits: the bytes of frames that the writer may send.
 * So a slow reader delays its own stream only.
 */
import type { Bytes } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, nextTurn, spend, unitsOf } from '../../core/turn.js';
import { RpcError } from '../errors.js';
import { INITIAL_WINDOW } from '../wire/frame.js';
import type { StreamMemory } from './stream-memory.js';
import { type WaitingItem, WaitingItems } from './waiting-items.js';

/** Units of work per call of spend(). A call per item would cost a few percent of a stream. */
export const UNITS_PER_SPEND = 16;

interface PendingRead<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: RpcError): void;
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** The call of a stream, as its reader uses it. */
export interface ReaderCall<T> {
  /** Decodes the body of an item. Throws when it is invalid. */
  decode(bytes: Bytes, start: number, end: number): T;
  /** Ends the call because decode() threw `error`, and returns the error of the call. */
  onInvalidItem(error: unknown): RpcError;
  /** Allows the peer to send this many more bytes of frames. */
  sendCredit(bytes: number): void;
  /** The consumer has called return() before the end of the stream. */
  onReturn(): void;
}

/** The consumer of the items is a handler, or the program that called a stub. */
export class StreamReader<T = unknown> implements AsyncIterableIterator<T, undefined> {
  /** Bytes. */
  readonly #window: number;
  readonly #call: ReaderCall<T>;
  readonly #items: WaitingItems;
  /**
   * Bytes of frames that the peer may still send. A message may begin while this is above 0, so the
   * last message can make it negative.
   */
  #credit = INITIAL_WINDOW;
  /** Bytes of the frames that were consumed since the last credit. */
  #consumed = 0;
  readonly #pendingReads = new Queue<PendingRead<T>>();
  /** Units of work for items that had waited, since the last call of spend(). */
  #units = 0;
  #hasEnded = false;
  #error: RpcError | undefined;

  /** `window`: bytes, at least INITIAL_WINDOW. `memory`: as in WaitingItems. */
  constructor(window: number, memory: StreamMemory, call: ReaderCall<T>) {
    this.#window = window;
    this.#items = new WaitingItems(memory);
    this.#call = call;
  }

  /** Grants the part of the window beyond INITIAL_WINDOW. Call it when the peer knows the call. */
  open(): void {
    if (this.#window > INITIAL_WINDOW) this.#grant(this.#window - INITIAL_WINDOW);
  }

  /**
   * Adds an item whose body is in `bytes` from `start` to `end`. The reader keeps no view of
   * `bytes`. `size`: bytes of its frame. Throws RESOURCE_EXHAUSTED when the peer had no credit or
   * StreamMemory is full, and the errors of decode().
   */
  push(bytes: Bytes, start: number, end: number, size: number): void {
    if (this.#hasEnded) return;
    if (this.#credit <= 0) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `the peer sent a message of the stream without credit; the window is ${this.#window} bytes`,
      );
    }
    this.#credit -= size;
    if (this.#pendingReads.length > 0) {
      const value = this.#call.decode(bytes, start, end);
      this.#onConsumed(size);
      this.#pendingReads.shift()?.resolve({ done: false, value });
      return;
    }
    this.#items.push(bytes, start, end, size);
  }

  /** Grants at least half a window at once, because each credit is a frame. */
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

  /** Ends the stream. Without `error`, the consumer can still read the waiting items. */
  end(error?: RpcError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#error = error;
    if (error !== undefined) this.#items.clear();
    for (
      let read = this.#pendingReads.shift();
      read !== undefined;
      read = this.#pendingReads.shift()
    ) {
      if (error === undefined) read.resolve(DONE);
      else read.reject(error);
    }
  }

  /** Ends the stream with `reason`. Discards the waiting items, also when it has ended before. */
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
    if (this.#hasEnded) return Promise.resolve(DONE);
    return this.#wait();
  }

  /** A separate method, so that next() allocates no closure when an item waits. */
  #wait(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => this.#pendingReads.push({ resolve, reject }));
  }

  /**
   * Counts the item as work before it is decoded. Otherwise a loop over a large window would block
   * the event loop.
   */
  #read(item: WaitingItem): Promise<IteratorResult<T, undefined>> {
    this.#units += unitsOf(item.size);
    if (this.#units < UNITS_PER_SPEND && !isTurnOver()) return this.#decode(item);
    const units = this.#units;
    this.#units = 0;
    return spend(units) ? this.#decodeLater(item, units) : this.#decode(item);
  }

  /** Repeats, because items of many streams may wait for the same turn. */
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
      const callError = this.#call.onInvalidItem(error);
      this.discard(callError);
      this.#error = callError;
      return Promise.reject(callError);
    }
    if (!this.#hasEnded) this.#onConsumed(size);
    return Promise.resolve({ done: false, value });
  }

  /** Discards the waiting items, and tells the call unless the stream has ended. */
  return(): Promise<IteratorResult<T, undefined>> {
    const hadEnded = this.#hasEnded;
    this.end();
    this.#items.clear();
    this.#error = undefined;
    if (!hadEnded) this.#call.onReturn();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
