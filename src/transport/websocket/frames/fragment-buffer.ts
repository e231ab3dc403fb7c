import { allocate } from '../../../core/bytes.js';
import { messageTooLarge } from './frame-error.js';

/**
 * The headers of all fragments of a message may take maxMessageBytes and this many bytes more. This
 * limits the number of empty fragments.
 */
const EXTRA_HEADER_BYTES = 64 * 1024;
/** The smallest buffer for fragments. Bytes. */
const MIN_CAPACITY = 1024;
const EMPTY = allocate(0);

/** The largest payload of a message in bytes, before it is inflated. */
export function maxPayloadBytes(maxMessageBytes: number, isCompressed: boolean): number {
  // Content that DEFLATE cannot compress becomes slightly larger.
  return isCompressed ? maxMessageBytes + (maxMessageBytes >>> 10) + 64 : maxMessageBytes;
}

/**
 * The payloads of the fragments of one message. They are copied, because views of many small
 * fragments would keep as many large chunks in memory.
 */
export class FragmentBuffer {
  readonly #maxCapacity: number;
  readonly #maxHeaderBytes: number;
  #bytes = EMPTY;
  #length = 0;
  #headerBytes = 0;

  constructor(maxMessageBytes: number, isCompressed: boolean) {
    this.#maxCapacity = maxPayloadBytes(maxMessageBytes, isCompressed);
    this.#maxHeaderBytes = maxMessageBytes + EXTRA_HEADER_BYTES;
  }

  /** Bytes of payload. */
  get length(): number {
    return this.#length;
  }

  /** A view of the payload. */
  get payload(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Appends a fragment that is not the last one; its payload is at `start` to `end` of `bytes`.
   * Throws FrameError: the headers of the fragments exceed their limit.
   */
  append(bytes: Buffer, start: number, end: number, headerBytes: number): void {
    this.#headerBytes += headerBytes;
    if (this.#headerBytes > this.#maxHeaderBytes)
      throw messageTooLarge(
        `the headers of a message's fragments take more than ${this.#maxHeaderBytes} bytes`,
      );
    const length = this.#length + end - start;
    // The caller has checked that the length is at most maxPayloadBytes().
    if (length > this.#bytes.length)
      this.#grow(Math.min(Math.max(length * 2, MIN_CAPACITY), this.#maxCapacity));
    this.#copy(bytes, start, end);
  }

  /** Appends the last fragment and returns the payload of the message. */
  complete(bytes: Buffer, start: number, end: number): Buffer {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) this.#grow(length);
    this.#copy(bytes, start, end);
    return this.payload;
  }

  #copy(bytes: Buffer, start: number, end: number): void {
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length += end - start;
  }

  #grow(capacity: number): void {
    const grown = allocate(capacity);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
