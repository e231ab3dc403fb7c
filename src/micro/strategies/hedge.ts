/**
 * A second request where the first one is slow: what is rarely slow by itself becomes rarely slow
 * in whole.
 */
import {
  badOption,
  checkNames,
  checkNumber,
  type NamesOf,
  withDefaults,
} from '../../core/options.js';
import { linkSignals } from '../../core/signals.js';
import { LONGEST_TIMER, LongTimer } from '../../core/timers.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import {
  type Call,
  Histogram,
  type Method,
  RetryBudget,
  type RetryBudgetOptions,
  RpcError,
} from '../../rpc/index.js';
import type { Attempt, ServiceNode, Strategy } from '../types.js';
import { isFree, isSafe } from './safe.js';
import { tryInTurn } from './strategies.js';

export interface HedgeOptions {
  /**
   * Milliseconds without an answer after which another node is asked too. Default: as long as
   * `percentile` of the recent calls of this method took; before 20 answers 500 ms, or a quarter of
   * the call's timeout if that is less.
   */
  after?: number | undefined;
  /** Such a part of the recent calls was quicker than the wait for another: from 0.5 to 0.999. */
  percentile?: number | undefined;
  /** The most attempts of one call, the first included. */
  attempts?: number | undefined;
  /**
   * How many further attempts there are at most, those after a failure among them. A RetryBudget is
   * shared by all who are given it.
   */
  budget?: RetryBudgetOptions | RetryBudget | undefined;
}

const NAMES = {
  after: true,
  percentile: true,
  attempts: true,
  budget: true,
} satisfies NamesOf<HedgeOptions>;

export const HEDGE_DEFAULTS = { percentile: 0.95, attempts: 2 } satisfies HedgeOptions;

/** So many answers make a percentile. */
const ENOUGH = 20;
/**
 * Milliseconds to wait for an answer before that; a quarter of the call's timeout, if that is less.
 */
const FIRST_DELAY = 500;
/** Milliseconds before the budget is asked again. */
const BUDGET_DELAY = 20;
/** A percentile is reckoned anew after so many answers … */
const REFRESH = 64;
/** … and what was before so many is forgotten. */
const RECENT = 2_000;

/** How long the recent calls of one method took. */
export class RecentLatency {
  readonly #share: number;
  #old = new Histogram();
  #new = new Histogram();
  #delay: number | undefined;
  #since = 0;

  constructor(share: number) {
    this.#share = share;
  }

  /** Milliseconds; undefined while too little is known. */
  get delay(): number | undefined {
    return this.#delay;
  }

  add(ms: number): void {
    this.#new.add(ms);
    const few = this.#new.count + this.#old.count < ENOUGH;
    if (few || (this.#delay !== undefined && ++this.#since < REFRESH)) return;
    this.#since = 0;
    // Half of what counts is always full, so that the figure does not jump when the other half
    // begins.
    this.#delay = Math.max(
      1,
      this.#old.count > this.#new.count
        ? this.#old.percentile(this.#share)
        : this.#new.percentile(this.#share),
    );
    if (this.#new.count < RECENT / 2) return;
    [this.#old, this.#new] = [this.#new, this.#old];
    this.#new.reset();
  }
}

/**
 * Ask another node too when the first is slow; the first answer wins, and the others are cancelled.
 * A failure that may be tried again (see failover()) is followed by another node at once. Only for
 * calls of idempotent methods without streams; all others are done as failover() does. All attempts
 * share the call's timeout. Throws BAD_OPTION.
 */
export function hedge(options: HedgeOptions = {}): Strategy {
  checkNames('hedge()', options, NAMES);
  const { attempts, percentile } = withDefaults(HEDGE_DEFAULTS, options, {
    attempts: [1, 10],
    percentile: [0.5, 0.999],
  });
  if (!Number.isInteger(attempts)) throw badOption('attempts', attempts, 'a whole number');
  const { after, budget: limits } = options;
  if (after !== undefined) checkNumber('after', after, 0, LONGEST_TIMER);
  RetryBudget.of(limits);
  return (attempt) => {
    const budget = RetryBudget.of(limits);
    const latencies = new Map<Method, RecentLatency>();
    const latencyOf = (method: Method): RecentLatency => {
      let latency = latencies.get(method);
      // Methods are those of contracts that the program has.
      if (latency === undefined) {
        latency = new RecentLatency(percentile);
        latencies.set(method, latency);
      }
      return latency;
    };
    return (call) => {
      budget.deposit();
      const { idempotent, kind } = call.method;
      const isPlain = kind === 'unary' || kind === 'noReply';
      if (!idempotent || !isPlain || attempts === 1)
        return tryInTurn(attempt, call, attempts, budget, undefined);
      return new Hedge(attempt, call, attempts, budget, after, latencyOf(call.method)).answer;
    };
  };
}

/** Why an attempt is cancelled when a node that was asked later has answered. */
const OVERTAKEN = new RpcError('CANCELLED', 'another node, asked later, has answered');

/**
 * Whether the call was cancelled because a node that was asked later has answered. That says that
 * its own node is slow.
 */
export function isOvertaken(call: Call): boolean {
  return call.signal?.aborted === true && call.signal.reason === OVERTAKEN;
}

/** One call, and its attempts under way. */
class Hedge {
  readonly answer: Promise<unknown>;
  readonly #attempt: Attempt;
  readonly #call: Call;
  readonly #budget: RetryBudget;
  readonly #after: number | undefined;
  readonly #latency: RecentLatency;
  readonly #began = performance.now();
  readonly #tried = new Set<ServiceNode>();
  /** In the order in which they began. */
  readonly #underWay = new Set<AbortController>();
  #left: number;
  #timer: LongTimer | undefined;
  /** Why the last attempt that was made at a node failed. */
  #failure: unknown;
  #settled = false;
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
    this.#left = attempts;
    this.#budget = budget;
    this.#after = after;
    this.#latency = latency;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#begin();
  }

  #begin(): void {
    this.#left--;
    this.#wait();
    const cancel = new AbortController();
    this.#underWay.add(cancel);
    const nodes = this.#tried.size;
    const { signal } = this.#call;
    const linked = signal === undefined ? undefined : linkSignals(signal, cancel.signal);
    const call = this.#call.with({ signal: linked?.signal ?? cancel.signal });
    this.#attempt(call, this.#tried).then(
      (answer) => {
        linked?.release();
        this.#answered(cancel, answer);
      },
      (error) => {
        linked?.release();
        this.#failed(cancel, error, this.#tried.size > nodes);
      },
    );
  }

  /** For an answer, or until another node is asked too; for at least `least` ms. */
  #wait(least = 0): void {
    this.#timer?.cancel();
    if (this.#left === 0) return;
    const delay =
      this.#after ??
      this.#latency.delay ??
      Math.min(FIRST_DELAY, (this.#call.timeout ?? Number.POSITIVE_INFINITY) / 4);
    this.#timer = new LongTimer(
      () => {
        // The budget may have more by the next time.
        if (this.#budget.withdraw()) this.#begin();
        else this.#wait(BUDGET_DELAY);
      },
      Math.max(least, delay),
    );
  }

  #answered(cancel: AbortController, answer: unknown): void {
    if (this.#settled) return;
    for (const earlier of this.#underWay) {
      if (earlier === cancel) break;
      earlier.abort(OVERTAKEN);
    }
    this.#underWay.delete(cancel);
    // Of the whole, so that a slow node which others answer for does not make the wait shorter and
    // shorter.
    this.#latency.add(performance.now() - this.#began);
    this.#settle();
    this.#resolve(answer);
  }

  /** `reached`: there was a node to try. */
  #failed(cancel: AbortController, error: unknown, reached: boolean): void {
    this.#underWay.delete(cancel);
    if (this.#settled) return;
    if (reached || this.#failure === undefined) this.#failure = error;
    const mayFollow = isSafe(error, this.#call);
    if (
      mayFollow &&
      reached &&
      this.#left > 0 &&
      this.#hasTime() &&
      (isFree(error) || this.#budget.withdraw())
    ) {
      this.#begin();
      return;
    }
    // What may be tried again is no answer while another attempt may still have one.
    if ((mayFollow || !reached) && this.#underWay.size > 0) return;
    this.#settle();
    this.#reject(this.#failure);
  }

  #hasTime(): boolean {
    return timeLeft(this.#call) >= 1;
  }

  #settle(): void {
    this.#settled = true;
    this.#timer?.cancel();
    for (const cancel of this.#underWay)
      cancel.abort(new RpcError('CANCELLED', 'another node has answered'));
    this.#underWay.clear();
  }
}
