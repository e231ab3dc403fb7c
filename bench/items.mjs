// @ts-check
/** The items of streams. */
import { letters } from './message.mjs';

/** @typedef {import('./message.mjs').Item} Item */

/** 64 bytes in Protobuf. */
const ITEM = { A: letters(62) };

/** Reading the clock for each item would be a part of its cost. */
const ITEMS_PER_CLOCK = 32;

/**
 * Has an item whenever it is asked for one, until its time is over. It has no timer: grpc-js can
 * write for seconds without a turn of the event loop, while its peer keeps up.
 */
export class ItemSource {
  count = 0;
  #isOver = false;
  #end;
  #withTotal;

  /**
   * @param {number} seconds
   * @param {boolean} [withTotal] Whether a last item has the number of the items before it.
   */
  constructor(seconds, withTotal = false) {
    this.#end = performance.now() + seconds * 1_000;
    this.#withTotal = withTotal;
  }

  /** The next item; undefined at the end. @returns {Item | undefined} */
  next() {
    if (this.count % ITEMS_PER_CLOCK === 0 && !this.#isOver)
      this.#isOver = performance.now() >= this.#end;
    if (!this.#isOver) {
      this.count++;
      return ITEM;
    }
    if (!this.#withTotal) return undefined;
    this.#withTotal = false;
    return this.total();
  }

  /** @returns {Item} */
  total() {
    return { A: String(this.count) };
  }
}

/** Checks and counts received items. */
export class ItemCount {
  count = 0;
  /** Whether an item with the correct total has arrived. */
  isComplete = false;

  /** Throws when the item is neither that of ItemSource nor the total. @param {Item} item */
  add({ A }) {
    if (A === ITEM.A) this.count++;
    else if (A === String(this.count)) this.isComplete = true;
    else throw new Error(`a wrong item after ${this.count} items: ${A}`);
  }

  /** @returns {import('./message.mjs').Reply} */
  total() {
    return { A: String(this.count) };
  }
}
