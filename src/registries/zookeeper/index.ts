/**
 * A registry in ZooKeeper: ROOT/ATTRIBUTES is a persistent node, ROOT/ATTRIBUTES/NODE_ID an
 * ephemeral one with exactly the entry's value, which lives as long as the session of the process
 * that published it.
 */
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger } from '../../core/logger.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, within } from '../../core/timers.js';
import { checkQuery, entryPath, entryValue } from '../../micro/registry-entry.js';
import { snapshots, sortedNodes } from '../../micro/snapshots.js';
import type {
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import type { TlsOptions } from '../../transport/index.js';
import { Outage } from '../shared/outage.js';
import { guardedListener } from '../shared/publication-listener.js';
import { checkPath } from './addresses.js';
import { CLIENT_DEFAULTS, ZooKeeperClient } from './client.js';
import { listNodes } from './list-nodes.js';
import { Publication } from './publication.js';
import { Tree } from './tree.js';
import type { Acl, AclName, ClientState } from './types.js';

export { digestId } from './addresses.js';
export { CLIENT_DEFAULTS, ZooKeeperClient } from './client.js';
export { ZooKeeperError, type ZooKeeperReason } from './errors.js';
export * from './types.js';

/** Times in milliseconds. Defaults: ZOOKEEPER_DEFAULTS. */
export interface ZooKeeperRegistryOptions {
  /** The path above all entries; it is made when something is published. */
  root?: string | undefined;
  /**
   * How long the entries of a process that was killed stay; the server may grant another time. A
   * server that is silent for two thirds of it is left for another one.
   */
  sessionTimeout?: number | undefined;
  /** How long one question to the registry may take, the wait for a connection included. */
  operationTimeout?: number | undefined;
  /**
   * While the registry cannot be reached, register() settles all the same, and the entry is
   * published when the registry is there. False: register() rejects with REGISTRY_FAILED when no
   * server can be reached, or after operationTimeout, and leaves nothing behind.
   */
  waitForRegistry?: boolean | undefined;
  /**
   * Whether Go consumers watch the entries. An entry that is replaced or updated is then deleted
   * and created again 500 ms later, which they need to see it; an entry under the id with
   * `-replacing` stands meanwhile. Default: false, an entry is replaced in one step.
   */
  goConsumers?: boolean | undefined;
  /**
   * For so long after an outage nobody is taken from a list: providers whose session has ended with
   * it publish themselves again.
   */
  settleTime?: number | undefined;
  /**
   * `user:password` of ZooKeeper's digest scheme. It is sent as it is: use TLS where others may
   * listen.
   */
  credentials?: string | undefined;
  /**
   * Who may do what with the nodes that are made. Default: `anyone`; with credentials `creator`.
   */
  acl?: AclName | readonly Acl[] | undefined;
  /** Speak TLS with the servers, which are always verified. Default: plain TCP. */
  tls?: TlsOptions | undefined;
  /**
   * Told, once each: the registry is away and back, the session has expired, an entry is garbage or
   * cannot be published. Without one, an outage is one warning of the process.
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
  credentials: true,
  acl: true,
  tls: true,
  logger: true,
} satisfies NamesOf<ZooKeeperRegistryOptions>;

/** Milliseconds. */
export const ZOOKEEPER_DEFAULTS = {
  root: '/getty',
  sessionTimeout: CLIENT_DEFAULTS.sessionTimeout,
  operationTimeout: CLIENT_DEFAULTS.operationTimeout,
  waitForRegistry: true as boolean,
  goConsumers: false as boolean,
  settleTime: 5_000,
} satisfies ZooKeeperRegistryOptions;

class ZooKeeperRegistry implements Registry {
  readonly #hosts: string;
  readonly #root: string;
  readonly #options: typeof ZOOKEEPER_DEFAULTS;
  readonly #logger: Logger;
  readonly #client: ZooKeeperClient;
  readonly #tree: Tree;
  /** By path. */
  readonly #publications = new Map<string, Publication>();
  /** Those who wait for no longer than it is known that the registry is away. */
  readonly #whenAway = new Set<() => void>();
  /** No server can be reached. */
  #away = false;
  readonly #outage: Outage;
  /** Since it was last connected, sessions may have ended. */
  #mayHaveExpired = false;
  #closed: Promise<void> | undefined;

  constructor(hosts: string, options: typeof ZOOKEEPER_DEFAULTS, given: ZooKeeperRegistryOptions) {
    this.#hosts = hosts;
    this.#options = options;
    this.#root = options.root === '/' ? '' : options.root;
    this.#logger = guardedLogger(given.logger);
    this.#outage = new Outage(
      `ZooKeeper at ${hosts}`,
      { hosts },
      given.logger === undefined ? undefined : this.#logger,
    );
    const { credentials, acl, tls } = given;
    const { sessionTimeout, operationTimeout } = options;
    const onState = (state: ClientState, cause?: Error): void => this.#onState(state, cause);
    this.#client = new ZooKeeperClient(hosts, {
      sessionTimeout,
      operationTimeout,
      credentials,
      acl,
      tls,
      onState,
      maxPending: Number.POSITIVE_INFINITY,
    });
    this.#tree = new Tree(this.#client, this.#root, this.#logger);
  }

  get failure(): Error | undefined {
    if (this.#client.state === 'connected' || this.#outage.failure !== undefined)
      return this.#outage.failure;
    const { lastFailure, isStarted } = this.#client;
    if (!isStarted) return undefined;
    return this.#failure(
      lastFailure === undefined ? 'it has not answered yet' : messageOf(lastFailure),
      lastFailure,
    );
  }

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable> {
    if (this.#closed !== undefined) throw this.#failure('it is closed');
    const path = entryPath(this.#root, node);
    const value = entryValue(node);
    const owner = {};
    const publication =
      this.#publications.get(path) ??
      new Publication(this.#client, path, this.#logger, this.#options.goConsumers);
    this.#publications.set(path, publication);
    const published = publication.publish(value, owner, guardedListener(path, onPublished));
    try {
      if (this.#options.waitForRegistry) await this.#orBehind(published, publication, path);
      else if (!(await this.#beforeAway(published)))
        throw this.#client.lastFailure ?? this.#failure('it does not answer');
    } catch (error) {
      published.catch(() => {});
      this.#withdraw(publication, path, owner).catch(() => {});
      throw this.#failure(`the entry ${path} cannot be published: ${messageOf(error)}`, error);
    }
    return {
      [Symbol.asyncDispose]: () => this.#unregister(publication, path, owner),
    };
  }

  /** Until it is published or refused, or until it is clear that it cannot be yet. */
  async #orBehind(published: Promise<void>, publication: Publication, path: string): Promise<void> {
    if (!(await this.#beforeAway(published))) {
      publication.tellUnpublished();
      this.#logger.warn({ path }, 'registry: the entry is published when ZooKeeper is there');
      published.catch((error) => {
        if (this.#closed === undefined)
          this.#logger.warn(
            { path, error },
            'registry: the entry cannot be published, trying again',
          );
      });
    }
  }

  /**
   * Whether it is done before it is known that the registry is away, and within `limit` ms. Rejects
   * as `done` does.
   */
  async #beforeAway(done: Promise<void>, limit = this.#options.operationTimeout): Promise<boolean> {
    let giveUp: () => void = () => {};
    const away = new Promise<boolean>((resolve) => {
      giveUp = () => resolve(false);
      if (this.#away) giveUp();
      else this.#whenAway.add(giveUp);
    });
    try {
      const outcome = Promise.race([done.then(() => true), away]);
      return (await within(limit, outcome, undefined)) ?? false;
    } finally {
      this.#whenAway.delete(giveUp);
    }
  }

  async #unregister(publication: Publication, path: string, owner: object): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    const withdrawn = this.#withdraw(publication, path, owner);
    const isGone = await this.#beforeAway(withdrawn).catch((error) => {
      if (this.#closed !== undefined) return true;
      throw this.#failure(`the entry ${path} cannot be deleted: ${messageOf(error)}`, error);
    });
    if (isGone) return;
    withdrawn.catch(() => {});
    this.#logger.warn(
      { path },
      'registry: the entry is deleted when ZooKeeper is there, or goes with the session',
    );
  }

  async #withdraw(publication: Publication, path: string, owner: object): Promise<void> {
    await publication.withdraw(owner);
    if (publication.idle && this.#publications.get(path) === publication)
      this.#publications.delete(path);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    checkQuery(query, options);
    return snapshots((sink) => {
      if (this.#closed === undefined) return this.#tree.watch(query, sink);
      sink.end();
      return () => {};
    }, options.signal);
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#closed !== undefined) throw this.#failure('it is closed');
    const listed = listNodes(this.#client, this.#root);
    try {
      const awayOrDone = listed.then(() => {});
      awayOrDone.catch(() => {});
      if (!(await this.#beforeAway(awayOrDone, Number.POSITIVE_INFINITY)))
        throw this.#client.lastFailure ?? this.#failure('it does not answer');
      return sortedNodes(await listed);
    } catch (error) {
      throw this.#failure(`the entries cannot be read: ${messageOf(error)}`, error);
    }
  }

  #onState(state: ClientState, cause?: Error): void {
    const registry = { hosts: this.#hosts };
    if (state === 'away') {
      this.#away = true;
      this.#mayHaveExpired = true;
      this.#outage.begin('is away', cause, 'ZooKeeper is away, waiting for it');
      for (const giveUp of [...this.#whenAway]) giveUp();
    } else if (state === 'expired') {
      this.#mayHaveExpired = true;
      this.#logger.warn(
        { ...registry, error: cause },
        'registry: the ZooKeeper session has expired, a new one begins',
      );
    } else if (state === 'connected') {
      this.#outage.end('ZooKeeper is there');
      if (this.#mayHaveExpired) this.#tree.settle(this.#options.settleTime);
      this.#away = false;
      this.#mayHaveExpired = false;
    }
  }

  #failure(why: string, cause?: unknown): Error {
    return gettyError(
      'REGISTRY_FAILED',
      `the ZooKeeper registry ${this.#hosts}${this.#root}: ${why}`,
      cause,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#tree.stop();
    for (const publication of this.#publications.values()) publication.stop();
    this.#publications.clear();
    await this.#client.close();
  }
}

/**
 * A registry in ZooKeeper. `hosts` is a connect string, `host:port,host:port/chroot`; one session
 * with one of them serves all registrations and watches. It connects when it is first used. Who may
 * write beneath the root decides where calls go. Disposing the registry ends its session, and with
 * it its entries, at once, and its watches. Throws BAD_ADDRESS or BAD_OPTION.
 */
export function zookeeper(hosts: string, options: ZooKeeperRegistryOptions = {}): Registry {
  const ranges = {
    sessionTimeout: [100, LONGEST_TIMER],
    operationTimeout: [1, LONGEST_TIMER],
    settleTime: [0, LONGEST_TIMER],
  } as const;
  checkNames('zookeeper()', options, ZOOKEEPER_NAMES);
  const resolved = withDefaults(ZOOKEEPER_DEFAULTS, options, ranges);
  checkPath(resolved.root, 'root');
  return new ZooKeeperRegistry(hosts, resolved, options);
}
