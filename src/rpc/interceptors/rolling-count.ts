/** The count of events within a rolling window. */

/**
 * The number of slices of the window. Events leave slice by slice, so an event counts up to a tenth
 * longer than the window and never shorter.
 */
const SLICES = 10;

export class RollingCount {
  /** The length of a slice, in milliseconds. */
  readonly #sliceLength: number;
  readonly #counts = new Array<number>(SLICES + 1).fill(0);
  #slice = Number.NEGATIVE_INFINITY;
  #sum = 0;

  /** `window`: in milliseconds. */
  constructor(window: number) {
    this.#sliceLength = window / SLICES;
  }

  /** Adds an event at `now`, in milliseconds. Returns the events within the window. */
  add(now: number): number {
    this.#expire(now);
    const at = this.#placeOf(this.#slice);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    return ++this.#sum;
  }

  /** Returns the events within the window that ends at `now`, in milliseconds. */
  at(now: number): number {
    this.#expire(now);
    return this.#sum;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#sum = 0;
  }

  /** A clock of the program may be negative, and so a slice. */
  #placeOf(slice: number): number {
    const { length } = this.#counts;
    return ((slice % length) + length) % length;
  }

  #expire(now: number): void {
    const slice = Math.floor(now / this.#sliceLength);
    const passed = slice - this.#slice;
    if (passed <= 0) return;
    const { length } = this.#counts;
    if (passed >= length) this.clear();
    else {
      for (let old = this.#slice + 1; old <= slice; old++) {
        const at = this.#placeOf(old);
        this.#sum -= this.#counts[at] as number;
        this.#counts[at] = 0;
      }
    }
    this.#slice = slice;
  }
}
