/**
 * The writes of a compressed connection that the operating system has not taken. They are counted
 * in bytes before compression.
 */
import { Queue } from '../../core/queue.js';

export interface UnflushedWrite {
  /** Bytes before compression. */
  readonly size: number;
  /** Offset in the compressed stream where this write ends; Infinity until that is known. */
  end: number;
}

/**
 * A write counts in full until the last byte of its compressed form is taken. A part of the
 * compressed form does not correspond to a part of the write.
 */
export class UnflushedWrites {
  /** Oldest first. */
  readonly #writes = new Queue<UnflushedWrite>();
  #bytes = 0;

  add(size: number): UnflushedWrite {
    const write = { size, end: Number.POSITIVE_INFINITY };
    this.#writes.push(write);
    this.#bytes += size;
    return write;
  }

  /** The bytes that are not taken when `taken` bytes of the compressed stream are taken. */
  bytesNotTaken(taken: number): number {
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
