/** The replies of a call that streams. The call is retried while none of them has arrived. */
import { closeIterator, iteratorOf } from '../../rpc/streams/item-iterator.js';
import type { Messages } from '../../rpc/types.js';

type Step = IteratorResult<unknown>;
type Source = AsyncIterator<unknown> | Iterator<unknown>;

export class RetriedReplies implements AsyncIterableIterator<unknown> {
  #source: Source;
  readonly #retry: (error: unknown) => Promise<unknown>;
  /** The latest read, while the first read or a read that waits for it is pending. */
  #lastRead: Promise<Step> | undefined;
  /** The first read has settled, and no read waits for it. */
  #isDirect = false;
  #isClosed = false;

  /**
   * `retry`: called when the first read rejects. It resolves with the replies of another attempt,
   * or rejects with the error of the call.
   */
  constructor(replies: Messages<unknown>, retry: (error: unknown) => Promise<unknown>) {
    this.#source = iteratorOf(replies);
    this.#retry = retry;
  }

  next(): Promise<Step> {
    if (this.#isDirect) return this.#read();
    const read = (): Promise<Step> => this.#read();
    const step = this.#lastRead === undefined ? this.#readFirst() : this.#lastRead.then(read, read);
    this.#lastRead = step;
    const onSettled = (): void => {
      if (this.#lastRead !== step) return;
      this.#lastRead = undefined;
      this.#isDirect = true;
    };
    step.then(onSettled, onSettled);
    return step;
  }

  #read(): Promise<Step> {
    return this.#source.next() as Promise<Step>;
  }

  async #readFirst(): Promise<Step> {
    for (;;) {
      try {
        return await this.#source.next();
      } catch (error) {
        try {
          this.#source = iteratorOf((await this.#retry(error)) as Messages<unknown>);
        } catch (last) {
          if (this.#isClosed) return { done: true, value: undefined };
          throw last;
        }
        if (this.#isClosed) return this.#closeLate();
      }
    }
  }

  /** Ends an attempt that was answered after return(). */
  #closeLate(): Step {
    closeIterator(this.#source);
    return { done: true, value: undefined };
  }

  async return(value?: unknown): Promise<Step> {
    this.#isClosed = true;
    return (await this.#source.return?.(value)) ?? { done: true, value };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
