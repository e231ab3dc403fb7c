/** How many second tries a busy or broken service is to bear. */
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';

export interface RetryBudgetOptions {
  /** Retries earned by each call: 0.2 lets retries add 20 % to the load. */
  ratio?: number | undefined;
  /** Retries earned by each second, so that a caller of few calls has some too. */
  perSecond?: number | undefined;
}

const NAMES = { ratio: true, perSecond: true } satisfies NamesOf<RetryBudgetOptions>;

export const RETRY_BUDGET_DEFAULTS = { ratio: 0.2, perSecond: 10 } satisfies RetryBudgetOptions;
/**
 * What was earned is forgotten within about this time, in ms: a good day does not pay for the storm
 * of a bad one.
 */
const BUDGET_MEMORY = 10_000;
/** How often that is reckoned, in ms. */
const BUDGET_STEP = 100;

/**
 * A bucket of tokens: calls and time fill it, retries empty it, and it leaks. May be shared by
 * everything that tries again.
 */
export class RetryBudget {
  readonly #ratio: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #at: number;

  /** `now` is in milliseconds, monotonic. Throws BAD_OPTION. */
  constructor(options: RetryBudgetOptions = {}, now: () => number = () => performance.now()) {
    checkNames('budget', options, NAMES);
    const { ratio, perSecond } = withDefaults(RETRY_BUDGET_DEFAULTS, options, {
      ratio: [0, 10],
      perSecond: [0, 1e6],
    });
    this.#ratio = ratio;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = (perSecond * BUDGET_MEMORY) / 1000;
    this.#at = now();
  }

  /** One that is given, to share it; else a new one. Throws BAD_OPTION. */
  static of(given: RetryBudget | RetryBudgetOptions | undefined): RetryBudget {
    return given instanceof RetryBudget ? given : new RetryBudget(given);
  }

  /** A call began. */
  deposit(): void {
    this.#tokens += this.#ratio;
    this.#pass();
  }

  /** Whether a retry may be; if so it is paid. */
  withdraw(): boolean {
    this.#pass();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #pass(): void {
    const now = this.#now();
    const elapsed = now - this.#at;
    if (elapsed < BUDGET_STEP) return;
    this.#at = now;
    // Filled at a constant rate and leaking in proportion, it tends towards ten seconds' worth.
    const kept = Math.exp(-elapsed / BUDGET_MEMORY);
    this.#tokens = this.#tokens * kept + ((this.#perSecond * BUDGET_MEMORY) / 1000) * (1 - kept);
  }
}
