/**
 * What was written and is not taken, where the bytes that are taken are others than those that were
 * written: they were compressed.
 */
import { Queue } from '../../core/queue.js';

export interface Write {
  readonly size: number;
  /** Where its compressed form ends in the outgoing stream; Infinity while that is not known. */
  end: number;
}

/**
 * A write is taken when the last byte of its compressed form is: part of that says nothing about
 * part of the write.
 */
export class Untaken {
  /** Oldest first. */
  readonly #writes = new Queue<Write>();
  #bytes = 0;

  add(size: number): Write {
    const write = { size, end: Number.POSITIVE_INFINITY };
    this.#writes.push(write);
    this.#bytes += size;
    return write;
  }

  /** Bytes that are left when the outgoing stream has been taken up to `taken`. */
  left(taken: number): number {
    for (
      let write = this.#writes.peek();
      write !== undefined && write.end <= taken;
      write = this.#writes.peek()
    ) {
      this.#bytes -= write.size;
      this.#writes.shift();
    }
    return this.#bytes;
  }
}
