/** A first-in, first-out queue. Array.shift() would move all other items at each call. */

const FIRST_CAPACITY = 8;
/** Items. A queue that becomes empty releases a ring that is larger. */
const KEPT_CAPACITY = 8192;

export class Queue<T> {
  /**
   * A ring buffer; its length is a power of two. Undefined before the first item, and after
   * clear().
   */
  #ring: (T | undefined)[] | undefined;
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    let ring = this.#ring;
    if (ring === undefined || this.#length === ring.length) ring = this.#grow();
    ring[(this.#first + this.#length) & (ring.length - 1)] = item;
    this.#length++;
  }

  /** The oldest item, without removing it; undefined if the queue is empty. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#ring?.[this.#first];
  }

  /** Removes and returns the oldest item; undefined if the queue is empty. */
  shift(): T | undefined {
    const ring = this.#ring;
    if (ring === undefined || this.#length === 0) return undefined;
    const item = ring[this.#first];
    ring[this.#first] = undefined;
    this.#first = (this.#first + 1) & (ring.length - 1);
    this.#length--;
    if (this.#length === 0 && ring.length > KEPT_CAPACITY) this.clear();
    return item;
  }

  clear(): void {
    this.#ring = undefined;
    this.#first = 0;
    this.#length = 0;
  }

  #grow(): (T | undefined)[] {
    const old = this.#ring;
    const ring: (T | undefined)[] = new Array(
      old === undefined ? FIRST_CAPACITY : old.length * 2,
    ).fill(undefined);
    if (old !== undefined)
      for (let i = 0; i < this.#length; i++) ring[i] = old[(this.#first + i) & (old.length - 1)];
    this.#ring = ring;
    this.#first = 0;
    return ring;
  }
}
