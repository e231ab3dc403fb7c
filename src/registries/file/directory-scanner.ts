/** Reads the directory and finds the requested entries that are alive. */
import type { Stats } from 'node:fs';
import { lstat, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { matches, parseAttributes, parseEntry } from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { readEntryFile } from './entry-file.js';
import { ttlOf } from './entry-ttl.js';
import { errorCode } from './error-code.js';
import { TEMPORARY_PREFIX } from './published-file.js';

/**
 * A file is deleted if its time of modification is this many ttl ago, and the scanner has seen no
 * change of it for DELETE_UNCHANGED_TTLS.
 */
const DELETE_AGE_TTLS = 10;
const DELETE_UNCHANGED_TTLS = 2;
/**
 * The part of ttl within which a living entry must change after this process has not scanned for
 * more than one ttl. It has this time only once: the ttl of an entry may be shorter than the time
 * between two scans.
 */
const LATE_SCAN_GRACE = 1 / 2;
/** Errors that concern one file and not the registry. */
const FILE_ERRORS = ['EACCES', 'EPERM', 'ENOTDIR', 'EISDIR', 'ELOOP'];

/**
 * A file as the last scan saw it. Times are those of performance.now(), which does not jump as the
 * clock of the machine does.
 */
interface KnownFile {
  /** Differs whenever the file was touched or replaced. */
  readonly version: string;
  readonly inode: number;
  /** Milliseconds: that of the publisher, or of this reader if that one is unknown. */
  readonly ttl: number;
  /** When the entry was last known to be alive. -Infinity: never. */
  readonly aliveAt: number;
  /** When this version was first seen. */
  readonly firstSeen: number;
  /** undefined: not read yet, because the entry is not alive. */
  readonly content: Content | undefined;
}

interface Content {
  readonly text: string | undefined;
  /** undefined: the file is no valid entry. */
  readonly node: ServiceNode | undefined;
}

export class DirectoryScanner {
  readonly #root: string;
  readonly #ttl: number;
  readonly #logger: Logger;
  /** The files, by ATTRIBUTES, then by NODE_ID. */
  #knownFiles = new Map<string, ReadonlyMap<string, KnownFile>>();
  /** Files that are being written, or were left behind by a killed process. */
  #temporaryFiles = new Map<string, KnownFile>();
  #scannedAt = Number.NEGATIVE_INFINITY;
  /** Identifies the directory, which another one with the same path may replace. */
  #directoryId = '';
  /** Why files are skipped, by path. Kept from scan to scan, so that each reason is logged once. */
  #skipped = new Map<string, string>();
  #skippedBefore = this.#skipped;

  /** `ttl`: milliseconds, for files whose publisher is unknown. */
  constructor(root: string, ttl: number, logger: Logger) {
    this.#root = root;
    this.#ttl = ttl;
    this.#logger = logger;
  }

  /**
   * Returns every living node that matches one of the queries, or every living node. `isReplaced`:
   * another directory has replaced the one of the last scan. Rejects if the directory cannot be
   * read.
   */
  async scan(
    queries: readonly ServiceQuery[] | 'all',
  ): Promise<{ nodes: ServiceNode[]; isReplaced: boolean }> {
    this.#skippedBefore = this.#skipped;
    this.#skipped = new Map();
    const knownFiles = new Map<string, ReadonlyMap<string, KnownFile>>();
    const temporaryFiles = new Map<string, KnownFile>();
    const nodes: ServiceNode[] = [];
    const now = performance.now();
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      const { name } = entry;
      if (name.startsWith('.')) await this.#checkTemporary(name, temporaryFiles, now);
      else if (this.#isRequested(name, entry.isDirectory(), queries))
        knownFiles.set(name, await this.#scanAttributes(name, nodes, now));
    }
    this.#knownFiles = knownFiles;
    this.#temporaryFiles = temporaryFiles;
    this.#scannedAt = now;
    // After the entries: a directory that appears while they are read counts as replaced too.
    const { dev, ino } = await stat(this.#root);
    const directoryId = `${dev}:${ino}`;
    const isReplaced = this.#directoryId !== '' && this.#directoryId !== directoryId;
    this.#directoryId = directoryId;
    return { nodes, isReplaced };
  }

  /** Must be called when scanning stops. Clears the known files, which get out of date. */
  clear(): void {
    this.#knownFiles = new Map();
    this.#temporaryFiles = new Map();
    this.#scannedAt = Number.NEGATIVE_INFINITY;
    this.#directoryId = '';
  }

  #isRequested(
    name: string,
    isDirectory: boolean,
    queries: readonly ServiceQuery[] | 'all',
  ): boolean {
    try {
      const attributes = parseAttributes(name);
      if (!isDirectory) throw new Error('it is not a directory');
      return queries === 'all'
        ? attributes.role === 'SRT_Provider'
        : queries.some((query) => matches(attributes, query));
    } catch (error) {
      this.#skip(join(this.#root, name), error);
      return false;
    }
  }

  /** Adds the living nodes of one ATTRIBUTES directory to `nodes`. Returns its files. */
  async #scanAttributes(
    attributes: string,
    nodes: ServiceNode[],
    now: number,
  ): Promise<ReadonlyMap<string, KnownFile>> {
    const before = this.#knownFiles.get(attributes);
    const after = new Map<string, KnownFile>();
    // A file may be missing from the listing while it is replaced, so known files are checked by
    // their names.
    const names = new Set([...(await this.#list(attributes)), ...(before?.keys() ?? [])]);
    for (const id of names) {
      const path = join(this.#root, attributes, id);
      try {
        const stats = await lstat(path);
        const known = this.#compare(stats, before?.get(id), now);
        const isAlive = now - known.aliveAt <= known.ttl;
        const isExpired = !isAlive && this.#isExpired(stats, known, now);
        const file =
          isAlive || isExpired ? await this.#read(attributes, id, path, stats, known) : known;
        // A file that is no entry stays: ATTRIBUTES may have become a link to another directory.
        if (isExpired && file.content?.node !== undefined) {
          await unlink(path);
          continue;
        }
        after.set(id, file);
        if (isAlive && file.content?.node !== undefined) nodes.push(file.content.node);
      } catch (error) {
        const code = errorCode(error);
        if (code === 'ENOENT') continue;
        if (!FILE_ERRORS.includes(code)) throw error;
        this.#skip(path, error);
      }
    }
    return after;
  }

  /**
   * An entry is alive as long as it changes. The first scan has no earlier version of the file, so
   * it compares the file time with the clock of the machine.
   */
  #compare(stats: Stats, before: KnownFile | undefined, now: number): KnownFile {
    const { mtimeMs, ctimeMs, size, ino: inode } = stats;
    const version = `${mtimeMs}:${ctimeMs}:${size}:${inode}`;
    if (before?.version === version) return this.#withGrace(before, now);
    const ttl = ttlOf(stats) ?? (before?.inode === inode ? before.ttl : this.#ttl);
    const changed = { version, inode, ttl, firstSeen: now };
    if (before !== undefined) return { ...changed, aliveAt: now, content: before.content };
    const age = Math.abs(Date.now() - mtimeMs);
    const aliveAt = age <= ttl ? now - age : Number.NEGATIVE_INFINITY;
    return { ...changed, aliveAt, content: undefined };
  }

  /** If this process was busy or stopped, the providers perhaps were too. */
  #withGrace(known: KnownFile, now: number): KnownFile {
    const { ttl, aliveAt, firstSeen } = known;
    const isLate = now - this.#scannedAt > ttl;
    const wasAlive = aliveAt > this.#scannedAt - ttl;
    const hadGrace = aliveAt > firstSeen;
    return isLate && wasAlive && !hadGrace
      ? { ...known, aliveAt: now - ttl * LATE_SCAN_GRACE }
      : known;
  }

  /**
   * Whether the file can be deleted. The clock of the machine may have jumped, so the time without
   * an observed change counts too.
   */
  #isExpired(stats: Stats, { firstSeen, ttl }: KnownFile, now: number): boolean {
    const isOld = stats.isFile() && Date.now() - stats.mtimeMs > ttl * DELETE_AGE_TTLS;
    return isOld && now - firstSeen > ttl * DELETE_UNCHANGED_TTLS;
  }

  async #list(attributes: string): Promise<string[]> {
    try {
      return await readdir(join(this.#root, attributes));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      if (!FILE_ERRORS.includes(errorCode(error))) throw error;
      this.#skip(join(this.#root, attributes), error);
      return [];
    }
  }

  async #read(
    attributes: string,
    id: string,
    path: string,
    stats: Stats,
    known: KnownFile,
  ): Promise<KnownFile> {
    const before = this.#knownFiles.get(attributes)?.get(id);
    if (known.content !== undefined && before?.version === known.version) {
      if (known.content.node === undefined) this.#skipAgain(path);
      return known;
    }
    let text: string | undefined;
    try {
      if (!stats.isFile()) throw new Error('it is not a regular file');
      text = await readEntryFile(path);
      // A heartbeat touches the file and does not change its text.
      if (known.content?.node !== undefined && known.content.text === text) return known;
      return { ...known, content: { text, node: parseEntry({ attributes, id }, text) } };
    } catch (error) {
      if (errorCode(error) !== 'REGISTRY_FAILED' && errorCode(error) !== '') throw error;
      this.#skip(path, error);
      return { ...known, content: { text, node: undefined } };
    }
  }

  #skip(path: string, error: unknown): void {
    const reason = messageOf(error);
    this.#skipped.set(path, reason);
    if (this.#skippedBefore.get(path) !== reason)
      this.#logger.warn({ path, error }, 'registry: skipped an invalid entry');
  }

  #skipAgain(path: string): void {
    const reason = this.#skippedBefore.get(path);
    if (reason !== undefined) this.#skipped.set(path, reason);
  }

  /** Deletes the file of a process that was killed between writing and renaming it. */
  async #checkTemporary(
    name: string,
    temporaryFiles: Map<string, KnownFile>,
    now: number,
  ): Promise<void> {
    if (!name.startsWith(TEMPORARY_PREFIX)) return;
    const path = join(this.#root, name);
    try {
      const stats = await lstat(path);
      const known = this.#compare(stats, this.#temporaryFiles.get(name), now);
      if (this.#isExpired(stats, known, now)) await unlink(path);
      else temporaryFiles.set(name, known);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') this.#skip(path, error);
    }
  }
}
