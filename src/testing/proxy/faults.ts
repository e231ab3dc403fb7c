/** The faults of a proxy: their types, defaults and checks. */
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
  /** The part of the datagrams that is lost, from 0 to 1. Default: 0. */
  loss?: number | undefined;
  /** The part of the datagrams that arrives twice, from 0 to 1. Default: 0. */
  duplication?: number | undefined;
  /** The part of the datagrams that the next one overtakes, from 0 to 1. Default: 0. */
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
  slice: [1, Number.POSITIVE_INFINITY],
  limit: [0, Number.POSITIVE_INFINITY],
  loss: [0, 1],
  duplication: [0, 1],
  reordering: [0, 1],
};

/** The faults of each direction. Throws BAD_OPTION. */
export function resolveFaults(given: ProxyFaults): Readonly<Record<Direction, ResolvedFaults>> {
  if (typeof given !== 'object' || given === null) throw badOption('faults', given, 'an object');
  checkNames('the faults', given, PROXY_FAULT_NAMES);
  const { toServer, toClient, ...both } = given;
  const resolve = (name: Direction, own: Faults | undefined): ResolvedFaults => {
    checkNames(name, own, FAULT_NAMES);
    const resolvedBoth = withDefaults(FAULT_DEFAULTS, both, RANGES);
    return withDefaults(resolvedBoth, own as Partial<ResolvedFaults> | undefined, RANGES);
  };
  return { toServer: resolve('toServer', toServer), toClient: resolve('toClient', toClient) };
}

/** Milliseconds that bytes are under way. */
export function delayOf({ latency, jitter }: ResolvedFaults, random: () => number): number {
  return jitter === 0 ? latency : latency + random() * jitter;
}
