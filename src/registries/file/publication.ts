/** One entry that this process publishes: a file with exactly the value, alive as long as it is touched. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../core/logger.js';

/** Who published a value: the registration that made it, so that an older one does not withdraw it. */
export type Owner = object;

/** Names that begin so are not entries; every registry may remove those that were left behind. */
export const TEMPORARY = '.getty-';

export class Publication {
  readonly #root: string;
  readonly #path: string;
  readonly #ttl: number;
  readonly #logger: Logger;
  #value: string | undefined;
  #owner: Owner | undefined;
  /** The file as we wrote it. Kept open: as long as it is, no other file has its inode number, so that we know ours again. */
  #file: FileHandle | undefined;
  #inode = 0;
  #publishing = 0;
  /** What was last said in the log, so that it is said once. */
  #trouble = '';
  /** The operations, one after the other: a heartbeat cannot bring back what is being withdrawn. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(root: string, path: string, ttl: number, logger: Logger) {
    this.#root = root;
    this.#path = path;
    this.#ttl = ttl;
    this.#logger = logger;
  }

  /** Nothing is published, and nothing is about to be. */
  get idle(): boolean {
    return this.#value === undefined && this.#publishing === 0;
  }

  /** Write the value, over whatever is there: it is an older life of the same node. Rejects with the file system's error. */
  async publish(value: string, owner: Owner): Promise<void> {
    this.#publishing++;
    try {
      await this.#enqueue(async () => {
        await this.#write(value);
        this.#value = value;
        this.#owner = owner;
      });
    } finally {
      this.#publishing--;
    }
  }

  /** Keep the entry alive, or write it again. Trouble is logged, and tried again by the next heartbeat. */
  beat(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#value === undefined) return;
      try {
        await this.#keep(this.#value);
      } catch (error) {
        this.#say('the entry cannot be kept alive, trying again', error);
      }
    });
  }

  /** Remove the entry, if it is still this owner's; without one: whosever it is. Does not reject: what cannot be deleted expires. */
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

  async #keep(value: string): Promise<void> {
    const found = await this.#found();
    if (found !== undefined && found.ino === this.#inode && this.#file !== undefined) {
      const now = Date.now() / 1000;
      await this.#file.utimes(now, now);
    } else if (found !== undefined && Date.now() - found.mtimeMs <= this.#ttl) {
      // Another process has published this node since. To touch its file would keep it alive after that process is gone.
      this.#say('another process has published this entry; it is left alone as long as it lives');
      return;
    } else {
      await this.#write(value);
      this.#logger.info({ path: this.#path }, 'registry: published the entry again');
    }
    this.#trouble = '';
  }

  async #found(): Promise<{ ino: number; mtimeMs: number } | undefined> {
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
    this.#logger.warn({ path: this.#path, error }, `registry: ${message}`);
  }
}

/** `ENOENT` and the like; '' for anything else. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null | undefined)?.code ?? '');
}
