/**
 * The two ends of a stream of messages. The reader tells the writer by credits how many bytes of
 * packages it takes, so a slow reader holds up its own stream and nothing else of the session.
 */

import { allocate, type Bytes } from '../../core/bytes.js';
import { markHandled, promiseOf } from '../../core/callbacks.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, nextTurn, spend, unitsOf } from '../../core/turn.js';
import { RpcError } from '../errors.js';

/** What a writer may send before the first credit: part of the protocol. */
export const FIRST_WINDOW = 64 * 1024;
/**
 * What a message that waits costs in memory besides its bytes: many small ones must not be free.
 * Bytes.
 */
const ITEM_OVERHEAD = 256;
/** Work is counted in portions: to count each message by itself costs a few percent of a stream. */
const UNITS_PER_SPEND = 16;

/** Counts the bytes that wait to be read in many streams. */
export class StreamMemory {
  bytes = 0;
  readonly #limit: number;

  /** `limit`: bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Throws RESOURCE_EXHAUSTED when the limit would be passed. */
  add(bytes: number): void {
    if (this.bytes + bytes > this.#limit) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.bytes} bytes wait to be read in the streams of this session; maxStreamBytes is ${this.#limit}`,
      );
    }
    this.bytes += bytes;
  }

  remove(bytes: number): void {
    this.bytes -= bytes;
  }
}

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: RpcError): void;
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** The bytes of a message that waits, from `start` to `end`. */
interface Item {
  readonly bytes: Bytes;
  readonly start: number;
  readonly end: number;
  /** Bytes of its package. */
  readonly size: number;
}

/** Small bodies share a buffer of so many bytes. */
const SHARED_BYTES = 4096;
/** A larger body has a buffer of its own. Bytes. */
const LARGEST_SHARED = 512;
/** Below so many bytes a loop copies faster than set(), which needs a view. */
const LARGEST_LOOPED = 48;

/** What a reader needs of its call. */
export interface StreamCall<T> {
  /** Makes a message of its body. Throws when it does not parse. */
  decode(bytes: Bytes, start: number, end: number): T;
  /**
   * Ends the call, for a message that had waited does not parse: decode() has thrown `error`.
   * Returns the error of the call.
   */
  refuse(error: unknown): RpcError;
  /** Tells the peer how many bytes more it may send. */
  grant(bytes: number): void;
  /** The consumer reads no further. */
  abandon(): void;
}

/**
 * Messages that came and wait for their consumer. They wait as bytes: what is made of a message can
 * take twenty times as much memory, and only the bytes are counted.
 */
export class StreamReader<T = unknown> implements AsyncIterableIterator<T, undefined> {
  readonly #window: number;
  readonly #memory: StreamMemory;
  readonly #call: StreamCall<T>;
  readonly #items = new Queue<Item>();
  /** Nothing in it is overwritten, for a message may hold views of its bytes. */
  #shared: Bytes | undefined;
  /** Bytes of `#shared` in use. */
  #used = 0;
  /**
   * Bytes that the peer may still send. It may begin a message while this is above 0, so the last
   * one can bring it below.
   */
  #credit = FIRST_WINDOW;
  /** Of those that were taken since the last credit. */
  #taken = 0;
  readonly #waiters = new Queue<Waiter<T>>();
  /** Units of work for messages that had waited and were given out since work was counted last. */
  #given = 0;
  #over = false;
  #error: RpcError | undefined;

  /** `window` is in bytes, at least FIRST_WINDOW. `memory` is that of the session. */
  constructor(window: number, memory: StreamMemory, call: StreamCall<T>) {
    this.#window = window;
    this.#memory = memory;
    this.#call = call;
  }

  /** The peer knows of the stream: tell it how much more than FIRST_WINDOW it may send. */
  open(): void {
    if (this.#window > FIRST_WINDOW) this.#give(this.#window - FIRST_WINDOW);
  }

  /**
   * A message has come in a package of `size` bytes; its body is in `bytes` from `start` to `end`,
   * which may be used again afterwards. Throws RESOURCE_EXHAUSTED when its sender had no credit for
   * it, or the session's streams hold too much, and what decode() throws.
   */
  push(bytes: Bytes, start: number, end: number, size: number): void {
    if (this.#over) return;
    if (this.#credit <= 0) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `a message of the stream came without credit; its window is ${this.#window} bytes, and was not kept`,
      );
    }
    this.#credit -= size;
    if (this.#waiters.length > 0) {
      const value = this.#call.decode(bytes, start, end);
      this.#take(size);
      this.#waiters.shift()?.resolve({ done: false, value });
      return;
    }
    this.#memory.add(size + ITEM_OVERHEAD);
    this.#items.push(this.#keep(bytes, start, end, size));
  }

  #keep(bytes: Bytes, start: number, end: number, size: number): Item {
    const length = end - start;
    if (length > LARGEST_SHARED) {
      // copy() cuts small buffers from a slab that others share, and each item could keep a slab.
      const own = allocate(length);
      own.set(bytes.subarray(start, end), 0);
      return { bytes: own, start: 0, end: length, size };
    }
    let shared = this.#shared;
    if (shared === undefined || this.#used + length > SHARED_BYTES) {
      shared = allocate(SHARED_BYTES);
      this.#shared = shared;
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += length;
    if (length > LARGEST_LOOPED) shared.set(bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) shared[at + i] = bytes[start + i] as number;
    return { bytes: shared, start: at, end: at + length, size };
  }

  /** Small credits would cost a package for each item. */
  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken * 2 < this.#window) return;
    const granted = this.#taken;
    this.#taken = 0;
    this.#give(granted);
  }

  #give(bytes: number): void {
    this.#credit += bytes;
    this.#call.grant(bytes);
  }

  /** No more comes. What has come can still be read, unless an error says why it is over. */
  end(error?: RpcError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    if (error !== undefined) this.#drop();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      if (error === undefined) waiter.resolve(DONE);
      else waiter.reject(error);
    }
  }

  #drop(): void {
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift())
      this.#memory.remove(item.size + ITEM_OVERHEAD);
    this.#shared = undefined;
  }

  /** The call is over: what waits is not read any more, also when the stream has ended. */
  discard(reason: RpcError): void {
    this.end(reason);
    if (this.#items.length === 0) return;
    this.#error = reason;
    this.#drop();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) return this.#takeItem(item);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve(DONE);
    return this.#wait();
  }

  /** Apart from next(), which must not pay for the closure where an item is here. */
  #wait(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /**
   * A window may be large, and a loop over what waits would not let go of the event loop: a message
   * is counted before it is made.
   */
  #takeItem(item: Item): Promise<IteratorResult<T, undefined>> {
    this.#memory.remove(item.size + ITEM_OVERHEAD);
    this.#given += unitsOf(item.size);
    if (this.#given < UNITS_PER_SPEND && !isTurnOver()) return this.#openItem(item);
    const units = this.#given;
    this.#given = 0;
    return spend(units) ? this.#openLater(item, units) : this.#openItem(item);
  }

  /** The items of many streams may wait for the same turn. */
  async #openLater(item: Item, units: number): Promise<IteratorResult<T, undefined>> {
    do await nextTurn();
    while (spend(units));
    return this.#openItem(item);
  }

  /** Makes a message of what has waited. */
  #openItem({ bytes, start, end, size }: Item): Promise<IteratorResult<T, undefined>> {
    let value: T;
    try {
      value = this.#call.decode(bytes, start, end);
    } catch (error) {
      const refusal = this.#call.refuse(error);
      this.discard(refusal);
      this.#error = refusal;
      return Promise.reject(refusal);
    }
    if (!this.#over) this.#take(size);
    return Promise.resolve({ done: false, value });
  }

  /** The consumer has seen enough. */
  return(): Promise<IteratorResult<T, undefined>> {
    const wasOver = this.#over;
    this.end();
    this.#drop();
    this.#error = undefined;
    if (!wasOver) this.#call.abandon();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** What a writer needs of its channel. */
export interface StreamSink {
  /**
   * Send one message and say how many bytes its package took. Throws what encoding throws, or
   * because the session is over.
   */
  send(value: unknown): number;
  /** Settles when the session has room; undefined when it has now. */
  room(): Promise<void> | undefined;
}

/** Sends what an iterable gives, as far as the reader's credit goes. */
export class StreamWriter {
  readonly #sink: StreamSink;
  #credit = FIRST_WINDOW;
  #stopped = false;
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  #wake: (() => void) | undefined;

  constructor(sink: StreamSink) {
    this.#sink = sink;
  }

  credit(bytes: number): void {
    this.#credit += bytes;
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Send no more, and let go of the iterable. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wakeUp();
    this.#leave();
  }

  #leave(): void {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    try {
      // A generator that waits for something hears of this when that has come.
      Promise.resolve(iterator?.return?.()).catch(() => {});
    } catch {
      // Who leaves does not care how.
    }
  }

  /**
   * True: all was sent. False: it was stopped. Rejects with what the iterable, or encoding, throws.
   */
  async pump(source: AsyncIterable<unknown> | Iterable<unknown>): Promise<boolean> {
    if (this.#stopped) {
      if (Array.isArray(source)) markHandled(source);
      return false;
    }
    const iterator = iteratorOf(source);
    this.#iterator = iterator;
    for (let units = UNITS_PER_SPEND; ; ) {
      const step = await iterator.next();
      // Promises alone never let the event loop turn.
      if (units >= UNITS_PER_SPEND) {
        if (spend(units)) await nextTurn();
        units = 0;
      }
      if (this.#stopped) return false;
      if (step.done === true) {
        this.#iterator = undefined;
        return true;
      }
      while (this.#credit <= 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        if (this.#stopped) return false;
      }
      try {
        for (let room = this.#sink.room(); room !== undefined; room = this.#sink.room()) await room;
        if (this.#stopped) return false;
        const item: unknown = step.value;
        const promise = promiseOf(item);
        const value = promise === undefined ? item : await promise;
        if (this.#stopped) return false;
        const bytes = this.#sink.send(value);
        this.#credit -= bytes;
        units += unitsOf(bytes);
      } catch (error) {
        this.#leave();
        throw error;
      }
    }
  }
}

/** True for what a stream can be made of. Text has an iterator too, and is hardly meant. */
export function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return (
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function' ||
    typeof Reflect.get(value, Symbol.iterator) === 'function'
  );
}

/**
 * An item of an array, or of a generator that is not async, is awaited if it is a promise, as
 * `for await` does.
 */
export function iteratorOf(
  source: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncIterator<unknown> | Iterator<unknown> {
  if (Array.isArray(source)) markHandled(source);
  // One of them may be there and undefined.
  if (typeof Reflect.get(source, Symbol.asyncIterator) === 'function')
    return (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  return new AwaitedItems((source as Iterable<unknown>)[Symbol.iterator]()) as Iterator<unknown>;
}

type Step = IteratorResult<unknown>;

/** It answers a promise only for an item that is one. */
class AwaitedItems {
  readonly #items: Iterator<unknown>;

  constructor(items: Iterator<unknown>) {
    this.#items = items;
  }

  next(): Step | Promise<Step> {
    const step = this.#items.next();
    if (step.done === true) return step;
    const promise = promiseOf(step.value);
    return promise === undefined ? step : this.#settled(promise);
  }

  async #settled(promise: Promise<unknown>): Promise<Step> {
    try {
      return { done: false, value: await promise };
    } catch (error) {
      this.return();
      throw error;
    }
  }

  return(value?: unknown): Step {
    return this.#items.return?.(value) ?? { done: true, value };
  }

  throw(error: unknown): Step {
    if (this.#items.throw !== undefined) return this.#items.throw(error);
    this.return();
    throw error;
  }
}
