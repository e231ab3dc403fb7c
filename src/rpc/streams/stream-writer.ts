/** The sending end of a stream. */
import { markHandled, promiseOf } from '../../core/callbacks.js';
import { nextTurn, spend, unitsOf } from '../../core/turn.js';
import { INITIAL_WINDOW } from '../wire/frame.js';
import { closeIterator, isLastStep, iteratorOf } from './item-iterator.js';
import { UNITS_PER_SPEND } from './stream-reader.js';

/** The destination of the items of a writer. */
export interface ItemSink {
  /** Sends one item and returns the size of its frame in bytes. Throws when it was not sent. */
  send(value: unknown): number;
  /** Settles when the session may send again; undefined when it may send now. */
  drained(): Promise<void> | undefined;
}

/** Sends the items of an iterable, no faster than the credits of the reader allow. */
export class StreamWriter {
  readonly #sink: ItemSink;
  /** Bytes of frames that the reader accepts. */
  #credit = INITIAL_WINDOW;
  #isStopped = false;
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  /** Ends the wait of sendAll() for credit. Undefined: it does not wait for credit. */
  #resume: (() => void) | undefined;

  constructor(sink: ItemSink) {
    this.#sink = sink;
  }

  addCredit(bytes: number): void {
    this.#credit += bytes;
    this.#resumeSending();
  }

  #resumeSending(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** Stops sendAll(), and calls return() of its iterator. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#resumeSending();
    this.#closeIterator();
  }

  #closeIterator(): void {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    closeIterator(iterator);
  }

  /**
   * Sends the items of `source`. Resolves with true when all were sent, with false when stop() was
   * called. Rejects with the error of the iterable or of ItemSink.send().
   */
  async sendAll(source: AsyncIterable<unknown> | Iterable<unknown>): Promise<boolean> {
    if (this.#isStopped) {
      if (Array.isArray(source)) markHandled(source);
      return false;
    }
    const iterator = iteratorOf(source);
    this.#iterator = iterator;
    // The first item calls spend() at once, so that many short streams use up the budget too.
    for (let units = UNITS_PER_SPEND; ; ) {
      const step = await iterator.next();
      // Without this, an iterable whose promises have settled would block the event loop.
      if (units >= UNITS_PER_SPEND) {
        if (spend(units)) await nextTurn();
        units = 0;
      }
      if (this.#isStopped) return false;
      if (isLastStep(step)) {
        this.#iterator = undefined;
        return true;
      }
      while (this.#credit <= 0) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
        if (this.#isStopped) return false;
      }
      try {
        const sink = this.#sink;
        for (let drained = sink.drained(); drained !== undefined; drained = sink.drained())
          await drained;
        if (this.#isStopped) return false;
        const item: unknown = step.value;
        const promise = promiseOf(item);
        const value = promise === undefined ? item : await promise;
        if (this.#isStopped) return false;
        const bytes = sink.send(value);
        this.#credit -= bytes;
        units += unitsOf(bytes);
      } catch (error) {
        this.#closeIterator();
        throw error;
      }
    }
  }
}
