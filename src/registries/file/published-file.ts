/** One entry that this process publishes: a file that a heartbeat touches. */
import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../core/logger.js';
import { ProblemLog } from '../shared/problem-log.js';
import { type Registration, TAKEN_OVER } from '../shared/registration.js';
import { readEntryFile } from './entry-file.js';
import { touch, ttlOf } from './entry-ttl.js';
import { errorCode } from './error-code.js';

/**
 * The prefix of files that are being written. They are not entries, and every registry may delete
 * old ones.
 */
export const TEMPORARY_PREFIX = '.getty-';

export class PublishedFile {
  readonly #root: string;
  readonly #path: string;
  readonly #ttl: number;
  readonly #logger: Logger | undefined;
  readonly #problems: ProblemLog;
  /**
   * The file of another process at this path. `firstSeen`: when this version was first seen, by
   * performance.now(). `ttl`: milliseconds.
   */
  #otherFile:
    | { readonly version: string; readonly firstSeen: number; readonly ttl: number }
    | undefined;
  #value: string | undefined;
  #registration: Registration | undefined;
  /**
   * The file that this process wrote. While it is open, no other file has its inode number, so the
   * number identifies it.
   */
  #file: FileHandle | undefined;
  #inode = 0;
  #touching: Promise<void> | undefined;
  #checking: Promise<void> | undefined;
  /**
   * When a file that could not be deleted has expired, by performance.now(). 0: none is left.
   */
  #expiry = 0;
  /** Calls of publish() that have not settled. */
  #publishing = 0;
  /** Operations run one after the other, so a heartbeat cannot restore a withdrawn entry. */
  #queue: Promise<unknown> = Promise.resolve();

  /** Without a logger, a problem with the entry is a warning of the process. */
  constructor(root: string, path: string, ttl: number, logger: Logger | undefined) {
    this.#root = root;
    this.#path = path;
    this.#ttl = ttl;
    this.#logger = logger;
    this.#problems = new ProblemLog(path, logger);
  }

  /** Whether another process has replaced the entry. */
  get isTakenOver(): boolean {
    return this.#otherFile !== undefined;
  }

  /** Whether nothing is published or being published. */
  get isIdle(): boolean {
    return this.#value === undefined && this.#publishing === 0;
  }

  /** Whether the entry, which was withdrawn, is deleted, expired or published again. */
  get isWithdrawn(): boolean {
    return this.#value !== undefined || performance.now() >= this.#expiry;
  }

  /**
   * Writes the value and replaces any file there: it is of an earlier process with the same node.
   * Rejects with the file system's error.
   */
  async publish(value: string, registration: Registration): Promise<void> {
    this.#publishing++;
    try {
      await this.#enqueue(async () => {
        await this.#write(value);
        this.#value = value;
        this.#registration = registration;
        this.#otherFile = undefined;
      });
    } finally {
      this.#publishing--;
    }
  }

  /**
   * Touches the file now, and checks it in several turns of the event loop, or writes it again. In
   * a process that computes, each turn may take so long that the entry would expire during the
   * check. A failure is logged; the next heartbeat tries again.
   */
  heartbeat(): Promise<void> {
    const touched = this.#touch();
    this.#checking ??= this.#enqueue(async () => {
      if (this.#value === undefined) return;
      try {
        await touched;
        this.#registration?.report(await this.#check(this.#value));
      } catch (error) {
        this.#registration?.report(false);
        this.#problems.logOnce(
          'the entry cannot be kept alive, trying again',
          error,
          // The message has the random name of a temporary file.
          errorCode(error),
        );
      }
    }).finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /** The file may have been replaced or deleted, which the check finds out; this harms nothing. */
  #touch(): Promise<void> | undefined {
    if (this.#file === undefined || this.#value === undefined) return undefined;
    if (this.#touching === undefined) {
      this.#touching = touch(this.#file, this.#ttl).finally(() => {
        this.#touching = undefined;
      });
      // The check may be one that does not wait for it.
      this.#touching.catch(() => {});
    }
    return this.#touching;
  }

  /**
   * Deletes the entry if it belongs to `registration`; without one, in any case. Does not reject: a
   * file that cannot be deleted expires.
   */
  withdraw(registration?: Registration): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#value === undefined) return;
      if (registration !== undefined && this.#registration !== registration) return;
      this.#value = undefined;
      this.#registration = undefined;
      try {
        if ((await this.#stat())?.ino === this.#inode) await unlink(this.#path);
      } catch (error) {
        this.#expiry = performance.now() + this.#ttl;
        this.#problems.logOnce(
          `the entry could not be deleted, it expires after ${this.#ttl} ms`,
          error,
          errorCode(error),
        );
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

  /** Resolves with whether the entry of this process is published. */
  async #check(value: string): Promise<boolean> {
    const stats = await this.#stat();
    const isOwn = stats !== undefined && stats.ino === this.#inode;
    if (stats !== undefined && !isOwn && this.#isAlive(stats)) {
      this.#problems.logOnce(TAKEN_OVER);
      return false;
    }
    if (!isOwn || this.#file === undefined || !(await this.#isUndamaged(value))) {
      await this.#write(value);
      this.#logger?.info({ path: this.#path }, 'registry: published the entry again');
    }
    this.#otherFile = undefined;
    this.#problems.reset();
    return true;
  }

  /**
   * Whether the other process's file has changed within the ttl of that process. This does not use
   * the clock of the machine, because it may have jumped.
   */
  #isAlive(stats: Stats): boolean {
    const version = `${stats.mtimeMs}:${stats.ctimeMs}:${stats.ino}`;
    if (this.#otherFile?.version !== version)
      this.#otherFile = { version, firstSeen: performance.now(), ttl: ttlOf(stats) ?? this.#ttl };
    return performance.now() - this.#otherFile.firstSeen <= this.#otherFile.ttl;
  }

  /** Whether the file of this process has the value that was written. */
  async #isUndamaged(value: string): Promise<boolean> {
    try {
      return (await readEntryFile(this.#path)) === value;
    } catch {
      return false;
    }
  }

  async #stat(): Promise<Stats | undefined> {
    try {
      return await stat(this.#path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Readers see the old file or the whole new one. */
  async #write(value: string): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const temporary = join(this.#root, `${TEMPORARY_PREFIX}${randomUUID()}`);
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(value);
      await touch(file, this.#ttl);
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
}
