/** Trying again, where it is safe, after a pause. */

import { checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, pause } from '../../core/timers.js';
import { cancelled, streams } from '../calls/client-call.js';
import { isRpcCode, type RpcCode, type RpcError, rpcErrorOf } from '../errors.js';
import { invokeSafely } from '../streams/stream-end.js';
import type { Call, Interceptor, Invoke } from '../types.js';
import { RetryBudget, type RetryBudgetOptions } from './retry-budget.js';
import { deadlineOf, isReceived } from './side.js';

/** Milliseconds. Defaults: RETRY_DEFAULTS. */
export interface RetryOptions {
  /** The most attempts of one call, the first included. */
  attempts?: number | undefined;
  /**
   * The pause before the second attempt; it doubles with each, and is random between half of that
   * and the whole.
   */
  initialDelay?: number | undefined;
  maxDelay?: number | undefined;
  /** What an idempotent method is called again for although the call may have run. */
  codes?: readonly RpcCode[] | undefined;
  /**
   * How many second tries there are at most. A RetryBudget is shared by all who are given it;
   * options make a new one.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
  /** Told of each error that another attempt follows, and of the pause before it. */
  onRetry?: ((error: RpcError, call: Call, delay: number) => unknown) | undefined;
}

const NAMES = {
  attempts: true,
  initialDelay: true,
  maxDelay: true,
  codes: true,
  budget: true,
  onRetry: true,
} satisfies NamesOf<RetryOptions>;

/** Milliseconds. */
export const RETRY_DEFAULTS = {
  attempts: 3,
  initialDelay: 50,
  maxDelay: 2_000,
  codes: ['UNAVAILABLE'] as readonly RpcCode[],
} satisfies RetryOptions;

/**
 * A call that was not sent may be sent later for these; for any other code the next attempt would
 * fail as the last did.
 */
const PASSING: readonly RpcCode[] = ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'];

type Resolved = typeof RETRY_DEFAULTS & Pick<RetryOptions, 'onRetry'>;

/**
 * Tries a call again that failed, where that is safe: it certainly did not run (`unsent`), or its
 * method is idempotent and the error has one of `codes`. Not past the call's timeout, which all
 * attempts share, not after its signal, not beyond the budget, and never a stream. On a server,
 * where the handler would run again, only idempotent methods are. Throws BAD_OPTION.
 */
export function retry(options: RetryOptions = {}): Interceptor {
  checkNames('retry()', options, NAMES);
  const resolved = resolve(options);
  const { budget: given } = options;
  RetryBudget.of(given);
  return (next) => {
    const budget = RetryBudget.of(given);
    return (call) => {
      const { kind } = call.method;
      if (streams(kind)) return next(call);
      budget.deposit();
      const began = performance.now();
      return invokeSafely(next, call).catch((error) =>
        tryAgain(next, call, error, began, budget, resolved),
      );
    };
  };
}

function resolve(options: RetryOptions): Resolved {
  const resolved = withDefaults(RETRY_DEFAULTS, options, {
    attempts: [1, 100],
    initialDelay: [0, LONGEST_TIMER],
    maxDelay: [0, LONGEST_TIMER],
  });
  const { attempts, codes } = resolved;
  if (!Number.isInteger(attempts)) throw badOption('attempts', attempts, 'a whole number');
  if (!Array.isArray(codes))
    throw badOption('codes', codes, 'an array of codes, such as UNAVAILABLE');
  for (const code of codes)
    if (!isRpcCode(code)) throw badOption('codes', code, 'a code, such as UNAVAILABLE');
  checkCallback('onRetry', options.onRetry);
  return { ...resolved, onRetry: options.onRetry };
}

async function tryAgain(
  next: Invoke,
  call: Call,
  first: unknown,
  began: number,
  budget: RetryBudget,
  options: Resolved,
): Promise<unknown> {
  const deadline = deadlineOf(call, began);
  let unsent = true;
  let backoff = options.initialDelay;
  let error = first;
  for (let left = options.attempts - 1; ; left--) {
    const failure = rpcErrorOf(error);
    if (left === 0 || failure === undefined || !isSafe(failure, call, options.codes)) throw error;
    unsent &&= failure.unsent;
    const delay = Math.min(backoff, options.maxDelay) * (0.5 + Math.random() / 2);
    if (deadline !== undefined && performance.now() + delay >= deadline) throw error;
    // What found nobody to send to puts no load on anybody.
    const isFree = failure.unsent && failure.code === 'UNAVAILABLE' && failure.reason === undefined;
    if (!isFree && !budget.withdraw()) throw error;
    notifyOrWarn('onRetry', () => options.onRetry?.(failure, call, delay));
    if (!(await pause(delay, call.signal))) throw cancelled(call, unsent);
    backoff *= 2;
    try {
      return await next(call);
    } catch (next) {
      error = next;
    }
  }
}

function isSafe(error: RpcError, call: Call, codes: readonly RpcCode[]): boolean {
  if (call.signal?.aborted) return false;
  // What a handler's own calls did not send says nothing of what else it has done.
  if (error.unsent && !isReceived(call))
    return PASSING.includes(error.code) || codes.includes(error.code);
  return call.method.idempotent && codes.includes(error.code);
}
