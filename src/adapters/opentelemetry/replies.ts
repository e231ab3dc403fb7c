/** The replies of a streaming call, and its span until they end. */
import { type Context, context } from '@opentelemetry/api';

type Source = AsyncIterable<unknown> | Iterable<unknown>;

/** True for what replies can be made of. */
export function isIterable(value: unknown): value is Source {
  return (
    typeof value === 'object' &&
    value !== null &&
    (Symbol.asyncIterator in value || Symbol.iterator in value)
  );
}

/**
 * What makes the replies runs in `inner`, whoever asks for them. `end` is told when there are no
 * more, with what they failed with, if they did.
 */
export class TracedReplies implements AsyncIterableIterator<unknown, undefined> {
  readonly #iterator: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #inner: Context;
  readonly #end: (error?: unknown) => void;

  constructor(source: Source, inner: Context, end: (error?: unknown) => void) {
    this.#iterator = context.with(inner, () =>
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator](),
    );
    this.#inner = inner;
    this.#end = end;
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    try {
      const step = await context.with(this.#inner, () => this.#iterator.next());
      if (step.done === true) this.#end();
      return step;
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }

  /**
   * Whoever reads has seen enough. The span does not wait for what the source does then: it may
   * never be done.
   */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#end();
    await context.with(this.#inner, () => this.#iterator.return?.());
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
