/** A ZooKeeper client: operations and watches of one session, whichever server has it. */

import { checkCallback, notifyOrWarn } from '../../core/callbacks.js';
import { messageOf } from '../../core/errors.js';
import {
  badOption,
  checkNames,
  type NamesOf,
  type Ranges,
  withDefaults,
} from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { tlsClientOptions } from '../../transport/stream/tls.js';
import { aclOf, checkPath, parentOf, parseEnsemble } from './addresses.js';
import { reasonOf, ZooKeeperError } from './errors.js';
import { Keeper } from './keeper.js';
import type { Link } from './link.js';
import type { Operation } from './protocol.js';
import * as protocol from './protocol.js';
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
} from './types.js';
import { Watches, type WatchKind } from './watches.js';

/** Milliseconds and bytes. */
export const CLIENT_DEFAULTS = {
  sessionTimeout: 10_000,
  operationTimeout: 5_000,
  initialDelay: 100,
  maxDelay: 1_000,
  maxRequestBytes: 1024 * 1024 - 1,
  maxResponseBytes: 8 * 1024 * 1024,
  maxPending: 20_000,
} satisfies ZooKeeperClientOptions;

const NAMES = {
  sessionTimeout: true,
  operationTimeout: true,
  initialDelay: true,
  maxDelay: true,
  maxRequestBytes: true,
  maxResponseBytes: true,
  maxPending: true,
  credentials: true,
  acl: true,
  tls: true,
  onState: true,
} satisfies NamesOf<ZooKeeperClientOptions>;
const WATCH_NAMES = { watch: true } satisfies NamesOf<WatchOptions>;
const CREATE_NAMES = { ephemeral: true, acl: true } satisfies NamesOf<CreateOptions>;
const MULTI_NAMES = {
  create: { type: true, path: true, data: true, ...CREATE_NAMES },
  delete: { type: true, path: true, version: true },
  setData: { type: true, path: true, data: true, version: true },
  check: { type: true, path: true, version: true },
} satisfies { [Type in MultiOperation['type']]: NamesOf<Extract<MultiOperation, { type: Type }>> };

const RANGES: Ranges<typeof CLIENT_DEFAULTS> = {
  sessionTimeout: [100, LONGEST_TIMER],
  operationTimeout: [1, LONGEST_TIMER],
  initialDelay: [1, LONGEST_TIMER],
  maxDelay: [1, LONGEST_TIMER],
  maxRequestBytes: [1_024, 2 ** 31 - 1],
  maxResponseBytes: [1_024, 2 ** 31 - 1],
  maxPending: [1, Number.POSITIVE_INFINITY],
};
/** Milliseconds that close() waits for the end of the session. */
const CLOSE_LIMIT = 2_000;
const ANY_VERSION = -1;

/** An operation that has not settled. */
interface Task {
  readonly operation: Operation<unknown>;
  succeed(value: unknown): void;
  fail(error: Error): void;
}

/**
 * Called with the outcome of an operation before anything else that arrives is looked at: the place
 * to add its watch.
 */
type Settled = (error: Error | undefined) => void;

export class ZooKeeperClient implements AsyncDisposable {
  readonly #options: typeof CLIENT_DEFAULTS;
  readonly #chroot: string;
  readonly #acl: readonly Acl[];
  readonly #credentials: string | undefined;
  readonly #keeper: Keeper;
  readonly #watches = new Watches();
  /** Waiting for a connection, in order. */
  readonly #unsent = new Set<Task>();
  #pending = 0;
  #closed: Promise<void> | undefined;

  /**
   * `hosts`: `host:port,host:port/chroot`. Connects with the first operation. Throws BAD_ADDRESS or
   * BAD_OPTION.
   */
  constructor(hosts: string, options: ZooKeeperClientOptions = {}) {
    checkNames('ZooKeeperClient', options, NAMES);
    const ensemble = parseEnsemble(hosts);
    const { credentials, tls, onState } = options;
    this.#options = withDefaults(CLIENT_DEFAULTS, options, RANGES);
    this.#chroot = ensemble.chroot;
    // Of a secret no more than its type is shown.
    if (
      credentials !== undefined &&
      !(typeof credentials === 'string' && /^[^:]+:/.test(credentials))
    )
      throw badOption('credentials', typeof credentials, 'user:password');
    this.#credentials = credentials;
    this.#acl = aclOf(options.acl ?? (credentials === undefined ? 'anyone' : 'creator'));
    checkCallback('onState', onState);
    if (tls !== undefined)
      tlsClientOptions(tls, { scheme: 'tls', host: 'localhost', port: 1, path: '', text: '' });
    this.#keeper = new Keeper(
      { ...this.#options, hosts: ensemble.hosts, tls },
      {
        onEvent: (type, path) => this.#tell(type, path),
        onLink: (link) => this.#onLink(link),
        onExpired: () => this.#onExpired(),
        onState: onState ?? (() => {}),
      },
    );
  }

  get state(): ClientState {
    return this.#keeper.state;
  }

  /** 0n: there is none. */
  get sessionId(): bigint {
    return this.#keeper.sessionId;
  }

  /** Whether anything was asked yet: the client connects with its first operation. */
  get isStarted(): boolean {
    return this.#keeper.isStarted;
  }

  /** Why there is no connection, or why there was none. */
  get lastFailure(): Error | undefined {
    return this.#keeper.lastFailure;
  }

  /** Whether an ephemeral node is, or was, of a session of this client. */
  owns({ ephemeralOwner }: Stat): boolean {
    return this.#keeper.isOwn(ephemeralOwner);
  }

  // ---- operations. All reject with a ZooKeeperError, see its reason; a bad path is thrown as
  // BAD_OPTION ----

  async create(path: string, data: Uint8Array, options: CreateOptions = {}): Promise<void> {
    checkNames('create()', options, CREATE_NAMES);
    await this.#submit(this.#create(path, data, options));
  }

  /**
   * The persistent nodes of a path that are not there, those of the chroot included, without data.
   */
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
      // Asked first: who may not create beneath a parent is told so, and not that the node is
      // there.
      await this.#submit(protocol.exists(path, false));
      return;
    } catch (error) {
      if (reasonOf(error) !== 'NO_NODE') throw error;
    }
    await this.#makePath(parentOf(path), acl);
    try {
      await this.#submit(protocol.create(path, new Uint8Array(), acl, false));
    } catch (error) {
      if (reasonOf(error) !== 'NODE_EXISTS') throw error;
    }
  }

  async delete(path: string, version = ANY_VERSION): Promise<void> {
    await this.#submit(protocol.remove(this.#absolute(path), version));
  }

  /** Undefined: there is no such node; a watch waits for it. */
  async exists(path: string, options: WatchOptions = {}): Promise<Stat | undefined> {
    const watch = watchOf(options);
    const absolute = this.#absolute(path);
    const settled: Settled = (error) => {
      if (error === undefined) this.#watch('data', absolute, watch);
      else if (reasonOf(error) === 'NO_NODE') this.#watch('exist', absolute, watch);
    };
    try {
      return await this.#submit(protocol.exists(absolute, watch !== undefined), settled);
    } catch (error) {
      if (reasonOf(error) === 'NO_NODE') return undefined;
      throw error;
    }
  }

  async getData(path: string, options: WatchOptions = {}): Promise<NodeData> {
    const watch = watchOf(options);
    const absolute = this.#absolute(path);
    return this.#submit(
      protocol.getData(absolute, watch !== undefined),
      this.#watchIfDone('data', absolute, watch),
    );
  }

  async setData(path: string, data: Uint8Array, version = ANY_VERSION): Promise<Stat> {
    return this.#submit(protocol.setData(this.#absolute(path), data, version));
  }

  /** Names, in no order. */
  async getChildren(path: string, options: WatchOptions = {}): Promise<string[]> {
    const watch = watchOf(options);
    const absolute = this.#absolute(path);
    return this.#submit(
      protocol.getChildren(absolute, watch !== undefined),
      this.#watchIfDone('child', absolute, watch),
    );
  }

  /** Let the server that we are connected with catch up with what was written before. */
  async sync(path: string): Promise<void> {
    await this.#submit(protocol.sync(this.#absolute(path)));
  }

  /** All or nothing. */
  async multi(operations: readonly MultiOperation[]): Promise<void> {
    const parts = operations.map((operation): Operation<unknown> => {
      checkNames(`the ${operation.type} of multi()`, operation, MULTI_NAMES[operation.type]);
      if (operation.type === 'create')
        return this.#create(operation.path, operation.data, operation);
      const { path, version = ANY_VERSION } = operation;
      if (operation.type === 'setData')
        return protocol.setData(this.#absolute(path), operation.data, version);
      return (operation.type === 'delete' ? protocol.remove : protocol.check)(
        this.#absolute(path),
        version,
      );
    });
    await this.#submit(protocol.multi(parts));
  }

  /** The watcher is told nothing more of this path. */
  unwatch(path: string, watcher: Watcher): void {
    this.#watches.remove(this.#absolute(path), watcher);
  }

  #create(
    path: string,
    data: Uint8Array,
    { ephemeral = false, acl }: { ephemeral?: boolean; acl?: AclName | readonly Acl[] },
  ): Operation<string> {
    return protocol.create(
      this.#absolute(path),
      data,
      acl === undefined ? this.#acl : aclOf(acl),
      ephemeral,
    );
  }

  #absolute(path: string): string {
    checkPath(path);
    return path === '/' ? this.#chroot || '/' : this.#chroot + path;
  }

  // ---- an operation's way ----

  #submit<T>(operation: Operation<T>, settled?: Settled): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(closed(operation));
    this.#keeper.start();
    return this.#perform(operation, this.#options.operationTimeout, settled);
  }

  #perform<T>(operation: Operation<T>, timeout: number, settled?: Settled): Promise<T> {
    const { maxPending } = this.#options;
    if (this.#pending >= maxPending) {
      const why = `ZooKeeper: ${operation.name} ${operation.path}: ${this.#pending} operations are pending; maxPending is ${maxPending}`;
      return Promise.reject(new ZooKeeperError('NOT_SENT', why));
    }
    this.#pending++;
    return new Promise<T>((resolve, reject) => {
      let done = false;
      const settle = (error: Error | undefined): boolean => {
        if (done) return false;
        done = true;
        this.#pending--;
        this.#unsent.delete(task);
        clearTimeout(timer);
        settled?.(error);
        return true;
      };
      const task: Task = {
        operation,
        succeed: (value) => settle(undefined) && resolve(value as T),
        fail: (error) => settle(error) && reject(error),
      };
      // The session's connection, or the wait for it, is what keeps the process.
      const timer = startTimer(() => task.fail(this.#late(task, timeout)), timeout).unref();
      this.#unsent.add(task);
      if (this.#keeper.link !== undefined) this.#send(task, this.#keeper.link);
    });
  }

  #send(task: Task, link: Link): void {
    this.#unsent.delete(task);
    try {
      link.request(task.operation, task, this.#options.maxRequestBytes);
    } catch (error) {
      task.fail(error as Error);
    }
  }

  #late(task: Task, timeout: number): Error {
    const { name, path } = task.operation;
    const { lastFailure } = this.#keeper;
    if (!this.#unsent.has(task)) {
      const why = `ZooKeeper: ${name} ${path}: no answer within ${timeout} ms; it may have been done`;
      return new ZooKeeperError('OPERATION_TIMEOUT', why);
    }
    const reason = lastFailure === undefined ? '' : `: ${messageOf(lastFailure)}`;
    return new ZooKeeperError(
      'OPERATION_TIMEOUT',
      `ZooKeeper: ${name} ${path}: no connection within ${timeout} ms${reason}`,
      lastFailure,
    );
  }

  #onLink(link: Link): void {
    if (this.#credentials !== undefined) link.authenticate('digest', this.#credentials);
    if (this.#watches.size > 0) link.setWatches(this.#keeper.lastZxid, this.#watches.paths);
    for (const task of [...this.#unsent]) this.#send(task, link);
  }

  // ---- watches ----

  #watch(kind: WatchKind, path: string, watcher: Watcher | undefined): void {
    if (watcher !== undefined && this.#closed === undefined) this.#watches.add(kind, path, watcher);
  }

  #watchIfDone(kind: WatchKind, path: string, watcher: Watcher | undefined): Settled {
    return (error) => {
      if (error === undefined) this.#watch(kind, path, watcher);
    };
  }

  #tell(type: WatchEventType, path: string): void {
    const relative = path.slice(this.#chroot.length) || '/';
    for (const watcher of this.#watches.take(type, path)) {
      notifyOrWarn(`a ZooKeeper watcher of ${relative}`, () => watcher({ type, path: relative }));
    }
  }

  #onExpired(): void {
    const { data, exist, child } = this.#watches.paths;
    for (const path of new Set([...data, ...exist, ...child])) this.#tell('lost', path);
  }

  // ---- the end ----

  /**
   * End the session, so that its ephemeral nodes go at once, and disconnect. Without a connection
   * they go when the session expires. Does not reject.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const reason = new ZooKeeperError('CLOSED', 'ZooKeeper: the client is closed');
    const { state, sessionId } = this.#keeper;
    for (const task of state === 'connected' ? [] : [...this.#unsent])
      task.fail(closed(task.operation));
    if (sessionId !== 0n && state !== 'away') {
      await this.#perform(
        protocol.closeSession(),
        Math.min(CLOSE_LIMIT, this.#options.operationTimeout),
      ).catch(() => {});
    }
    await this.#keeper.stop(reason);
    for (const task of [...this.#unsent]) task.fail(closed(task.operation));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function closed({ name, path }: Operation<unknown>): Error {
  return new ZooKeeperError('CLOSED', `ZooKeeper: ${name} ${path}: the client is closed`);
}

/** Throws BAD_OPTION. */
function watchOf(options: WatchOptions): Watcher | undefined {
  checkNames('a watch', options, WATCH_NAMES);
  return options.watch;
}
