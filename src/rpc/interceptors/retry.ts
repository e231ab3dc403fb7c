/** The retry interceptor: repeats a failed call where that is safe. */

import { checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, pause } from '../../core/timers.js';
import { cancelledError } from '../calls/call-errors.js';
import { copyError, isRpcCode, type RpcCode, type RpcError, rpcErrorOf } from '../errors.js';
import { isStreaming } from '../method-kind.js';
import { invokeSafely } from '../streams/call-end.js';
import type { Call, Interceptor, Invoke } from '../types.js';
import { deadlineOf, isReceived } from './call-info.js';
import { RetryBudget, type RetryBudgetOptions } from './retry-budget.js';

/** Options of retry(). */
export interface RetryOptions {
  /** The most attempts of one call, the first included. Default: 3. */
  attempts?: number | undefined;
  /**
   * The pause before the second attempt, in milliseconds. It doubles with each attempt. The actual
   * pause is random, between half of it and all of it. Default: 50.
   */
  initialDelay?: number | undefined;
  /** The longest pause, in milliseconds. Default: 2,000. */
  maxDelay?: number | undefined;
  /**
   * The codes after which an idempotent method is called again, although the call may have run.
   * Default: UNAVAILABLE.
   */
  codes?: readonly RpcCode[] | undefined;
  /**
   * Bounds the retries of all calls together. A RetryBudget may be shared by several interceptors;
   * options make a new one. Default: a new one, with a ratio of 0.2 and 10 retries a second.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
  /**
   * Called before the pause of each retry, with the pause in milliseconds. When it throws, the
   * process warns. Default: none.
   */
  onRetry?: ((error: RpcError, call: Call, delay: number) => unknown) | undefined;
}

const OPTION_NAMES = {
  attempts: true,
  initialDelay: true,
  maxDelay: true,
  codes: true,
  budget: true,
  onRetry: true,
} satisfies NamesOf<RetryOptions>;

/** The default values of retry(). Times are in milliseconds. */
export const RETRY_DEFAULTS = {
  attempts: 3,
  initialDelay: 50,
  maxDelay: 2_000,
  codes: ['UNAVAILABLE'] as readonly RpcCode[],
} satisfies RetryOptions;

/**
 * The codes after which a call that was not sent is repeated. After another code the next attempt
 * would fail in the same way.
 */
const TRANSIENT_CODES: readonly RpcCode[] = ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'];

type Settings = typeof RETRY_DEFAULTS & Pick<RetryOptions, 'onRetry'>;

/**
 * Makes an interceptor that repeats a failed call where that is safe: the call did not run
 * (`unsent`), or its method is idempotent and the error has one of `codes`. It never repeats a
 * stream, never after the call's timeout or signal, and never beyond the budget. All attempts share
 * the call's timeout. On a server it repeats idempotent methods only, because the handler runs
 * again. Throws BAD_OPTION.
 */
export function retry(options: RetryOptions = {}): Interceptor {
  checkNames('retry()', options, OPTION_NAMES);
  const settings = resolveSettings(options);
  const { budget: given } = options;
  RetryBudget.of(given);
  return (next) => {
    const budget = RetryBudget.of(given);
    return (call) => {
      const { kind } = call.method;
      if (isStreaming(kind)) return next(call);
      budget.deposit();
      const startedAt = performance.now();
      return invokeSafely(next, call).catch((error) =>
        retryUntilSettled(next, call, error, startedAt, budget, settings),
      );
    };
  };
}

function resolveSettings(options: RetryOptions): Settings {
  const resolved = withDefaults(RETRY_DEFAULTS, options, {
    attempts: [1, 100, 'integer'],
    initialDelay: [0, LONGEST_TIMER],
    maxDelay: [0, LONGEST_TIMER],
  });
  const { codes } = resolved;
  if (!Array.isArray(codes))
    throw badOption('codes', codes, 'an array of codes, such as UNAVAILABLE');
  for (const code of codes)
    if (!isRpcCode(code)) throw badOption('codes', code, 'a code, such as UNAVAILABLE');
  checkCallback('onRetry', options.onRetry);
  return { ...resolved, onRetry: options.onRetry };
}

async function retryUntilSettled(
  next: Invoke,
  call: Call,
  first: unknown,
  startedAt: number,
  budget: RetryBudget,
  options: Settings,
): Promise<unknown> {
  const deadline = deadlineOf(call, startedAt);
  let backoff = options.initialDelay;
  let error = first;
  let previous: RpcError | undefined;
  /** Whether all attempts before the last one were unsent. */
  let isUnsent = true;
  for (let attempt = 1; ; attempt++) {
    const failure = rpcErrorOf(error);
    if (failure === undefined) throw error;
    const delay = Math.min(backoff, options.maxDelay) * (0.5 + Math.random() / 2);
    if (
      attempt === options.attempts ||
      !isRetryable(failure, call, options.codes) ||
      (deadline !== undefined && performance.now() + delay >= deadline) ||
      !(isFreeRetry(failure) || budget.withdraw())
    )
      throw previous === undefined ? error : lastAttemptError(failure, previous, isUnsent, attempt);
    isUnsent &&= failure.unsent;
    notifyOrWarn('onRetry', () => options.onRetry?.(failure, call, delay));
    if (!(await pause(delay, call.signal))) throw cancelledError(call, isUnsent);
    backoff *= 2;
    previous = failure;
    try {
      return await next(call);
    } catch (thrown) {
      error = thrown;
    }
  }
}

/** A call without a node to send it to puts no load on a node. */
function isFreeRetry({ unsent, code, reason }: RpcError): boolean {
  return unsent && code === 'UNAVAILABLE' && reason === undefined;
}

/**
 * The error of a call after more than one attempt, made from `last`, the error of the last attempt.
 * `isUnsent`: all earlier attempts were unsent; otherwise the call is not unsent. `previous`: the
 * error of the attempt before the last one. It is the cause of an exceeded deadline, because
 * DEADLINE_EXCEEDED does not tell why the call was repeated.
 */
function lastAttemptError(
  last: RpcError,
  previous: RpcError,
  isUnsent: boolean,
  attempt: number,
): RpcError {
  const { code, message, cause, unsent, reason } = last;
  const isLate = code === 'DEADLINE_EXCEEDED';
  if (!isLate && (isUnsent || !unsent)) return last;
  return copyError(last, {
    message: `attempt ${attempt}: ${message}`,
    cause: isLate ? previous : cause,
    unsent: isUnsent && unsent,
    reason: isUnsent || reason === 'moving' ? reason : undefined,
  });
}

function isRetryable(error: RpcError, call: Call, codes: readonly RpcCode[]): boolean {
  if (call.signal?.aborted) return false;
  // On a server, `unsent` describes a call that the handler made. The handler may have had other
  // effects.
  if (error.unsent && !isReceived(call))
    return TRANSIENT_CODES.includes(error.code) || codes.includes(error.code);
  return call.method.idempotent && codes.includes(error.code);
}
