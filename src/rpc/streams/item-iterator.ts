/** The iterator of an iterable that a program gives as the items of a stream. */
import { callAsync, markHandled, promiseOf, refusePromise } from '../../core/callbacks.js';
import { show } from '../../core/options.js';

/** True for an object with an iterator. False for a string, which is a mistake as a stream. */
export function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return (
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function' ||
    typeof Reflect.get(value, Symbol.iterator) === 'function'
  );
}

/** Returns the iterator that `for await` uses. It awaits promises among the items. */
export function iteratorOf(
  source: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncIterator<unknown> | Iterator<unknown> {
  if (Array.isArray(source)) markHandled(source);
  // The property may exist, and be undefined.
  if (typeof Reflect.get(source, Symbol.asyncIterator) === 'function') {
    const iterator = (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    if (typeof iterator?.next !== 'function')
      refusePromise('BAD_OPTION', '[Symbol.asyncIterator]() of the items', iterator);
    return iterator;
  }
  return new AwaitingIterator(
    (source as Iterable<unknown>)[Symbol.iterator](),
  ) as Iterator<unknown>;
}

/**
 * Ends an iteration early. Nothing waits for return(): an async generator that awaits a promise
 * returns only when that promise has settled. An error of return() has no receiver.
 */
export function closeIterator(items: AsyncIterator<unknown> | Iterator<unknown> | undefined): void {
  callAsync(() => items?.return?.()).catch(() => {});
}

type Step = IteratorResult<unknown>;

/** Whether `step` is the last one, as `for await` decides. Throws TypeError if it is no object. */
export function isLastStep(step: Step): boolean {
  if (typeof step !== 'object' || step === null)
    throw new TypeError(`next() of the items returned ${show(step)}, expected an object`);
  return Boolean(step.done);
}

/**
 * Awaits the items of a sync iterator. It returns a promise only for an item that is a promise.
 */
class AwaitingIterator {
  readonly #items: Iterator<unknown>;

  constructor(items: Iterator<unknown>) {
    this.#items = items;
  }

  next(): Step | Promise<Step> {
    const step = this.#items.next();
    if (isLastStep(step)) return step;
    const promise = promiseOf(step.value);
    return promise === undefined ? step : this.#awaitItem(promise);
  }

  async #awaitItem(promise: Promise<unknown>): Promise<Step> {
    try {
      return { done: false, value: await promise };
    } catch (error) {
      closeIterator(this.#items);
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
