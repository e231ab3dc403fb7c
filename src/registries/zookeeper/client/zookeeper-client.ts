/** A ZooKeeper client: operations and watches of one session, on any of the servers. */

import { checkCallback, notifyOrWarn } from '../../../core/callbacks.js';
import { checkNames, withDefaults } from '../../../core/options.js';
import { tlsClientOptions } from '../../../transport/tls/tls-options.js';
import type {
  Acl,
  AclName,
  ClientState,
  CreateOptions,
  MultiOperation,
  NodeData,
  Stat,
  WatchEventType,
  Watcher,
  WatchOptions,
  ZooKeeperClientOptions,
} from '../types.js';
import { aclOf } from './acl.js';
import {
  CLIENT_DEFAULTS,
  CLIENT_NAMES,
  CLIENT_RANGES,
  CLOSE_TIMEOUT,
  CREATE_NAMES,
  checkCredentials,
  checkOperation,
  watcherOf,
} from './client-options.js';
import { parseEnsemble } from './ensemble.js';
import { ZooKeeperError, zooKeeperReasonOf } from './errors.js';
import type { Vector } from './jute.js';
import { closedError, type OnSettled, OperationQueue } from './operation-queue.js';
import type { Operation } from './operations.js';
import * as operations from './operations.js';
import { checkPath, parentOf } from './path.js';
import type { ServerConnection } from './server-connection.js';
import { ZooKeeperSession } from './session.js';
import { WatcherTable, type WatchKind } from './watcher-table.js';

/**
 * A client of one ZooKeeper session. It connects with the first operation, and moves to another
 * server when a connection ends.
 */
export class ZooKeeperClient implements AsyncDisposable {
  readonly #options: typeof CLIENT_DEFAULTS;
  readonly #chroot: string;
  readonly #acl: readonly Acl[];
  readonly #credentials: string | undefined;
  readonly #session: ZooKeeperSession;
  readonly #queue: OperationQueue;
  readonly #watchers = new WatcherTable();
  #closed: Promise<void> | undefined;

  /**
   * `hosts`: the connect string, `host:port,host:port/chroot`; the default port is 2181. Throws
   * BAD_ADDRESS or BAD_OPTION.
   */
  constructor(hosts: string, options: ZooKeeperClientOptions = {}) {
    checkNames('ZooKeeperClient', options, CLIENT_NAMES);
    const ensemble = parseEnsemble(hosts);
    const { credentials, tls, onState } = options;
    this.#options = withDefaults(CLIENT_DEFAULTS, options, CLIENT_RANGES);
    this.#chroot = ensemble.chroot;
    checkCredentials(credentials);
    this.#credentials = credentials;
    this.#acl = aclOf(options.acl ?? (credentials === undefined ? 'anyone' : 'creator'));
    checkCallback('onState', onState);
    if (tls !== undefined)
      tlsClientOptions(tls, { scheme: 'tls', host: 'localhost', port: 1, path: '', text: '' });
    this.#session = new ZooKeeperSession(
      { ...this.#options, hosts: ensemble.hosts, tls },
      {
        onEvent: (type, path) => this.#notifyWatchers(type, path),
        onConnected: (connection) => this.#onConnected(connection),
        onExpired: () => this.#onExpired(),
        onState: onState ?? (() => {}),
      },
    );
    this.#queue = new OperationQueue(this.#session, this.#options);
  }

  get state(): ClientState {
    return this.#session.state;
  }

  /** The id of the session. 0n: there is no session. */
  get sessionId(): bigint {
    return this.#session.sessionId;
  }

  /** Whether there was a first operation, with which the client connects. */
  get isStarted(): boolean {
    return this.#session.isStarted;
  }

  /** Why the last attempt or connection failed. */
  get lastFailure(): Error | undefined {
    return this.#session.lastFailure;
  }

  /** Whether a node is ephemeral and of the current or an earlier session of this client. */
  owns({ ephemeralOwner }: Stat): boolean {
    return this.#session.isOwn(ephemeralOwner);
  }

  // ---- operations: all reject with a ZooKeeperError, or with BAD_OPTION for an invalid path ----

  /** `data` must not change until the promise settles. */
  async create(path: string, data: Uint8Array, options: CreateOptions = {}): Promise<void> {
    checkNames('create()', options, CREATE_NAMES);
    await this.#submit(this.#create(path, data, options));
  }

  /** Creates the missing nodes of a path and of the chroot, persistent and without data. */
  async makePath(path: string, options: Pick<CreateOptions, 'acl'> = {}): Promise<void> {
    checkNames('makePath()', options, { acl: true });
    await this.#makePath(
      this.#absolute(path),
      options.acl === undefined ? this.#acl : aclOf(options.acl),
    );
  }

  async #makePath(path: string, acl: readonly Acl[]): Promise<void> {
    if (path === '/') return;
    try {
      // create() below a parent without permission is NO_AUTH even if the node exists.
      await this.#submit(operations.exists(path, false));
      return;
    } catch (error) {
      if (zooKeeperReasonOf(error) !== 'NO_NODE') throw error;
    }
    await this.#makePath(parentOf(path), acl);
    try {
      await this.#submit(operations.create(path, new Uint8Array(), acl, false));
    } catch (error) {
      if (zooKeeperReasonOf(error) !== 'NODE_EXISTS') throw error;
    }
  }

  /** `version`: the required version of the node; -1, the default, is any. */
  async delete(path: string, version = operations.ANY_VERSION): Promise<void> {
    await this.#submit(operations.remove(this.#absolute(path), version));
  }

  /** undefined: the node does not exist. A watch is set in either case. */
  async exists(path: string, options: WatchOptions = {}): Promise<Stat | undefined> {
    const watch = watcherOf(options);
    const absolute = this.#absolute(path);
    const onSettled: OnSettled = (error) => {
      if (error === undefined) this.#addWatcher('data', absolute, watch);
      else if (zooKeeperReasonOf(error) === 'NO_NODE') this.#addWatcher('exist', absolute, watch);
    };
    try {
      return await this.#submit(operations.exists(absolute, watch !== undefined), onSettled);
    } catch (error) {
      if (zooKeeperReasonOf(error) === 'NO_NODE') return undefined;
      throw error;
    }
  }

  async getData(path: string, options: WatchOptions = {}): Promise<NodeData> {
    const watch = watcherOf(options);
    const absolute = this.#absolute(path);
    return this.#submit(
      operations.getData(absolute, watch !== undefined),
      this.#watchOnSuccess('data', absolute, watch),
    );
  }

  /**
   * `data` must not change until the promise settles. `version`: the required version of the node;
   * -1, the default, is any.
   */
  async setData(path: string, data: Uint8Array, version = operations.ANY_VERSION): Promise<Stat> {
    return this.#submit(operations.setData(this.#absolute(path), data, version));
  }

  /**
   * Returns the names of the children, in no order. Rejects with TOO_MANY_CHILDREN above 50,000
   * names; a watch is set all the same.
   */
  async getChildren(path: string, options: WatchOptions = {}): Promise<string[]> {
    const { elements, count } = await this.firstChildren(path, options);
    if (count > elements.length)
      throw new ZooKeeperError(
        'TOO_MANY_CHILDREN',
        `ZooKeeper: getChildren ${path}: it has ${count} children, at most ${elements.length} are read`,
      );
    return elements;
  }

  /** As getChildren(), and of more than 50,000 names it returns the first ones. */
  async firstChildren(path: string, options: WatchOptions = {}): Promise<Vector<string>> {
    const watch = watcherOf(options);
    const absolute = this.#absolute(path);
    return this.#submit(
      operations.getChildren(absolute, watch !== undefined),
      this.#watchOnSuccess('child', absolute, watch),
    );
  }

  /** Waits until the connected server has all changes that were made before. */
  async sync(path: string): Promise<void> {
    await this.#submit(operations.sync(this.#absolute(path)));
  }

  /** Does all operations or none. */
  async multi(parts: readonly MultiOperation[]): Promise<void> {
    const encoded = parts.map((operation): Operation<unknown> => {
      checkOperation(operation);
      if (operation.type === 'create')
        return this.#create(operation.path, operation.data, operation);
      const { path, version = operations.ANY_VERSION } = operation;
      if (operation.type === 'setData')
        return operations.setData(this.#absolute(path), operation.data, version);
      return (operation.type === 'delete' ? operations.remove : operations.check)(
        this.#absolute(path),
        version,
      );
    });
    await this.#submit(operations.multi(encoded));
  }

  /** Removes a watcher of this path. Never throws: no watcher is at an invalid path. */
  unwatch(path: string, watcher: Watcher): void {
    this.#watchers.remove(this.#withChroot(path), watcher);
  }

  #create(
    path: string,
    data: Uint8Array,
    { ephemeral = false, acl }: { ephemeral?: boolean; acl?: AclName | readonly Acl[] },
  ): Operation<string> {
    return operations.create(
      this.#absolute(path),
      data,
      acl === undefined ? this.#acl : aclOf(acl),
      ephemeral,
    );
  }

  #absolute(path: string): string {
    checkPath(path);
    return this.#withChroot(path);
  }

  #withChroot(path: string): string {
    return path === '/' ? this.#chroot || '/' : this.#chroot + path;
  }

  // ---- sending ----

  #submit<T>(operation: Operation<T>, onSettled?: OnSettled): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(closedError(operation));
    this.#session.start();
    return this.#queue.run(operation, this.#options.operationTimeout, onSettled);
  }

  #onConnected(connection: ServerConnection): void {
    if (this.#credentials !== undefined) connection.authenticate('digest', this.#credentials);
    if (this.#watchers.size > 0)
      connection.setWatches(this.#session.lastZxid, this.#watchers.paths);
    this.#queue.sendAll(connection);
  }

  // ---- watches ----

  #addWatcher(kind: WatchKind, path: string, watcher: Watcher | undefined): void {
    if (watcher !== undefined && this.#closed === undefined)
      this.#watchers.add(kind, path, watcher);
  }

  #watchOnSuccess(kind: WatchKind, path: string, watcher: Watcher | undefined): OnSettled {
    return (error) => {
      if (error === undefined) this.#addWatcher(kind, path, watcher);
    };
  }

  #notifyWatchers(type: WatchEventType, path: string): void {
    const relative = path.slice(this.#chroot.length) || '/';
    for (const watcher of this.#watchers.take(type, path)) {
      notifyOrWarn(`a ZooKeeper watcher of ${relative}`, () => watcher({ type, path: relative }));
    }
  }

  #onExpired(): void {
    const { data, exist, child } = this.#watchers.paths;
    for (const path of new Set([...data, ...exist, ...child])) this.#notifyWatchers('lost', path);
  }

  // ---- closing ----

  /**
   * Ends the session, so that the server deletes its ephemeral nodes at once, and disconnects.
   * Without a connection the nodes stay until the session expires. Does not reject.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const reason = new ZooKeeperError('CLOSED', 'ZooKeeper: the client is closed');
    const { state, sessionId } = this.#session;
    if (state !== 'connected') this.#queue.failUnsent();
    if (sessionId !== 0n && state !== 'away') {
      const timeout = Math.min(CLOSE_TIMEOUT, this.#options.operationTimeout);
      await this.#queue.runLast(operations.closeSession(), timeout).catch(() => {});
    }
    await this.#session.stop(reason);
    this.#queue.failUnsent();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
