/** Reads the directory: which entries that somebody asks for are alive now. */
import type { Stats } from 'node:fs';
import { lstat, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import {
  MAX_ENTRY_BYTES,
  matches,
  parseAttributes,
  parseEntry,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { codeOf, TEMPORARY } from './publication.js';

/**
 * A file is deleted when the clock says that it is out of date by so many ttl, and it has not
 * changed for UNCHANGED_FOR ttl.
 */
const DEAD_AFTER = 10;
const UNCHANGED_FOR = 2;
/**
 * The part of ttl within which a living entry must change after this process has not looked for
 * longer than ttl.
 */
const PATIENCE = 1 / 2;
/** Trouble with one file, not with the registry. */
const REFUSED = ['EACCES', 'EPERM', 'ENOTDIR', 'EISDIR', 'ELOOP'];

/**
 * A file as it was last looked at. Times are those of performance.now(), which does not jump as the
 * clock does.
 */
interface Known {
  /** Differs whenever the file was touched or replaced. */
  readonly version: string;
  /** When the entry was last known to be alive; -Infinity: it never was. */
  readonly aliveAt: number;
  /** When this version was first seen. */
  readonly firstSeen: number;
  /** What was read; undefined: nothing yet, as the entry is not alive. */
  readonly content: Content | undefined;
}

interface Content {
  readonly text: string | undefined;
  /** undefined: garbage. */
  readonly node: ServiceNode | undefined;
}

export class FileScanner {
  readonly #root: string;
  readonly #ttl: number;
  readonly #logger: Logger;
  #known = new Map<string, ReadonlyMap<string, Known>>();
  /** Files that are being written, or were left behind by a killed process. */
  #unfinished = new Map<string, Known>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Why a path is passed over, for one line in the log and not one per scan. */
  #refused = new Map<string, string>();
  #refusedBefore = this.#refused;

  constructor(root: string, ttl: number, logger: Logger) {
    this.#root = root;
    this.#ttl = ttl;
    this.#logger = logger;
  }

  /**
   * Every living node that one of the queries looks for, or every living node. Rejects when the
   * directory cannot be read: the registry is away.
   */
  async scan(queries: readonly ServiceQuery[] | 'all'): Promise<ServiceNode[]> {
    this.#refusedBefore = this.#refused;
    this.#refused = new Map();
    const known = new Map<string, ReadonlyMap<string, Known>>();
    const unfinished = new Map<string, Known>();
    const nodes: ServiceNode[] = [];
    const now = performance.now();
    const isLate = now - this.#lookedAt > this.#ttl;
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      const { name } = entry;
      if (name.startsWith('.')) await this.#lookAtUnfinished(name, unfinished, now);
      else if (this.#isWanted(name, entry.isDirectory(), queries))
        known.set(name, await this.#scanFolder(name, nodes, now, isLate));
    }
    this.#known = known;
    this.#unfinished = unfinished;
    this.#lookedAt = now;
    return nodes;
  }

  /** Nothing is looked at any more: what is known gets out of date. */
  forget(): void {
    this.#known = new Map();
    this.#unfinished = new Map();
    this.#lookedAt = Number.NEGATIVE_INFINITY;
  }

  #isWanted(name: string, isFolder: boolean, queries: readonly ServiceQuery[] | 'all'): boolean {
    try {
      const attributes = parseAttributes(name);
      if (!isFolder) throw new Error('it is not a directory');
      return queries === 'all'
        ? attributes.role === 'SRT_Provider'
        : queries.some((query) => matches(attributes, query));
    } catch (error) {
      this.#refuse(join(this.#root, name), error);
      return false;
    }
  }

  /** Adds the living nodes to `nodes` and answers what it read. */
  async #scanFolder(
    attributes: string,
    nodes: ServiceNode[],
    now: number,
    isLate: boolean,
  ): Promise<ReadonlyMap<string, Known>> {
    const before = this.#known.get(attributes);
    const after = new Map<string, Known>();
    // A file that is replaced just now may be missing from the listing, so what was there before is
    // looked for by its name.
    const names = new Set([...(await this.#list(attributes)), ...(before?.keys() ?? [])]);
    for (const id of names) {
      const path = join(this.#root, attributes, id);
      try {
        const stats = await lstat(path);
        const seen = this.#see(stats, before?.get(id), now, isLate);
        const isAlive = now - seen.aliveAt <= this.#ttl;
        if (!isAlive && (await this.#removeDead(path, stats, seen, now))) continue;
        const entry = isAlive ? await this.#read(attributes, id, path, stats, seen) : seen;
        after.set(id, entry);
        if (isAlive && entry.content?.node !== undefined) nodes.push(entry.content.node);
      } catch (error) {
        const code = codeOf(error);
        if (code === 'ENOENT') continue;
        if (!REFUSED.includes(code)) throw error;
        this.#refuse(path, error);
      }
    }
    return after;
  }

  /**
   * An entry is alive as long as it changes. Only at the first look the clock decides, since there
   * is nothing to compare with.
   */
  #see(stats: Stats, before: Known | undefined, now: number, isLate: boolean): Known {
    const version = `${stats.mtimeMs}:${stats.ctimeMs}:${stats.size}:${stats.ino}`;
    if (before === undefined) {
      const age = Math.abs(Date.now() - stats.mtimeMs);
      return {
        version,
        aliveAt: age <= this.#ttl ? now - age : Number.NEGATIVE_INFINITY,
        firstSeen: now,
        content: undefined,
      };
    }
    if (before.version !== version)
      return { version, aliveAt: now, firstSeen: now, content: before.content };
    // This process was busy or stopped, and the providers perhaps with it.
    const isExcused = isLate && before.aliveAt > this.#lookedAt - this.#ttl;
    return isExcused
      ? { ...before, aliveAt: Math.max(before.aliveAt, now - this.#ttl * PATIENCE) }
      : before;
  }

  /** Whether it was removed. The clock may have jumped, so it does not decide alone. */
  async #removeDead(
    path: string,
    stats: Stats,
    { firstSeen }: Known,
    now: number,
  ): Promise<boolean> {
    const isOld = stats.isFile() && Date.now() - stats.mtimeMs > this.#ttl * DEAD_AFTER;
    if (!isOld || now - firstSeen <= this.#ttl * UNCHANGED_FOR) return false;
    await unlink(path);
    return true;
  }

  async #list(attributes: string): Promise<string[]> {
    try {
      return await readdir(join(this.#root, attributes));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      if (!REFUSED.includes(codeOf(error))) throw error;
      this.#refuse(join(this.#root, attributes), error);
      return [];
    }
  }

  async #read(
    attributes: string,
    id: string,
    path: string,
    stats: Stats,
    seen: Known,
  ): Promise<Known> {
    const before = this.#known.get(attributes)?.get(id);
    if (seen.content !== undefined && before?.version === seen.version) {
      if (seen.content.node === undefined) this.#refuseAgain(path);
      return seen;
    }
    let text: string | undefined;
    try {
      // Not to be opened before: a named pipe would wait for its writer.
      if (!stats.isFile()) throw new Error('it is not a regular file');
      if (stats.size > MAX_ENTRY_BYTES)
        throw new Error(`it has ${stats.size} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      text = await readFile(path, 'utf8');
      // Touched, and not changed: as a heartbeat does.
      if (seen.content?.node !== undefined && seen.content.text === text) return seen;
      return { ...seen, content: { text, node: parseEntry({ attributes, id }, text) } };
    } catch (error) {
      if (codeOf(error) !== 'REGISTRY_FAILED' && codeOf(error) !== '') throw error;
      this.#refuse(path, error);
      return { ...seen, content: { text, node: undefined } };
    }
  }

  #refuse(path: string, error: unknown): void {
    const reason = messageOf(error);
    this.#refused.set(path, reason);
    if (this.#refusedBefore.get(path) !== reason)
      this.#logger.warn({ path, error }, 'registry: this is no entry, passed over');
  }

  #refuseAgain(path: string): void {
    const reason = this.#refusedBefore.get(path);
    if (reason !== undefined) this.#refused.set(path, reason);
  }

  /** Remove what a process left that was killed between writing a file and giving it its name. */
  async #lookAtUnfinished(
    name: string,
    unfinished: Map<string, Known>,
    now: number,
  ): Promise<void> {
    if (!name.startsWith(TEMPORARY)) return;
    const path = join(this.#root, name);
    try {
      const stats = await lstat(path);
      const seen = this.#see(stats, this.#unfinished.get(name), now, false);
      if (!(await this.#removeDead(path, stats, seen, now))) unfinished.set(name, seen);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#refuse(path, error);
    }
  }
}
