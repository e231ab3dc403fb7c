/** The answer of the method `status` of the introspection service. */
import type { RefusalReason } from '../../transport/types.js';
import type { CodecName } from '../types.js';

/** How late the timers of a process are, in milliseconds, within the last 5 to 10 s. */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The process of a server. Absent: not known. */
export interface ProcessStatus {
  readonly pid: number;
  /** Milliseconds since the process started. */
  readonly uptime: number;
  /** The version of Node.js, such as `v22.11.0`. */
  readonly nodeVersion: string;
  /** The version of this package. */
  readonly version?: string | undefined;
  /** Bytes of memory that the process occupies. */
  readonly rss: number;
  /** Bytes of the JavaScript objects. */
  readonly heapUsed: number;
  /**
   * Measured from the first request on, until there was no request for 30 s. Absent: nothing is
   * measured yet.
   */
  readonly eventLoopDelay?: EventLoopDelay | undefined;
}

/** An entry that a provider publishes in its registry. */
export interface PublishedEntry {
  readonly service: string;
  readonly version: string;
  readonly group: string;
  readonly codec: CodecName;
  readonly address: string;
  readonly weight: number;
  /** Whether the registry has confirmed it. */
  readonly isPublished: boolean;
}

/**
 * - `published`: the registry has all entries
 * - `waiting`: the registry does not have all entries; the provider goes on to publish them
 * - `draining`: the provider has removed its entries, or is removing them
 */
export type ProviderState = 'published' | 'waiting' | 'draining';

/** The part of a provider in the registry. */
export interface ProviderStatus {
  readonly state: ProviderState;
  /**
   * Why the registry cannot be reached now, or why entries are missing in it or not removed, cut at
   * 500 characters. Absent: the registry is as `state` says.
   */
  readonly reason?: string | undefined;
  readonly id: string;
  /** How many entries the provider has, including entries that are not in `entries`. */
  readonly total: number;
  /** At most 1,000. */
  readonly entries: readonly PublishedEntry[];
}

/** The state of a server at this moment. */
export interface ServerStatus {
  /** The time of its clock, in milliseconds since the epoch. */
  readonly time: number;
  readonly process: ProcessStatus;
  /** How many sessions are open. */
  readonly sessions: number;
  /** How many peers were refused since the start, by reason; see RpcServer.refusals. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /** Absent: the server is not that of a provider. */
  readonly provider?: ProviderStatus | undefined;
}
