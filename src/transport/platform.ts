/**
 * The transports and compressions that an endpoint can use. node.ts has the platform of Node.js,
 * and src/web the platform of a browser.
 */
import { badOption, isArray } from '../core/options.js';
import { type Address, parseAddress } from './address.js';
import type { RateLimits } from './rate/rate-limiter.js';
import type { SessionRates } from './rate/session-rates.js';
import type {
  ClientOptions,
  Compression,
  Connection,
  RateOptions,
  SocketSettings,
  Transport,
} from './types.js';

export interface Platform {
  /** Transports by the scheme of their addresses. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION if the platform or
   * the connection does not support that compression.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
  /** See nodeClientOptions(). Undefined: a page, whose bundle stays small. */
  clientOptions?(options: ClientOptions, addresses: readonly Address[]): SocketSettings;
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

/** A parsed address, and the transport of its scheme. */
export interface Target {
  readonly address: Address;
  readonly transport: Transport;
}

/** Throws BAD_ADDRESS. */
export function targetOf({ transports }: Platform, text: string): Target {
  const address = parseAddress(text, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}

/** The addresses of a list. Another value, also an empty list, is one address, which is invalid. */
export function addressList<A>(given: A | readonly A[]): readonly A[] {
  const isList = typeof given === 'object' && given !== null && isArray(given);
  return isList && (given as readonly A[]).length > 0 ? (given as readonly A[]) : [given as A];
}
