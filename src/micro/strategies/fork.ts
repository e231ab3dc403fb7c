/** The strategy fork(): several nodes at once, and the first reply. */
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { isStreaming } from '../../rpc/method-kind.js';
import type { Attempt, AttemptStrategy, ServiceNode } from '../types.js';
import { lastAttemptError, noStreamsError } from './attempt-errors.js';
import { attemptUntil } from './cancellable-attempt.js';
import { readFailure } from './retry-safety.js';

/** Options of fork(). */
export interface ForkOptions {
  /** How many nodes are called at once: from 2 to 10. Default: 2. */
  nodes?: number | undefined;
}

const NAMES = { nodes: true } satisfies NamesOf<ForkOptions>;

/** Defaults of ForkOptions. */
export const FORK_DEFAULTS = { nodes: 2 } satisfies ForkOptions;

/**
 * A strategy that calls several nodes at once, which the balancer picks. The first reply wins, and
 * the other calls are cancelled. The call fails when all of them have failed, with the error of the
 * first one that may have run. No node is called again. It forks calls of idempotent methods with a
 * single message; other such calls are sent to one node, as by failfast(). Calls that stream are
 * refused with FAILED_PRECONDITION. Every forked call costs the service `nodes` calls: hedge()
 * costs less. Throws BAD_OPTION.
 */
export function fork(options: ForkOptions = {}): AttemptStrategy {
  checkNames('fork()', options, NAMES);
  const { nodes } = withDefaults(FORK_DEFAULTS, options, { nodes: [2, 10, 'integer'] });
  return (attempt) => (call) => {
    const { idempotent, kind } = call.method;
    if (isStreaming(kind)) return Promise.reject(noStreamsError(call, 'fork()'));
    if (!idempotent || kind === 'oneway') return attempt(call, new Set());
    return callAtOnce(attempt, call, nodes);
  };
}

/** Resolves with the first answer of `count` attempts, and cancels the others. */
async function callAtOnce(attempt: Attempt, call: Call, count: number): Promise<unknown> {
  const tried = new Set<ServiceNode>();
  const cancel = new AbortController();
  const attempts = Array.from({ length: count }, () =>
    attemptUntil(attempt, call, tried, cancel.signal),
  );
  try {
    const answer = await Promise.any(attempts);
    cancel.abort(new RpcError('CANCELLED', 'another node was answered first'));
    return answer;
  } catch (error) {
    const { errors } = error as AggregateError;
    // An attempt that has found no other node is unsent, too.
    const sent = errors.find((each) => readFailure(each).unsent !== true);
    throw lastAttemptError(sent ?? errors[0], sent !== undefined);
  }
}
