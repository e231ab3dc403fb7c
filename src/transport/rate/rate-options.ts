/** The option `rate`: defaults and checks. */
import { badOption, checkNumber, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { checkRateNames } from '../option-names.js';
import type { RateInOptions, RateOptions } from '../types.js';

/** `burst` in milliseconds. */
export const RATE_DEFAULTS = {
  burst: 1_000,
  over: 'pause' as 'pause' | 'close',
} satisfies RateInOptions;

/**
 * Milliseconds: the shortest time for which a session waits. Each pause costs two system calls. A
 * bucket must hold what comes in during this time, so it is also the lowest `burst`.
 */
export const MIN_PAUSE = 10;

/** Per second. */
const LOWEST_RATE = 1e-6;
const HIGHEST_RATE = 1e12;

/** The limits of one direction with their defaults. */
export interface ResolvedLimit {
  readonly messages: number | undefined;
  readonly bytes: number | undefined;
  readonly burst: number;
  readonly over: 'pause' | 'close';
}

export interface ResolvedRate {
  readonly in: ResolvedLimit | undefined;
  readonly out: ResolvedLimit | undefined;
}

/** Throws BAD_OPTION. */
export function resolveRate(rate: RateOptions): ResolvedRate {
  checkRateNames(rate);
  return { in: resolveLimit('rate.in', rate.in), out: resolveLimit('rate.out', rate.out) };
}

function resolveLimit(of: string, limit: RateInOptions | undefined): ResolvedLimit | undefined {
  if (limit === undefined) return undefined;
  const { messages, bytes } = limit;
  if (messages === undefined && bytes === undefined)
    throw badOption(of, limit, 'an object with messages, bytes or both');
  for (const [name, value] of Object.entries({ messages, bytes }))
    if (value !== undefined) checkNumber(`${of}.${name}`, value, LOWEST_RATE, HIGHEST_RATE);
  const { burst, over } = withDefaults(
    RATE_DEFAULTS,
    limit as Partial<typeof RATE_DEFAULTS>,
    { burst: [MIN_PAUSE, LONGEST_TIMER] },
    of,
  );
  if (over !== 'pause' && over !== 'close')
    throw badOption(`${of}.over`, over, '"pause" or "close"');
  return { messages, bytes, burst, over };
}
