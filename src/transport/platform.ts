/**
 * The transports and compressions that an endpoint can use. node.ts has the platform of Node.js,
 * and src/web the platform of a browser.
 */
import { badOption, isArray } from '../core/options.js';
import { type Address, parseAddress } from './address.js';
import type { IncludesHost } from './proxies/address-list.js';
import type { RateLimits } from './rate/rate-limiter.js';
import type { SessionRates } from './rate/session-rates.js';
import type {
  BehindProxyOptions,
  ClientOptions,
  Compression,
  Connection,
  ProxySettings,
  RateOptions,
  ServerAddress,
  ServerOptions,
  ServerSocketSettings,
  SocketSettings,
  Transport,
} from './types.js';

export interface Platform {
  /** Transports by the scheme of their addresses. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * Parses an address that is an object. `of`: the function that got it. Throws BAD_OPTION or
   * BAD_ADDRESS.
   */
  parseObject(given: object, of: 'serve()' | 'connect()'): Address;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION if the platform or
   * the connection does not support that compression.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
  /** The options `allow`, `deny` and `behindProxy`. Undefined: peers of a page have no hosts. */
  readonly proxies?: ProxySupport;
  /** The options `socket` and `proxy`. Undefined: a page has no sockets. */
  readonly sockets?: SocketSupport;
  /** The option `rate`. Undefined: a page, whose bundle stays small. */
  readonly rates?: RateSupport;
}

/** Reads the options of a server that depend on the addresses of its peers. */
export interface ProxySupport {
  readPeerList(
    name: 'allow' | 'deny',
    given: ServerOptions['allow'],
    address: Address,
  ): IncludesHost | undefined;
  readBehindProxy(
    options: BehindProxyOptions | undefined,
    address: Address,
  ): ProxySettings | undefined;
}

/** Checks the options of sockets, and applies their defaults. Both throw BAD_OPTION. */
export interface SocketSupport {
  /** Also for `proxy` if an address of the client would avoid it. */
  ofClient(options: ClientOptions, addresses: readonly Address[]): SocketSettings;
  ofServer(options: ServerOptions, addresses: readonly Address[]): ServerSocketSettings;
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

/**
 * The target of one address. `of`: the function that got it. Throws BAD_ADDRESS or BAD_OPTION.
 */
export function targetOf(
  platform: Platform,
  given: ServerAddress,
  of: 'serve()' | 'connect()',
): Target {
  const { transports } = platform;
  const address =
    typeof given === 'object' && given !== null && !isArray(given)
      ? platform.parseObject(given, of)
      : parseAddress(given as string, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}

/** Whether `given` has a property `name`. False for a Proxy that throws. */
export function hasName(given: object, name: string): boolean {
  try {
    return name in given;
  } catch {
    return false;
  }
}

/** The addresses of a list. Another value, also an empty list, is one address, which is invalid. */
export function addressList<A>(given: A | readonly A[]): readonly A[] {
  const isList = typeof given === 'object' && given !== null && isArray(given);
  return isList && (given as readonly A[]).length > 0 ? (given as readonly A[]) : [given as A];
}
