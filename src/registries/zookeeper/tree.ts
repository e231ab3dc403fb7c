/**
 * What all watches of a registry share: the entries that any of them looks for, kept as the server
 * has them.
 */

import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { startTimer } from '../../core/timers.js';
import { type Attributes, matches, parseAttributes } from '../../micro/registry-entry.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { MissingNodes } from '../shared/missing-nodes.js';
import type { ZooKeeperClient } from './client.js';
import { isConnectionTrouble } from './errors.js';
import { Folder } from './folder.js';
import { listing } from './listing.js';
import { Steady } from './steady.js';

interface Watch {
  readonly query: ServiceQuery;
  readonly sink: SnapshotSink;
  /** What it was last given. */
  last?: readonly ServiceNode[];
  readonly missing: MissingNodes;
  /**
   * The read of each folder that the first list waits for; undefined: not known before the server
   * has answered a sync.
   */
  required?: ReadonlyMap<Folder, number>;
}

export class Tree {
  readonly #client: ZooKeeperClient;
  readonly #root: string;
  readonly #logger: Logger;
  readonly #steady = new Steady(
    () => this.#refresh(),
    (error) => this.#failed(error),
  );
  readonly #watches = new Set<Watch>();
  /** All names beneath the root; undefined: garbage. */
  #names: ReadonlyMap<string, Attributes | undefined> = new Map();
  /** Those that a watch looks for. */
  readonly #folders = new Map<string, Folder>();
  #mustList = true;
  #listed = false;
  #trouble = '';
  /** Until when missing nodes stay, by performance.now(). */
  #graceEnd = 0;
  /** Offers the lists again when the time of missing nodes is over. */
  #release: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;

  /** `root`: '' for `/`. */
  constructor(client: ZooKeeperClient, root: string, logger: Logger) {
    this.#client = client;
    this.#root = root;
    this.#logger = logger;
  }

  /** Answers the function that ends the watch. */
  watch(query: ServiceQuery, sink: SnapshotSink): () => void {
    const watch: Watch = { query, sink, missing: new MissingNodes() };
    this.#watches.add(watch);
    this.#steady.wake();
    return () => {
      this.#watches.delete(watch);
      this.#forgetUnwanted();
    };
  }

  /**
   * An outage is over. Nodes that are missing within the next `ms` milliseconds stay in the lists
   * until then: the providers' sessions may have ended too, and living providers publish themselves
   * again.
   */
  settle(ms: number): void {
    this.#graceEnd = performance.now() + ms;
  }

  /** The registry is disposed. */
  stop(): void {
    this.#steady.stop();
    for (const { sink } of [...this.#watches]) sink.end();
    this.#cancelRelease();
  }

  #forgetUnwanted(): void {
    for (const [name, folder] of this.#folders) {
      if (!this.#isWanted(folder.attributes)) this.#drop(name, folder);
    }
    if (this.#watches.size > 0) return;
    this.#cancelRelease();
    this.#graceEnd = 0;
    this.#client.unwatch(this.#root || '/', this.#onChange);
    this.#mustList = true;
    this.#listed = false;
  }

  #drop(name: string, folder: Folder): void {
    this.#folders.delete(name);
    folder.stop();
  }

  #isWanted(attributes: Attributes): boolean {
    for (const { query } of this.#watches) if (matches(attributes, query)) return true;
    return false;
  }

  readonly #onChange = (): void => {
    this.#mustList = true;
    this.#steady.wake();
  };

  async #refresh(): Promise<void> {
    const begun = [...this.#watches].filter(({ required }) => required === undefined);
    if (begun.length > 0) await this.#sync();
    if (this.#watches.size === 0) return;
    if (this.#mustList) await this.#list();
    // The last watch may have ended meanwhile.
    if (this.#watches.size === 0) return;
    this.#trouble = '';
    for (const [name, folder] of this.#folders)
      if (!this.#names.has(name)) this.#drop(name, folder);
    for (const [name, attributes] of this.#names) {
      if (attributes === undefined || !this.#isWanted(attributes)) continue;
      if (!this.#folders.has(name)) this.#folders.set(name, this.#open(name, attributes));
    }
    this.#listed = true;
    for (const watch of begun)
      watch.required = new Map(
        [...this.#folders.values()].map((folder) => [folder, folder.refresh()]),
      );
    for (const watch of this.#watches) this.#offer(watch);
  }

  /**
   * Let the server catch up. When it has answered, it has told of every change before the question,
   * so a list that is read from then on has everything that was published before the watch began.
   * While ZooKeeper is away, the last lists are all there is.
   */
  async #sync(): Promise<void> {
    if (this.#listed && this.#client.state === 'away') return;
    await this.#client.sync(this.#root || '/');
  }

  #open(name: string, attributes: Attributes): Folder {
    return new Folder(this.#client, this.#root, name, attributes, this.#logger, () => {
      for (const watch of this.#watches) if (matches(attributes, watch.query)) this.#offer(watch);
    });
  }

  async #list(): Promise<void> {
    this.#mustList = false;
    try {
      const names = await listing(this.#client, this.#root || '/', this.#onChange);
      const before = this.#names;
      this.#names = new Map(
        names.map((name) => [name, before.has(name) ? before.get(name) : this.#parse(name)]),
      );
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
  }

  #parse(name: string): Attributes | undefined {
    try {
      return parseAttributes(name);
    } catch (error) {
      this.#logger.warn(
        { path: `${this.#root}/${name}`, error },
        'registry: this is no entry, passed over',
      );
      return undefined;
    }
  }

  /** The whole list, if all of it has been read. */
  #offer(watch: Watch): void {
    const { required } = watch;
    if (!this.#listed || required === undefined) return;
    const nodes: ServiceNode[] = [];
    for (const folder of this.#folders.values()) {
      if (!matches(folder.attributes, watch.query)) continue;
      // Only the first list waits: a folder that changes all the time must not keep later ones
      // back.
      if (
        folder.nodes === undefined ||
        (watch.last === undefined && folder.readsDone < (required.get(folder) ?? 0))
      )
        return;
      for (const node of folder.nodes) nodes.push(node);
    }
    watch.last = watch.missing.keep(watch.last ?? [], nodes, this.#graceEnd);
    if (watch.missing.nextDeadline !== undefined) this.#releaseAt(watch.missing.nextDeadline);
    watch.sink.offer(watch.last);
  }

  #releaseAt(at: number): void {
    if (this.#release !== undefined && this.#release.at <= at) return;
    this.#cancelRelease();
    const release = (): void => {
      this.#release = undefined;
      for (const watch of this.#watches) this.#offer(watch);
    };
    this.#release = { at, timer: startTimer(release, Math.max(1, at - performance.now())).unref() };
  }

  #cancelRelease(): void {
    clearTimeout(this.#release?.timer);
    this.#release = undefined;
  }

  #failed(error: unknown): void {
    // Of an outage the registry says it itself.
    if (isConnectionTrouble(error) || messageOf(error) === this.#trouble) return;
    this.#trouble = messageOf(error);
    this.#logger.warn(
      { path: this.#root || '/', error },
      'registry: the root cannot be read, trying again',
    );
  }
}
