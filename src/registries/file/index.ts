/**
 * A registry in a directory that the processes of one machine share: ROOT/ATTRIBUTES/NODE_ID is a
 * file with exactly the entry's value. A provider touches its files; one that is not touched for
 * `ttl` is gone.
 */

import { join, resolve } from 'node:path';
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger, SILENT } from '../../core/logger.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { checkQuery, entryPath, entryValue, matches } from '../../micro/registry-entry.js';
import { type SnapshotSink, snapshots, sortedNodes } from '../../micro/snapshots.js';
import type {
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../../micro/types.js';
import { MissingNodes } from '../shared/missing-nodes.js';
import { Outage } from '../shared/outage.js';
import { guardedListener } from '../shared/publication-listener.js';
import { codeOf, Publication } from './publication.js';
import { FileScanner } from './scanner.js';

export interface FileRegistryOptions {
  /**
   * Milliseconds without a heartbeat after which an entry is gone; heartbeats come four times as
   * often. The same in all processes that share the directory. A process that does nothing else for
   * so long is gone for the others.
   */
  ttl?: number | undefined;
  /** Milliseconds between two looks at the directory while somebody watches. */
  pollInterval?: number | undefined;
  /**
   * Told, once each: the directory is away and back, an entry is garbage or cannot be kept. Without
   * one, what fails is one warning of the process.
   */
  logger?: Logger | undefined;
}

export const FILE_REGISTRY_NAMES = {
  ttl: true,
  pollInterval: true,
  logger: true,
} satisfies NamesOf<FileRegistryOptions>;

/** Milliseconds. */
export const FILE_REGISTRY_DEFAULTS = {
  ttl: 2_000,
  pollInterval: 200,
} satisfies FileRegistryOptions;
const HEARTBEATS_PER_TTL = 4;

interface Watch {
  readonly query: ServiceQuery;
  readonly missing: MissingNodes;
  /** What was last offered. */
  last: readonly ServiceNode[] | undefined;
}

class FileRegistry implements Registry {
  readonly #root: string;
  readonly #ttl: number;
  readonly #pollInterval: number;
  readonly #logger: Logger | undefined;
  readonly #outage: Outage;
  readonly #scanner: FileScanner;
  /** By path. */
  readonly #publications = new Map<string, Publication>();
  readonly #watches = new Map<SnapshotSink, Watch>();
  /** Calls of list() that wait for the next look. */
  #lists: { resolve(nodes: readonly ServiceNode[]): void; reject(error: unknown): void }[] = [];
  #heartbeat: NodeJS.Timeout | undefined;
  #beating: Promise<unknown> | undefined;
  #poll: NodeJS.Timeout | undefined;
  #scanning: Promise<void> | undefined;
  /** Somebody came while a scan was under way, which did not look for what they want. */
  #scanAgain = false;
  /** The directory was there once; the first wait for it is no outage. */
  #seen = false;
  #isAway = false;
  /** Until when nodes that are missing after an outage stay in the lists, by performance.now(). */
  #graceEnd = 0;
  #closed: Promise<void> | undefined;

  constructor(root: string, options: typeof FILE_REGISTRY_DEFAULTS, logger: Logger | undefined) {
    this.#root = root;
    this.#ttl = options.ttl;
    this.#pollInterval = options.pollInterval;
    this.#logger = logger;
    this.#outage = new Outage(`the file registry ${root}`, { directory: root }, logger);
    this.#scanner = new FileScanner(root, options.ttl, logger ?? SILENT);
  }

  get failure(): Error | undefined {
    return this.#outage.failure;
  }

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable> {
    if (this.#closed !== undefined)
      throw gettyError('REGISTRY_FAILED', `the file registry ${this.#root} is closed`);
    const path = join(this.#root, entryPath('', node));
    const value = entryValue(node);
    const owner = {};
    const publication =
      this.#publications.get(path) ?? new Publication(this.#root, path, this.#ttl, this.#logger);
    this.#publications.set(path, publication);
    try {
      await publication.publish(value, owner, guardedListener(path, onPublished));
    } catch (error) {
      this.#forgetIfIdle(path, publication);
      throw gettyError(
        'REGISTRY_FAILED',
        `cannot write the entry ${path}: ${messageOf(error)}`,
        error,
      );
    }
    if (this.#closed === undefined) this.#beatLater();
    return {
      [Symbol.asyncDispose]: async () => {
        await publication.withdraw(owner);
        this.#forgetIfIdle(path, publication);
      },
    };
  }

  #forgetIfIdle(path: string, publication: Publication): void {
    if (publication.idle && this.#publications.get(path) === publication)
      this.#publications.delete(path);
    if (this.#publications.size === 0) this.#stopBeating();
  }

  #beatLater(): void {
    if (
      this.#heartbeat !== undefined ||
      this.#beating !== undefined ||
      this.#publications.size === 0
    )
      return;
    this.#heartbeat = startTimer(() => {
      this.#heartbeat = undefined;
      this.#beating = Promise.all(
        [...this.#publications.values()].map((publication) => publication.beat()),
      ).finally(() => {
        this.#beating = undefined;
        if (this.#closed === undefined) this.#beatLater();
      });
    }, this.#heartbeatPause).unref();
  }

  /**
   * Shorter while another process has an entry of ours: when it goes, calls have no node until the
   * entry is back.
   */
  get #heartbeatPause(): number {
    const pause = this.#ttl / HEARTBEATS_PER_TTL;
    const isTaken = [...this.#publications.values()].some((publication) => publication.isTaken);
    return isTaken ? Math.min(pause, this.#pollInterval) : pause;
  }

  #stopBeating(): void {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = undefined;
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
      this.#watches.set(sink, { query, missing: new MissingNodes(), last: undefined });
      this.#scanNow();
      return () => {
        this.#watches.delete(sink);
        if (this.#watches.size > 0) return;
        clearTimeout(this.#poll);
        this.#scanner.forget();
      };
    }, options.signal);
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#closed !== undefined)
      throw gettyError('REGISTRY_FAILED', `the file registry ${this.#root} is closed`);
    const nodes = await new Promise<readonly ServiceNode[]>((resolve, reject) => {
      this.#lists.push({ resolve, reject });
      this.#scanNow();
    });
    return sortedNodes(nodes);
  }

  #scanNow(): void {
    clearTimeout(this.#poll);
    if (this.#scanning !== undefined) {
      this.#scanAgain = true;
      return;
    }
    this.#scanAgain = false;
    this.#scanning = this.#scan().finally(() => {
      this.#scanning = undefined;
      if (this.#scanAgain) this.#scanNow();
      else if (this.#watches.size > 0)
        this.#poll = startTimer(() => this.#scanNow(), this.#pollInterval).unref();
    });
  }

  /**
   * One look at the directory for all watches and lists. While it cannot be read, watches are told
   * nothing: the last list stands.
   */
  async #scan(): Promise<void> {
    const watches = [...this.#watches];
    const lists = this.#lists.splice(0);
    let nodes: readonly ServiceNode[];
    try {
      nodes = await this.#scanner.scan(
        lists.length > 0 ? 'all' : watches.map(([, { query }]) => query),
      );
    } catch (error) {
      this.#onLost(error);
      for (const { reject } of lists) reject(this.failure);
      return;
    }
    this.#onFound();
    for (const { resolve } of lists) resolve(nodes);
    const isGrace = performance.now() < this.#graceEnd;
    for (const [sink, watch] of watches) {
      // Within one ttl every provider that lives has put its entry back; before that a first list
      // would be short of some.
      if (watch.last === undefined && isGrace) continue;
      const present = nodes.filter((node) => matches(node, watch.query));
      watch.last = watch.missing.keep(watch.last ?? [], present, this.#graceEnd);
      sink.offer(watch.last);
    }
  }

  #onLost(error: unknown): void {
    this.#isAway = true;
    const state = codeOf(error) === 'ENOENT' ? 'is not there' : 'cannot be read';
    this.#outage.begin(state, error, `the directory ${state}, waiting for it`);
  }

  #onFound(): void {
    if (this.#isAway && this.#seen) this.#graceEnd = performance.now() + this.#ttl;
    this.#isAway = false;
    this.#outage.end('the directory is there');
    this.#seen = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const sink of [...this.#watches.keys()]) sink.end();
    this.#stopBeating();
    await Promise.all(
      [...this.#publications.values()].map((publication) => publication.withdraw()),
    );
    this.#publications.clear();
    await Promise.all([this.#beating, this.#scanning]);
  }
}

/**
 * A registry in `directory`, for the processes of one machine; register() makes the directory,
 * watch() waits for it. Who may write to the directory decides where calls go. Disposing the
 * registry deletes its entries at once and ends its watches. Throws BAD_OPTION.
 */
export function file(directory: string, options: FileRegistryOptions = {}): Registry {
  if (typeof directory !== 'string' || directory === '')
    throw badOption('directory', directory, 'the path of a directory');
  checkNames('file()', options, FILE_REGISTRY_NAMES);
  const numbers = withDefaults(FILE_REGISTRY_DEFAULTS, options, {
    ttl: [20, LONGEST_TIMER],
    pollInterval: [1, LONGEST_TIMER],
  });
  return new FileRegistry(
    resolve(directory),
    numbers,
    options.logger === undefined ? undefined : guardedLogger(options.logger),
  );
}
