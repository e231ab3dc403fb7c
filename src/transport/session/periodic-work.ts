/**
 * The periodic work of one session: onCron, pings, and the checks of idleTimeout and
 * messageTimeout.
 */

import { notify } from '../../core/callbacks.js';
import type { GettyError } from '../../core/errors.js';
import type { Connection, Session } from '../types.js';
import { now } from './flush-scheduler.js';
import { handlerError, idleTimeoutError, messageTimeoutError } from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';
import { addPeriodic, lastWake, type PeriodicTask, removePeriodic } from './timer-wheel.js';

/** What the periodic work reads and calls of its session. */
export interface PeriodicSession<In, Out> extends Session<In, Out> {
  /** When bytes of the peer last arrived: a time of now(). */
  readonly lastReadAt: number;
  /** Milliseconds since the peer began the message that is incomplete; 0 if there is none. */
  incompleteMessageAge(): number;
  /**
   * From when on the silence of the peer, which has sent nothing since `readAt`, counts for
   * idleTimeout: a time of now(). Infinity: it does not count.
   */
  silentSince(readAt: number): number;
  /** Reports an error to onError. */
  report(error: GettyError): void;
}

/** The work runs in runPeriodic(), with the shortest period that one of its parts needs. */
export class PeriodicWork<In, Out> implements PeriodicTask {
  readonly #session: PeriodicSession<In, Out>;
  readonly #connection: Connection;
  #setup: ResolvedSetup<In, Out>;
  /** Milliseconds. 0: no timeout. */
  #idleTimeout: number;
  /** Whether start() was called, and stop() was not called after it. */
  #isRunning = false;
  /** The period of runPeriodic() in milliseconds. 0: runPeriodic() is not called. */
  #period = 0;
  /** When onCron is due: a time of now(). */
  #cronAt = 0;

  constructor(
    session: PeriodicSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
  ) {
    this.#session = session;
    this.#connection = connection;
    this.#setup = setup;
    const transportDefault = setup.isIdleTimeoutGiven
      ? undefined
      : connection.capabilities?.idleTimeout;
    this.#idleTimeout = transportDefault ?? setup.idleTimeout;
  }

  get idleTimeout(): number {
    return this.#idleTimeout;
  }

  set idleTimeout(ms: number) {
    if (ms === this.#idleTimeout) return;
    this.#idleTimeout = ms;
    if (!this.#isRunning) return;
    this.stop();
    this.start();
  }

  /** Calls onCron of another listener from now on. The next call is due at the same time. */
  use(setup: ResolvedSetup<In, Out>): void {
    const hadCron = this.#hasCron();
    this.#setup = setup;
    if (!this.#isRunning || this.#hasCron() === hadCron) return;
    this.stop();
    this.start();
  }

  start(): void {
    this.#isRunning = true;
    const { cronPeriod, messageTimeout } = this.#setup;
    let period = Number.POSITIVE_INFINITY;
    if (this.#hasCron()) {
      period = cronPeriod;
      // Math.ceil keeps the value an integer; V8 boxes doubles stored in fields.
      if (this.#cronAt === 0) this.#cronAt = Math.ceil(now()) + cronPeriod;
    }
    if (this.#idleTimeout > 0) period = Math.min(period, Math.ceil(this.#idleTimeout / 4));
    if (this.#hasMessageTimeout()) period = Math.min(period, Math.ceil(messageTimeout / 4));
    if (period === Number.POSITIVE_INFINITY) return;
    this.#period = period;
    addPeriodic(period, this);
  }

  stop(): void {
    this.#isRunning = false;
    if (this.#period > 0) removePeriodic(this.#period, this);
    this.#period = 0;
  }

  /** Runs the work that is due. Part of PeriodicTask. */
  runPeriodic(): void {
    if (this.#idleTimeout > 0) this.#checkIdle(this.#idleTimeout);
    if (this.#hasMessageTimeout()) this.#checkMessageTimeout();
    // A check may have destroyed the session, which calls stop().
    // A session that is closing can send no heartbeat.
    if (this.#isRunning && !this.#session.closed && this.#hasCron()) this.#checkCron();
  }

  #hasCron(): boolean {
    if (this.#connection.ping !== undefined) return true;
    try {
      return this.#setup.listener.onCron !== undefined;
    } catch {
      // #checkCron() reports what a getter of the program throws.
      return true;
    }
  }

  #hasMessageTimeout(): boolean {
    return this.#setup.messageTimeout > 0 && !this.#session.lossy;
  }

  #checkCron(): void {
    const time = now();
    // onCron is called by the run that is nearest to #cronAt.
    if (time < this.#cronAt - this.#period / 2) return;
    this.#cronAt = Math.ceil(Math.max(this.#cronAt, time - this.#period)) + this.#setup.cronPeriod;
    this.#connection.ping?.();
    notify(
      () => this.#setup.listener.onCron?.(this.#session),
      (error) => this.#session.report(handlerError(error)),
    );
  }

  #checkIdle(idleTimeout: number): void {
    const session = this.#session;
    const time = Math.floor(now());
    const readAt = Math.max(session.lastReadAt, lastWake());
    if (time - readAt < idleTimeout) return;
    const silence = Math.floor(time - session.silentSince(readAt));
    if (silence < idleTimeout) return;
    session.destroy(idleTimeoutError(session.remoteAddress, silence, idleTimeout));
  }

  #checkMessageTimeout(): void {
    const { messageTimeout } = this.#setup;
    const session = this.#session;
    const age = Math.floor(Math.min(now() - lastWake(), session.incompleteMessageAge()));
    if (age < messageTimeout) return;
    session.destroy(messageTimeoutError(session.remoteAddress, age, messageTimeout));
  }
}
