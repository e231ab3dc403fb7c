/** The faults of a proxy: their types, defaults and checks. */
import { gettyError } from '../../core/errors.js';
import {
  badOption,
  checkNames,
  type NamesOf,
  type Ranges,
  withDefaults,
} from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';

/** What a network does to one direction. Times are in ms, sizes in bytes. */
export interface Faults {
  /** How long bytes are under way. Default: 0. */
  latency?: number | undefined;
  /**
   * A random time from 0 to this is added to `latency`. Bytes of a stream keep their order;
   * datagrams may overtake each other. Default: 0.
   */
  jitter?: number | undefined;
  /**
   * How many bytes pass per second, of each connection. Of the datagrams of a client, up to 1 MiB
   * waits in each direction, with 512 bytes more for each; others are lost. Default: Infinity.
   */
  bandwidth?: number | undefined;
  /** The most bytes that arrive at once. Streams only. Default: Infinity. */
  slice?: number | undefined;
  /**
   * Nothing passes, as in a network that is divided: also no end and no reset. Bytes of a stream
   * wait until the fault is removed; datagrams are lost. Default: false.
   */
  blocked?: boolean | undefined;
  /**
   * The end, the loss or the reset of the sending side is not passed on: the receiving side has a
   * half-open connection. Streams only. Default: false.
   */
  halfOpen?: boolean | undefined;
  /**
   * The most bytes of one connection. At the limit a stream is reset; a datagram that would exceed
   * the limit is lost. Default: Infinity.
   */
  limit?: number | undefined;
  /**
   * Each connection is reset this long after it was accepted. With `toServer` and `toClient` the
   * shorter time counts. Default: Infinity, never.
   */
  resetAfter?: number | undefined;
  /** The part of the datagrams that is lost, from 0 to 1. `udp` only. Default: 0. */
  loss?: number | undefined;
  /** The part of the datagrams that arrives twice, from 0 to 1. `udp` only. Default: 0. */
  duplication?: number | undefined;
  /**
   * The part of the datagrams that the next one overtakes, from 0 to 1. `udp` only. Default: 0.
   */
  reordering?: number | undefined;
}

/** The faults of both directions. A fault in `toServer` or `toClient` replaces the common one. */
export interface ProxyFaults extends Faults {
  /** Faults of what clients send. Default: those of both directions. */
  toServer?: Faults | undefined;
  /** Faults of what the server sends. Default: those of both directions. */
  toClient?: Faults | undefined;
}

/** Faults of one direction with all defaults. */
export type ResolvedFaults = typeof FAULT_DEFAULTS;

export type Direction = 'toServer' | 'toClient';

/** Times are in ms, sizes in bytes. */
export const FAULT_DEFAULTS = {
  latency: 0,
  jitter: 0,
  bandwidth: Number.POSITIVE_INFINITY,
  slice: Number.POSITIVE_INFINITY,
  blocked: false as boolean,
  halfOpen: false as boolean,
  limit: Number.POSITIVE_INFINITY,
  resetAfter: Number.POSITIVE_INFINITY,
  loss: 0,
  duplication: 0,
  reordering: 0,
} satisfies Faults;

const FAULT_NAMES = {
  latency: true,
  jitter: true,
  bandwidth: true,
  slice: true,
  blocked: true,
  halfOpen: true,
  limit: true,
  resetAfter: true,
  loss: true,
  duplication: true,
  reordering: true,
} satisfies NamesOf<Faults>;
const PROXY_FAULT_NAMES = {
  ...FAULT_NAMES,
  toServer: true,
  toClient: true,
} satisfies NamesOf<ProxyFaults>;

const RANGES: Ranges<ResolvedFaults> = {
  latency: [0, LONGEST_TIMER],
  jitter: [0, LONGEST_TIMER],
  bandwidth: [1, Number.POSITIVE_INFINITY],
  slice: [1, Number.POSITIVE_INFINITY, 'integer'],
  limit: [0, Number.POSITIVE_INFINITY, 'integer'],
  loss: [0, 1],
  duplication: [0, 1],
  reordering: [0, 1],
};

const STREAM_SCHEMES = ['tcp', 'tls', 'ws', 'wss', 'unix'] as const;
const DATAGRAM_SCHEMES = ['udp'] as const;
/** The schemes that a proxy can have. */
export const PROXY_SCHEMES: readonly string[] = [...STREAM_SCHEMES, ...DATAGRAM_SCHEMES];

/** The schemes of the faults that not all schemes have. */
const FAULT_SCHEMES: { readonly [Name in keyof Faults]?: readonly string[] } = {
  slice: STREAM_SCHEMES,
  halfOpen: STREAM_SCHEMES,
  loss: DATAGRAM_SCHEMES,
  duplication: DATAGRAM_SCHEMES,
  reordering: DATAGRAM_SCHEMES,
};

/**
 * The faults of each direction. Throws BAD_OPTION, also for a fault that `scheme` does not have,
 * unless its value is the default.
 */
export function resolveFaults(
  given: ProxyFaults,
  scheme: string,
): Readonly<Record<Direction, ResolvedFaults>> {
  if (typeof given !== 'object' || given === null) throw badOption('faults', given, 'an object');
  checkNames('the faults', given, PROXY_FAULT_NAMES);
  const { toServer, toClient, ...both } = given;
  const resolve = (name: Direction, own: Faults | undefined): ResolvedFaults => {
    checkNames(name, own, FAULT_NAMES);
    const resolvedBoth = withDefaults(FAULT_DEFAULTS, both, RANGES);
    const resolved = withDefaults(resolvedBoth, own as Partial<ResolvedFaults>, RANGES);
    checkSchemes(resolved, scheme);
    return resolved;
  };
  return { toServer: resolve('toServer', toServer), toClient: resolve('toClient', toClient) };
}

function checkSchemes(faults: ResolvedFaults, scheme: string): void {
  for (const [fault, schemes] of Object.entries(FAULT_SCHEMES)) {
    const name = fault as keyof ResolvedFaults;
    if (faults[name] === FAULT_DEFAULTS[name] || schemes.includes(scheme)) continue;
    throw gettyError(
      'BAD_OPTION',
      `${name}: ${scheme}:// does not have this fault; ${schemes.join(', ')} ${schemes.length > 1 ? 'have' : 'has'} it`,
    );
  }
}

/** Milliseconds that bytes are under way. */
export function delayOf({ latency, jitter }: ResolvedFaults, random: () => number): number {
  return jitter === 0 ? latency : latency + random() * jitter;
}
