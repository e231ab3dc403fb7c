/** When a caller checks deadlines, heartbeats and resends: often while one of them is due soon. */
import { now } from '../../transport/session/flush-scheduler.js';
import { every } from '../../transport/session/timer-wheel.js';

/**
 * Milliseconds between two sweeps. A call may expire this much later than its deadline.
 */
const PERIOD = 20;
/** The period while nothing is due soon, so that a process with long calls wakes less often. */
const SLOW_PERIOD = 100;
/** Milliseconds: what is due in less time than this is due soon. */
const SOON = 2 * SLOW_PERIOD;
/** Milliseconds by which a slow sweep may be late without a call expiring later. */
const SLOW_DELAY = 50;

/** Calls `sweep` from the first request until stop(). Times are those of now(). */
export class SweepTimer {
  readonly #sweep: () => void;
  #stop: (() => void) | undefined;
  /** A request with an earlier deadline cannot wait for the next slow sweep. 0: none is slow. */
  #slowUntil = 0;

  constructor(sweep: () => void) {
    this.#sweep = sweep;
  }

  /** A request with this deadline is pending. */
  onRequest(deadline: number): void {
    if (this.#stop === undefined || deadline < this.#slowUntil) this.#start(PERIOD);
  }

  /** To be called at the end of each sweep. `nextAt`: when something is due, or an earlier time. */
  adapt(nextAt: number): void {
    const isSlow = nextAt - now() > SOON;
    if (isSlow !== this.#slowUntil > 0) this.#start(isSlow ? SLOW_PERIOD : PERIOD);
    // Math.ceil keeps the value an integer; V8 boxes doubles stored in fields.
    if (isSlow) this.#slowUntil = Math.ceil(now()) + SLOW_PERIOD + SLOW_DELAY;
  }

  #start(period: number): void {
    this.stop();
    // It keeps the process running. Some connections do not, such as memory connections.
    this.#stop = every(period, this.#sweep, true);
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#slowUntil = 0;
  }
}
