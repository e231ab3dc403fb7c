/** No more than so many calls a second. */

import { checkCallback } from '../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { RpcError } from '../errors.js';
import type { Call, Interceptor } from '../types.js';
import { guardedClock, keyOf } from './guarded.js';
import { KeyedStates } from './keyed.js';
import { nameOf } from './side.js';

/** Defaults: RATE_LIMIT_DEFAULTS. */
export interface RateLimitOptions {
  /** How many calls a second are allowed on average. */
  perSecond?: number | undefined;
  /** How many may come at once after a rest. 0: as many as one second allows. */
  burst?: number | undefined;
  /**
   * The most keys that are counted apart; calls with further ones share one count. The keys
   * together have at most 256 characters for each of `maxKeys`, or 65,536.
   */
  maxKeys?: number | undefined;
  /**
   * What is counted apart, such as `(call) => (isReceived(call) ? call.peer : '')`. Default: all
   * calls together.
   */
  key?: ((call: Call) => string) | undefined;
  /** A clock in milliseconds that never goes back. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const NAMES = {
  perSecond: true,
  burst: true,
  maxKeys: true,
  key: true,
  now: true,
} satisfies NamesOf<RateLimitOptions>;

export const RATE_LIMIT_DEFAULTS = {
  perSecond: 1_000,
  burst: 0,
  maxKeys: 10_000,
} satisfies RateLimitOptions;

/**
 * A bucket of tokens: `perSecond` fill it up to `burst`, each call takes one. A call that finds
 * none is refused with RESOURCE_EXHAUSTED (`unsent`). Throws BAD_OPTION.
 */
export function rateLimit(options: RateLimitOptions = {}): Interceptor {
  checkNames('rateLimit()', options, NAMES);
  const {
    perSecond,
    burst: given,
    maxKeys,
  } = withDefaults(RATE_LIMIT_DEFAULTS, options, {
    perSecond: [1e-6, 1e9],
    burst: [0, 1e9],
    maxKeys: [1, 2 ** 24],
  });
  for (const [name, value] of [
    ['burst', given],
    ['maxKeys', maxKeys],
  ] as const)
    if (!Number.isInteger(value)) throw badOption(name, value, 'a whole number');
  const { key } = options;
  const now = guardedClock(options.now);
  checkCallback('key', key);
  checkCallback('now', options.now);
  const burst = given === 0 ? Math.ceil(perSecond) : given;
  return (next) => {
    const make = (): Bucket => new Bucket(perSecond, burst, now());
    const all = make();
    const buckets = new KeyedStates(make, (bucket) => bucket.isFull(now()), maxKeys, now);
    return (call) => {
      const bucket = key === undefined ? all : buckets.of(keyOf('rateLimit()', key, call));
      if (bucket.take(now())) return next(call);
      const text = `${nameOf(call)} was refused: more than ${perSecond} calls a second`;
      return Promise.reject(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
    };
  };
}

class Bucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** As good as a new one. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens === this.#burst;
  }

  #fill(now: number): void {
    if (now <= this.#at) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs);
    this.#at = now;
  }
}
