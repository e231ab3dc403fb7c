/**
 * One entry that this process publishes: a file with exactly the value, alive as long as it is
 * touched.
 */
import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';

/**
 * Who published a value: the registration that made it, so that an older one does not withdraw it.
 */
export type Owner = object;

/** Names that begin so are not entries; every registry may remove those that were left behind. */
export const TEMPORARY = '.getty-';

export class Publication {
  readonly #root: string;
  readonly #path: string;
  readonly #ttl: number;
  /** Undefined: what cannot be kept is a warning of the process. */
  readonly #logger: Logger | undefined;
  #onPublished: (isPublished: boolean) => void = () => {};
  #isPublished = true;
  /**
   * Another process's file in the place of ours, and when it was first seen so, by
   * performance.now().
   */
  #foreign: { readonly version: string; readonly firstSeen: number } | undefined;
  #value: string | undefined;
  #owner: Owner | undefined;
  /**
   * The file as we wrote it. Kept open: as long as it is, no other file has its inode number, so
   * that we know ours again.
   */
  #file: FileHandle | undefined;
  #inode = 0;
  #publishing = 0;
  /** What was last said in the log, so that it is said once. */
  #trouble = '';
  /** The operations, one after the other: a heartbeat cannot bring back what is being withdrawn. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(root: string, path: string, ttl: number, logger: Logger | undefined) {
    this.#root = root;
    this.#path = path;
    this.#ttl = ttl;
    this.#logger = logger;
  }

  /** Another process has published this node since. */
  get isTaken(): boolean {
    return this.#foreign !== undefined;
  }

  /** Nothing is published, and nothing is about to be. */
  get idle(): boolean {
    return this.#value === undefined && this.#publishing === 0;
  }

  /**
   * Write the value, over whatever is there: it is an older life of the same node. Rejects with the
   * file system's error.
   */
  async publish(
    value: string,
    owner: Owner,
    onPublished: (isPublished: boolean) => void = () => {},
  ): Promise<void> {
    this.#publishing++;
    try {
      await this.#enqueue(async () => {
        await this.#write(value);
        this.#value = value;
        this.#owner = owner;
        this.#onPublished = onPublished;
        this.#isPublished = true;
        this.#foreign = undefined;
      });
    } finally {
      this.#publishing--;
    }
  }

  /**
   * Keep the entry alive, or write it again. Trouble is logged, and tried again by the next
   * heartbeat.
   */
  beat(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#value === undefined) return;
      try {
        this.#tell(await this.#keep(this.#value));
      } catch (error) {
        this.#tell(false);
        this.#say('the entry cannot be kept alive, trying again', error);
      }
    });
  }

  #tell(isPublished: boolean): void {
    if (this.#isPublished === isPublished) return;
    this.#isPublished = isPublished;
    this.#onPublished(isPublished);
  }

  /**
   * Remove the entry, if it is still this owner's; without one: whosever it is. Does not reject:
   * what cannot be deleted expires.
   */
  withdraw(owner?: Owner): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#value === undefined || (owner !== undefined && this.#owner !== owner)) return;
      this.#value = undefined;
      this.#owner = undefined;
      try {
        if ((await this.#found())?.ino === this.#inode) await unlink(this.#path);
      } catch (error) {
        this.#say(`the entry could not be deleted, it expires after ${this.#ttl} ms`, error);
      }
      await this.#file?.close();
      this.#file = undefined;
    });
  }

  #enqueue<T>(operation: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(operation);
    this.#queue = done.catch(() => {});
    return done;
  }

  /** Whether the entry is there. */
  async #keep(value: string): Promise<boolean> {
    const found = await this.#found();
    if (found !== undefined && found.ino === this.#inode && this.#file !== undefined) {
      const now = Date.now() / 1000;
      await this.#file.utimes(now, now);
    } else if (found !== undefined && this.#isAlive(found)) {
      // Another process has published this node since. To touch its file would keep it alive after
      // that process is gone.
      this.#say('another process has published this entry; it is left alone as long as it lives');
      return false;
    } else {
      await this.#write(value);
      this.#logger?.info({ path: this.#path }, 'registry: published the entry again');
    }
    this.#foreign = undefined;
    this.#trouble = '';
    return true;
  }

  /**
   * Whether the other process's file has changed within one ttl. The clock is not asked: it may
   * have jumped.
   */
  #isAlive(stats: Stats): boolean {
    const version = `${stats.mtimeMs}:${stats.ctimeMs}:${stats.ino}`;
    if (this.#foreign?.version !== version)
      this.#foreign = { version, firstSeen: performance.now() };
    return performance.now() - this.#foreign.firstSeen <= this.#ttl;
  }

  async #found(): Promise<Stats | undefined> {
    try {
      return await stat(this.#path);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Readers see the old file or the whole new one. */
  async #write(value: string): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const temporary = join(this.#root, `${TEMPORARY}${randomUUID()}`);
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(value);
      const { ino } = await file.stat();
      await rename(temporary, this.#path);
      const previous = this.#file;
      this.#file = file;
      this.#inode = ino;
      await previous?.close();
    } catch (error) {
      if (this.#file !== file) {
        await file.close();
        await unlink(temporary).catch(() => {});
      }
      throw error;
    }
  }

  #say(message: string, error?: unknown): void {
    const trouble = `${message} ${codeOf(error)}`;
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    if (this.#logger !== undefined)
      this.#logger.warn({ path: this.#path, error }, `registry: ${message}`);
    else if (error !== undefined)
      warn(gettyError('REGISTRY_FAILED', `${this.#path}: ${message}: ${messageOf(error)}`, error));
  }
}

/** `ENOENT` and the like; '' for anything else. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null | undefined)?.code ?? '');
}
