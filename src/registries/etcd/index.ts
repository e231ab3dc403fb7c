/**
 * A registry in etcd v3: ROOT/ATTRIBUTES/NODE_ID is a key with exactly the entry's value, under a
 * lease of the process that published it.
 */

import { gettyError } from '../../core/errors.js';
import { guardedLogger, type Logger, SILENT } from '../../core/logger.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { checkQuery, entryPath, entryValue } from '../../micro/registry-entry.js';
import { snapshots, sortedNodes } from '../../micro/snapshots.js';
import type {
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { tlsClientOptions } from '../../transport/stream/tls.js';
import type { TlsOptions } from '../../transport/types.js';
import { guardedListener } from '../shared/publication-listener.js';
import { type Endpoint, parseEndpoints } from './endpoints.js';
import { registryFailed } from './failure.js';
import { Follower } from './follower.js';
import { Link } from './link.js';
import { readPages } from './pages.js';
import { Publisher } from './publisher.js';
import { Tree } from './tree.js';

export interface EtcdOptions {
  /** What the keys begin with. */
  root?: string | undefined;
  /**
   * Milliseconds after which the entries of a process that died are gone; etcd counts whole
   * seconds, and may grant more. Also how long what vanished in an outage is kept in the lists, so
   * that its provider can come back.
   */
  ttl?: number | undefined;
  /** Of a user of etcd; the password goes with it. */
  username?: string | undefined;
  password?: string | undefined;
  /** For https endpoints: the CA, a client certificate and its key. */
  tls?: TlsOptions | undefined;
  /** Milliseconds for connecting to one endpoint. */
  dialTimeout?: number | undefined;
  /**
   * Milliseconds for one request; register(), the disposal of a registration and that of the
   * registry take no longer.
   */
  requestTimeout?: number | undefined;
  /**
   * Milliseconds of silence after which the server is pinged. Servers forbid less than 5 s unless
   * they are told otherwise.
   */
  pingInterval?: number | undefined;
  /** Milliseconds that a ping is waited for; then the server counts as frozen. */
  pingTimeout?: number | undefined;
  /**
   * Milliseconds before the first attempt after a failure; doubles up to maxDelay, each time random
   * between half of it and the whole.
   */
  initialDelay?: number | undefined;
  /** Milliseconds. */
  maxDelay?: number | undefined;
  /**
   * What happens while etcd is away: true, register() resolves and the entry is published as soon
   * as etcd is there, and a watch waits; false, register() rejects with REGISTRY_FAILED, and so
   * does a watch that has had no list yet.
   */
  waitForRegistry?: boolean | undefined;
  /**
   * Whether Go consumers watch the entries. An entry that is replaced or updated is then deleted
   * and created again 500 ms later, which they need to see it; an entry under the id with
   * `-replacing` stands meanwhile. Default: false, an entry is replaced in one step.
   */
  goConsumers?: boolean | undefined;
  /** Entries that are kept in memory at most, of all services; more are passed over. */
  maxEntries?: number | undefined;
  /** The bytes of their keys and values at most. */
  maxBytes?: number | undefined;
  /**
   * Told, once each: etcd is away and back, an entry is garbage or was taken over. Without one, an
   * outage is one warning of the process.
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
  readonly #link: Link;
  readonly #publisher: Publisher;
  readonly #follower: Follower;
  #closed: Promise<void> | undefined;

  constructor(endpoints: readonly Endpoint[], options: typeof ETCD_DEFAULTS & EtcdOptions) {
    const { username, password, tls, maxEntries, maxBytes } = options;
    const logger = guardedLogger(options.logger);
    this.#root = options.root;
    this.#limits = { maxEntries, maxBytes };
    this.#link = new Link(endpoints, {
      ...options,
      logger: options.logger === undefined ? undefined : logger,
      username,
      password,
      tls,
    });
    this.#publisher = new Publisher(this.#link, { ...options, logger });
    this.#follower = new Follower(this.#link, `${this.#root}/`, { ...options, logger });
  }

  get failure(): Error | undefined {
    return this.#link.failure;
  }

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable> {
    const path = entryPath(this.#root, node);
    const value = entryValue(node);
    if (this.#closed !== undefined)
      throw gettyError('REGISTRY_FAILED', `etcd: the registry at ${this.#link.name} is closed`);
    const owner = {};
    await this.#publisher.publish(path, value, {
      owner,
      onPublished: guardedListener(path, onPublished),
    });
    return { [Symbol.asyncDispose]: () => this.#publisher.withdraw(path, owner) };
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    checkQuery(query, options);
    return snapshots((sink) => {
      if (this.#closed !== undefined) {
        sink.end();
        return () => {};
      }
      return this.#follower.follow(sink, query);
    }, options.signal);
  }

  async list(): Promise<readonly ServiceNode[]> {
    const prefix = `${this.#root}/`;
    // Garbage is told of by watches, once, and not by each list.
    const tree = new Tree(prefix, { ...this.#limits, logger: SILENT });
    try {
      const connection = await this.#link.connection();
      for await (const { kvs } of readPages(this.#link, connection, prefix))
        for (const kv of kvs) tree.put(kv);
    } catch (error) {
      throw registryFailed(this.#link.name, 'the entries cannot be read', error);
    }
    return sortedNodes(tree.all());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const followed = this.#follower.close();
    await this.#publisher.close();
    await this.#link.close();
    await Promise.all([followed, this.#publisher.ended()]);
  }
}

/**
 * A registry in the etcd cluster at `endpoints`: `http://host:port` or `https://host:port`, one or
 * a list of members, among which it moves when one fails. It connects when it is used. Disposing it
 * revokes its lease, so that its entries vanish at once, and ends its watches; while etcd is away
 * that takes no longer than a request. Throws BAD_OPTION.
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
  // Of a secret no more than its type is shown.
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
  if (tls !== undefined && !first.secure)
    throw badOption('endpoints', first.text, 'https endpoints, since tls is given');
  // What is wrong with a certificate is told now, and not when somebody connects.
  if (first.secure) tlsClientOptions(tls, { ...first, scheme: 'https', path: '' });
  const { logger } = options;
  return new EtcdRegistry(members, { ...known, root, username, password, tls, logger });
}
