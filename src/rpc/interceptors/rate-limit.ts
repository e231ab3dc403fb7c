/** The rate limit: a token bucket for each key. */

import { checkCallback } from '../../core/callbacks.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { RpcError } from '../errors.js';
import type { Call, Interceptor } from '../types.js';
import { nameOf } from './call-info.js';
import { KeyedStates } from './keyed-states.js';
import { guardedClock, keyOf } from './user-callbacks.js';

/** Options of rateLimit(). */
export interface RateLimitOptions {
  /** How many calls a second are allowed on average. Default: 1,000. */
  perSecond?: number | undefined;
  /** How many calls may arrive at once after a pause. 0: as many as `perSecond`. Default: 0. */
  burst?: number | undefined;
  /**
   * The most keys that have a separate bucket; further keys share one bucket. The keys together
   * have at most 256 characters for each of `maxKeys`, or 65,536 if that is more. Default: 10,000.
   */
  maxKeys?: number | undefined;
  /**
   * The key of a call, such as `(call) => (isReceived(call) ? call.peer : '')`; each key has a
   * bucket. Default: all calls share one bucket.
   */
  key?: ((call: Call) => string) | undefined;
  /** A monotonic clock in milliseconds. Default: performance.now(). */
  now?: (() => number) | undefined;
}

const OPTION_NAMES = {
  perSecond: true,
  burst: true,
  maxKeys: true,
  key: true,
  now: true,
} satisfies NamesOf<RateLimitOptions>;

/** The default values of rateLimit(). */
export const RATE_LIMIT_DEFAULTS = {
  perSecond: 1_000,
  burst: 0,
  maxKeys: 10_000,
} satisfies RateLimitOptions;

/**
 * Makes an interceptor with token buckets. Each second adds `perSecond` tokens, until a bucket has
 * `burst`; each call takes one. A call that finds no token is refused with RESOURCE_EXHAUSTED and
 * `unsent`. Throws BAD_OPTION.
 */
export function rateLimit(options: RateLimitOptions = {}): Interceptor {
  checkNames('rateLimit()', options, OPTION_NAMES);
  const {
    perSecond,
    burst: given,
    maxKeys,
  } = withDefaults(RATE_LIMIT_DEFAULTS, options, {
    perSecond: [1e-6, 1e9],
    burst: [0, 1e9, 'integer'],
    maxKeys: [1, 2 ** 24, 'integer'],
  });
  const { key } = options;
  const now = guardedClock(options.now);
  checkCallback('key', key);
  checkCallback('now', options.now);
  const burst = given === 0 ? Math.ceil(perSecond) : given;
  return (next) => {
    const makeBucket = (): TokenBucket => new TokenBucket(perSecond, burst, now());
    const shared = makeBucket();
    const buckets = new KeyedStates(makeBucket, (bucket) => bucket.isFull(now()), maxKeys, now);
    return (call) => {
      const bucket = key === undefined ? shared : buckets.of(keyOf('rateLimit()', key, call));
      if (bucket.tryTake(now())) return next(call);
      const text = `${nameOf(call)} was refused: more than ${perSecond} calls a second`;
      return Promise.reject(new RpcError('RESOURCE_EXHAUSTED', text, { unsent: true }));
    };
  };
}

class TokenBucket {
  readonly #tokensPerMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#tokensPerMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAt = now;
  }

  tryTake(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** True: the bucket has the state of a new one. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens === this.#burst;
  }

  #fill(now: number): void {
    if (now <= this.#filledAt) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#tokensPerMs);
    this.#filledAt = now;
  }
}
