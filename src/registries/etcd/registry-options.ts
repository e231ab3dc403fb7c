/** The options of the registry, with their names, defaults and ranges. */
import type { Logger } from '../../core/logger.js';
import type { NamesOf } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import type { TlsOptions } from '../../transport/types.js';
import { ENTRY_LIMIT_RANGES, ENTRY_LIMITS } from '../shared/entry-budget.js';

export interface EtcdOptions {
  /** The path above all entries. Default: `/getty`. */
  root?: string | undefined;
  /**
   * Milliseconds after which the entries of a killed process are removed. etcd counts whole
   * seconds, and may grant more. Nodes that are missing after an outage stay in the lists for the
   * same time, so that their providers can publish them again. Default: 10,000.
   */
  ttl?: number | undefined;
  /** A user of etcd; requires `password`. Default: none. */
  username?: string | undefined;
  /** The user's password. No error and no log line contains it. Default: none. */
  password?: string | undefined;
  /** For https endpoints: the CA, a client certificate and its key. Default: none. */
  tls?: TlsOptions | undefined;
  /** Milliseconds for connecting to one endpoint. Default: 2,000. */
  dialTimeout?: number | undefined;
  /**
   * Milliseconds for one request. register(), disposing a registration and disposing the registry
   * take no longer. Default: 3,000.
   */
  requestTimeout?: number | undefined;
  /**
   * Milliseconds of silence after which the server is pinged. A server refuses less than 5 s unless
   * it is configured otherwise. Default: 5,500.
   */
  pingInterval?: number | undefined;
  /** Milliseconds for the answer to a ping; then another endpoint is used. Default: 2,000. */
  pingTimeout?: number | undefined;
  /**
   * Milliseconds before the first attempt after a failure. The delay doubles up to `maxDelay`, and
   * is random between half of it and the whole. Default: 100.
   */
  initialDelay?: number | undefined;
  /** Milliseconds: the longest delay between attempts. Default: 2,000. */
  maxDelay?: number | undefined;
  /**
   * What happens while etcd cannot be reached. True: register() resolves, the entry is published
   * when etcd answers, and a watch waits. False: register() rejects with REGISTRY_FAILED, and so
   * does a watch without a first list. Default: true.
   */
  waitForRegistry?: boolean | undefined;
  /**
   * Whether Go consumers watch the entries. An entry that is replaced or updated is then deleted,
   * and created again 500 ms later, because Go consumers do not see other changes. Meanwhile a
   * stand-in entry has the id with `-replacing`. Default: false, an entry is replaced in one step.
   */
  goConsumers?: boolean | undefined;
  /**
   * The most entries that are kept in memory, of all services; further ones are skipped. A list
   * that is ten times longer than this, or than `maxBytes`, is refused. Default: 1,000,000.
   */
  maxEntries?: number | undefined;
  /**
   * The most bytes of memory for them: their texts, and about 350 bytes for each entry and 800
   * for each service. Default: 536,870,912 (512 MiB).
   */
  maxBytes?: number | undefined;
  /**
   * Logs each of these once: etcd cannot be reached or answers again, an entry is invalid, refused
   * or taken over. Default: none; then each outage is one warning of the process.
   */
  logger?: Logger | undefined;
}

export const ETCD_NAMES = {
  root: true,
  ttl: true,
  username: true,
  password: true,
  tls: true,
  dialTimeout: true,
  requestTimeout: true,
  pingInterval: true,
  pingTimeout: true,
  initialDelay: true,
  maxDelay: true,
  waitForRegistry: true,
  goConsumers: true,
  maxEntries: true,
  maxBytes: true,
  logger: true,
} satisfies NamesOf<EtcdOptions>;

/** Defaults of EtcdOptions; times are in milliseconds, sizes in bytes. */
export const ETCD_DEFAULTS = {
  root: '/getty',
  ttl: 10_000,
  dialTimeout: 2_000,
  requestTimeout: 3_000,
  pingInterval: 5_500,
  pingTimeout: 2_000,
  initialDelay: 100,
  maxDelay: 2_000,
  waitForRegistry: true as boolean,
  goConsumers: false as boolean,
  ...ENTRY_LIMITS,
} satisfies EtcdOptions;

export const ETCD_RANGES = {
  ttl: [1_000, LONGEST_TIMER],
  dialTimeout: [1, LONGEST_TIMER],
  requestTimeout: [1, LONGEST_TIMER],
  pingInterval: [10, LONGEST_TIMER],
  pingTimeout: [10, LONGEST_TIMER],
  initialDelay: [1, LONGEST_TIMER],
  maxDelay: [1, LONGEST_TIMER],
  ...ENTRY_LIMIT_RANGES,
} as const;
