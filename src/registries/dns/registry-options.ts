/** The options of the registry, with their names, defaults and ranges. */
import type { Logger } from '../../core/logger.js';
import type { NamesOf } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';

export interface DnsRegistryOptions {
  /** The scheme of the addresses: tcp, tls, ws, wss or udp. Default: tcp. */
  scheme?: 'tcp' | 'tls' | 'ws' | 'wss' | 'udp' | undefined;
  /** The path of ws and wss addresses, such as `/rpc`. Default: none. */
  path?: string | undefined;
  /** The only service of the nodes. Default: each node serves whatever a query asks for. */
  service?: string | undefined;
  /** The group of the nodes; '' means none. Default: whatever a query asks for. */
  group?: string | undefined;
  /** The version of the services; '' means none. Default: whatever a query asks for. */
  version?: string | undefined;
  /** The only codec of the nodes. Default: whatever a query asks for. */
  protocol?: 'json' | 'protobuf' | undefined;
  /**
   * Which addresses: 4 or 6, or 0 for those of IPv4, and those of IPv6 if there are none. Not for
   * SRV records. Default: 0.
   */
  family?: 0 | 4 | 6 | undefined;
  /** Name servers: `ip`, `ip:port` or `[ipv6]:port`. Default: those of the system. */
  servers?: readonly string[] | undefined;
  /**
   * Domains that are appended to a name without a dot at its end, if the name itself has no records
   * of the kind. At most 8. Default: those of /etc/resolv.conf; none if `servers` are given.
   */
  search?: readonly string[] | undefined;
  /**
   * Milliseconds between two queries where no ttl is known: of SRV records, whose ttl Node.js does
   * not tell, and of an empty answer. From `minInterval` to `maxInterval`. Default: 10,000.
   */
  pollInterval?: number | undefined;
  /**
   * Milliseconds: the shortest time between two queries, also for a ttl of 0, and the first delay
   * after a failure. At least 100. Default: 1,000.
   */
  minInterval?: number | undefined;
  /** Milliseconds: the longest time between two queries, without the jitter. Default: 30,000. */
  maxInterval?: number | undefined;
  /** Milliseconds for all queries of one poll together. Default: 5,000. */
  requestTimeout?: number | undefined;
  /**
   * Milliseconds for which the last list is kept while no name server answers. Infinity: for ever.
   * Default: 300,000.
   */
  keepTime?: number | undefined;
  /** The most nodes; further records are left out, with one log line. Default: 1,000. */
  maxNodes?: number | undefined;
  /**
   * Logs each of these once: no name server answers or one answers again, the name has no records,
   * records are left out. Default: none; then each failure is one warning of the process.
   */
  logger?: Logger | undefined;
}

export const DNS_NAMES = {
  scheme: true,
  path: true,
  service: true,
  group: true,
  version: true,
  protocol: true,
  family: true,
  servers: true,
  search: true,
  pollInterval: true,
  minInterval: true,
  maxInterval: true,
  requestTimeout: true,
  keepTime: true,
  maxNodes: true,
  logger: true,
} satisfies NamesOf<DnsRegistryOptions>;

/** Defaults of DnsRegistryOptions; times are in milliseconds. */
export const DNS_DEFAULTS = {
  scheme: 'tcp' as string,
  path: '',
  family: 0 as number,
  pollInterval: 10_000,
  minInterval: 1_000,
  maxInterval: 30_000,
  requestTimeout: 5_000,
  keepTime: 300_000,
  maxNodes: 1_000,
};

export const DNS_RANGES = {
  family: [0, 6],
  pollInterval: [100, LONGEST_TIMER],
  minInterval: [100, LONGEST_TIMER],
  maxInterval: [100, LONGEST_TIMER],
  requestTimeout: [10, LONGEST_TIMER],
  keepTime: [0, Number.POSITIVE_INFINITY],
  maxNodes: [1, 10_000, 'integer'],
} as const;
