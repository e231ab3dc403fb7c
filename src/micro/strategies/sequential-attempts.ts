/** The attempts of one call, one after another, as failover() describes them. */
import { notifyOrWarn } from '../../core/callbacks.js';
import { nextTurn, spend } from '../../core/turn.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import type { Call, RetryBudget } from '../../rpc/index.js';
import { isStreaming, streamsInput } from '../../rpc/method-kind.js';
import { isStream } from '../../rpc/streams/call-end.js';
import { isIterable } from '../../rpc/streams/item-iterator.js';
import type { Attempt, ServiceNode } from '../types.js';
import { deadlineError, lastAttemptError } from './attempt-errors.js';
import { RetriedReplies } from './retried-replies.js';
import { isFreeRetry, isRetryable, readFailure } from './retry-safety.js';
import { TrackedInput } from './tracked-input.js';

/** FailoverOptions.onRetry. */
type OnRetry = (error: unknown, call: Call) => unknown;

/** The key of RetryableAttempt[FIRST_ATTEMPT]. */
export const FIRST_ATTEMPT = Symbol('first attempt');

/** The attempts of a consumer, as strategies get them. */
export interface RetryableAttempt extends Attempt {
  /**
   * Makes the first attempt of a call that does not stream. Rejects with a FailedAttempt. So a call
   * that succeeds needs no Set of nodes, and no function of its own that would retry it.
   */
  [FIRST_ATTEMPT](call: Call): Promise<unknown>;
}

/** What RetryableAttempt[FIRST_ATTEMPT]() rejects with. */
export class FailedAttempt {
  readonly call: Call;
  readonly error: unknown;
  /** The node that was called, if any. */
  readonly tried: Set<ServiceNode>;

  constructor(call: Call, error: unknown, tried: Set<ServiceNode>) {
    this.call = call;
    this.error = error;
    this.tried = tried;
  }
}

/**
 * Makes attempts one after another, as failover() describes. The returned function deposits
 * the tokens of each call in the budget.
 */
export function retrySequentially(
  attempt: Attempt,
  attempts: number,
  budget: RetryBudget,
  onRetry?: OnRetry,
): (call: Call) => Promise<unknown> {
  const retry = ({ call, error, tried }: FailedAttempt): Promise<unknown> =>
    new SequentialAttempts(attempt, call, attempts, budget, onRetry, tried).retry(error);
  // A strategy of a program may wrap the attempts, in a function without the symbol.
  const { [FIRST_ATTEMPT]: attemptFirst } = attempt as Partial<RetryableAttempt>;
  return (call) => {
    budget.deposit();
    if (isStreaming(call.method.kind))
      return new SequentialAttempts(attempt, call, attempts, budget, onRetry).openStream();
    if (attemptFirst !== undefined) return attemptFirst(call).then(undefined, retry);
    const tried = new Set<ServiceNode>();
    return attempt(call, tried).catch((error) => retry({ call, error, tried }));
  };
}

/** Units of core/turn.ts for the choice of another node. */
const RETRY_UNITS = 16;

class SequentialAttempts {
  readonly #attempt: Attempt;
  readonly #call: Call;
  readonly #budget: RetryBudget;
  readonly #onRetry: OnRetry | undefined;
  readonly #tried: Set<ServiceNode>;
  /** The input of the call; undefined unless it is an iterable that cannot be iterated again. */
  readonly #input: TrackedInput | undefined;
  #attemptsLeft: number;
  #previousError: unknown;
  /** Whether an attempt may have run. */
  #mayHaveRun = false;

  /** `attempts`: the most attempts, the first included. */
  constructor(
    attempt: Attempt,
    call: Call,
    attempts: number,
    budget: RetryBudget,
    onRetry: OnRetry | undefined,
    tried = new Set<ServiceNode>(),
  ) {
    this.#attempt = attempt;
    this.#input = trackedInput(call);
    this.#call = this.#input === undefined ? call : call.with({ input: this.#input });
    this.#attemptsLeft = attempts - 1;
    this.#budget = budget;
    this.#onRetry = onRetry;
    this.#tried = tried;
  }

  /** Makes the attempts of a call that streams. It is retried until its first reply arrives. */
  async openStream(): Promise<unknown> {
    const answer = await this.#attempt(this.#call, this.#tried).catch((error) => this.retry(error));
    return isStream(this.#call.method, answer)
      ? new RetriedReplies(answer, (error) => this.retry(error))
      : answer;
  }

  /** Makes further attempts after one that rejected with `error`. */
  async retry(error: unknown): Promise<unknown> {
    let failure = error;
    let calledNode = this.#tried.size > 0;
    for (;;) {
      this.#prepareRetry(failure, calledNode);
      // The calls of many lost connections may fail in one turn.
      if (spend(RETRY_UNITS)) await nextTurn();
      const triedBefore = this.#tried.size;
      try {
        return await this.#attempt(this.#call, this.#tried);
      } catch (next) {
        failure = next;
        // An attempt adds the node that it calls.
        calledNode = this.#tried.size > triedBefore;
      }
    }
  }

  /** Throws the error of the call, unless another attempt may follow. */
  #prepareRetry(error: unknown, calledNode: boolean): void {
    const call = this.#call;
    // The error of the last node is more useful than "no other node".
    if (!calledNode && !call.signal?.aborted) {
      if (this.#previousError === undefined) throw lastAttemptError(error, this.#mayHaveRun);
      throw timeLeft(call) < 1
        ? deadlineError(call, this.#previousError, this.#mayHaveRun)
        : lastAttemptError(this.#previousError, this.#mayHaveRun);
    }
    this.#mayHaveRun ||= readFailure(error).unsent !== true;
    if (this.#attemptsLeft === 0 || this.#input?.wasRead || !isRetryable(error, call))
      throw lastAttemptError(error, this.#mayHaveRun);
    if (timeLeft(call) < 1) throw deadlineError(call, error, this.#mayHaveRun);
    if (!isFreeRetry(error) && !this.#budget.withdraw())
      throw lastAttemptError(error, this.#mayHaveRun);
    this.#attemptsLeft--;
    this.#previousError = error;
    const onRetry = this.#onRetry;
    if (onRetry !== undefined) notifyOrWarn('onRetry', () => onRetry(error, call));
  }
}

/** An array can be iterated again, so it is not tracked. */
function trackedInput({ method, input }: Call): TrackedInput | undefined {
  return streamsInput(method.kind) && isIterable(input) && !Array.isArray(input)
    ? new TrackedInput(input)
    : undefined;
}
