/** The circuit breaker: refuses calls to a service that fails, until it has recovered. */

import { checkCallback, notifyOrWarn, resultOf } from '../../core/callbacks.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import type { ServerCall } from '../calls/server-call.js';
import { type RpcCode, RpcError } from '../errors.js';
import { invokeUntilEnd } from '../streams/call-end.js';
import type { Call, Interceptor } from '../types.js';
import { isReceived } from './call-info.js';
import { KeyedStates } from './keyed-states.js';
import { RollingCount } from './rolling-count.js';
import { guardedClock, keyOf } from './user-callbacks.js';

/**
 * closed: calls pass. open: calls are refused. half-open: `probes` calls pass, to find out whether
 * the service has recovered.
 */
export type CircuitState = 'closed' | 'open' | 'half-open';

/** Options of circuitBreaker(). */
export interface CircuitBreakerOptions {
  /** How many calls must fail within `window` before the circuit opens. Default: 10. */
  failures?: number | undefined;
  /**
   * The part of all calls within `window` that must have failed, from 0 (any part) to 1 (all
   * calls). The circuit opens when both `failures` and `ratio` are reached. Default: 0.5.
   */
  ratio?: number | undefined;
  /** How far back calls are counted, in milliseconds. Default: 10,000. */
  window?: number | undefined;
  /**
   * How long the circuit stays open, in milliseconds. When the probes of a half-open circuit take
   * longer than this, other calls become probes. Default: 5,000.
   */
  openFor?: number | undefined;
  /**
   * How many calls pass through a half-open circuit. When all of them succeed, the circuit closes.
   * Default: 1.
   */
  probes?: number | undefined;
  /**
   * The most keys that have a separate circuit; further keys share one circuit. The keys
   * together have at most 256 characters for each of `maxKeys`, or 65,536 if that is more. Default:
   * 1,024.
   */
  maxKeys?: number | undefined;
  /** The key of a call; each key has a circuit. Default: the name of the service. */
  key?: ((call: Call) => string) | undefined;
  /**
   * Whether an error is a failure of the service. Default: true for UNAVAILABLE, DEADLINE_EXCEEDED,
   * RESOURCE_EXHAUSTED and INTERNAL, unless this side has refused the call or could not send it.
   * Of such calls only those without a connection (UNAVAILABLE) are failures. The timeout of a
   * stream that has delivered an item is not a failure.
   */
  isFailure?: ((error: RpcError) => boolean) | undefined;
  /**
   * Called at each change of a circuit's state. When it throws, the process warns. Default: none.
   */
  onState?: ((key: string, state: CircuitState) => unknown) | undefined;
  /** A monotonic clock in milliseconds. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const OPTION_NAMES = {
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

/** The default values of circuitBreaker(). Times are in milliseconds. */
export const CIRCUIT_BREAKER_DEFAULTS = {
  failures: 10,
  ratio: 0.5,
  window: 10_000,
  openFor: 5_000,
  probes: 1,
  maxKeys: 1_024,
} satisfies CircuitBreakerOptions;

const FAILURE_CODES: readonly RpcCode[] = [
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'INTERNAL',
];

/** `isFailure`: undefined for the default. */
type Settings = typeof CIRCUIT_BREAKER_DEFAULTS &
  Required<Pick<CircuitBreakerOptions, 'key' | 'onState' | 'now'>> &
  Pick<CircuitBreakerOptions, 'isFailure'>;

/**
 * Makes an interceptor that counts the failures of each service and refuses calls to a service that
 * fails too often. A refused call fails at once with UNAVAILABLE and `unsent`. After `openFor`,
 * `probes` calls pass; when they succeed, all calls pass. Throws BAD_OPTION.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): Interceptor {
  checkNames('circuitBreaker()', options, OPTION_NAMES);
  const settings = resolveSettings(options);
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
      const epoch = circuit.tryEnter(name);
      if (epoch === undefined) {
        const text = `the circuit of ${name} is ${circuit.state}: too many calls failed; the next probe may start in ${circuit.timeUntilProbe} ms`;
        const refusal = new RpcError('UNAVAILABLE', text, { unsent: true });
        refusals.add(refusal);
        return Promise.reject(refusal);
      }
      return invokeUntilEnd(next, call, (error, hasItems) =>
        circuit.onCallSettled(name, epoch, call, error, hasItems),
      );
    };
  };
}

function resolveSettings(options: CircuitBreakerOptions): Settings {
  const resolved = withDefaults(CIRCUIT_BREAKER_DEFAULTS, options, {
    failures: [1, 1e9, 'integer'],
    ratio: [0, 1],
    window: [10, Number.MAX_SAFE_INTEGER],
    openFor: [1, Number.MAX_SAFE_INTEGER],
    probes: [1, 1e6, 'integer'],
    maxKeys: [1, 2 ** 24, 'integer'],
  });
  for (const name of ['key', 'isFailure', 'onState', 'now'] as const)
    checkCallback(name, options[name]);
  const { key = (call) => call.method.service, isFailure, onState = () => {} } = options;
  return { ...resolved, key, isFailure, onState, now: guardedClock(options.now) };
}

/** The errors of all circuit breakers. Their code is that of a call without a connection. */
const refusals = new WeakSet<object>();

function isRefusal({ cause }: RpcError): boolean {
  return typeof cause === 'object' && cause !== null && refusals.has(cause);
}

/** Whether the call did not reach the service, for a reason on this side. */
function wasRefusedHere(call: Call, error: RpcError): boolean {
  const { code, reason, unsent } = error;
  if (!unsent) return false;
  // retry() throws a copy, whose cause is the refusal.
  if (refusals.has(error) || isRefusal(error)) return true;
  // In a server, `unsent` may describe a call that the handler made.
  if (isReceived(call)) return (call as Partial<ServerCall>).origin?.hasHandlerStarted === false;
  return code !== 'UNAVAILABLE' && reason === undefined;
}

class Circuit {
  state: CircuitState = 'closed';
  readonly #settings: Settings;
  readonly #calls: RollingCount;
  readonly #failed: RollingCount;
  /**
   * Open: when the circuit becomes half-open. Half-open: when it stops waiting for its probes. In
   * milliseconds of `now`.
   */
  #stateEndsAt = 0;
  /**
   * The number of the state. The outcome of a call that began in an earlier state does not count.
   */
  #epoch = 0;
  #activeProbes = 0;
  #succeededProbes = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#calls = new RollingCount(settings.window);
    this.#failed = new RollingCount(settings.window);
  }

  /** True: the circuit has the state of a new one. */
  get isIdle(): boolean {
    return this.state === 'closed' && this.#failed.at(this.#settings.now()) === 0;
  }

  /** How long until the next probe may start, in whole milliseconds. */
  get timeUntilProbe(): number {
    return Math.max(0, Math.ceil(this.#stateEndsAt - this.#settings.now()));
  }

  /** Returns the epoch for onCallSettled(), or undefined when the call is refused. */
  tryEnter(key: string): number | undefined {
    if (this.state === 'closed') return this.#epoch;
    if (this.#settings.now() >= this.#stateEndsAt) this.#transition(key, 'half-open');
    if (
      this.state === 'open' ||
      this.#activeProbes + this.#succeededProbes >= this.#settings.probes
    )
      return undefined;
    this.#activeProbes++;
    return this.#epoch;
  }

  onCallSettled(
    key: string,
    epoch: number,
    call: Call,
    error: RpcError | undefined,
    hasItems: boolean,
  ): void {
    if (epoch !== this.#epoch) return;
    // A call that was cancelled, or did not reach the service, is no failure and no success.
    const isNeutral =
      error !== undefined && (error.code === 'CANCELLED' || wasRefusedHere(call, error));
    const isFailure = error !== undefined && this.#isFailure(error, isNeutral, hasItems);
    const counts = isFailure || !isNeutral;
    if (this.state === 'closed') {
      if (counts) this.#count(key, isFailure);
      return;
    }
    this.#activeProbes--;
    if (isFailure) this.#transition(key, 'open');
    else if (counts && ++this.#succeededProbes >= this.#settings.probes)
      this.#transition(key, 'closed');
  }

  #isFailure(error: RpcError, isNeutral: boolean, hasItems: boolean): boolean {
    const { isFailure } = this.#settings;
    if (isFailure !== undefined) return resultOf('isFailure', () => isFailure(error), true);
    // The timeout of a stream is its normal end: the service has sent items until then.
    const isBoundedStream = hasItems && error.code === 'DEADLINE_EXCEEDED';
    return !isNeutral && !isBoundedStream && FAILURE_CODES.includes(error.code);
  }

  #count(key: string, isFailure: boolean): void {
    const { now, failures, ratio } = this.#settings;
    const at = now();
    const calls = this.#calls.add(at);
    if (!isFailure) return;
    const count = this.#failed.add(at);
    if (count >= failures && count >= ratio * calls) this.#transition(key, 'open');
  }

  #transition(key: string, state: CircuitState): void {
    const { now, openFor, onState } = this.#settings;
    const isChange = this.state !== state;
    this.state = state;
    this.#epoch++;
    this.#stateEndsAt = now() + openFor;
    this.#activeProbes = 0;
    this.#succeededProbes = 0;
    this.#calls.clear();
    this.#failed.clear();
    if (isChange) notifyOrWarn('onState', () => onState(key, state));
  }
}
