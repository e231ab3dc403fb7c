/** When a client may dial again after failed attempts and lost sessions; ReconnectOptions. */
import { GettyError } from '../../core/errors.js';
import { badOption, checkNumber, type Ranges, withDefaults } from '../../core/options.js';
import { backoffDelay, LONGEST_TIMER, startTimer } from '../../core/timers.js';
import type { ClientOptions, ReconnectOptions } from '../types.js';

/** Milliseconds. */
export const RECONNECT_DEFAULTS = {
  initialDelay: 100,
  maxDelay: 10_000,
  retryFirst: false as boolean,
} satisfies ReconnectOptions;

/**
 * A session that ends earlier counts as a failed attempt. So a server that accepts and closes
 * connections at once does not cause a busy loop. Milliseconds.
 */
export const MIN_SESSION_AGE = 1_000;

/** ReconnectOptions with their defaults. Without a limit maxAttempts is Infinity. */
export type ResolvedReconnect = typeof RECONNECT_DEFAULTS & { maxAttempts: number };

/** The `reconnect` option with its defaults; undefined for false. Throws BAD_OPTION. */
export function resolveReconnect(given: ClientOptions['reconnect']): ResolvedReconnect | undefined {
  if (given === false) return undefined;
  if (given === undefined || given === true)
    return { maxAttempts: Number.POSITIVE_INFINITY, ...RECONNECT_DEFAULTS };
  if (typeof given !== 'object' || given === null)
    throw badOption(
      'reconnect',
      given,
      'true, false, or { initialDelay, maxDelay, maxAttempts, retryFirst }',
    );
  const maxAttempts = given.maxAttempts ?? Number.POSITIVE_INFINITY;
  checkNumber('reconnect.maxAttempts', maxAttempts, 1, Number.POSITIVE_INFINITY, 'integer');
  const ranges: Ranges<typeof RECONNECT_DEFAULTS> = {
    initialDelay: [1, LONGEST_TIMER],
    maxDelay: [1, LONGEST_TIMER],
  };
  const delays = withDefaults(RECONNECT_DEFAULTS, given, ranges, 'reconnect');
  return { maxAttempts, ...delays };
}

export class ReconnectSchedule {
  readonly #options: ResolvedReconnect | undefined;
  /** Failed attempts since the last loss of a session that was open for MIN_SESSION_AGE. */
  #failures = 0;
  /** Ends the delay before the next attempt; undefined while there is no delay. */
  #endDelay: (() => void) | undefined;

  /** `options`: undefined if the client does not reconnect. */
  constructor(options: ResolvedReconnect | undefined) {
    this.#options = options;
  }

  get isEnabled(): boolean {
    return this.#options !== undefined;
  }

  get retriesFirst(): boolean {
    return this.#options?.retryFirst ?? false;
  }

  /** True when `maxAttempts` failures are counted. */
  get isExhausted(): boolean {
    return this.#failures >= (this.#options?.maxAttempts ?? Number.POSITIVE_INFINITY);
  }

  /** True when attempts are left and no delay is in progress. */
  get mayDial(): boolean {
    return this.#endDelay === undefined && !this.isExhausted;
  }

  /** Returns `reason`, or an error that also says that maxAttempts is reached. */
  countFailure(reason: GettyError): GettyError {
    this.#failures++;
    if (!this.isExhausted) return reason;
    const message = `${reason.message}; maxAttempts, ${this.#options?.maxAttempts}, is reached`;
    return new GettyError(reason.code, message, reason);
  }

  /**
   * Counts a lost session that was open for `age` ms. Below MIN_SESSION_AGE it counts as a failed
   * attempt. Otherwise the failures count from 0 again. Returns as countFailure().
   */
  countLoss(reason: GettyError, age: number): GettyError {
    if (age < MIN_SESSION_AGE) return this.countFailure(reason);
    this.#failures = 0;
    return reason;
  }

  /** Resolves when the next attempt is due, or when endDelay() is called. */
  delay(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#endDelay = undefined;
        resolve();
      };
      const timer = startTimer(end, this.#nextDelay());
      this.#endDelay = end;
    });
  }

  endDelay(): void {
    this.#endDelay?.();
  }

  /** Milliseconds. */
  #nextDelay(): number {
    const { initialDelay, maxDelay } = this.#options ?? RECONNECT_DEFAULTS;
    // All clients lose a server at the same time. Their first attempts are spread over one
    // initialDelay.
    if (this.#failures === 0) return Math.min(initialDelay, maxDelay / 1.5) * (0.5 + Math.random());
    return backoffDelay(this.#failures, initialDelay, maxDelay);
  }
}
