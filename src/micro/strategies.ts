/** Strategies: what happens when a call to a node fails. */
import { badOption, withDefaults } from '../options.js';
import type { Call } from '../rpc/types.js';
import type { Attempt, ServiceNode, Strategy } from './types.js';

/** One attempt; its error is the caller's. */
export function failfast(): Strategy {
  return (attempt) => (call) => attempt(call, new Set());
}

export interface RetryBudgetOptions {
  /** Retries earned by each call: 0.2 lets retries add 20 % to the load. */
  ratio?: number;
  /** Retries earned by each second, so that a consumer of few calls has some too. */
  perSecond?: number;
}

export interface FailoverOptions {
  /** The most attempts of one call, the first included. */
  attempts?: number;
  /**
   * How many second tries there are at most. It is for calls that may have reached a node, or that a busy one turned
   * away; a call that found its node UNAVAILABLE before it was sent puts no load on anybody and costs nothing.
   */
  budget?: RetryBudgetOptions;
  /** Told of each error that another attempt follows. Must not throw. */
  onRetry?: (error: unknown, call: Call) => void;
}

export const FAILOVER_DEFAULTS = { attempts: 3 } satisfies FailoverOptions;
export const RETRY_BUDGET_DEFAULTS = { ratio: 0.2, perSecond: 10 } satisfies RetryBudgetOptions;
/** What was earned is forgotten within about this time, in ms: a good day does not pay for the storm of a bad one. */
const BUDGET_MEMORY = 10_000;
/** How often that is reckoned, in ms. */
const BUDGET_STEP = 100;

/** A bucket of tokens: calls and time fill it, retries empty it, and it leaks. */
export class RetryBudget {
  readonly #ratio: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #at: number;

  /** `now` is in milliseconds, monotonic. Throws BAD_OPTION. */
  constructor(options: RetryBudgetOptions = {}, now: () => number = () => performance.now()) {
    const { ratio, perSecond } = withDefaults(RETRY_BUDGET_DEFAULTS, options, { ratio: [0, 10], perSecond: [0, 1e6] });
    this.#ratio = ratio;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = (perSecond * BUDGET_MEMORY) / 1000;
    this.#at = now();
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

/**
 * Another node, as long as a second try is safe: the call certainly did not run (`unsent`), or its node was lost
 * (UNAVAILABLE) and its method is idempotent. Not after the caller aborted or its timeout passed; all attempts share
 * the call's timeout. Throws BAD_OPTION.
 */
export function failover(options: FailoverOptions = {}): Strategy {
  const { attempts } = withDefaults(FAILOVER_DEFAULTS, options, { attempts: [1, 100] });
  if (!Number.isInteger(attempts)) throw badOption('attempts', attempts, 'a whole number');
  const { budget: limits, onRetry } = options;
  if (onRetry !== undefined && typeof onRetry !== 'function') throw badOption('onRetry', onRetry, 'a function');
  new RetryBudget(limits);
  return (attempt) => {
    const budget = new RetryBudget(limits);
    return (call) => {
      budget.deposit();
      return tryInTurn(attempt, call, attempts, budget, onRetry);
    };
  };
}

async function tryInTurn(attempt: Attempt, call: Call, attempts: number, budget: RetryBudget, onRetry: FailoverOptions['onRetry']): Promise<unknown> {
  const tried = new Set<ServiceNode>();
  const began = performance.now();
  let current = call;
  let before: unknown;
  for (let left = attempts - 1; ; left--) {
    const nodes = tried.size;
    try {
      return await attempt(current, tried);
    } catch (error) {
      // No node was left to try: the caller learns why the last one failed rather than that.
      if (tried.size === nodes && !call.signal?.aborted) throw before ?? error;
      if (left === 0 || !isSafe(error, call)) throw error;
      if (call.timeout !== undefined) {
        const timeout = call.timeout - (performance.now() - began);
        if (timeout <= 0) throw error;
        current = call.with({ timeout });
      }
      if (!isFree(error) && !budget.withdraw()) throw error;
      before = error;
      onRetry?.(error, call);
    }
  }
}

/** An RpcError has these two; anything else that is thrown has not, and is not tried again. */
function read(error: unknown): { readonly code?: unknown; readonly unsent?: unknown } {
  return typeof error === 'object' && error !== null ? error : {};
}

function isSafe(error: unknown, call: Call): boolean {
  if (call.signal?.aborted) return false;
  const { code, unsent } = read(error);
  return unsent === true || (call.method.idempotent && code === 'UNAVAILABLE');
}

function isFree(error: unknown): boolean {
  const { code, unsent } = read(error);
  return unsent === true && code === 'UNAVAILABLE';
}
