/** The iterator of the items of a stream, whatever iterable a program gives. */
import { markHandled, promiseOf } from '../../core/callbacks.js';

/**
 * True for an object that a stream can iterate. A string has an iterator, but is a mistake here.
 */
export function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return (
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function' ||
    typeof Reflect.get(value, Symbol.iterator) === 'function'
  );
}

/** As in `for await`, an item of an array or of a synchronous generator is awaited. */
export function iteratorOf(
  source: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncIterator<unknown> | Iterator<unknown> {
  if (Array.isArray(source)) markHandled(source);
  // The property may exist with the value undefined.
  if (typeof Reflect.get(source, Symbol.asyncIterator) === 'function')
    return (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  return new AwaitedItems((source as Iterable<unknown>)[Symbol.iterator]()) as Iterator<unknown>;
}

type Step = IteratorResult<unknown>;

/** Returns a promise only for an item that is a promise. */
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
