/**
 * One entry that this process publishes: an ephemeral node. It is created again whenever it is
 * missing, until it is withdrawn.
 */
import type { Logger } from '../../core/logger.js';
import { pause } from '../../core/timers.js';
import { GO_CONSUMER_PAUSE, standInEntry } from '../shared/go-consumers.js';
import { ProblemLog } from '../shared/problem-log.js';
import { type Registration, TAKEN_OVER } from '../shared/registration.js';
import {
  isConnectionError,
  ZooKeeperError,
  type ZooKeeperReason,
  zooKeeperReasonOf,
} from './client/errors.js';
import { parentOf } from './client/path.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import { Reconciler } from './reconciler.js';
import type { MultiOperation, NodeData, Stat, WatchEvent } from './types.js';

/** The most writes in a row without a delay while another process changes the node. */
const MAX_TRIES = 5;
/**
 * Milliseconds. The longest random delay before a deleted node is created again, so that a thousand
 * providers do not create their nodes at once.
 */
const MAX_JITTER = 200;

export class PublishedZnode {
  readonly #client: ZooKeeperClient;
  readonly #path: string;
  readonly #logger: Logger;
  readonly #goConsumers: boolean;
  readonly #problems: ProblemLog;
  readonly #reconciler = new Reconciler(
    () => this.#reconcile(),
    (error) => this.#onError(error),
  );
  /** undefined: the node must be deleted. */
  #wanted: { readonly value: Buffer; readonly registration: Registration } | undefined;
  #waiters: { resolve(): void; reject(error: unknown): void }[] = [];
  /** Whether a node of this process may exist. */
  #mayExist = false;
  /** Whether the entry has existed. If it is created again, this is logged. */
  #wasPublished = false;
  /** Whether the node is as this process wrote it, as far as is known. */
  #isPublished = false;
  /**
   * Until the first write, a znode of another session is replaced: an earlier process with the same
   * node id has created it. After the first write, such a znode is that of a running process, and
   * is left alone.
   */
  #mustTakeOver = false;
  #isStopped = false;
  /** The path of the stand-in entry, which may exist; see shared/go-consumers.ts. */
  #standIn: string | undefined;

  /** `goConsumers`: an entry is replaced as shared/go-consumers.ts describes. */
  constructor(client: ZooKeeperClient, path: string, logger: Logger, goConsumers: boolean) {
    this.#goConsumers = goConsumers;
    this.#client = client;
    this.#path = path;
    this.#logger = logger;
    this.#problems = new ProblemLog(path, logger);
  }

  /** Whether nothing is published, and nothing remains to be deleted. */
  get isIdle(): boolean {
    return this.#wanted === undefined && !this.#mayExist && this.#standIn === undefined;
  }

  /** Whether the entry, which was withdrawn, is deleted or published again. */
  get isWithdrawn(): boolean {
    return this.#wanted !== undefined || this.isIdle;
  }

  /**
   * Publishes the value. Resolves when the node has it. Rejects if the server refuses it, and tries
   * again until withdraw().
   */
  publish(value: string, registration: Registration): Promise<void> {
    this.#wanted = { value: Buffer.from(value), registration };
    this.#mustTakeOver = true;
    return this.#requestAndWait();
  }

  /** Deletes the entry if it still belongs to `registration`. Resolves when it is deleted. */
  withdraw(registration: Registration): Promise<void> {
    if (this.#wanted?.registration !== registration) return Promise.resolve();
    this.#wanted = undefined;
    return this.#requestAndWait();
  }

  /** Reports to the registration that the entry does not exist. */
  reportUnpublished(): void {
    this.#wanted?.registration.report(false);
  }

  /**
   * Stops all work and rejects the waiters. The node is deleted when the client closes its session.
   */
  stop(): void {
    this.#isStopped = true;
    this.#reconciler.stop();
    const closed = new ZooKeeperError('CLOSED', `ZooKeeper: ${this.#path}: the registry is closed`);
    for (const { reject } of this.#waiters.splice(0)) reject(closed);
  }

  #requestAndWait(): Promise<void> {
    const done = new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    this.#reconciler.request();
    return done;
  }

  async #reconcile(): Promise<void> {
    // Waits for a connection first, and then takes the value, which may have changed meanwhile.
    if (this.#client.state !== 'connected') await this.#client.sync(this.#path);
    const wanted = this.#wanted;
    if (wanted === undefined) await this.#remove();
    else await this.#put(wanted.value);
    // Also one of a run before, whose connection was lost.
    await this.#deleteStandIn();
    // The entry was published again or withdrawn meanwhile: another run follows.
    if (wanted !== this.#wanted) return;
    if (this.#isPublished) wanted?.registration.report(true);
    this.#problems.reset();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  async #put(value: Buffer): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES && !this.#isStopped; tries++) {
      const wasCreated = !this.#mayExist && (await this.#create(value));
      const node = await this.#read();
      if (node === undefined) continue;
      if (node.stat.ephemeralOwner !== this.#client.sessionId) {
        // A node of an earlier session of this client is always replaced.
        if (!this.#mustTakeOver && !this.#client.owns(node.stat)) return this.#leaveAlone();
        await this.#replace(node.stat, value);
      } else if (!node.data.equals(value) && this.#goConsumers) {
        await this.#replaceInSteps(node.stat, value);
      } else if (!node.data.equals(value)) {
        await ignoreErrors(
          this.#client.setData(this.#path, value, node.stat.version),
          'NO_NODE',
          'BAD_VERSION',
        );
      } else {
        if (wasCreated && this.#wasPublished)
          this.#logger.info({ path: this.#path }, 'registry: published the entry again');
        this.#wasPublished = true;
        this.#isPublished = true;
        this.#mustTakeOver = false;
        return;
      }
    }
    if (!this.#isStopped)
      throw new Error(`another process changed or deleted it after each of ${MAX_TRIES} writes`);
  }

  /** Returns whether the node was created. False: a node exists, or its parent was missing. */
  async #create(value: Buffer): Promise<boolean> {
    // If the answer is lost, the node may exist.
    this.#mayExist = true;
    try {
      await this.#client.create(this.#path, value, { ephemeral: true });
      return true;
    } catch (error) {
      if (zooKeeperReasonOf(error) === 'NODE_EXISTS') return false;
      if (zooKeeperReasonOf(error) !== 'NO_NODE') throw error;
    }
    this.#mayExist = false;
    await this.#client.makePath(parentOf(this.#path));
    return false;
  }

  /** Reads the node and sets the watch for its next change. */
  async #read(): Promise<NodeData | undefined> {
    try {
      return await this.#client.getData(this.#path, { watch: this.#onEvent });
    } catch (error) {
      if (zooKeeperReasonOf(error) !== 'NO_NODE') throw error;
      this.#mayExist = false;
      return undefined;
    }
  }

  readonly #onEvent = ({ type }: WatchEvent): void => {
    const wasPublished = this.#isPublished;
    this.#isPublished = false;
    if (type !== 'changed') {
      this.#mayExist = false;
      this.reportUnpublished();
    }
    if (this.#wanted !== undefined)
      this.#reconciler.request(wasPublished ? Math.random() * MAX_JITTER : 0);
  };

  #replace(old: Stat, value: Buffer): Promise<void> {
    return this.#goConsumers
      ? this.#replaceInSteps(old, value)
      : this.#replaceInOneStep(old, value);
  }

  /** Replaces the node in one transaction, so that every list has the entry. */
  async #replaceInOneStep(old: Stat | undefined, value: Buffer): Promise<void> {
    if (old === undefined) return;
    const path = this.#path;
    const operations: MultiOperation[] = [
      { type: 'delete', path, version: old.version },
      { type: 'create', path, data: value, ephemeral: true },
    ];
    // The new node has version 0. If the old one has version 0 too, a delete by its owner, which
    // names the version, would match the new node. A write gives the new node version 1.
    if (old.version === 0) operations.push({ type: 'setData', path, data: value });
    await ignoreErrors(this.#client.multi(operations), 'NO_NODE', 'BAD_VERSION', 'NODE_EXISTS');
    this.#mayExist = true;
  }

  /**
   * Deletes the old node, and creates the new one after a pause. Meanwhile there is a stand-in
   * entry, which stays until #deleteStandIn().
   */
  async #replaceInSteps(old: Stat, value: Buffer): Promise<void> {
    const standIn = standInEntry(this.#path, value.toString());
    this.#standIn = standIn.path;
    await ignoreErrors(
      this.#client.create(standIn.path, Buffer.from(standIn.value), { ephemeral: true }),
      'NODE_EXISTS',
    );
    await ignoreErrors(this.#client.delete(this.#path, old.version), 'NO_NODE', 'BAD_VERSION');
    await pause(GO_CONSUMER_PAUSE, undefined, true);
    if (this.#isStopped) return;
    // Another process has created the node again during the pause, as it does after each deletion.
    // A replacement in one transaction gives it no time for that.
    if (!(await this.#create(value)) && this.#mayExist)
      await this.#replaceInOneStep((await this.#read())?.stat, value);
  }

  async #deleteStandIn(): Promise<void> {
    if (this.#standIn === undefined || this.#isStopped) return;
    await ignoreErrors(this.#client.delete(this.#standIn), 'NO_NODE');
    this.#standIn = undefined;
  }

  #leaveAlone(): void {
    // Two processes that replace each other's node would never stop. The watch reports when the
    // other node is deleted.
    this.#isPublished = false;
    this.reportUnpublished();
    this.#problems.logOnce(TAKEN_OVER);
  }

  async #remove(): Promise<void> {
    this.#client.unwatch(this.#path, this.#onEvent);
    while (this.#mayExist && !this.#isStopped) {
      const stat = await this.#client.exists(this.#path);
      const isOwn = stat !== undefined && this.#client.owns(stat);
      if (!isOwn || (await this.#delete(stat.version))) this.#mayExist = false;
    }
  }

  /** False: the node has another version. */
  async #delete(version: number): Promise<boolean> {
    try {
      await this.#client.delete(this.#path, version);
      return true;
    } catch (error) {
      if (zooKeeperReasonOf(error) === 'NO_NODE') return true;
      if (zooKeeperReasonOf(error) === 'BAD_VERSION') return false;
      throw error;
    }
  }

  #onError(error: unknown): void {
    // The registry reports an outage itself, once for all entries.
    if (isConnectionError(error)) return;
    const waiters = this.#waiters.splice(0);
    for (const { reject } of waiters) reject(error);
    if (waiters.length === 0)
      this.#problems.logOnce(
        `the entry cannot be ${this.#wanted === undefined ? 'deleted' : 'published'}, trying again`,
        error,
      );
  }
}

/** Ignores errors that another process may have caused; the caller reads the node again. */
async function ignoreErrors(
  operation: Promise<unknown>,
  ...reasons: ZooKeeperReason[]
): Promise<void> {
  try {
    await operation;
  } catch (error) {
    const reason = zooKeeperReasonOf(error);
    if (reason === undefined || !reasons.includes(reason)) throw error;
  }
}
