/**
 * The transports and compressions that an endpoint can use. node.ts has the platform of Node.js,
 * and src/web the platform of a browser.
 */
import { badOption } from '../core/options.js';
import { type Address, parseAddress } from './address.js';
import type { RateLimits } from './rate/rate-limiter.js';
import type { SessionRates } from './rate/session-rates.js';
import type { Compression, Connection, RateOptions, Transport } from './types.js';

export interface Platform {
  /** Transports by the scheme of their addresses. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION if the platform or
   * the connection does not support that compression.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
  /** The option `rate`. Undefined: a page, whose bundle stays small. */
  readonly rates?: RateSupport;
}

export interface RateSupport {
  /** New limits. `owner`: `session`, `server` or `client`. Throws BAD_OPTION. */
  limitsOf(rate: RateOptions, owner: string): RateLimits;
  /** The rates of a session: its own limits, and those that it shares. */
  sessionRates(own: RateLimits | undefined, shared: RateLimits | undefined): SessionRates;
}

/** The limits of the option `rate`. Throws BAD_OPTION. */
export function rateLimitsOf(
  { rates }: Platform,
  rate: RateOptions | undefined,
  owner: string,
): RateLimits | undefined {
  if (rate === undefined) return undefined;
  if (rates === undefined) throw badOption('rate', rate, 'undefined: a page cannot set it');
  return rates.limitsOf(rate, owner);
}

/** The parsed address, and the transport of its scheme. Throws BAD_ADDRESS. */
export function transportFor(
  { transports }: Platform,
  text: string,
): { address: Address; transport: Transport } {
  const address = parseAddress(text, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}
