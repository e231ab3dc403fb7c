/**
 * Nodes whose calls fail are left out for a while, and come back when a call to them has succeeded.
 */
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import type { RpcCode } from '../../rpc/index.js';
import { fateOf, isFree, isNotServed } from '../strategies/safe.js';

/** Milliseconds. Defaults: EJECTION_DEFAULTS. */
export interface EjectionOptions {
  /** A node is left out when so many calls to it failed in a row. */
  failures?: number | undefined;
  /** How long at first; it doubles each time … */
  time?: number | undefined;
  /** … up to this. A node that was good for so long begins anew. */
  maxTime?: number | undefined;
  /** The most of all nodes that are left out at once: from 0 (none) to 1 (all), rounded down. */
  share?: number | undefined;
  /** Which errors are a node's fault. Default: UNAVAILABLE and DEADLINE_EXCEEDED. */
  codes?: readonly RpcCode[] | undefined;
}

const NAMES = {
  failures: true,
  time: true,
  maxTime: true,
  share: true,
  codes: true,
} satisfies NamesOf<EjectionOptions>;

/** Milliseconds. */
export const EJECTION_DEFAULTS = {
  failures: 5,
  time: 1_000,
  maxTime: 30_000,
  share: 0.5,
  codes: ['UNAVAILABLE', 'DEADLINE_EXCEEDED'] as readonly RpcCode[],
} satisfies EjectionOptions;

export type EjectionSettings = typeof EJECTION_DEFAULTS;

/** `false`: nobody is ever left out. Throws BAD_OPTION. */
export function resolveEjection(
  options: EjectionOptions | false | undefined,
): EjectionSettings | undefined {
  if (options === false) return undefined;
  checkNames('ejection', options, NAMES);
  const settings = withDefaults(EJECTION_DEFAULTS, options, {
    failures: [1, 1e9],
    time: [1, LONGEST_TIMER],
    maxTime: [1, LONGEST_TIMER],
    share: [0, 1],
  });
  if (!Number.isInteger(settings.failures))
    throw badOption('ejection.failures', settings.failures, 'a whole number');
  if (!Array.isArray(settings.codes))
    throw badOption('ejection.codes', settings.codes, 'an array of error codes');
  return settings;
}

/**
 * in: takes calls. out: takes none. due: takes one, to see how it is. probed: that one is under
 * way.
 */
export type HealthPhase = 'in' | 'out' | 'due' | 'probed';

/** What those decide who know all nodes. */
export interface HealthHost {
  /** Whether one more may be left out. */
  mayEject(): boolean;
  /** The phase has changed. */
  changed(): void;
  /** The node is left out from now on. */
  ejected(): void;
}

export class NodeHealth {
  readonly #settings: EjectionSettings;
  readonly #host: HealthHost;
  #phase: HealthPhase = 'in';
  #failures = 0;
  /** How often it was left out without having been good for long between. */
  #times = 0;
  /** Since when it is in or, out, until when it is. */
  #at = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #forgotten = false;

  constructor(settings: EjectionSettings, host: HealthHost) {
    this.#settings = settings;
    this.#host = host;
  }

  get phase(): HealthPhase {
    return this.#phase;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds that it is still left out. */
  get restsFor(): number {
    return this.#phase === 'out' ? Math.max(0, this.#at - performance.now()) : 0;
  }

  begin(): void {
    if (this.#phase !== 'due') return;
    this.#become('probed');
    // A call that goes on for very long is not waited for.
    this.#after(this.#restTime(), 'due');
  }

  /** A call has ended, with this error. */
  end(error: unknown): void {
    // Without a connection the link rests by itself.
    if (isFree(error)) return this.unknown();
    if (isNotServed(error)) return this.#notServed();
    const { code } = fateOf(error);
    if (error !== undefined && this.#settings.codes.includes(code as RpcCode)) this.#failed();
    // That the caller gave up tells nothing; any other error is an answer.
    else if (code === 'CANCELLED') this.unknown();
    else this.#succeeded();
  }

  /**
   * A call was cancelled because a node that was asked later answered first. It counts as a
   * failure: a node that never answers shows no other sign.
   */
  overtaken(): void {
    this.#failed();
  }

  /** A call has ended, and nobody knows how. */
  unknown(): void {
    if (this.#phase === 'probed') this.#become('due');
  }

  /** The node is gone. */
  forget(): void {
    this.#forgotten = true;
    clearTimeout(this.#timer);
  }

  #failed(): void {
    this.#failures++;
    if (this.#phase === 'probed') this.#eject();
    else if (
      this.#phase === 'in' &&
      this.#failures >= this.#settings.failures &&
      this.#host.mayEject()
    )
      this.#eject();
  }

  /** One answer is proof, so it is left out at once. */
  #notServed(): void {
    this.#failures++;
    if (this.#phase === 'probed' || (this.#phase === 'in' && this.#host.mayEject())) this.#eject();
  }

  #succeeded(): void {
    // A call from before may still have been answered; the rest is not cut short by it.
    if (this.#phase === 'out') return;
    this.#failures = 0;
    if (this.#phase === 'in') return;
    this.#at = performance.now();
    this.#become('in');
  }

  #restTime(): number {
    const { time, maxTime } = this.#settings;
    return Math.min(maxTime, time * 2 ** Math.min(Math.max(0, this.#times - 1), 30));
  }

  #eject(): void {
    const now = performance.now();
    if (this.#phase === 'in' && now - this.#at > this.#settings.maxTime) this.#times = 0;
    this.#times++;
    const rest = this.#restTime();
    this.#at = now + rest;
    this.#become('out');
    this.#host.ejected();
    this.#after(rest, 'due');
  }

  #become(phase: HealthPhase): void {
    clearTimeout(this.#timer);
    this.#phase = phase;
    this.#host.changed();
  }

  #after(ms: number, phase: HealthPhase): void {
    // A call to a node that is gone may end later.
    if (!this.#forgotten) this.#timer = startTimer(() => this.#become(phase), ms).unref();
  }
}
