/** The strategies failfast() and failover(): attempts at one node after another. */
import { checkCallback } from '../../core/callbacks.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { type Call, RetryBudget, type RetryBudgetOptions } from '../../rpc/index.js';
import type { AttemptStrategy } from '../types.js';
import { retrySequentially } from './sequential-attempts.js';

/**
 * A strategy that makes one attempt. The error of the attempt is the error of the call. Throws
 * BAD_OPTION for any option.
 */
export function failfast(): AttemptStrategy;
export function failfast(options?: object): AttemptStrategy {
  checkNames('failfast()', options, {});
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
 * A strategy that retries a failed call at another node while that is safe and may help: the call
 * did not run (`unsent`) because of its node, or its method is idempotent and the call failed with
 * UNAVAILABLE: its node was lost, or its handler threw the code. It does not retry after the caller
 * aborted, the timeout passed, the first reply of a stream has arrived, or an attempt has taken
 * items of an input that is no array. All attempts share the timeout of the call. Throws
 * BAD_OPTION.
 */
export function failover(options: FailoverOptions = {}): AttemptStrategy {
  checkNames('failover()', options, NAMES);
  const { attempts } = withDefaults(FAILOVER_DEFAULTS, options, { attempts: [1, 100, 'integer'] });
  const { budget, onRetry } = options;
  checkCallback('onRetry', onRetry);
  RetryBudget.of(budget);
  return (attempt) => retrySequentially(attempt, attempts, RetryBudget.of(budget), onRetry);
}
