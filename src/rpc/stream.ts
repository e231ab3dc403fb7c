/**
 * The two ends of a stream of messages. The reader tells the writer by credits how many bytes of packages it takes, so a slow
 * reader holds up its own stream and nothing else of the session.
 */
import { RpcError } from './errors.js';

/** What a writer may send before the first credit: part of the protocol. */
export const FIRST_WINDOW = 64 * 1024;

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: RpcError): void;
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** Messages that came and wait for whoever iterates. */
export class StreamReader<T = unknown> implements AsyncIterableIterator<T, undefined> {
  readonly #window: number;
  readonly #limit: number;
  readonly #grant: (bytes: number) => void;
  readonly #abandon: () => void;
  #items: { readonly value: T; readonly bytes: number }[] = [];
  /** Of the items that wait. */
  #bytes = 0;
  /** Of those that were taken since the last credit. */
  #taken = 0;
  #waiters: Waiter<T>[] = [];
  #over = false;
  #error: RpcError | undefined;

  /**
   * `window` is in bytes, at least FIRST_WINDOW; `largest`: by how much a last message may pass it. `grant` is told what the peer may send
   * more; `abandon`, that nobody reads any further.
   */
  constructor(window: number, largest: number, grant: (bytes: number) => void, abandon: () => void) {
    this.#window = window;
    this.#limit = window + largest;
    this.#grant = grant;
    this.#abandon = abandon;
  }

  /** The peer knows of the stream: tell it how much more than FIRST_WINDOW it may send. */
  open(): void {
    if (this.#window > FIRST_WINDOW) this.#grant(this.#window - FIRST_WINDOW);
  }

  /** A message has come, in a package of `bytes`. Throws RESOURCE_EXHAUSTED when its sender had no credit for it. */
  push(value: T, bytes: number): void {
    if (this.#over) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      this.#take(bytes);
      waiter.resolve({ done: false, value });
      return;
    }
    if (this.#bytes + bytes > this.#limit) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.#bytes} bytes of the stream wait to be read; its window is ${this.#window} bytes, and was not kept`,
      );
    }
    this.#items.push({ value, bytes });
    this.#bytes += bytes;
  }

  /** Small credits would cost a package for each item. */
  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken * 2 < this.#window) return;
    const granted = this.#taken;
    this.#taken = 0;
    this.#grant(granted);
  }

  /** No more comes. What has come can still be read, unless an error says why it is over. */
  end(error?: RpcError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    if (error !== undefined) this.#drop();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (error === undefined) waiter.resolve(DONE);
      else waiter.reject(error);
    }
  }

  #drop(): void {
    this.#items = [];
    this.#bytes = 0;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#bytes -= item.bytes;
      if (!this.#over) this.#take(item.bytes);
      return Promise.resolve({ done: false, value: item.value });
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
    for (;;) {
      const step = await iterator.next();
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
        this.#credit -= this.#sink.send(step.value);
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

export function iteratorOf(source: AsyncIterable<unknown> | Iterable<unknown>): AsyncIterator<unknown> | Iterator<unknown> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}
