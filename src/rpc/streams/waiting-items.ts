/** The items of a stream that wait for their reader, as bytes. */
import { allocate, type Bytes } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';
import type { StreamMemory } from './stream-memory.js';

/** Bytes of memory that a waiting item counts in addition to its frame. */
const ITEM_OVERHEAD = 256;
/** Size in bytes of a buffer that small bodies share. */
const SHARED_BYTES = 4096;
/** Largest size in bytes of a body in a shared buffer. A larger body has its own buffer. */
const MAX_SHARED_BODY = 512;
/** Up to this size in bytes, a loop copies a body faster than set(), which needs a view. */
const MAX_LOOP_COPY = 48;

/** An item whose body is in `bytes` from `start` to `end`. */
export interface WaitingItem {
  readonly bytes: Bytes;
  readonly start: number;
  readonly end: number;
  /** Bytes of its frame. */
  readonly size: number;
}

/**
 * A queue of encoded items. A decoded item can take 20 times as much memory, and the size of
 * decoded objects is unknown.
 */
export class WaitingItems {
  readonly #items = new Queue<WaitingItem>();
  readonly #memory: StreamMemory;
  /** No byte in it is overwritten, because a decoded message may keep views of it. */
  #shared: Bytes | undefined;
  /** Bytes of `#shared` that hold bodies. */
  #used = 0;

  /** `memory`: counts the items. Other streams may share it. */
  constructor(memory: StreamMemory) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#items.length;
  }

  /** Copies the body. `size`: bytes of the frame. Throws RESOURCE_EXHAUSTED. */
  push(bytes: Bytes, start: number, end: number, size: number): void {
    this.#memory.add(size + ITEM_OVERHEAD);
    this.#items.push(this.#copy(bytes, start, end, size));
  }

  take(): WaitingItem | undefined {
    const item = this.#items.shift();
    if (item !== undefined) this.#memory.remove(item.size + ITEM_OVERHEAD);
    return item;
  }

  clear(): void {
    while (this.take() !== undefined);
    this.#shared = undefined;
  }

  #copy(bytes: Bytes, start: number, end: number, size: number): WaitingItem {
    const length = end - start;
    if (length > MAX_SHARED_BODY) {
      // copy() of bytes.ts takes small buffers from a shared slab, which an item would keep alive.
      const own = allocate(length);
      own.set(bytes.subarray(start, end), 0);
      return { bytes: own, start: 0, end: length, size };
    }
    let shared = this.#shared;
    if (shared === undefined || this.#used + length > SHARED_BYTES) {
      shared = allocate(SHARED_BYTES);
      this.#shared = shared;
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += length;
    if (length > MAX_LOOP_COPY) shared.set(bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) shared[at + i] = bytes[start + i] as number;
    return { bytes: shared, start: at, end: at + length, size };
  }
}
