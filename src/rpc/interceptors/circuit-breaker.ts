/** Leaving a service alone that fails, until it has recovered. */

import { answerOf, checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { type RpcCode, RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/stream-end.js';
import type { Call, Interceptor } from '../types.js';
import { guardedClock, keyOf } from './guarded.js';
import { KeyedStates } from './keyed.js';
import { RollingCount } from './rolling-count.js';

/**
 * closed: calls pass. open: they are refused. half-open: a few may try whether all is well again.
 */
export type CircuitState = 'closed' | 'open' | 'half-open';

/** Milliseconds. Defaults: CIRCUIT_BREAKER_DEFAULTS. */
export interface CircuitBreakerOptions {
  /** A circuit opens when so many calls failed within `window` … */
  failures?: number | undefined;
  /**
   * … and they are such a part of all calls within it: from 0 (however many succeed) to 1 (none may
   * succeed).
   */
  ratio?: number | undefined;
  window?: number | undefined;
  /**
   * How long it is open. Half-open, it waits no longer for the probes under way before it lets
   * others through.
   */
  openFor?: number | undefined;
  /** Half-open, so many calls may pass; when all of them succeeded, the circuit is closed. */
  probes?: number | undefined;
  /**
   * The most circuits of their own; calls with further keys share one. The keys together have at
   * most 256 characters for each of `maxKeys`, or 65,536.
   */
  maxKeys?: number | undefined;
  /** What a call belongs to. Default: its service. */
  key?: ((call: Call) => string) | undefined;
  /**
   * Which errors count. Default: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and INTERNAL.
   */
  isFailure?: ((error: RpcError) => boolean) | undefined;
  /** Told of each change. */
  onState?: ((key: string, state: CircuitState) => unknown) | undefined;
  /** A clock in milliseconds that never goes back. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const NAMES = {
  failures: true,
  ratio: true,
  window: true,
  openFor: true,
  probes: true,
  maxKeys: true,
  key: true,
  isFailure: true,
  onState: true,
  now: true,
} satisfies NamesOf<CircuitBreakerOptions>;

/** Milliseconds. */
export const CIRCUIT_BREAKER_DEFAULTS = {
  failures: 10,
  ratio: 0.5,
  window: 10_000,
  openFor: 5_000,
  probes: 1,
  maxKeys: 1_024,
} satisfies CircuitBreakerOptions;

const FAILURES: readonly RpcCode[] = [
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'INTERNAL',
];

type Settings = typeof CIRCUIT_BREAKER_DEFAULTS &
  Required<Pick<CircuitBreakerOptions, 'key' | 'isFailure' | 'onState' | 'now'>>;

/**
 * Counts the failures of each service. When they are too many, calls to it are refused at once with
 * UNAVAILABLE (`unsent`), so that it has peace to recover and its callers do not wait for nothing;
 * after a while a few may try. Throws BAD_OPTION.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): Interceptor {
  checkNames('circuitBreaker()', options, NAMES);
  const settings = resolve(options);
  const { key, maxKeys, now } = settings;
  return (next) => {
    const circuits = new KeyedStates(
      () => new Circuit(settings),
      (circuit) => circuit.isIdle,
      maxKeys,
      now,
    );
    return (call) => {
      const name = keyOf('circuitBreaker()', key, call);
      const circuit = circuits.of(name);
      const began = circuit.enter(name);
      if (began === undefined) {
        const text = `the circuit of ${name} is ${circuit.state}: too many calls failed; tries again in ${circuit.restsFor} ms`;
        return Promise.reject(new RpcError('UNAVAILABLE', text, { unsent: true }));
      }
      return invokeUntilEnd(next, call, (error) => circuit.leave(name, began, error));
    };
  };
}

function resolve(options: CircuitBreakerOptions): Settings {
  const resolved = withDefaults(CIRCUIT_BREAKER_DEFAULTS, options, {
    failures: [1, 1e9],
    ratio: [0, 1],
    window: [10, Number.MAX_SAFE_INTEGER],
    openFor: [1, Number.MAX_SAFE_INTEGER],
    probes: [1, 1e6],
    maxKeys: [1, 2 ** 24],
  });
  for (const name of ['failures', 'probes', 'maxKeys'] as const)
    if (!Number.isInteger(resolved[name])) throw badOption(name, resolved[name], 'a whole number');
  for (const name of ['key', 'isFailure', 'onState', 'now'] as const)
    checkCallback(name, options[name]);
  const {
    key = (call) => call.method.service,
    isFailure = ({ code }) => FAILURES.includes(code),
    onState = () => {},
  } = options;
  return { ...resolved, key, isFailure, onState, now: guardedClock(options.now) };
}

class Circuit {
  state: CircuitState = 'closed';
  readonly #settings: Settings;
  readonly #calls: RollingCount;
  readonly #failed: RollingCount;
  /** When it is half-open next; half-open, when it waits no longer for its probes. */
  #until = 0;
  /** Changes with each state: what began in another one counts no more. */
  #era = 0;
  #probing = 0;
  #succeeded = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#calls = new RollingCount(settings.window);
    this.#failed = new RollingCount(settings.window);
  }

  /** As good as a new one. */
  get isIdle(): boolean {
    return this.state === 'closed' && this.#failed.at(this.#settings.now()) === 0;
  }

  get restsFor(): number {
    return Math.max(0, Math.ceil(this.#until - this.#settings.now()));
  }

  /** What leave() is to be given at the call's end; undefined: it may not pass. */
  enter(key: string): number | undefined {
    if (this.state === 'closed') return this.#era;
    if (this.#settings.now() >= this.#until) this.#turn(key, 'half-open');
    if (this.state === 'open' || this.#probing + this.#succeeded >= this.#settings.probes)
      return undefined;
    this.#probing++;
    return this.#era;
  }

  leave(key: string, era: number, error: RpcError | undefined): void {
    if (era !== this.#era) return;
    const failed = error !== undefined && this.#isFailure(error);
    // Whoever gave up knows nothing of the service.
    const counts = failed || error?.code !== 'CANCELLED';
    if (this.state === 'closed') {
      if (counts) this.#count(key, failed);
      return;
    }
    this.#probing--;
    if (failed) this.#turn(key, 'open');
    else if (counts && ++this.#succeeded >= this.#settings.probes) this.#turn(key, 'closed');
  }

  #isFailure(error: RpcError): boolean {
    return answerOf('isFailure', () => this.#settings.isFailure(error), true);
  }

  #count(key: string, failed: boolean): void {
    const { now, failures, ratio } = this.#settings;
    const at = now();
    const calls = this.#calls.add(at);
    if (!failed) return;
    const count = this.#failed.add(at);
    if (count >= failures && count >= ratio * calls) this.#turn(key, 'open');
  }

  #turn(key: string, state: CircuitState): void {
    const { now, openFor, onState } = this.#settings;
    const changed = this.state !== state;
    this.state = state;
    this.#era++;
    this.#until = now() + openFor;
    this.#probing = 0;
    this.#succeeded = 0;
    this.#calls.clear();
    this.#failed.clear();
    if (changed) notifyOrWarn('onState', () => onState(key, state));
  }
}
