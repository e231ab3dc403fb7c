import type { Bytes } from '../../core/bytes.js';

/**
 * Bytes that wait while the connection has unsent bytes. They are collected in one buffer: many
 * small buffers would fragment the memory of the process.
 */
export class PendingBuffer {
  readonly #buffer: Bytes;
  readonly #start: number;
  #end: number;

  /** Uses `buffer` from `start` on. The connection has the bytes before `start`. */
  constructor(buffer: Bytes, start: number) {
    this.#buffer = buffer;
    this.#start = start;
    this.#end = start;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** How many bytes can be appended. */
  get space(): number {
    return this.#buffer.length - this.#end;
  }

  /** Appends `bytes`, which must fit into `space`. */
  append(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** A view of all bytes. */
  get bytes(): Bytes {
    return this.#buffer.subarray(this.#start, this.#end);
  }
}
