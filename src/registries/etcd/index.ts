/**
 * A registry in etcd v3. ROOT/ATTRIBUTES/NODE_ID is a key with exactly the entry's value, under a
 * lease of the registry object that published it.
 */

import { gettyError } from '../../core/errors.js';
import { guardedLogger, type Logger, SILENT } from '../../core/logger.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { entryPath, entryValue } from '../../micro/registry-entry.js';
import { sortedNodes } from '../../micro/snapshots.js';
import type {
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { tlsClientOptions } from '../../transport/stream/tls.js';
import type { TlsOptions } from '../../transport/types.js';
import { Registration } from '../shared/registration.js';
import { watchQuery } from '../shared/watch-query.js';
import { CacheUpdater } from './cache-updater.js';
import { type Endpoint, parseEndpoints } from './client/endpoints.js';
import { registryFailed } from './client/errors.js';
import { EtcdClient } from './client/etcd-client.js';
import { readPages } from './client/range-pages.js';
import { EntryCache } from './entry-cache.js';
import { Publisher } from './publisher.js';

export interface EtcdOptions {
  /** The path above all entries. Default: `/getty`. */
  root?: string | undefined;
  /**
   * Milliseconds after which the entries of a killed process are gone. etcd counts whole seconds,
   * and may grant more. Nodes that are missing after an outage stay in the lists for the same time,
   * so that their providers can publish them again. Default: 10,000.
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
   * What happens while etcd is away. True: register() resolves, the entry is published when etcd is
   * back, and a watch waits. False: register() rejects with REGISTRY_FAILED, and so does a watch
   * without a first list. Default: true.
   */
  waitForRegistry?: boolean | undefined;
  /**
   * Whether Go consumers watch the entries. An entry that is replaced or updated is then deleted,
   * and created again 500 ms later, because Go consumers do not see other changes. Meanwhile a
   * stand-in entry has the id with `-replacing`. Default: false, an entry is replaced in one step.
   */
  goConsumers?: boolean | undefined;
  /**
   * The most entries that are kept in memory, of all services; further ones are skipped. Default:
   * 1,000,000.
   */
  maxEntries?: number | undefined;
  /** The most bytes of their keys and values. Default: 536,870,912 (512 MiB). */
  maxBytes?: number | undefined;
  /**
   * Logs each of these once: etcd is away or back, an entry is invalid, refused or taken over.
   * Default: none; then each outage is one warning of the process.
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

/** Milliseconds and bytes. */
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
  maxEntries: 1_000_000,
  maxBytes: 512 * 1024 * 1024,
} satisfies EtcdOptions;

const RANGES = {
  ttl: [1_000, LONGEST_TIMER],
  dialTimeout: [1, LONGEST_TIMER],
  requestTimeout: [1, LONGEST_TIMER],
  pingInterval: [10, LONGEST_TIMER],
  pingTimeout: [10, LONGEST_TIMER],
  initialDelay: [1, LONGEST_TIMER],
  maxDelay: [1, LONGEST_TIMER],
  maxEntries: [1, 1e7],
  maxBytes: [1, Number.MAX_SAFE_INTEGER],
} as const;

class EtcdRegistry implements Registry {
  readonly #root: string;
  readonly #limits: Pick<typeof ETCD_DEFAULTS, 'maxEntries' | 'maxBytes'>;
  readonly #client: EtcdClient;
  readonly #publisher: Publisher;
  readonly #cacheUpdater: CacheUpdater;
  #closed: Promise<void> | undefined;

  constructor(endpoints: readonly Endpoint[], options: typeof ETCD_DEFAULTS & EtcdOptions) {
    const { username, password, tls, maxEntries, maxBytes } = options;
    const logger = guardedLogger(options.logger);
    this.#root = options.root;
    this.#limits = { maxEntries, maxBytes };
    this.#client = new EtcdClient(endpoints, {
      ...options,
      logger: options.logger === undefined ? undefined : logger,
      username,
      password,
      tls,
    });
    this.#publisher = new Publisher(this.#client, { ...options, logger });
    this.#cacheUpdater = new CacheUpdater(this.#client, `${this.#root}/`, { ...options, logger });
  }

  get failure(): Error | undefined {
    return this.#client.failure;
  }

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable> {
    const path = entryPath(this.#root, node);
    const value = entryValue(node);
    if (this.#closed !== undefined)
      throw gettyError(
        'REGISTRY_FAILED',
        `etcd: the registry at ${this.#client.endpoints} is closed`,
      );
    const registration = new Registration(path, onPublished);
    await this.#publisher.publish(path, value, registration);
    return { [Symbol.asyncDispose]: () => this.#publisher.withdraw(path, registration) };
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) =>
      this.#closed === undefined ? this.#cacheUpdater.watch(sink, query) : undefined,
    );
  }

  async list(): Promise<readonly ServiceNode[]> {
    const prefix = `${this.#root}/`;
    // Watches log invalid entries once; list() does not log them each time.
    const cache = new EntryCache(prefix, { ...this.#limits, logger: SILENT });
    try {
      const connection = await this.#client.connection();
      for await (const { kvs } of readPages(this.#client, connection, prefix))
        for (const kv of kvs) cache.put(kv);
    } catch (error) {
      throw registryFailed(this.#client.endpoints, 'the entries cannot be read', error);
    }
    return sortedNodes(cache.listAll());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const updaterClosed = this.#cacheUpdater.close();
    await this.#publisher.close();
    await this.#client.close();
    await Promise.all([updaterClosed, this.#publisher.ended()]);
  }
}

/**
 * Makes a registry in an etcd cluster. `endpoints`: one member or a list of them, each
 * `http://host:port` or `https://host:port`. When a member fails, the next one is used. The
 * registry connects at its first use. Disposing it revokes its lease, so that its entries are gone
 * at once, and ends its watches. It takes at most `requestTimeout`, even while etcd is away. Throws
 * BAD_OPTION.
 */
export function etcd(endpoints: string | readonly string[], options: EtcdOptions = {}): Registry {
  checkNames('etcd()', options, ETCD_NAMES);
  const known = withDefaults(ETCD_DEFAULTS, options, RANGES);
  const { username, password, tls } = options;
  const members = parseEndpoints(endpoints, tls !== undefined);
  const root = known.root.replace(/\/+$/, '');
  if (!/^(\/[^\s\p{Cc}]+)?$/u.test(root))
    throw badOption('root', known.root, 'a path that begins with a slash, such as /getty');
  if (username !== undefined && (typeof username !== 'string' || username === ''))
    throw badOption('username', username, 'the name of a user');
  // The error shows only the type of a secret.
  if (password !== undefined && typeof password !== 'string')
    throw badOption('password', typeof password, 'a string');
  if ((username === undefined) !== (password === undefined)) {
    throw badOption(
      'username',
      username === undefined ? 'none' : 'one without a password',
      'a username and a password, or neither',
    );
  }
  const [first] = members as [Endpoint];
  if (tls !== undefined && !first.isSecure)
    throw badOption('endpoints', first.text, 'https endpoints, since tls is given');
  // A wrong certificate is reported now, and not by the first connection.
  if (first.isSecure) tlsClientOptions(tls, { ...first, scheme: 'https', path: '' });
  const { logger } = options;
  return new EtcdRegistry(members, { ...known, root, username, password, tls, logger });
}
