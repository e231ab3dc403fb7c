/**
 * A registry in a directory that the processes of one machine share. ROOT/ATTRIBUTES/NODE_ID is a
 * file with exactly the entry's value. A provider touches its files. An entry whose file has not
 * changed for the `ttl` of its provider leaves the lists.
 */

import { join, resolve } from 'node:path';
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger } from '../../core/logger.js';
import { badOption, checkNames, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { entryPath, entryValue, matches } from '../../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../../micro/snapshots.js';
import type {
  NodeRegistration,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { ENTRY_LIMIT_RANGES } from '../shared/entry-budget.js';
import { MissingNodes } from '../shared/missing-nodes.js';
import { Outage } from '../shared/outage.js';
import { Registration } from '../shared/registration.js';
import { watchQuery } from '../shared/watch-query.js';
import { DirectoryScanner } from './directory-scanner.js';
import { SHORTEST_TTL } from './entry-ttl.js';
import { errorCode } from './error-code.js';
import { PublishedFile } from './published-file.js';
import {
  FILE_REGISTRY_DEFAULTS,
  FILE_REGISTRY_NAMES,
  type FileRegistryOptions,
} from './registry-options.js';

export {
  FILE_REGISTRY_DEFAULTS,
  FILE_REGISTRY_NAMES,
  type FileRegistryOptions,
} from './registry-options.js';

const HEARTBEATS_PER_TTL = 4;

interface Watch {
  readonly query: ServiceQuery;
  readonly missing: MissingNodes;
  /** The list that was offered last. */
  last: readonly ServiceNode[] | undefined;
}

class FileRegistry implements Registry {
  readonly #root: string;
  readonly #ttl: number;
  readonly #pollInterval: number;
  readonly #logger: Logger | undefined;
  readonly #outage: Outage;
  readonly #scanner: DirectoryScanner;
  /** The published files, by path. */
  readonly #files = new Map<string, PublishedFile>();
  readonly #watches = new Map<SnapshotSink, Watch>();
  /** Calls of list() that wait for the next scan. */
  #pendingLists: { resolve(nodes: readonly ServiceNode[]): void; reject(error: unknown): void }[] =
    [];
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #heartbeats: Promise<unknown> | undefined;
  #pollTimer: NodeJS.Timeout | undefined;
  #scanning: Promise<void> | undefined;
  /** Whether a watch or list() began during a scan that does not include its query. */
  #mustScanAgain = false;
  /** Whether the directory was ever found. Before that, its absence is no outage. */
  #wasFound = false;
  #isUnreadable = false;
  /** When nodes that are missing after an outage leave the lists: a time of performance.now(). */
  #graceEnd = 0;
  #closed: Promise<void> | undefined;

  constructor(root: string, options: typeof FILE_REGISTRY_DEFAULTS, logger: Logger | undefined) {
    this.#root = root;
    this.#ttl = options.ttl;
    this.#pollInterval = options.pollInterval;
    this.#logger = logger;
    this.#outage = new Outage(`the file registry ${root}`, { directory: root }, logger);
    this.#scanner = new DirectoryScanner(root, options, logger);
  }

  get failure(): Error | undefined {
    return this.#outage.failure;
  }

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<NodeRegistration> {
    if (this.#closed !== undefined)
      throw gettyError('REGISTRY_FAILED', `the file registry ${this.#root} is closed`);
    const path = join(this.#root, entryPath('', node));
    const value = entryValue(node);
    // When register() resolves, the entry is there: the listener is not called for that.
    const registration = new Registration(path, onPublished, true);
    const publishedFile =
      this.#files.get(path) ?? new PublishedFile(this.#root, path, this.#ttl, this.#logger);
    this.#files.set(path, publishedFile);
    try {
      await publishedFile.publish(value, registration);
    } catch (error) {
      this.#removeIfIdle(path, publishedFile);
      throw gettyError(
        'REGISTRY_FAILED',
        `cannot write the entry ${path}: ${messageOf(error)}`,
        error,
      );
    }
    if (this.#closed === undefined) this.#scheduleHeartbeats();
    return {
      get isRemoved() {
        return publishedFile.isWithdrawn;
      },
      [Symbol.asyncDispose]: async () => {
        await publishedFile.withdraw(registration);
        this.#removeIfIdle(path, publishedFile);
      },
    };
  }

  #removeIfIdle(path: string, publishedFile: PublishedFile): void {
    if (publishedFile.isIdle && this.#files.get(path) === publishedFile) this.#files.delete(path);
    if (this.#files.size === 0) this.#stopHeartbeats();
  }

  #scheduleHeartbeats(): void {
    if (this.#heartbeatTimer !== undefined || this.#files.size === 0) return;
    this.#heartbeatTimer = startTimer(() => {
      this.#heartbeatTimer = undefined;
      this.#heartbeats = Promise.all(
        [...this.#files.values()].map((publishedFile) => publishedFile.heartbeat()),
      );
      this.#scheduleHeartbeats();
    }, this.#heartbeatInterval).unref();
  }

  /**
   * Milliseconds. Shorter while another process has taken over an entry: when that process leaves,
   * calls have no node until the entry is back.
   */
  get #heartbeatInterval(): number {
    const interval = this.#ttl / HEARTBEATS_PER_TTL;
    const isTakenOver = [...this.#files.values()].some((file) => file.isTakenOver);
    return isTakenOver ? Math.min(interval, this.#pollInterval) : interval;
  }

  #stopHeartbeats(): void {
    clearTimeout(this.#heartbeatTimer);
    this.#heartbeatTimer = undefined;
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) => {
      if (this.#closed !== undefined) return undefined;
      this.#watches.set(sink, { query, missing: new MissingNodes(), last: undefined });
      this.#scanNow();
      return () => {
        this.#watches.delete(sink);
        if (this.#watches.size > 0) return;
        clearTimeout(this.#pollTimer);
        this.#scanner.clear();
      };
    });
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#closed !== undefined)
      throw gettyError('REGISTRY_FAILED', `the file registry ${this.#root} is closed`);
    const nodes = await new Promise<readonly ServiceNode[]>((resolve, reject) => {
      this.#pendingLists.push({ resolve, reject });
      this.#scanNow();
    });
    return sortedNodes(nodes);
  }

  #scanNow(): void {
    clearTimeout(this.#pollTimer);
    if (this.#scanning !== undefined) {
      this.#mustScanAgain = true;
      return;
    }
    this.#mustScanAgain = false;
    this.#scanning = this.#scan().finally(() => {
      this.#scanning = undefined;
      if (this.#mustScanAgain) this.#scanNow();
      else if (this.#watches.size > 0)
        this.#pollTimer = startTimer(() => this.#scanNow(), this.#pollInterval).unref();
      // A scan of list() must not leave files that are out of date at the next one.
      else this.#scanner.clearFiles();
    });
  }

  /**
   * One scan for all watches and calls of list(). While the directory cannot be read, watches keep
   * their last list.
   */
  async #scan(): Promise<void> {
    const watches = [...this.#watches];
    const lists = this.#pendingLists.splice(0);
    let scanned: Awaited<ReturnType<DirectoryScanner['scan']>>;
    try {
      scanned = await this.#scanner.scan(
        lists.length > 0 ? 'all' : watches.map(([, { query }]) => query),
      );
    } catch (error) {
      this.#onLost(error);
      for (const { reject } of lists) reject(this.failure);
      return;
    }
    const { nodes, isReplaced } = scanned;
    this.#onFound(isReplaced);
    for (const { resolve } of lists) resolve(nodes);
    const isGrace = performance.now() < this.#graceEnd;
    for (const [sink, watch] of watches) {
      // Living providers put their entries back within one ttl. Before that, a first list would be
      // incomplete.
      if (watch.last === undefined && isGrace) continue;
      const present = nodes.filter((node) => matches(node, watch.query));
      watch.last = watch.missing.keep(watch.last ?? [], present, this.#graceEnd);
      sink.offer(watch.last);
    }
  }

  #onLost(error: unknown): void {
    this.#isUnreadable = true;
    const state = errorCode(error) === 'ENOENT' ? 'is not there' : 'cannot be read';
    this.#outage.begin(state, error, `the directory ${state}, waiting for it`);
  }

  /** Living providers put their entries into a directory that is new. */
  #onFound(isReplaced: boolean): void {
    if (isReplaced || (this.#isUnreadable && this.#wasFound))
      this.#graceEnd = performance.now() + this.#ttl;
    this.#isUnreadable = false;
    this.#outage.end('the directory is there');
    this.#wasFound = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const sink of [...this.#watches.keys()]) sink.end();
    this.#stopHeartbeats();
    await Promise.all([...this.#files.values()].map((publishedFile) => publishedFile.withdraw()));
    this.#files.clear();
    await Promise.all([this.#heartbeats, this.#scanning]);
  }
}

/**
 * Makes a registry in `directory`, for the processes of one machine. register() makes the
 * directory; watch() waits for it. Every process that may write to the directory can redirect
 * calls. Disposing the registry deletes its entries at once and ends its watches. Throws
 * BAD_OPTION.
 */
export function file(directory: string, options: FileRegistryOptions = {}): Registry {
  if (typeof directory !== 'string' || directory === '')
    throw badOption('directory', directory, 'the path of a directory');
  checkNames('file()', options, FILE_REGISTRY_NAMES);
  const numbers = withDefaults(FILE_REGISTRY_DEFAULTS, options, {
    ttl: [SHORTEST_TTL, LONGEST_TIMER],
    pollInterval: [1, LONGEST_TIMER],
    ...ENTRY_LIMIT_RANGES,
  });
  return new FileRegistry(
    resolve(directory),
    numbers,
    options.logger === undefined ? undefined : guardedLogger(options.logger),
  );
}
