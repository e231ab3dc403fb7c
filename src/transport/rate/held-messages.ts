import { allocate, type Bytes } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';

/** Bytes of a block. It grows with what waits, so that many small messages take little memory. */
const SMALLEST_BLOCK = 2 * 1024;
const LARGEST_BLOCK = 64 * 1024;

/** The bytes of a buffer from `start` to `end`. They are never overwritten. */
export interface BytesPart {
  readonly buffer: Bytes;
  readonly start: number;
  end: number;
}

/**
 * A buffer with messages from its start on, and their lengths from its end backward. A length has 7
 * bits in each byte, the low ones first; the high bit says that another byte follows.
 */
interface Block {
  readonly buffer: Bytes;
  /** The end of the last message. */
  end: number;
  /** The start of the last length. */
  lengthsStart: number;
}

function lengthBytesOf(length: number): number {
  let count = 1;
  for (let rest = length; rest > 127; rest >>>= 7) count++;
  return count;
}

/** Encoded messages that wait, in few large buffers. No message has an object of its own. */
export class HeldMessages {
  count = 0;
  /** Bytes of all messages; an empty one counts as one byte. clear() does not change it. */
  bytes = 0;
  /** Bytes of memory that all messages take besides. clear() does not change it. */
  overhead = 0;
  readonly #blocks = new Queue<Block>();
  #last: Block | undefined;
  /** The start of the first message in the first block. */
  #start = 0;
  /** The end of its length there. */
  #lengthEnd = 0;

  /** The length of the first message in bytes. Undefined: there is none. */
  get first(): number | undefined {
    let block = this.#blocks.peek();
    if (block !== undefined && block !== this.#last && this.#lengthEnd === block.lengthsStart) {
      this.#blocks.shift();
      block = this.#blocks.peek() as Block;
      this.#start = 0;
      this.#lengthEnd = block.buffer.length;
    }
    if (block === undefined || this.#lengthEnd === block.lengthsStart) return undefined;
    let length = 0;
    for (let at = this.#lengthEnd - 1, unit = 1; ; at--, unit *= 128) {
      const byte = block.buffer[at] as number;
      length += (byte & 127) * unit;
      if (byte < 128) return length;
    }
  }

  /** Copies `message`. */
  push(message: Uint8Array): void {
    const { length } = message;
    const lengthBytes = lengthBytesOf(length);
    let block = this.#last;
    if (block === undefined || block.lengthsStart - block.end < length + lengthBytes)
      block = this.#addBlock(length + lengthBytes);
    const { buffer } = block;
    buffer.set(message, block.end);
    block.end += length;
    let rest = length;
    for (; rest > 127; rest >>>= 7) buffer[--block.lengthsStart] = (rest & 127) | 128;
    buffer[--block.lengthsStart] = rest;
    this.count++;
    this.bytes += Math.max(1, length);
    this.overhead += lengthBytes;
  }

  #addBlock(needed: number): Block {
    const waiting = this.bytes + this.overhead;
    const size = Math.min(LARGEST_BLOCK, Math.max(SMALLEST_BLOCK, waiting));
    const buffer = allocate(Math.max(size, needed));
    const block = { buffer, end: 0, lengthsStart: buffer.length };
    if (this.#last === undefined) {
      this.#start = 0;
      this.#lengthEnd = buffer.length;
    }
    this.#last = block;
    this.#blocks.push(block);
    return block;
  }

  /** Moves the first message to the end of `parts`. Messages of one block become one part. */
  moveFirstTo(parts: BytesPart[]): void {
    const length = this.first as number;
    const { buffer } = this.#blocks.peek() as Block;
    const lengthBytes = lengthBytesOf(length);
    const start = this.#start;
    this.#start += length;
    this.#lengthEnd -= lengthBytes;
    this.count--;
    this.bytes -= Math.max(1, length);
    this.overhead -= lengthBytes;
    const last = parts.at(-1);
    if (last?.buffer === buffer) last.end = this.#start;
    else parts.push({ buffer, start, end: this.#start });
    // A session that waits for messages must not hold a large buffer.
    if (this.count === 0 && buffer.length > SMALLEST_BLOCK) this.clear();
  }

  /** Moves all messages to the end of `parts`, without a step for each. */
  moveAllTo(parts: BytesPart[]): void {
    let start = this.#start;
    for (let block = this.#blocks.shift(); block !== undefined; block = this.#blocks.shift()) {
      if (start < block.end) parts.push({ buffer: block.buffer, start, end: block.end });
      start = 0;
    }
    this.clear();
    this.count = 0;
    this.bytes = 0;
    this.overhead = 0;
  }

  clear(): void {
    this.#blocks.clear();
    this.#last = undefined;
  }
}
