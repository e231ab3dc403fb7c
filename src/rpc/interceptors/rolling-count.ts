/** How often something happened lately. */

/** The window is forgotten slice by slice: it is up to a tenth longer than said, never shorter. */
const SLICES = 10;

export class RollingCount {
  readonly #length: number;
  readonly #counts = new Array<number>(SLICES + 1).fill(0);
  #slice = Number.NEGATIVE_INFINITY;
  #sum = 0;

  /** `window` in ms. */
  constructor(window: number) {
    this.#length = window / SLICES;
  }

  /** Count one more at the instant `now`, in ms; answers how many there are. */
  add(now: number): number {
    this.#forget(now);
    const at = this.#slice % this.#counts.length;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    return ++this.#sum;
  }

  at(now: number): number {
    this.#forget(now);
    return this.#sum;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#sum = 0;
  }

  #forget(now: number): void {
    const slice = Math.floor(now / this.#length);
    const passed = slice - this.#slice;
    if (passed <= 0) return;
    const { length } = this.#counts;
    if (passed >= length) this.clear();
    else {
      for (let old = this.#slice + 1; old <= slice; old++) {
        this.#sum -= this.#counts[old % length] as number;
        this.#counts[old % length] = 0;
      }
    }
    this.#slice = slice;
  }
}
