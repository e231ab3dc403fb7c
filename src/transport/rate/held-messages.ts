import { allocate, type Bytes } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';

/**
 * Bytes of the buffer for messages that wait. It grows with what waits, so that many small messages
 * take little memory.
 */
const SMALLEST_BUFFER = 2 * 1024;
const LARGEST_BUFFER = 64 * 1024;

/** The bytes of a buffer from `start` to `end`. They are never overwritten. */
export interface BytesPart {
  readonly buffer: Bytes;
  readonly start: number;
  end: number;
}

/** Encoded messages that wait, in few large buffers. */
export class HeldMessages {
  /** Bytes of all messages. clear() does not change it. */
  bytes = 0;
  readonly #lengths = new Queue<number>();
  /** The buffers of the messages, except the last buffer. */
  readonly #full = new Queue<{ readonly buffer: Bytes; readonly end: number }>();
  #buffer: Bytes | undefined;
  /** The end of the last message in the last buffer. */
  #end = 0;
  /** The start of the first message in the first buffer. */
  #start = 0;

  /** The length of the first message in bytes. Undefined: there is none. */
  get first(): number | undefined {
    return this.#lengths.peek();
  }

  /** Copies `message`, which must not be empty. */
  push(message: Uint8Array): void {
    const { length } = message;
    let buffer = this.#buffer;
    if (buffer === undefined || buffer.length - this.#end < length) {
      if (buffer !== undefined) this.#full.push({ buffer, end: this.#end });
      const size = Math.min(LARGEST_BUFFER, Math.max(SMALLEST_BUFFER, this.bytes));
      buffer = allocate(Math.max(size, length));
      this.#buffer = buffer;
      this.#end = 0;
    }
    buffer.set(message, this.#end);
    this.#end += length;
    this.bytes += length;
    this.#lengths.push(length);
  }

  /** Moves the first message to the end of `parts`. Messages of one buffer become one part. */
  moveFirstTo(parts: BytesPart[]): void {
    const length = this.#lengths.shift() as number;
    if (this.#full.peek()?.end === this.#start) {
      this.#full.shift();
      this.#start = 0;
    }
    const buffer = this.#full.peek()?.buffer ?? (this.#buffer as Bytes);
    const start = this.#start;
    this.#start += length;
    this.bytes -= length;
    const last = parts.at(-1);
    if (last?.buffer === buffer) last.end = this.#start;
    else parts.push({ buffer, start, end: this.#start });
  }

  clear(): void {
    this.#lengths.clear();
    this.#full.clear();
    this.#buffer = undefined;
  }
}
