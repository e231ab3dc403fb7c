/** Where an error goes that has no listener: it must be seen, and must not end the program. */

const PER_SECOND = 10;

/** How many warnings are passed on: a peer that causes one with each message must fill no disk. */
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

  /**
   * The number of warnings that were suppressed before this one; undefined: this one is suppressed
   * too.
   */
  take(): number | undefined {
    const now = performance.now();
    this.#left = Math.min(
      this.#burst,
      this.#left + ((now - this.#refilledAt) / 1_000) * PER_SECOND,
    );
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

/** So many warnings of the process are passed on at once. */
const BURST = 1_000;
const budget = new WarningBudget(BURST);

/**
 * As a warning of the process; in a browser as the page's own uncaught errors are told, at its
 * console and to its `error` listeners. A peer may cause a warning with each message, so most of
 * very many are left out.
 */
export function warn(error: Error): void {
  const suppressed = budget.take();
  if (suppressed === undefined) return;
  if (suppressed > 0) emit(new Error(`${suppressed} warnings of getty-ts were left out`));
  emit(error);
}

function emit(error: Error): void {
  const { process, reportError = console.error } = globalThis as {
    process?: NodeJS.Process;
    reportError?: (error: unknown) => void;
  };
  if (typeof process?.emitWarning === 'function') process.emitWarning(error);
  else reportError(error);
}
