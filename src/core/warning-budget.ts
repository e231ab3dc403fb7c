/** How many warnings are passed on: a peer that causes one with each message must fill no disk. */
const PER_SECOND = 10;

export class WarningBudget {
  readonly #burst: number;
  #left: number;
  #refilledAt = 0;
  #suppressed = 0;

  /** `burst` warnings pass at once, and 10 a second after that. */
  constructor(burst: number) {
    this.#burst = burst;
    this.#left = burst;
  }

  /** The number of warnings that were suppressed before this one; undefined: this one is suppressed too. */
  take(): number | undefined {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#refilledAt) / 1_000) * PER_SECOND);
    this.#refilledAt = now;
    if (this.#left < 1) {
      this.#suppressed++;
      return undefined;
    }
    this.#left--;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}
