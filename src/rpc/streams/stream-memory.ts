/** The memory of the items that wait in all streams of one session. */
import { RpcError } from '../errors.js';

/** Counts the bytes of the items that no reader has taken yet. */
export class StreamMemory {
  bytes = 0;
  readonly #limit: number;

  /** `limit`: bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Throws RESOURCE_EXHAUSTED when the sum would exceed the limit. */
  add(bytes: number): void {
    if (this.bytes + bytes > this.#limit) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.bytes} bytes wait to be read in the streams of this session; maxStreamBytes is ${this.#limit}`,
      );
    }
    this.bytes += bytes;
  }

  remove(bytes: number): void {
    this.bytes -= bytes;
  }
}
