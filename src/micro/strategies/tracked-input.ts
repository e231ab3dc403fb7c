/** The input of a call that streams, and whether an attempt has taken items of it. */
import { iteratorOf } from '../../rpc/streams/item-iterator.js';

export class TrackedInput implements AsyncIterable<unknown> {
  readonly #source: AsyncIterable<unknown> | Iterable<unknown>;
  #wasRead = false;

  constructor(source: AsyncIterable<unknown> | Iterable<unknown>) {
    this.#source = source;
  }

  /** Whether an attempt may have taken items. Another attempt would not get these. */
  get wasRead(): boolean {
    return this.#wasRead;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    this.#wasRead = true;
    // The result of iteratorOf() need not return promises, which saves work for each item.
    return iteratorOf(this.#source) as AsyncIterator<unknown>;
  }
}
