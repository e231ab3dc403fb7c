/** The retry budget: bounds the load that retries add to a service in trouble. */
import { isInstance } from '../../core/errors.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { now as timeOfTick } from '../../transport/session/flush-scheduler.js';

/** Options of RetryBudget. */
export interface RetryBudgetOptions {
  /** Retries that each call adds: 0.2 lets retries add 20 % to the load. Default: 0.2. */
  ratio?: number | undefined;
  /** Retries that each second adds, so that a caller with few calls may retry too. Default: 10. */
  perSecond?: number | undefined;
}

const OPTION_NAMES = { ratio: true, perSecond: true } satisfies NamesOf<RetryBudgetOptions>;

/** The default values of RetryBudget. */
export const RETRY_BUDGET_DEFAULTS = { ratio: 0.2, perSecond: 10 } satisfies RetryBudgetOptions;

/**
 * The time constant of the leak, in milliseconds. The tokens of a quiet hour are not available
 * in an outage.
 */
const LEAK_TIME = 10_000;
/** The least time between two leaks, in milliseconds. */
const LEAK_PERIOD = 100;

/**
 * A leaky bucket of tokens: calls and time fill it, and each retry takes one. Several retry
 * interceptors may share one.
 */
export class RetryBudget {
  readonly #ratio: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  /** With initializers, because V8 would otherwise box these doubles again in each call. */
  #tokens = 0;
  #leakedAt = 0;

  /**
   * `now`: a monotonic clock in milliseconds. Default: performance.now(), read once for each event
   * of the network. Throws BAD_OPTION.
   */
  constructor(options: RetryBudgetOptions = {}, now: () => number = timeOfTick) {
    checkNames('budget', options, OPTION_NAMES);
    const { ratio, perSecond } = withDefaults(RETRY_BUDGET_DEFAULTS, options, {
      ratio: [0, 10],
      perSecond: [0, 1e6],
    });
    this.#ratio = ratio;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = (perSecond * LEAK_TIME) / 1000;
    this.#leakedAt = now();
  }

  /** Returns the given budget, or a new one of the options. Throws BAD_OPTION. */
  static of(given: RetryBudget | RetryBudgetOptions | undefined): RetryBudget {
    return isInstance(given, RetryBudget) ? given : new RetryBudget(given);
  }

  /** Adds the tokens of one call. */
  deposit(): void {
    this.#tokens += this.#ratio;
    this.#leak();
  }

  /** Takes one token. Returns false when there is none: the call must not be retried. */
  withdraw(): boolean {
    this.#leak();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #leak(): void {
    const now = this.#now();
    const elapsed = now - this.#leakedAt;
    if (elapsed < LEAK_PERIOD) return;
    this.#leakedAt = now;
    // A constant inflow and a proportional leak make the level approach the tokens of ten seconds.
    const kept = Math.exp(-elapsed / LEAK_TIME);
    this.#tokens = this.#tokens * kept + ((this.#perSecond * LEAK_TIME) / 1000) * (1 - kept);
  }
}
