/** Strategies: what happens when a call to a node fails. */

import { checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { outOfTime, timeLeft } from '../../rpc/calls/client-call.js';
import { type Call, RetryBudget, type RetryBudgetOptions } from '../../rpc/index.js';
import type { Attempt, ServiceNode, Strategy } from '../types.js';
import { isFree, isSafe } from './safe.js';

/** One attempt; its error is the caller's. */
export function failfast(): Strategy {
  return (attempt) => (call) => attempt(call, new Set());
}

export interface FailoverOptions {
  /** The most attempts of one call, the first included. */
  attempts?: number | undefined;
  /**
   * How many second tries there are at most. It is for calls that may have reached a node, or that
   * a busy one turned away; a call that found its node UNAVAILABLE before it was sent puts no load
   * on anybody and costs nothing. A RetryBudget is shared by all who are given it.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
  /** Told of each error that another attempt follows. */
  onRetry?: ((error: unknown, call: Call) => unknown) | undefined;
}

const NAMES = { attempts: true, budget: true, onRetry: true } satisfies NamesOf<FailoverOptions>;

export const FAILOVER_DEFAULTS = { attempts: 3 } satisfies FailoverOptions;

/**
 * Another node, as long as a second try is safe: the call certainly did not run (`unsent`), or its
 * node was lost (UNAVAILABLE) and its method is idempotent. Not after the caller aborted or its
 * timeout passed; all attempts share the call's timeout. Throws BAD_OPTION.
 */
export function failover(options: FailoverOptions = {}): Strategy {
  checkNames('failover()', options, NAMES);
  const { attempts } = withDefaults(FAILOVER_DEFAULTS, options, { attempts: [1, 100] });
  if (!Number.isInteger(attempts)) throw badOption('attempts', attempts, 'a whole number');
  const { budget: limits, onRetry } = options;
  checkCallback('onRetry', onRetry);
  RetryBudget.of(limits);
  return (attempt) => {
    const budget = RetryBudget.of(limits);
    return (call) => {
      budget.deposit();
      return tryInTurn(attempt, call, attempts, budget, onRetry);
    };
  };
}

/** One attempt after the other, as failover() says. */
export async function tryInTurn(
  attempt: Attempt,
  call: Call,
  attempts: number,
  budget: RetryBudget,
  onRetry: FailoverOptions['onRetry'],
): Promise<unknown> {
  const tried = new Set<ServiceNode>();
  let before: unknown;
  for (let left = attempts - 1; ; left--) {
    const nodes = tried.size;
    try {
      return await attempt(call, tried);
    } catch (error) {
      // No node was left to try: the caller learns why the last one failed rather than that.
      if (tried.size === nodes && !call.signal?.aborted) throw before ?? error;
      if (left === 0 || !isSafe(error, call)) throw error;
      if (timeLeft(call) < 1) throw outOfTime(call, error);
      if (!isFree(error) && !budget.withdraw()) throw error;
      before = error;
      if (onRetry !== undefined) notifyOrWarn('onRetry', () => onRetry(error, call));
    }
  }
}
