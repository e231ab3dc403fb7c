/**
 * One entry that this process publishes: an ephemeral node, put back whenever it is not there, and
 * taken away for good.
 */
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { pause } from '../../core/timers.js';
import type { PublicationListener } from '../../micro/types.js';
import { GO_PAUSE, standIn } from '../shared/go-consumers.js';
import { parentOf } from './addresses.js';
import type { ZooKeeperClient } from './client.js';
import { isConnectionTrouble, reasonOf, ZooKeeperError, type ZooKeeperReason } from './errors.js';
import { Steady } from './steady.js';
import type { MultiOperation, NodeData, Stat, WatchEvent } from './types.js';

/**
 * Who published a value: the registration that made it, so that an older one does not withdraw it.
 */
export type Owner = object;

/** Somebody deletes what we put back; so often in a row, then after a while. */
const MAX_TRIES = 5;
/**
 * Milliseconds at most, random: whoever deletes the entries of a thousand providers is not answered
 * by all of them at once.
 */
const JITTER = 200;

export class Publication {
  readonly #client: ZooKeeperClient;
  readonly #path: string;
  readonly #logger: Logger;
  readonly #goConsumers: boolean;
  readonly #steady = new Steady(
    () => this.#reconcile(),
    (error) => this.#failed(error),
  );
  /** What shall be there; undefined: nothing of ours. */
  #wanted:
    | {
        readonly value: Buffer;
        readonly owner: Owner;
        readonly onPublished: PublicationListener | undefined;
      }
    | undefined;
  /** What the registration was last told; undefined: nothing. */
  #isToldPublished: boolean | undefined;
  #waiting: { resolve(): void; reject(error: unknown): void }[] = [];
  /** The node may be there and be ours. */
  #present = false;
  /** The entry was there: to write it is to put it back. */
  #published = false;
  /** The node is as it was written, as far as is known. */
  #isThere = false;
  /**
   * Whoever has the path now is an older life of ours; later on it is somebody who has taken it
   * over.
   */
  #takeOver = false;
  #stopped = false;
  /** What was last said in the log, so that it is said once. */
  #trouble = '';

  /** `goConsumers`: an entry is never replaced in one step. */
  constructor(client: ZooKeeperClient, path: string, logger: Logger, goConsumers: boolean) {
    this.#goConsumers = goConsumers;
    this.#client = client;
    this.#path = path;
    this.#logger = logger;
  }

  /** Nothing is published, and nothing is left to be deleted. */
  get idle(): boolean {
    return this.#wanted === undefined && !this.#present;
  }

  /**
   * Have `value` there. Settles when it is; rejects when the server refuses it, and goes on trying
   * until withdraw().
   */
  publish(value: string, owner: Owner, onPublished?: PublicationListener): Promise<void> {
    this.#wanted = { value: Buffer.from(value), owner, onPublished };
    this.#isToldPublished = undefined;
    this.#takeOver = true;
    return this.#settled();
  }

  /** Have nothing of ours there, if it is still this owner's. Settles when it is so. */
  withdraw(owner: Owner): Promise<void> {
    if (this.#wanted?.owner !== owner) return Promise.resolve();
    this.#wanted = undefined;
    return this.#settled();
  }

  /** Tell the registration that its entry is not there yet. */
  tellUnpublished(): void {
    this.#tell(false);
  }

  #tell(isPublished: boolean): void {
    if (this.#isToldPublished === isPublished) return;
    this.#isToldPublished = isPublished;
    this.#wanted?.onPublished?.(isPublished);
  }

  /** The client is about to be closed: the entry goes with its session. */
  stop(): void {
    this.#stopped = true;
    this.#steady.stop();
    const closed = new ZooKeeperError('CLOSED', `ZooKeeper: ${this.#path}: the registry is closed`);
    for (const { reject } of this.#waiting.splice(0)) reject(closed);
  }

  #settled(): Promise<void> {
    const settled = new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#steady.wake();
    return settled;
  }

  async #reconcile(): Promise<void> {
    // What is wanted when there is a connection counts, and not what was wanted while it was waited
    // for.
    if (this.#client.state !== 'connected') await this.#client.sync(this.#path);
    const wanted = this.#wanted;
    if (wanted === undefined) await this.#remove();
    else await this.#put(wanted.value);
    // Wanted anew meanwhile: another run follows.
    if (wanted !== this.#wanted) return;
    if (wanted !== undefined && this.#isThere) this.#tell(true);
    this.#trouble = '';
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  async #put(value: Buffer): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES && !this.#stopped; tries++) {
      const made = !this.#present && (await this.#create(value));
      const node = await this.#read();
      if (node === undefined) continue;
      if (node.stat.ephemeralOwner !== this.#client.sessionId) {
        // An earlier session of ours, in this process or in one before it, is not waited for.
        if (!this.#takeOver && !this.#client.owns(node.stat)) return this.#leaveAlone();
        await this.#replace(node.stat, value);
      } else if (!node.data.equals(value) && this.#goConsumers) {
        await this.#replaceInSteps(node.stat, value);
      } else if (!node.data.equals(value)) {
        await ignoring(
          this.#client.setData(this.#path, value, node.stat.version),
          'NO_NODE',
          'BAD_VERSION',
        );
      } else {
        if (made && this.#published)
          this.#logger.info({ path: this.#path }, 'registry: published the entry again');
        this.#published = true;
        this.#isThere = true;
        this.#takeOver = false;
        return;
      }
    }
    if (!this.#stopped)
      throw new Error(
        `somebody changes or deletes it as often as it is written, ${MAX_TRIES} times`,
      );
  }

  /** Whether it was made; false: the path is taken. */
  async #create(value: Buffer): Promise<boolean> {
    // Whatever comes of it, it may be there.
    this.#present = true;
    try {
      await this.#client.create(this.#path, value, { ephemeral: true });
      return true;
    } catch (error) {
      if (reasonOf(error) === 'NODE_EXISTS') return false;
      if (reasonOf(error) !== 'NO_NODE') throw error;
    }
    this.#present = false;
    await this.#client.makePath(parentOf(this.#path));
    return false;
  }

  /** With the watch that tells when it is deleted, replaced or changed. */
  async #read(): Promise<NodeData | undefined> {
    try {
      return await this.#client.getData(this.#path, { watch: this.#onEvent });
    } catch (error) {
      if (reasonOf(error) !== 'NO_NODE') throw error;
      this.#present = false;
      return undefined;
    }
  }

  readonly #onEvent = ({ type }: WatchEvent): void => {
    const wasTaken = !this.#isThere;
    this.#isThere = false;
    if (type !== 'changed') {
      this.#present = false;
      this.#tell(false);
    }
    if (this.#wanted !== undefined) this.#steady.wake(wasTaken ? 0 : Math.random() * JITTER);
  };

  #replace(old: Stat, value: Buffer): Promise<void> {
    return this.#goConsumers
      ? this.#replaceInSteps(old, value)
      : this.#replaceInOneStep(old, value);
  }

  /** At once and as one, so that no list is ever without it. */
  async #replaceInOneStep(old: Stat | undefined, value: Buffer): Promise<void> {
    if (old === undefined) return;
    const path = this.#path;
    const operations: MultiOperation[] = [
      { type: 'delete', path, version: old.version },
      { type: 'create', path, data: value, ephemeral: true },
    ];
    // A version other than that of the old node: its owner deletes it by its version, and must not
    // delete ours.
    if (old.version === 0) operations.push({ type: 'setData', path, data: value });
    await ignoring(this.#client.multi(operations), 'NO_NODE', 'BAD_VERSION', 'NODE_EXISTS');
    this.#present = true;
  }

  /**
   * Delete the old node; #put() creates the new one. Another entry of the node stands meanwhile,
   * and goes with the session at the latest.
   */
  async #replaceInSteps(old: Stat, value: Buffer): Promise<void> {
    const other = standIn(this.#path, value.toString());
    await ignoring(
      this.#client.create(other.path, Buffer.from(other.value), { ephemeral: true }),
      'NODE_EXISTS',
    );
    try {
      await ignoring(this.#client.delete(this.#path, old.version), 'NO_NODE', 'BAD_VERSION');
      await pause(GO_PAUSE, undefined, true);
      if (this.#stopped) return;
      // Another process publishes this node, too, and has put its entry back: it gives way to one
      // that is replaced in one step only.
      if (!(await this.#create(value)) && this.#present)
        await this.#replaceInOneStep((await this.#read())?.stat, value);
    } finally {
      if (!this.#stopped) await ignoring(this.#client.delete(other.path), 'NO_NODE');
    }
  }

  #leaveAlone(): void {
    // To replace it would make the two replace each other for ever. The watch tells when it goes.
    this.#isThere = false;
    this.#tell(false);
    this.#say('another process has published this entry; it is left alone as long as it lives');
  }

  async #remove(): Promise<void> {
    this.#client.unwatch(this.#path, this.#onEvent);
    while (this.#present && !this.#stopped) {
      const stat = await this.#client.exists(this.#path);
      const isOurs = stat !== undefined && this.#client.owns(stat);
      if (!isOurs || (await this.#delete(stat.version))) this.#present = false;
    }
  }

  async #delete(version: number): Promise<boolean> {
    try {
      await this.#client.delete(this.#path, version);
      return true;
    } catch (error) {
      if (reasonOf(error) === 'NO_NODE') return true;
      if (reasonOf(error) === 'BAD_VERSION') return false;
      throw error;
    }
  }

  #failed(error: unknown): void {
    // Of an outage the registry says it itself, once for all entries.
    if (isConnectionTrouble(error)) return;
    const waiting = this.#waiting.splice(0);
    for (const { reject } of waiting) reject(error);
    if (waiting.length === 0)
      this.#say(
        `the entry cannot be ${this.#wanted === undefined ? 'deleted' : 'published'}, trying again`,
        error,
      );
  }

  #say(message: string, error?: unknown): void {
    const trouble = error === undefined ? message : `${message}: ${messageOf(error)}`;
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#logger.warn({ path: this.#path, error }, `registry: ${message}`);
  }
}

/** For what somebody else may have done in between: it is looked at again. */
async function ignoring(operation: Promise<unknown>, ...reasons: ZooKeeperReason[]): Promise<void> {
  try {
    await operation;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined || !reasons.includes(reason)) throw error;
  }
}
