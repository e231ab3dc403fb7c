/** The bytes of the items that wait in several streams, and their limit. */
import { RpcError } from '../errors.js';

/**
 * Counts the bytes of the items that no reader has taken yet. All streams that the peer has begun
 * in one session share an object. Each stream of a call that this side makes has its own.
 */
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
        `a message that counts ${bytes} bytes has arrived while ${this.bytes} bytes wait to be read in the streams of this session; maxStreamBytes is ${this.#limit}`,
      );
    }
    this.bytes += bytes;
  }

  remove(bytes: number): void {
    this.bytes -= bytes;
  }
}
