/** Reads the directory: which entries that somebody asks for are alive now. */
import type { Stats } from 'node:fs';
import { lstat, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { MAX_ENTRY_BYTES, matches, parseAttributes, parseEntry } from '../../micro/attributes.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { codeOf, TEMPORARY } from './publication.js';

/** A file that is out of date by this many ttl is nobody's: it is deleted. */
const DEAD_AFTER = 10;
/** Trouble with one file, not with the registry. */
const REFUSED = ['EACCES', 'EPERM', 'ENOTDIR', 'EISDIR', 'ELOOP'];

/** A file as it was last read. */
interface Known {
  readonly version: string;
  readonly text: string | undefined;
  /** undefined: garbage. */
  readonly node: ServiceNode | undefined;
}

export class FileScanner {
  readonly #root: string;
  readonly #ttl: number;
  readonly #logger: Logger;
  #known = new Map<string, ReadonlyMap<string, Known>>();
  /** Why a path is passed over, for one line in the log and not one per scan. */
  #refused = new Map<string, string>();
  #refusedBefore = this.#refused;

  constructor(root: string, ttl: number, logger: Logger) {
    this.#root = root;
    this.#ttl = ttl;
    this.#logger = logger;
  }

  /** Every living node that one of the queries looks for. Rejects when the directory cannot be read: the registry is away. */
  async scan(queries: readonly ServiceQuery[]): Promise<ServiceNode[]> {
    this.#refusedBefore = this.#refused;
    this.#refused = new Map();
    const known = new Map<string, ReadonlyMap<string, Known>>();
    const nodes: ServiceNode[] = [];
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) await this.#removeLeftover(entry.name);
      else if (this.#isWanted(entry.name, entry.isDirectory(), queries)) known.set(entry.name, await this.#scanFolder(entry.name, nodes));
    }
    this.#known = known;
    return nodes;
  }

  #isWanted(name: string, isFolder: boolean, queries: readonly ServiceQuery[]): boolean {
    try {
      const attributes = parseAttributes(name);
      if (!isFolder) throw new Error('it is not a directory');
      return queries.some((query) => matches(attributes, query));
    } catch (error) {
      this.#refuse(join(this.#root, name), error);
      return false;
    }
  }

  /** Adds the living nodes to `nodes` and answers what it read. */
  async #scanFolder(attributes: string, nodes: ServiceNode[]): Promise<ReadonlyMap<string, Known>> {
    const before = this.#known.get(attributes);
    const after = new Map<string, Known>();
    // A file that is replaced just now may be missing from the listing, so what was there before is looked for by its name.
    const names = new Set([...(await this.#list(attributes)), ...(before?.keys() ?? [])]);
    for (const id of names) {
      const path = join(this.#root, attributes, id);
      try {
        const stats = await lstat(path);
        const age = Date.now() - stats.mtimeMs;
        // A time ahead of the clock is no sign of life either: the clock was set back since.
        const alive = Math.abs(age) <= this.#ttl;
        if (age > this.#ttl * DEAD_AFTER && stats.isFile()) await unlink(path);
        if (!alive) continue;
        const entry = await this.#read(attributes, id, path, stats, before?.get(id));
        after.set(id, entry);
        if (entry.node !== undefined) nodes.push(entry.node);
      } catch (error) {
        const code = codeOf(error);
        if (code === 'ENOENT') continue;
        if (!REFUSED.includes(code)) throw error;
        this.#refuse(path, error);
      }
    }
    return after;
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

  async #read(attributes: string, id: string, path: string, stats: Stats, before: Known | undefined): Promise<Known> {
    const version = `${stats.mtimeMs}:${stats.size}:${stats.ino}`;
    if (before?.version === version) {
      if (before.node === undefined) this.#refuseAgain(path);
      return before;
    }
    let text: string | undefined;
    try {
      // Not to be opened before: a named pipe would wait for its writer.
      if (!stats.isFile()) throw new Error('it is not a regular file');
      if (stats.size > MAX_ENTRY_BYTES) throw new Error(`it has ${stats.size} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      text = await readFile(path, 'utf8');
      // Touched, and not changed: as a heartbeat does.
      if (before?.node !== undefined && before.text === text) return { ...before, version };
      return { version, text, node: parseEntry({ attributes, id }, text) };
    } catch (error) {
      if (codeOf(error) !== 'REGISTRY_FAILED' && codeOf(error) !== '') throw error;
      this.#refuse(path, error);
      return { version, text, node: undefined };
    }
  }

  #refuse(path: string, error: unknown): void {
    const reason = messageOf(error);
    this.#refused.set(path, reason);
    if (this.#refusedBefore.get(path) !== reason) this.#logger.warn({ path, error }, 'registry: this is no entry, passed over');
  }

  #refuseAgain(path: string): void {
    const reason = this.#refusedBefore.get(path);
    if (reason !== undefined) this.#refused.set(path, reason);
  }

  /** What a process left that was killed between writing a file and giving it its name. */
  async #removeLeftover(name: string): Promise<void> {
    if (!name.startsWith(TEMPORARY)) return;
    const path = join(this.#root, name);
    try {
      if (Date.now() - (await lstat(path)).mtimeMs > this.#ttl * DEAD_AFTER) await unlink(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#refuse(path, error);
    }
  }
}
