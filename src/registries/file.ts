/**
 * A registry in a directory that the processes of one machine share: ROOT/ATTRIBUTES/NODE_ID is a file with exactly
 * the entry's value. A provider touches its files; one that is not touched for `ttl` is gone.
 */

import { join, resolve } from 'node:path';
import { gettyError, messageOf } from '../core/errors.js';
import { guardedLogger, type Logger } from '../core/logger.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../core/options.js';
import { LONGEST_TIMER, startTimer } from '../core/timers.js';
import { checkQuery, entryPath, entryValue, matches } from '../micro/attributes.js';
import { type SnapshotSink, snapshots } from '../micro/snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from '../micro/types.js';
import { codeOf, Publication } from './file/publication.js';
import { FileScanner } from './file/scanner.js';

export interface FileRegistryOptions {
  /**
   * Milliseconds without a heartbeat after which an entry is gone; heartbeats come four times as often. The same in
   * all processes that share the directory. A process that does nothing else for so long is gone for the others.
   */
  ttl?: number | undefined;
  /** Milliseconds between two looks at the directory while somebody watches. */
  pollInterval?: number | undefined;
  /** Told, once each: the directory is away and back, an entry is garbage or cannot be kept. Silent by default. */
  logger?: Logger | undefined;
}

export const FILE_REGISTRY_NAMES = { ttl: true, pollInterval: true, logger: true } satisfies NamesOf<FileRegistryOptions>;

/** Milliseconds. */
export const FILE_REGISTRY_DEFAULTS = { ttl: 2_000, pollInterval: 200 } satisfies FileRegistryOptions;
const HEARTBEATS_PER_TTL = 4;

class FileRegistry implements Registry {
  readonly #root: string;
  readonly #ttl: number;
  readonly #pollInterval: number;
  readonly #logger: Logger;
  readonly #scanner: FileScanner;
  /** By path. */
  readonly #publications = new Map<string, Publication>();
  readonly #watches = new Map<SnapshotSink, ServiceQuery>();
  #heartbeat: NodeJS.Timeout | undefined;
  #beating: Promise<unknown> | undefined;
  #poll: NodeJS.Timeout | undefined;
  #scanning: Promise<void> | undefined;
  /** Somebody came while a scan was under way, which did not look for what they want. */
  #scanAgain = false;
  /** The directory was there once; the first wait for it is no outage. */
  #seen = false;
  #away = false;
  /** The monotonic instant until which nothing is said after an outage. */
  #quietUntil = 0;
  #closed: Promise<void> | undefined;

  constructor(root: string, options: Required<FileRegistryOptions>) {
    this.#root = root;
    this.#ttl = options.ttl;
    this.#pollInterval = options.pollInterval;
    this.#logger = options.logger;
    this.#scanner = new FileScanner(root, options.ttl, options.logger);
  }

  async register(node: ServiceNode): Promise<AsyncDisposable> {
    if (this.#closed !== undefined) throw gettyError('REGISTRY_FAILED', `the file registry ${this.#root} is closed`);
    const path = join(this.#root, entryPath('', node));
    const value = entryValue(node);
    const owner = {};
    const publication = this.#publications.get(path) ?? new Publication(this.#root, path, this.#ttl, this.#logger);
    this.#publications.set(path, publication);
    try {
      await publication.publish(value, owner);
    } catch (error) {
      this.#forgetIfIdle(path, publication);
      throw gettyError('REGISTRY_FAILED', `cannot write the entry ${path}: ${messageOf(error)}`, error);
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
    if (publication.idle && this.#publications.get(path) === publication) this.#publications.delete(path);
    if (this.#publications.size === 0) this.#stopBeating();
  }

  #beatLater(): void {
    if (this.#heartbeat !== undefined || this.#beating !== undefined || this.#publications.size === 0) return;
    this.#heartbeat = startTimer(() => {
      this.#heartbeat = undefined;
      this.#beating = Promise.all([...this.#publications.values()].map((publication) => publication.beat())).finally(() => {
        this.#beating = undefined;
        if (this.#closed === undefined) this.#beatLater();
      });
    }, this.#ttl / HEARTBEATS_PER_TTL).unref();
  }

  #stopBeating(): void {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = undefined;
  }

  watch(query: ServiceQuery, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<readonly ServiceNode[]> {
    checkQuery(query, options);
    return snapshots((sink) => {
      if (this.#closed !== undefined) {
        sink.end();
        return () => {};
      }
      this.#watches.set(sink, query);
      this.#scanNow();
      return () => {
        this.#watches.delete(sink);
        if (this.#watches.size === 0) clearTimeout(this.#poll);
      };
    }, options.signal);
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
      if (this.#watches.size === 0) return;
      if (this.#scanAgain) this.#scanNow();
      else this.#poll = startTimer(() => this.#scanNow(), this.#pollInterval).unref();
    });
  }

  /** One look at the directory for all watches. While it cannot be read they are told nothing: the last list stands. */
  async #scan(): Promise<void> {
    const watches = [...this.#watches];
    let nodes: readonly ServiceNode[];
    try {
      nodes = await this.#scanner.scan(watches.map(([, query]) => query));
    } catch (error) {
      this.#lost(error);
      return;
    }
    this.#found();
    if (performance.now() < this.#quietUntil) return;
    for (const [sink, query] of watches) sink.offer(nodes.filter((node) => matches(node, query)));
  }

  #lost(error: unknown): void {
    if (this.#away) return;
    this.#away = true;
    const why = codeOf(error) === 'ENOENT' ? 'is not there' : 'cannot be read';
    this.#logger.warn({ directory: this.#root, error }, `registry: the directory ${why}, waiting for it`);
  }

  #found(): void {
    if (this.#away) {
      this.#away = false;
      // Within one ttl every provider that lives has put its entry back; before that the list would be short of some.
      if (this.#seen) this.#quietUntil = performance.now() + this.#ttl;
      this.#logger.info({ directory: this.#root }, 'registry: the directory is there');
    }
    this.#seen = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const sink of [...this.#watches.keys()]) sink.end();
    this.#stopBeating();
    await Promise.all([...this.#publications.values()].map((publication) => publication.withdraw()));
    this.#publications.clear();
    await Promise.all([this.#beating, this.#scanning]);
  }
}

/**
 * A registry in `directory`, for the processes of one machine; register() makes the directory, watch() waits for it.
 * Who may write to the directory decides where calls go. Disposing the registry deletes its entries at once and ends
 * its watches. Throws BAD_OPTION.
 */
export function file(directory: string, options: FileRegistryOptions = {}): Registry {
  if (typeof directory !== 'string' || directory === '') throw badOption('directory', directory, 'the path of a directory');
  checkNames('file()', options, FILE_REGISTRY_NAMES);
  const numbers = withDefaults(FILE_REGISTRY_DEFAULTS, options, { ttl: [20, LONGEST_TIMER], pollInterval: [1, LONGEST_TIMER] });
  return new FileRegistry(resolve(directory), { ...numbers, logger: guardedLogger(options.logger) });
}
