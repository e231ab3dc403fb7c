/**
 * A registry in ZooKeeper. ROOT/ATTRIBUTES is a persistent node. ROOT/ATTRIBUTES/NODE_ID is an
 * ephemeral node with exactly the entry's value; it is deleted with the session of the registry
 * object that published it.
 */
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger } from '../../core/logger.js';
import { checkNames, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, within } from '../../core/timers.js';
import { entryPath, entryValue } from '../../micro/registry-entry.js';
import { sortedNodes } from '../../micro/snapshots.js';
import type {
  NodeRegistration,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { ENTRY_LIMIT_RANGES, EntryBudget } from '../shared/entry-budget.js';
import { Outage } from '../shared/outage.js';
import { Registration } from '../shared/registration.js';
import { watchQuery } from '../shared/watch-query.js';
import { parseEnsemble } from './client/ensemble.js';
import { checkPath } from './client/path.js';
import { ZooKeeperClient } from './client/zookeeper-client.js';
import { EntryCache } from './entry-cache.js';
import { listNodes } from './list-nodes.js';
import { PublishedZnode } from './published-znode.js';
import {
  ZOOKEEPER_DEFAULTS,
  ZOOKEEPER_NAMES,
  type ZooKeeperRegistryOptions,
} from './registry-options.js';
import type { ClientState } from './types.js';

export { digestId } from './client/acl.js';
export { CLIENT_DEFAULTS } from './client/client-options.js';
export { ZooKeeperError, type ZooKeeperReason } from './client/errors.js';
export { ZooKeeperClient } from './client/zookeeper-client.js';
export {
  ZOOKEEPER_DEFAULTS,
  ZOOKEEPER_NAMES,
  type ZooKeeperRegistryOptions,
} from './registry-options.js';
export * from './types.js';

class ZooKeeperRegistry implements Registry {
  readonly #hosts: string;
  readonly #root: string;
  readonly #options: typeof ZOOKEEPER_DEFAULTS;
  readonly #logger: Logger;
  readonly #client: ZooKeeperClient;
  readonly #cache: EntryCache;
  /** The published nodes, by path. */
  readonly #znodes = new Map<string, PublishedZnode>();
  /** Called when an outage begins. They end the waits of #settlesInTime(). */
  readonly #outageListeners = new Set<() => void>();
  /** Whether no server can be reached. */
  #isUnreachable = false;
  readonly #outage: Outage;
  /** Whether sessions of providers may have expired since the client was last connected. */
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
    this.#cache = new EntryCache(this.#client, this.#root, options, this.#logger);
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

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<NodeRegistration> {
    if (this.#closed !== undefined) throw this.#failure('it is closed');
    const path = entryPath(this.#root, node);
    const value = entryValue(node);
    const registration = new Registration(path, onPublished);
    const znode =
      this.#znodes.get(path) ??
      new PublishedZnode(this.#client, path, this.#logger, this.#options.goConsumers);
    this.#znodes.set(path, znode);
    const published = znode.publish(value, registration);
    try {
      if (this.#options.waitForRegistry) await this.#publishOrDefer(published, znode, path);
      else if (!(await this.#settlesInTime(published)))
        throw this.#client.lastFailure ?? this.#failure('it does not answer');
    } catch (error) {
      published.catch(() => {});
      this.#withdraw(znode, path, registration).catch(() => {});
      throw this.#failure(`the entry ${path} cannot be published: ${messageOf(error)}`, error);
    }
    return {
      get isRemoved() {
        return znode.isWithdrawn;
      },
      [Symbol.asyncDispose]: () => this.#unregister(znode, path, registration),
    };
  }

  /**
   * Waits until the entry is published or refused, or until no server can be reached. In the last
   * case the entry is published after the outage.
   */
  async #publishOrDefer(
    published: Promise<void>,
    znode: PublishedZnode,
    path: string,
  ): Promise<void> {
    if (!(await this.#settlesInTime(published))) {
      znode.reportUnpublished();
      this.#logger.warn({ path }, 'registry: the entry is published when ZooKeeper answers again');
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
   * Resolves with true if `done` settles within `timeout` ms, and before it is known that no server
   * can be reached. Rejects as `done` does.
   */
  async #settlesInTime(
    done: Promise<void>,
    timeout = this.#options.operationTimeout,
  ): Promise<boolean> {
    let giveUp: () => void = () => {};
    const unreachable = new Promise<boolean>((resolve) => {
      giveUp = () => resolve(false);
      if (this.#isUnreachable) giveUp();
      else this.#outageListeners.add(giveUp);
    });
    try {
      const outcome = Promise.race([done.then(() => true), unreachable]);
      return (await within(timeout, outcome, undefined)) ?? false;
    } finally {
      this.#outageListeners.delete(giveUp);
    }
  }

  async #unregister(
    znode: PublishedZnode,
    path: string,
    registration: Registration,
  ): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    const withdrawn = this.#withdraw(znode, path, registration);
    const isDeleted = await this.#settlesInTime(withdrawn).catch((error) => {
      if (this.#closed !== undefined) return true;
      throw this.#failure(`the entry ${path} cannot be deleted: ${messageOf(error)}`, error);
    });
    if (isDeleted) return;
    withdrawn.catch(() => {});
    this.#logger.warn(
      { path },
      'registry: the entry is deleted when ZooKeeper answers again, or expires with the session',
    );
  }

  async #withdraw(znode: PublishedZnode, path: string, registration: Registration): Promise<void> {
    await znode.withdraw(registration);
    if (znode.isIdle && this.#znodes.get(path) === znode) this.#znodes.delete(path);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) =>
      this.#closed === undefined ? this.#cache.watch(query, sink) : undefined,
    );
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#closed !== undefined) throw this.#failure('it is closed');
    const budget = new EntryBudget(this.#root || '/', this.#options, this.#logger);
    const listed = listNodes(this.#client, this.#root, budget);
    try {
      const done = listed.then(() => {});
      done.catch(() => {});
      if (!(await this.#settlesInTime(done, Number.POSITIVE_INFINITY)))
        throw this.#client.lastFailure ?? this.#failure('it does not answer');
      return sortedNodes(await listed);
    } catch (error) {
      throw this.#failure(`the entries cannot be read: ${messageOf(error)}`, error);
    }
  }

  #onState(state: ClientState, cause?: Error): void {
    const registry = { hosts: this.#hosts };
    if (state === 'away') {
      this.#isUnreachable = true;
      this.#mayHaveExpired = true;
      this.#outage.begin('cannot be reached', cause, 'ZooKeeper cannot be reached, trying again');
      for (const giveUp of [...this.#outageListeners]) giveUp();
    } else if (state === 'expired') {
      this.#mayHaveExpired = true;
      this.#logger.warn(
        { ...registry, error: cause },
        'registry: the ZooKeeper session has expired, a new one begins',
      );
    } else if (state === 'connected') {
      this.#outage.end('ZooKeeper answers again');
      if (this.#mayHaveExpired) this.#cache.keepMissingFor(this.#options.settleTime);
      this.#isUnreachable = false;
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
    this.#cache.stop();
    for (const znode of this.#znodes.values()) znode.stop();
    this.#znodes.clear();
    await this.#client.close();
  }
}

/**
 * Makes a registry in ZooKeeper. `hosts`: the connect string, `host:port,host:port/chroot`; the
 * default port is 2181. One session serves all registrations and watches. The registry connects at
 * its first use. Every client that may write below the root can redirect calls. Disposing the
 * registry ends its session, so that its entries are removed at once, and ends its watches. Throws
 * BAD_ADDRESS or BAD_OPTION.
 */
export function zookeeper(hosts: string, options: ZooKeeperRegistryOptions = {}): Registry {
  const ranges = {
    sessionTimeout: [100, LONGEST_TIMER],
    operationTimeout: [1, LONGEST_TIMER],
    settleTime: [0, LONGEST_TIMER],
    ...ENTRY_LIMIT_RANGES,
  } as const;
  checkNames('zookeeper()', options, ZOOKEEPER_NAMES);
  const resolved = withDefaults(ZOOKEEPER_DEFAULTS, options, ranges);
  checkPath(resolved.root, 'root');
  parseEnsemble(hosts);
  return new ZooKeeperRegistry(hosts, resolved, options);
}
