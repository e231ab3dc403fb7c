/**
 * Bytes that wait behind a connection which has not taken what it has, until they make one large
 * chunk.
 */
import type { Bytes } from '../../core/bytes.js';

/**
 * In place, in a buffer that is there already: many small ones, gathered later, leave the memory of
 * the process in holes.
 */
export class HeldBytes {
  readonly #buffer: Bytes;
  readonly #start: number;
  #end: number;

  /** They are put into `buffer` from `start` on. What lies before it is another's. */
  constructor(buffer: Bytes, start: number) {
    this.#buffer = buffer;
    this.#start = start;
    this.#end = start;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** How many more the buffer takes. */
  get room(): number {
    return this.#buffer.length - this.#end;
  }

  /** Put `bytes`, for which there is room, behind the others. */
  append(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** All of them, as a view. */
  get bytes(): Bytes {
    return this.#buffer.subarray(this.#start, this.#end);
  }
}
