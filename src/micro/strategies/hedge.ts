/** The strategy hedge(): a second request where the first one is slow. */
import { checkNames, checkNumber, type NamesOf, withDefaults } from '../../core/options.js';
import { linkSignals, reasonOf } from '../../core/signals.js';
import { LONGEST_TIMER, LongTimer } from '../../core/timers.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import {
  type Call,
  type Method,
  RetryBudget,
  type RetryBudgetOptions,
  RpcError,
} from '../../rpc/index.js';
import type { Attempt, ServiceNode, Strategy } from '../types.js';
import { lastAttemptError } from './attempt-errors.js';
import { RecentLatency } from './recent-latency.js';
import { isFreeRetry, isRetryable, readFailure } from './retry-safety.js';
import { retrySequentially } from './sequential-attempts.js';

/** Options of hedge(). */
export interface HedgeOptions {
  /**
   * Milliseconds without an answer after which another node is called too. Default: the latency
   * that `percentile` of the recent calls of the method did not exceed. Before 20 calls: 500 ms, or
   * a quarter of the call's timeout if that is less.
   */
  after?: number | undefined;
  /** The part of recent calls that sets the default of `after`: 0.5 to 0.999. Default: 0.95. */
  percentile?: number | undefined;
  /** The most attempts of one call, the first included: from 1 to 10. Default: 2. */
  attempts?: number | undefined;
  /**
   * The limit of further attempts over all calls, retries after a failure included: options of a
   * budget, or a RetryBudget that several strategies share. Default: a separate budget, with a
   * `ratio` of 0.2 and 10 retries `perSecond`.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
}

const NAMES = {
  after: true,
  percentile: true,
  attempts: true,
  budget: true,
} satisfies NamesOf<HedgeOptions>;

/** Defaults of HedgeOptions. */
export const HEDGE_DEFAULTS = { percentile: 0.95, attempts: 2 } satisfies HedgeOptions;

/** The delay in milliseconds while the latency of a method is not known. */
const DEFAULT_DELAY = 500;
/** Milliseconds after which an attempt that the budget has refused is tried again. */
const BUDGET_RETRY_DELAY = 20;

/**
 * A strategy that calls another node too when the first is slow. The first answer wins, and the
 * other attempts are cancelled. A failure that may be retried (see failover()) starts the next
 * attempt at once. It hedges calls of idempotent unary methods; other calls are handled as by
 * failover(). All attempts share the timeout of the call. Throws BAD_OPTION.
 */
export function hedge(options: HedgeOptions = {}): Strategy {
  checkNames('hedge()', options, NAMES);
  const { attempts, percentile } = withDefaults(HEDGE_DEFAULTS, options, {
    attempts: [1, 10, 'integer'],
    percentile: [0.5, 0.999],
  });
  const { after, budget: budgetOptions } = options;
  if (after !== undefined) checkNumber('after', after, 0, LONGEST_TIMER);
  RetryBudget.of(budgetOptions);
  return (attempt) => {
    const budget = RetryBudget.of(budgetOptions);
    const withoutHedging = retrySequentially(attempt, attempts, budget);
    // Weak, because a program may make a contract for each call.
    const latencies = new WeakMap<Method, RecentLatency>();
    const latencyOf = (method: Method): RecentLatency => {
      let latency = latencies.get(method);
      if (latency === undefined) {
        latency = new RecentLatency(percentile);
        latencies.set(method, latency);
      }
      return latency;
    };
    return (call) => {
      const { idempotent, kind } = call.method;
      const isPlain = kind === 'unary' || kind === 'noReply';
      if (!idempotent || !isPlain || attempts === 1) return withoutHedging(call);
      budget.deposit();
      return new HedgedCall(attempt, call, attempts, budget, after, latencyOf(call.method)).answer;
    };
  };
}

/** Why an attempt is cancelled when an attempt that began later was answered first. */
const OVERTAKEN = new RpcError('CANCELLED', 'a later attempt at another node was answered first');

/**
 * Whether the attempt was cancelled because a later attempt was answered first. The node of an
 * overtaken attempt is slow.
 */
export function isOvertaken(call: Call): boolean {
  return call.signal?.aborted === true && reasonOf(call.signal) === OVERTAKEN;
}

/** One call and its attempts. */
class HedgedCall {
  /** Settles as the call does. */
  readonly answer: Promise<unknown>;
  readonly #attempt: Attempt;
  readonly #call: Call;
  readonly #budget: RetryBudget;
  readonly #after: number | undefined;
  readonly #latency: RecentLatency;
  readonly #startTime = performance.now();
  readonly #tried = new Set<ServiceNode>();
  /** The attempts that have not ended, the earliest first. */
  readonly #attemptsInFlight = new Set<AbortController>();
  #attemptsLeft: number;
  #timer: LongTimer | undefined;
  /** The error of the last attempt that called a node. */
  #lastError: unknown;
  /** Whether an attempt that has ended may have run. */
  #mayHaveRun = false;
  #isSettled = false;
  #resolve!: (answer: unknown) => void;
  #reject!: (error: unknown) => void;

  constructor(
    attempt: Attempt,
    call: Call,
    attempts: number,
    budget: RetryBudget,
    after: number | undefined,
    latency: RecentLatency,
  ) {
    this.#attempt = attempt;
    this.#call = call;
    this.#attemptsLeft = attempts;
    this.#budget = budget;
    this.#after = after;
    this.#latency = latency;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#startAttempt();
  }

  #startAttempt(): void {
    this.#attemptsLeft--;
    this.#scheduleNextAttempt();
    const cancel = new AbortController();
    this.#attemptsInFlight.add(cancel);
    const triedBefore = this.#tried.size;
    const { signal } = this.#call;
    const linked = signal === undefined ? undefined : linkSignals(signal, cancel.signal);
    const call = this.#call.with({ signal: linked?.signal ?? cancel.signal });
    this.#attempt(call, this.#tried).then(
      (answer) => {
        linked?.release();
        this.#onAnswer(cancel, answer);
      },
      (error) => {
        linked?.release();
        this.#onFailure(cancel, error, this.#tried.size > triedBefore);
      },
    );
  }

  /** `minDelay`: milliseconds. */
  #scheduleNextAttempt(minDelay = 0): void {
    this.#timer?.cancel();
    if (this.#attemptsLeft === 0) return;
    const delay =
      this.#after ??
      this.#latency.value ??
      Math.min(DEFAULT_DELAY, (this.#call.timeout ?? Number.POSITIVE_INFINITY) / 4);
    this.#timer = new LongTimer(
      () => {
        if (timeLeft(this.#call) < 1) return;
        if (this.#budget.withdraw()) this.#startAttempt();
        else this.#scheduleNextAttempt(BUDGET_RETRY_DELAY);
      },
      Math.max(minDelay, delay),
    );
  }

  #onAnswer(cancel: AbortController, answer: unknown): void {
    if (this.#isSettled) return;
    for (const earlier of this.#attemptsInFlight) {
      if (earlier === cancel) break;
      earlier.abort(OVERTAKEN);
    }
    this.#attemptsInFlight.delete(cancel);
    // The latency of the whole call. The latency of the attempt would shorten the delay each time a
    // slow node is overtaken.
    this.#latency.add(performance.now() - this.#startTime);
    this.#settle('an attempt at another node was answered');
    this.#resolve(answer);
  }

  #onFailure(cancel: AbortController, error: unknown, calledNode: boolean): void {
    this.#attemptsInFlight.delete(cancel);
    if (this.#isSettled) return;
    const { code, unsent } = readFailure(error);
    const isUnsent = unsent === true;
    const isLate = code === 'DEADLINE_EXCEEDED';
    // "It was not sent in time" is not the error of a call that another attempt has sent.
    const isMisleading = isLate && isUnsent && this.#mayHaveRun;
    if (this.#lastError === undefined || (calledNode && !isMisleading)) this.#lastError = error;
    this.#mayHaveRun ||= !isUnsent;
    const mayRetry = isRetryable(error, this.#call);
    if (
      mayRetry &&
      calledNode &&
      this.#attemptsLeft > 0 &&
      timeLeft(this.#call) >= 1 &&
      (isFreeRetry(error) || this.#budget.withdraw())
    ) {
      this.#startAttempt();
      return;
    }
    // Another attempt may still be answered. At the deadline the others end too, each with its own
    // outcome, which counts for its node.
    const othersDecide = mayRetry || !calledNode || isLate;
    if (othersDecide && this.#attemptsInFlight.size > 0) return;
    // Also the attempts in flight may have run.
    const lastError = lastAttemptError(
      this.#lastError,
      this.#mayHaveRun || this.#attemptsInFlight.size > 0,
    );
    this.#settle('an attempt at another node has failed');
    this.#reject(lastError);
  }

  /** Cancels the attempts in flight, for `reason`. */
  #settle(reason: string): void {
    this.#isSettled = true;
    this.#timer?.cancel();
    for (const cancel of this.#attemptsInFlight) cancel.abort(new RpcError('CANCELLED', reason));
    this.#attemptsInFlight.clear();
  }
}
