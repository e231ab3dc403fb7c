/**
 * The two ends of a stream of messages. The reader tells the writer by credits how many bytes of packages it takes, so a slow
 * reader holds up its own stream and nothing else of the session.
 */
import { promiseOf } from '../core/callbacks.js';
import { Queue } from '../core/queue.js';
import { nextTurn, spend } from '../core/turn.js';
import { RpcError } from './errors.js';

/** What a writer may send before the first credit: part of the protocol. */
export const FIRST_WINDOW = 64 * 1024;
/** What a message that waits costs in memory besides its bytes: many small ones must not be free. Bytes. */
const ITEM_OVERHEAD = 256;
/** Bits by which a number of bytes is shifted to KiB, each of which counts as one unit of work. */
const KIBIBYTE = 10;
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

/** Messages that came and wait for whoever iterates. */
export class StreamReader<T = unknown> implements AsyncIterableIterator<T, undefined> {
  readonly #window: number;
  readonly #memory: StreamMemory;
  readonly #grant: (bytes: number) => void;
  readonly #abandon: () => void;
  readonly #items = new Queue<{ readonly value: T; readonly bytes: number }>();
  /** Bytes that the peer may still send. It may begin a message while this is above 0, so the last one can bring it below. */
  #credit = FIRST_WINDOW;
  /** Of those that were taken since the last credit. */
  #taken = 0;
  readonly #waiters = new Queue<Waiter<T>>();
  /** Messages that had waited and were given out since work was counted last. */
  #given = 0;
  #over = false;
  #error: RpcError | undefined;

  /**
   * `window` is in bytes, at least FIRST_WINDOW. `memory` is that of the session. `grant` is told what the peer may send more; `abandon`,
   * that nobody reads any further.
   */
  constructor(window: number, memory: StreamMemory, grant: (bytes: number) => void, abandon: () => void) {
    this.#window = window;
    this.#memory = memory;
    this.#grant = grant;
    this.#abandon = abandon;
  }

  /** The peer knows of the stream: tell it how much more than FIRST_WINDOW it may send. */
  open(): void {
    if (this.#window > FIRST_WINDOW) this.#give(this.#window - FIRST_WINDOW);
  }

  /** A message has come, in a package of `bytes`. Throws RESOURCE_EXHAUSTED when its sender had no credit for it, or the session's streams hold too much. */
  push(value: T, bytes: number): void {
    if (this.#over) return;
    if (this.#credit <= 0) {
      throw new RpcError('RESOURCE_EXHAUSTED', `a message of the stream came without credit; its window is ${this.#window} bytes, and was not kept`);
    }
    this.#credit -= bytes;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      this.#take(bytes);
      waiter.resolve({ done: false, value });
      return;
    }
    this.#memory.add(bytes + ITEM_OVERHEAD);
    this.#items.push({ value, bytes });
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
    this.#grant(bytes);
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
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) this.#memory.remove(item.bytes + ITEM_OVERHEAD);
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
    if (item !== undefined) {
      this.#memory.remove(item.bytes + ITEM_OVERHEAD);
      if (!this.#over) this.#take(item.bytes);
      const result: IteratorResult<T, undefined> = { done: false, value: item.value };
      // A window may be large, and a loop over what waits would not let go of the event loop.
      this.#given = (this.#given + 1) & (UNITS_PER_SPEND - 1);
      if (this.#given === 0 && spend(UNITS_PER_SPEND)) return nextTurn().then(() => result);
      return Promise.resolve(result);
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Whoever iterated has seen enough. */
  return(): Promise<IteratorResult<T, undefined>> {
    const wasOver = this.#over;
    this.end();
    this.#drop();
    this.#error = undefined;
    if (!wasOver) this.#abandon();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** What a writer needs of its channel. */
export interface StreamSink {
  /** Send one message and say how many bytes its package took. Throws what encoding throws, or because the session is over. */
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

  /** True: all was sent. False: it was stopped. Rejects with what the iterable, or encoding, throws. */
  async pump(source: AsyncIterable<unknown> | Iterable<unknown>): Promise<boolean> {
    if (this.#stopped) return false;
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
        units += 1 + (bytes >>> KIBIBYTE);
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
  return typeof Reflect.get(value, Symbol.asyncIterator) === 'function' || typeof Reflect.get(value, Symbol.iterator) === 'function';
}

/** An item of an array, or of a generator that is not async, is awaited if it is a promise, as `for await` does. */
export function iteratorOf(source: AsyncIterable<unknown> | Iterable<unknown>): AsyncIterator<unknown> | Iterator<unknown> {
  // One of them may be there and undefined.
  if (typeof Reflect.get(source, Symbol.asyncIterator) === 'function') return (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
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
