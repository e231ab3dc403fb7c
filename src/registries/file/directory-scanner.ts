/** Reads the directory and finds the requested entries that are alive. */
import type { Stats } from 'node:fs';
import { lstat, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logger, SILENT } from '../../core/logger.js';
import { nextTurn, spend } from '../../core/turn.js';
import {
  type Attributes,
  type BadAttributes,
  matches,
  parseEntry,
  readAttributes,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { EntryBudget, type EntryLimits, entryBytes, textBytes } from '../shared/entry-budget.js';
import { InvalidEntries } from '../shared/invalid-entries.js';
import { readEntryFile } from './entry-file.js';
import { ttlOf } from './entry-ttl.js';
import { errorCode } from './error-code.js';
import type { KnownFile } from './known-file.js';
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
/** The names in the root whose attributes are kept from one scan to the next. */
const MAX_KNOWN_NAMES = 20_000;
/** Units of core/turn.ts for one name in the root. */
const NAME_UNITS = 4;
/** Errors that concern one file and not the registry. */
const FILE_ERRORS = ['EACCES', 'EPERM', 'ENOTDIR', 'EISDIR', 'ELOOP'];

export class DirectoryScanner {
  readonly #root: string;
  readonly #ttl: number;
  /** The files, by ATTRIBUTES, then by NODE_ID. */
  #knownFiles = new Map<string, ReadonlyMap<string, KnownFile>>();
  /** Files that are being written, or were left behind by a killed process. */
  #temporaryFiles = new Map<string, KnownFile>();
  #scannedAt = Number.NEGATIVE_INFINITY;
  /** Identifies the directory, which another one with the same path may replace. */
  #directoryId = '';
  readonly #invalid: InvalidEntries;
  /** Counts the files of one scan. */
  readonly #budget: EntryBudget;
  /** The paths that this scan has skipped. */
  #skipped = new Set<string>();
  /** The attributes of the names in the root at the last scan. */
  #knownNames = new Map<string, Attributes | BadAttributes>();

  /**
   * `ttl`: milliseconds, for files whose publisher is unknown. Without a logger, an invalid entry
   * is a warning of the process.
   */
  constructor(
    root: string,
    { ttl, ...limits }: EntryLimits & { readonly ttl: number },
    logger: Logger | undefined,
  ) {
    this.#root = root;
    this.#ttl = ttl;
    this.#budget = new EntryBudget(root, limits, logger ?? SILENT);
    this.#invalid = new InvalidEntries(logger);
  }

  /**
   * Returns every living node that matches one of the queries, or every living node. `isReplaced`:
   * another directory has replaced the one of the last scan. Rejects if the directory cannot be
   * read.
   */
  async scan(
    queries: readonly ServiceQuery[] | 'all',
  ): Promise<{ nodes: ServiceNode[]; isReplaced: boolean }> {
    const skipped = new Set<string>();
    this.#skipped = skipped;
    this.#budget.restart();
    const knownNames = new Map<string, Attributes | BadAttributes>();
    const knownFiles = new Map<string, ReadonlyMap<string, KnownFile>>();
    const temporaryFiles = new Map<string, KnownFile>();
    const nodes: ServiceNode[] = [];
    const now = performance.now();
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      const { name } = entry;
      // Anyone who may write to the directory can make thousands of names.
      if (spend(NAME_UNITS)) await nextTurn();
      if (name.startsWith('.')) {
        if (name.startsWith(TEMPORARY_PREFIX))
          await this.#checkTemporary(name, temporaryFiles, now);
        continue;
      }
      const attributes = this.#knownNames.get(name) ?? readAttributes(name);
      if (knownNames.size < MAX_KNOWN_NAMES) knownNames.set(name, attributes);
      if (this.#isRequested(name, attributes, entry.isDirectory(), queries))
        knownFiles.set(name, await this.#scanAttributes(name, attributes, nodes, now));
    }
    this.#knownNames = knownNames;
    this.#invalid.keepOnly((path) => skipped.has(path));
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
    this.clearFiles();
    this.#knownNames = new Map();
  }

  /** Clears the known files. What is known of names stays right. */
  clearFiles(): void {
    this.#knownFiles = new Map();
    this.#temporaryFiles = new Map();
    this.#scannedAt = Number.NEGATIVE_INFINITY;
    this.#directoryId = '';
  }

  #isRequested(
    name: string,
    attributes: Attributes | BadAttributes,
    isDirectory: boolean,
    queries: readonly ServiceQuery[] | 'all',
  ): attributes is Attributes {
    if ('why' in attributes || !isDirectory) {
      const why = 'why' in attributes ? attributes.why : 'it is not a directory';
      this.#skip(join(this.#root, name), why);
      return false;
    }
    return queries === 'all'
      ? attributes.role === 'SRT_Provider'
      : queries.some((query) => matches(attributes, query));
  }

  /** Adds the living nodes of one ATTRIBUTES directory to `nodes`. Returns its files. */
  async #scanAttributes(
    attributes: string,
    read: Attributes,
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
        if (!this.#budget.add(bytesOf(path, file, read))) continue;
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
      if (known.content.node === undefined) this.#skipped.add(path);
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

  /** `reason`: an error or a text. */
  #skip(path: string, reason: unknown): void {
    this.#skipped.add(path);
    this.#invalid.report(path, reason);
  }

  /** Deletes the file of a process that was killed between writing and renaming it. */
  async #checkTemporary(
    name: string,
    temporaryFiles: Map<string, KnownFile>,
    now: number,
  ): Promise<void> {
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

/** The text of a file is kept besides its node. */
function bytesOf(path: string, { content }: KnownFile, attributes: Attributes): number {
  const { text } = content ?? {};
  return entryBytes(path, text, attributes) + (text === undefined ? 0 : textBytes(text));
}
