/** The options of the registry, with their names and defaults. */
import type { Logger } from '../../core/logger.js';
import type { NamesOf } from '../../core/options.js';
import type { TlsOptions } from '../../transport/index.js';
import { ENTRY_LIMITS } from '../shared/entry-budget.js';
import { CLIENT_DEFAULTS } from './client/client-options.js';
import type { Acl, AclName } from './types.js';

/** Times in milliseconds. */
export interface ZooKeeperRegistryOptions {
  /** The path above all entries. It is created with the first entry. Default: `/getty`. */
  root?: string | undefined;
  /**
   * How long the entries of a killed process stay; the server may grant another time. A server that
   * does not answer for two thirds of it is replaced by another one. Default: 10,000.
   */
  sessionTimeout?: number | undefined;
  /**
   * The limit of one request to the registry, including the wait for a connection. Default: 5,000.
   */
  operationTimeout?: number | undefined;
  /**
   * What happens while no server can be reached. True: register() resolves, and the entry is
   * published when a server answers. False: register() rejects with REGISTRY_FAILED when every
   * server has failed, or after `operationTimeout`, and publishes nothing. Default: true.
   */
  waitForRegistry?: boolean | undefined;
  /**
   * Whether Go consumers watch the entries. An entry that is replaced or updated is then deleted,
   * and created again 500 ms later, because Go consumers do not see other changes. Meanwhile a
   * stand-in entry has the id with `-replacing`. Default: false, an entry is replaced in one step.
   */
  goConsumers?: boolean | undefined;
  /**
   * How long a node that is missing after an outage stays in the lists. Its provider's session may
   * have expired in the outage, and the provider publishes it again. Default: 5,000.
   */
  settleTime?: number | undefined;
  /**
   * The most entries that are kept in memory, of all watches; further ones are skipped. Default:
   * 1,000,000.
   */
  maxEntries?: number | undefined;
  /**
   * The most bytes of memory for them: their texts, and about 1,000 bytes for each entry. Default:
   * 536,870,912 (512 MiB).
   */
  maxBytes?: number | undefined;
  /**
   * `user:password` of ZooKeeper's digest scheme. It is sent in plain text: use TLS in networks
   * that are not trusted. Default: none.
   */
  credentials?: string | undefined;
  /** The ACL of nodes that are created. Default: `anyone`; with credentials `creator`. */
  acl?: AclName | readonly Acl[] | undefined;
  /** TLS with the servers, whose certificates are always verified. Default: plain TCP. */
  tls?: TlsOptions | undefined;
  /**
   * Logs the beginning and the end of each outage, each session that expires, and each entry that
   * is invalid or cannot be published. A problem of an entry is not logged again while it lasts.
   * Default: none; then each outage is one warning of the process.
   */
  logger?: Logger | undefined;
}

export const ZOOKEEPER_NAMES = {
  root: true,
  sessionTimeout: true,
  operationTimeout: true,
  waitForRegistry: true,
  goConsumers: true,
  settleTime: true,
  maxEntries: true,
  maxBytes: true,
  credentials: true,
  acl: true,
  tls: true,
  logger: true,
} satisfies NamesOf<ZooKeeperRegistryOptions>;

/** Defaults of ZooKeeperRegistryOptions; times are in milliseconds. */
export const ZOOKEEPER_DEFAULTS = {
  root: '/getty',
  sessionTimeout: CLIENT_DEFAULTS.sessionTimeout,
  operationTimeout: CLIENT_DEFAULTS.operationTimeout,
  waitForRegistry: true as boolean,
  goConsumers: false as boolean,
  settleTime: 5_000,
  ...ENTRY_LIMITS,
} satisfies ZooKeeperRegistryOptions;
