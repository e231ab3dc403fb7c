/** Calls a method again and again, and measures it. */
import { codeOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import { startTimer } from '../../core/timers.js';
import { Histogram, type RpcCode } from '../../rpc/index.js';

/**
 * How calls are started: so many per second whatever their answers do (an open load), or the next
 * one when an answer arrives (a closed load).
 */
export type LoadShape = { readonly rate: number } | { readonly inFlight: number };

/** The calls that have ended in one second. */
export interface LoadSecond {
  /** Of the calls that have succeeded. */
  readonly latency: Histogram;
  failed: number;
}

const newSecond = (): LoadSecond => ({ latency: new Histogram(), failed: 0 });

/** Milliseconds between two bursts of an open load. A short period makes the load even. */
const BURST_PERIOD = 2;
/** Calls of an open load that may be in flight. Others wait, and their wait counts as latency. */
const MAX_IN_FLIGHT = 10_000;
/**
 * Calls that are started in one turn of the event loop. Calls that settle at once, because they
 * have no answer or no server is connected, would otherwise leave no time for answers and for
 * Ctrl-C.
 */
const MAX_STARTS_PER_TURN = 5_000;

export class LoadRun {
  readonly #call: () => Promise<unknown>;
  readonly #shape: LoadShape;
  /** Milliseconds. */
  readonly #duration: number;
  readonly #signal: AbortSignal;
  /** The latencies of the calls that have succeeded. */
  readonly latency = new Histogram();
  /** The calls that have ended since the last takeSecond(). */
  #second = newSecond();
  /** Failed calls by code. */
  readonly codes = new Map<RpcCode | 'UNKNOWN', number>();
  /** The message of the first failed call. */
  firstFailure: unknown;
  started = 0;
  ended = 0;
  failed = 0;
  /** Milliseconds until the failed calls have failed, all together. */
  failedTime = 0;
  #startTime = 0;
  /** When the last call was started. */
  #lastStart = 0;
  #endTime = 0;
  #isStopped = false;
  #startsInTurn = 0;
  #timer: NodeJS.Timeout | undefined;
  #onEnd: () => void = () => {};

  constructor(
    call: () => Promise<unknown>,
    shape: LoadShape,
    duration: number,
    signal: AbortSignal,
  ) {
    this.#call = call;
    this.#shape = shape;
    this.#duration = duration;
    this.#signal = signal;
  }

  get inFlight(): number {
    return this.started - this.ended;
  }

  /** Seconds from the start to the last answer. */
  get seconds(): number {
    return (this.#endTime - this.#startTime) / 1_000;
  }

  /**
   * Calls per second: those that an open load has started, or a closed load has ended. The wait for
   * the last answers does not lower the rate of an open load.
   */
  get rate(): number {
    if ('inFlight' in this.#shape) return this.seconds > 0 ? this.ended / this.seconds : 0;
    const { rate } = this.#shape;
    if (this.started === 0) return 0;
    return (
      this.started / Math.max((this.#lastStart - this.#startTime) / 1_000, this.started / rate)
    );
  }

  /** The calls that have ended since takeSecond() was called before, or since the start. */
  takeSecond(): LoadSecond {
    const second = this.#second;
    this.#second = newSecond();
    return second;
  }

  get isOpen(): boolean {
    return 'rate' in this.#shape;
  }

  /** Makes all calls. Settles when no call is in flight any more. */
  async run(): Promise<void> {
    this.#startTime = performance.now();
    const stop = (): void => {
      this.#isStopped = true;
      this.#checkEnd();
    };
    const release = followSignal(this.#signal, stop);
    if (this.#signal.aborted) stop();
    await new Promise<void>((resolve) => {
      this.#onEnd = resolve;
      this.#tick();
    });
    clearTimeout(this.#timer);
    release();
    this.#endTime = performance.now();
  }

  /** Starts the calls that are due, and itself again at the next burst. */
  #tick(): void {
    this.#startDueCalls();
    this.#checkEnd();
    // The last answer ends the run.
    if (this.#isOver()) return;
    const elapsed = performance.now() - this.#startTime;
    this.#timer = startTimer(() => this.#tick(), BURST_PERIOD - (elapsed % BURST_PERIOD));
  }

  #checkEnd(): void {
    if (this.inFlight === 0 && this.#isOver()) this.#onEnd();
  }

  /** Whether no more calls are started. */
  #isOver(): boolean {
    if (this.#isStopped) return true;
    if ('rate' in this.#shape) return this.started >= this.#totalCalls(this.#shape.rate);
    return performance.now() - this.#startTime >= this.#duration;
  }

  #startDueCalls(): void {
    if (this.#isStopped) return;
    const elapsed = Math.min(this.#duration, performance.now() - this.#startTime);
    if ('rate' in this.#shape) {
      const { rate } = this.#shape;
      // The first call is due at once.
      const due = Math.min(this.#totalCalls(rate), Math.floor((elapsed * rate) / 1_000) + 1);
      while (this.started < due && this.inFlight < MAX_IN_FLIGHT && this.#hasTurnLeft())
        void this.#measure(this.#intendedTime(this.started, rate));
    } else if (elapsed < this.#duration) {
      while (this.inFlight < this.#shape.inFlight && this.#hasTurnLeft())
        void this.#measure(performance.now());
    }
  }

  /** When a call of an open load should start: at the first burst after its time. */
  #intendedTime(call: number, rate: number): number {
    const burst = Math.ceil((call * 1_000) / rate / BURST_PERIOD);
    return this.#startTime + Math.min(this.#duration, burst * BURST_PERIOD);
  }

  #hasTurnLeft(): boolean {
    if (this.#startsInTurn === 0)
      setImmediate(() => {
        this.#startsInTurn = 0;
      });
    return this.#startsInTurn++ < MAX_STARTS_PER_TURN;
  }

  /** How many calls an open load makes. */
  #totalCalls(rate: number): number {
    return Math.max(1, Math.floor((this.#duration * rate) / 1_000));
  }

  /** `intended`: when the call should start. A late start is a part of its latency. */
  async #measure(intended: number): Promise<void> {
    this.started++;
    this.#lastStart = performance.now();
    // A timer may be up to 1 ms early.
    const start = Math.min(intended, this.#lastStart);
    try {
      await this.#call();
      const latency = performance.now() - start;
      this.latency.add(latency);
      this.#second.latency.add(latency);
    } catch (error) {
      const code = (codeOf(error) ?? 'UNKNOWN') as RpcCode;
      this.firstFailure ??= error;
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
      this.failed++;
      this.#second.failed++;
      this.failedTime += performance.now() - start;
    }
    this.ended++;
    if ('inFlight' in this.#shape) this.#startDueCalls();
    this.#checkEnd();
  }
}
