/** The option `rate` in Node.js. Pages have no rates, so portable code imports only types of it. */
import type { RateSupport } from '../platform.js';
import { RateLimitedReader } from './rate-limited-reader.js';
import { RateLimitedWriter } from './rate-limited-writer.js';
import { RateLimiter, rateLimitsOf } from './rate-limiter.js';
import { resolveRate } from './rate-options.js';

export const RATE_SUPPORT: RateSupport = {
  limitsOf: (rate, owner) => rateLimitsOf(resolveRate(rate), owner),

  sessionRates(own, shared) {
    const input = RateLimiter.of(own?.in, shared?.in);
    const output = RateLimiter.of(own?.out, shared?.out);
    return {
      makeReader: (...args) => input && new RateLimitedReader(...args, input),
      makeWriter: (...args) => output && new RateLimitedWriter(...args, output),
    };
  },
};
