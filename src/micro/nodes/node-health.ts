/**
 * Ejects nodes whose calls fail, as a circuit breaker does. An ejected node receives calls only if
 * too few other nodes are left. After the time of the ejection one call is the probe: if it
 * succeeds, the node is healthy again.
 */
import {
  badOption,
  checkNames,
  type NamesOf,
  type Ranges,
  withDefaults,
} from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { isRpcCode } from '../../rpc/errors.js';
import type { RpcCode } from '../../rpc/index.js';
import { isNeverSent, isNotServed, readFailure } from '../strategies/retry-safety.js';

/** Options of ConsumeOptions.ejection: when a node is ejected, and for how long. */
export interface EjectionOptions {
  /** Failed calls in a row after which a node is ejected. Default: 5. */
  failures?: number | undefined;
  /** Milliseconds of the first ejection. Each further one is twice as long. Default: 1,000. */
  time?: number | undefined;
  /**
   * Milliseconds of the longest ejection. After as much time without an ejection the next one lasts
   * `time` again. Default: 30,000.
   */
  maxTime?: number | undefined;
  /**
   * The most nodes that are ejected at once, as a part of all nodes: from 0 to 1, rounded down to
   * whole nodes. Default: 0.5.
   */
  share?: number | undefined;
  /**
   * Error codes that count as failures, also when a handler throws them. Default: UNAVAILABLE and
   * DEADLINE_EXCEEDED.
   */
  codes?: readonly RpcCode[] | undefined;
}

const NAMES = {
  failures: true,
  time: true,
  maxTime: true,
  share: true,
  codes: true,
} satisfies NamesOf<EjectionOptions>;

/** Defaults of EjectionOptions; times are in milliseconds. */
export const EJECTION_DEFAULTS = {
  failures: 5,
  time: 1_000,
  maxTime: 30_000,
  share: 0.5,
  codes: ['UNAVAILABLE', 'DEADLINE_EXCEEDED'] as readonly RpcCode[],
} satisfies EjectionOptions;

const RANGES: Ranges<typeof EJECTION_DEFAULTS> = {
  failures: [1, 1e9, 'integer'],
  time: [1, LONGEST_TIMER],
  maxTime: [1, LONGEST_TIMER],
  share: [0, 1],
};

export type EjectionSettings = typeof EJECTION_DEFAULTS;

/** The options with their defaults; undefined for `false`: no ejection. Throws BAD_OPTION. */
export function resolveEjection(
  options: EjectionOptions | false | undefined,
): EjectionSettings | undefined {
  if (options === false) return undefined;
  if (options !== undefined && (typeof options !== 'object' || options === null))
    throw badOption('ejection', options, 'an object, or false');
  checkNames('ejection', options, NAMES);
  const settings = withDefaults(EJECTION_DEFAULTS, options, RANGES, 'ejection');
  if (!Array.isArray(settings.codes))
    throw badOption('ejection.codes', settings.codes, 'an array of error codes');
  for (const code of settings.codes)
    if (!isRpcCode(code)) throw badOption('ejection.codes', code, 'a code, such as UNAVAILABLE');
  return settings;
}

/**
 * `healthy`: receives calls. `ejected`: receives calls only if too few other nodes are left.
 * `probe-due`: the next call is the probe. `probing`: the probe is in flight; other calls as in
 * `ejected`.
 */
export type HealthPhase = 'healthy' | 'ejected' | 'probe-due' | 'probing';

/** The pool of all nodes, as a NodeHealth uses it. */
export interface HealthHooks {
  /** Whether one more node may be ejected. */
  canEject(): boolean;
  /** Called after each change of NodeHealth.phase. */
  onPhaseChange(): void;
  /** Called when the node is ejected, after onPhaseChange(). */
  onEject(): void;
}

/** The health of one node, as seen by the calls of this consumer. */
export class NodeHealth {
  readonly #settings: EjectionSettings;
  readonly #hooks: HealthHooks;
  #phase: HealthPhase = 'healthy';
  #failures = 0;
  /** Ejections since the node was last healthy for `maxTime`. */
  #ejections = 0;
  /** A time of performance.now(). */
  #healthySince = performance.now();
  /** A time of performance.now(). */
  #ejectedUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #isDisposed = false;

  constructor(settings: EjectionSettings, hooks: HealthHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
  }

  get phase(): HealthPhase {
    return this.#phase;
  }

  /** Whether the node is ejected, or its probe is in flight. */
  get isEjected(): boolean {
    return this.#phase === 'ejected' || this.#phase === 'probing';
  }

  /** Failed calls in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds until the ejection ends; 0 in other phases. */
  get ejectionTimeLeft(): number {
    return this.#phase === 'ejected' ? Math.max(0, this.#ejectedUntil - performance.now()) : 0;
  }

  onCallStart(): void {
    if (this.#phase !== 'probe-due') return;
    this.#setPhase('probing');
    // If the probe takes longer than an ejection, another call may be the next probe.
    this.#startTimer(this.#ejectionTime());
  }

  /** Counts the end of a call. `error`: the error of the call; undefined: success. */
  onCallEnd(error: unknown): void {
    if (error === undefined) return this.#onSuccess();
    // If the node could not be reached, the backoff of NodeClient handles that.
    if (isNeverSent(error)) return this.onUnknownOutcome();
    if (isNotServed(error)) return this.#onNotServed();
    const { code } = readFailure(error);
    if (this.#settings.codes.includes(code as RpcCode)) this.#onFailure();
    // A cancellation by the caller says nothing about the node; any other error is an answer.
    else if (code === 'CANCELLED') this.onUnknownOutcome();
    else this.#onSuccess();
  }

  /**
   * The attempt was cancelled, because a later one at another node was answered first. This counts
   * as a failure: otherwise a node that never answers hedged calls might have none.
   */
  onOvertaken(): void {
    this.#onFailure();
  }

  /** A call has ended, and its outcome says nothing about the node. */
  onUnknownOutcome(): void {
    if (this.#phase === 'probing') this.#setPhase('probe-due');
  }

  /** Stops all timers: the node has left the list. Calls in flight may still end. */
  dispose(): void {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
  }

  #onFailure(): void {
    this.#failures++;
    if (this.#phase === 'probing') this.#eject();
    else if (
      this.#phase === 'healthy' &&
      this.#failures >= this.#settings.failures &&
      this.#hooks.canEject()
    )
      this.#eject();
  }

  /** The node does not have the service. One such answer is enough to eject it. */
  #onNotServed(): void {
    this.#failures++;
    if (this.#phase === 'probing' || (this.#phase === 'healthy' && this.#hooks.canEject()))
      this.#eject();
  }

  #onSuccess(): void {
    // A success does not end the ejection: the call may have begun before it.
    if (this.#phase === 'ejected') return;
    this.#failures = 0;
    if (this.#phase === 'healthy') return;
    this.#healthySince = performance.now();
    this.#setPhase('healthy');
  }

  /** Milliseconds. */
  #ejectionTime(): number {
    const { time, maxTime } = this.#settings;
    return Math.min(maxTime, time * 2 ** Math.min(Math.max(0, this.#ejections - 1), 30));
  }

  #eject(): void {
    const now = performance.now();
    if (this.#phase === 'healthy' && now - this.#healthySince > this.#settings.maxTime)
      this.#ejections = 0;
    this.#ejections++;
    const time = this.#ejectionTime();
    this.#ejectedUntil = now + time;
    this.#setPhase('ejected');
    this.#hooks.onEject();
    this.#startTimer(time);
  }

  #setPhase(phase: HealthPhase): void {
    clearTimeout(this.#timer);
    this.#phase = phase;
    this.#hooks.onPhaseChange();
  }

  /** Makes the next probe due after `ms` milliseconds. */
  #startTimer(ms: number): void {
    if (!this.#isDisposed) this.#timer = startTimer(() => this.#setPhase('probe-due'), ms).unref();
  }
}
