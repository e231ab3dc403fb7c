/**
 * A registry in etcd v3. ROOT/ATTRIBUTES/NODE_ID is a key with exactly the entry's value, under a
 * lease of the registry object that published it.
 */

import { gettyError } from '../../core/errors.js';
import { guardedLogger, SILENT } from '../../core/logger.js';
import { badOption, badSecret, checkNames, withDefaults } from '../../core/options.js';
import { entryPath, entryValue } from '../../micro/registry-entry.js';
import { sortedNodes } from '../../micro/snapshots.js';
import type {
  NodeRegistration,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { tlsClientOptions } from '../../transport/tls/tls-options.js';
import { Registration } from '../shared/registration.js';
import { watchQuery } from '../shared/watch-query.js';
import { CacheUpdater } from './cache-updater.js';
import { type Endpoint, parseEndpoints } from './client/endpoints.js';
import { registryFailed } from './client/errors.js';
import { EtcdClient } from './client/etcd-client.js';
import { readPages } from './client/range-pages.js';
import { EntryCache, type EntryCacheOptions } from './entry-cache.js';
import { Publisher } from './publisher.js';
import { ETCD_DEFAULTS, ETCD_NAMES, ETCD_RANGES, type EtcdOptions } from './registry-options.js';

export { ETCD_DEFAULTS, ETCD_NAMES, type EtcdOptions } from './registry-options.js';

class EtcdRegistry implements Registry {
  readonly #root: string;
  readonly #limits: EntryCacheOptions;
  readonly #client: EtcdClient;
  readonly #publisher: Publisher;
  readonly #cacheUpdater: CacheUpdater;
  #closed: Promise<void> | undefined;

  constructor(endpoints: readonly Endpoint[], options: typeof ETCD_DEFAULTS & EtcdOptions) {
    const { username, password, tls, maxEntries, maxBytes } = options;
    const logger = guardedLogger(options.logger);
    this.#root = options.root;
    this.#limits = { maxEntries, maxBytes, logger };
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

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<NodeRegistration> {
    const path = entryPath(this.#root, node);
    const value = entryValue(node);
    if (this.#closed !== undefined)
      throw gettyError(
        'REGISTRY_FAILED',
        `etcd: the registry at ${this.#client.endpoints} is closed`,
      );
    const registration = new Registration(path, onPublished);
    await this.#publisher.publish(path, value, registration);
    const publisher = this.#publisher;
    return {
      get isRemoved() {
        return publisher.isWithdrawn(path);
      },
      [Symbol.asyncDispose]: () => publisher.withdraw(path, registration),
    };
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
    const cache = new EntryCache(prefix, this.#limits, { invalid: SILENT });
    try {
      const connection = await this.#client.connection();
      for await (const { kvs } of readPages(this.#client, connection, prefix, this.#limits))
        await cache.putAll(kvs);
    } catch (error) {
      throw registryFailed(this.#client.endpoints, 'the entries cannot be read', error);
    }
    return sortedNodes(await cache.listAll());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const updaterClosed = this.#cacheUpdater.close();
    await this.#publisher.close();
    await this.#client.close();
    await Promise.all([updaterClosed, this.#publisher.untilEnded()]);
  }
}

/**
 * Makes a registry in an etcd cluster. `endpoints`: one member or a list of them, each
 * `http://host:port` or `https://host:port`. When a member fails, the next one is used. The
 * registry connects at its first use. Disposing it revokes its lease, so that its entries are
 * removed at once, and ends its watches. It takes at most `requestTimeout`, even while etcd cannot
 * be reached. Throws BAD_OPTION.
 */
export function etcd(endpoints: string | readonly string[], options: EtcdOptions = {}): Registry {
  checkNames('etcd()', options, ETCD_NAMES);
  const known = withDefaults(ETCD_DEFAULTS, options, ETCD_RANGES);
  const { username, password, tls } = options;
  const members = parseEndpoints(endpoints, tls !== undefined);
  const root = known.root.replace(/\/+$/, '');
  if (!/^(\/[^\s\p{Cc}]+)?$/u.test(root))
    throw badOption('root', known.root, 'a path that begins with a slash, such as /getty');
  if (username !== undefined && (typeof username !== 'string' || username === ''))
    throw badOption('username', username, 'the name of a user');
  // The error shows only the type of a secret.
  if (password !== undefined && typeof password !== 'string')
    throw badSecret('password', password, 'a string');
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
