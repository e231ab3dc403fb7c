/** The strategies failfast() and failover(): attempts at one node after another. */
import { checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { outOfTime } from '../../rpc/calls/call-errors.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import { type Call, RetryBudget, type RetryBudgetOptions } from '../../rpc/index.js';
import type { Attempt, ServiceNode, Strategy } from '../types.js';
import { isFreeRetry, isRetryable } from './retry-safety.js';

/** A strategy that makes one attempt. The error of the attempt is the error of the call. */
export function failfast(): Strategy {
  return (attempt) => (call) => attempt(call, new Set());
}

/** Options of failover(). */
export interface FailoverOptions {
  /** The most attempts of one call, the first included: from 1 to 100. Default: 3. */
  attempts?: number | undefined;
  /**
   * The limit of retries over all calls: options of a budget, or a RetryBudget that several
   * strategies share. Default: a separate budget, with a `ratio` of 0.2 and 10 retries
   * `perSecond`. A retry of a call that found its node UNAVAILABLE before it was sent is free.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
  /**
   * Called before each retry with the error of the attempt before it. An error that it throws
   * becomes a warning of the process. Default: none.
   */
  onRetry?: ((error: unknown, call: Call) => unknown) | undefined;
}

const NAMES = { attempts: true, budget: true, onRetry: true } satisfies NamesOf<FailoverOptions>;

/** Defaults of FailoverOptions. */
export const FAILOVER_DEFAULTS = { attempts: 3 } satisfies FailoverOptions;

/**
 * A strategy that retries a failed call at another node while that is safe: the call did not run
 * (`unsent`), or its node was lost (UNAVAILABLE) and its method is idempotent. It does not retry
 * after the caller aborted or the timeout passed. All attempts share the timeout of the call.
 * Throws BAD_OPTION.
 */
export function failover(options: FailoverOptions = {}): Strategy {
  checkNames('failover()', options, NAMES);
  const { attempts } = withDefaults(FAILOVER_DEFAULTS, options, { attempts: [1, 100] });
  if (!Number.isInteger(attempts)) throw badOption('attempts', attempts, 'a whole number');
  const { budget, onRetry } = options;
  checkCallback('onRetry', onRetry);
  RetryBudget.of(budget);
  return (attempt) => retrySequentially(attempt, attempts, RetryBudget.of(budget), onRetry);
}

/**
 * Makes attempts one after another, as failover() describes. The returned function adds each call
 * to the budget.
 */
export function retrySequentially(
  attempt: Attempt,
  attempts: number,
  budget: RetryBudget,
  onRetry?: FailoverOptions['onRetry'],
): (call: Call) => Promise<unknown> {
  return async (call) => {
    budget.deposit();
    const tried = new Set<ServiceNode>();
    let previousError: unknown;
    for (let left = attempts - 1; ; left--) {
      const triedBefore = tried.size;
      try {
        return await attempt(call, tried);
      } catch (error) {
        // An attempt adds the node that it calls.
        const calledNode = tried.size > triedBefore;
        // The error of the last node says more than "no other node".
        if (!calledNode && !call.signal?.aborted) throw previousError ?? error;
        if (left === 0 || !isRetryable(error, call)) throw error;
        if (timeLeft(call) < 1) throw outOfTime(call, error);
        if (!isFreeRetry(error) && !budget.withdraw()) throw error;
        previousError = error;
        if (onRetry !== undefined) notifyOrWarn('onRetry', () => onRetry(error, call));
      }
    }
  };
}
