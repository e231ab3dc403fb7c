/** The replies of a streaming call, read within its span. */
import { type Context, context } from '@opentelemetry/api';

type ReplySource = AsyncIterable<unknown> | Iterable<unknown>;

/** Whether replies can be read from the value. */
export function isIterable(value: unknown): value is ReplySource {
  return (
    typeof value === 'object' &&
    value !== null &&
    (typeof Reflect.get(value, Symbol.asyncIterator) === 'function' ||
      typeof Reflect.get(value, Symbol.iterator) === 'function')
  );
}

/**
 * Runs the source of the replies in `spanContext`, also if the replies are read in another context.
 * `onEnd` is called at the end of the replies, with the error if they failed.
 */
export class TracedReplies implements AsyncIterableIterator<unknown, undefined> {
  readonly #iterator: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #spanContext: Context;
  readonly #onEnd: (error?: unknown) => void;

  constructor(source: ReplySource, spanContext: Context, onEnd: (error?: unknown) => void) {
    this.#iterator = context.with(spanContext, () =>
      // The property may exist, and be undefined.
      typeof Reflect.get(source, Symbol.asyncIterator) === 'function'
        ? (source as AsyncIterable<unknown>)[Symbol.asyncIterator]()
        : (source as Iterable<unknown>)[Symbol.iterator](),
    );
    this.#spanContext = spanContext;
    this.#onEnd = onEnd;
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    try {
      const step = await context.with(this.#spanContext, () => this.#iterator.next());
      if (step.done === true) this.#onEnd();
      return step;
    } catch (error) {
      this.#onEnd(error);
      throw error;
    }
  }

  /**
   * Called when the reader ends the iteration early. The span does not wait for return() of the
   * source, which may never settle.
   */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#onEnd();
    await context.with(this.#spanContext, () => this.#iterator.return?.());
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
