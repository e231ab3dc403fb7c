/** What all watches of a registry share: the entries that any of them looks for, kept as the server has them. */

import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { startTimer } from '../../core/timers.js';
import { type Attributes, matches, parseAttributes } from '../../micro/attributes.js';
import { nodeKey, type SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
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
  #settling: NodeJS.Timeout | undefined;

  /** `root`: '' for `/`. */
  constructor(client: ZooKeeperClient, root: string, logger: Logger) {
    this.#client = client;
    this.#root = root;
    this.#logger = logger;
  }

  /** Answers the function that ends the watch. */
  watch(query: ServiceQuery, sink: SnapshotSink): () => void {
    const watch: Watch = { query, sink };
    this.#watches.add(watch);
    this.#steady.wake();
    return () => {
      this.#watches.delete(watch);
      this.#forgetUnwanted();
    };
  }

  /**
   * For so many milliseconds nobody is taken from a list: after an outage the providers' sessions may have ended too, and whoever lives publishes
   * itself again.
   */
  settle(ms: number): void {
    clearTimeout(this.#settling);
    this.#settling = undefined;
    if (ms <= 0 || this.#watches.size === 0) return;
    this.#settling = startTimer(() => {
      this.#settling = undefined;
      for (const watch of this.#watches) this.#offer(watch);
    }, ms).unref();
  }

  /** The registry is disposed. */
  stop(): void {
    this.#steady.stop();
    for (const { sink } of [...this.#watches]) sink.end();
    clearTimeout(this.#settling);
    this.#settling = undefined;
  }

  #forgetUnwanted(): void {
    for (const [name, folder] of this.#folders) {
      if (!this.#isWanted(folder.attributes)) this.#drop(name, folder);
    }
    if (this.#watches.size > 0) return;
    clearTimeout(this.#settling);
    this.#settling = undefined;
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
    if (this.#watches.size === 0) return;
    if (this.#mustList) await this.#list();
    // The last watch may have ended meanwhile.
    if (this.#watches.size === 0) return;
    this.#trouble = '';
    for (const [name, folder] of this.#folders) if (!this.#names.has(name)) this.#drop(name, folder);
    for (const [name, attributes] of this.#names) {
      if (attributes === undefined || !this.#isWanted(attributes)) continue;
      if (!this.#folders.has(name)) this.#folders.set(name, this.#open(name, attributes));
    }
    this.#listed = true;
    for (const watch of this.#watches) this.#offer(watch);
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
      this.#names = new Map(names.map((name) => [name, before.has(name) ? before.get(name) : this.#parse(name)]));
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
  }

  #parse(name: string): Attributes | undefined {
    try {
      return parseAttributes(name);
    } catch (error) {
      this.#logger.warn({ path: `${this.#root}/${name}`, error }, 'registry: this is no entry, passed over');
      return undefined;
    }
  }

  /** The whole list, if all of it has been read. */
  #offer(watch: Watch): void {
    if (!this.#listed) return;
    const nodes: ServiceNode[] = [];
    for (const folder of this.#folders.values()) {
      if (!matches(folder.attributes, watch.query)) continue;
      if (folder.nodes === undefined) return;
      for (const node of folder.nodes) nodes.push(node);
    }
    if (this.#settling !== undefined && watch.last !== undefined) {
      const present = new Set(nodes.map(nodeKey));
      nodes.push(...watch.last.filter((node) => !present.has(nodeKey(node))));
    }
    watch.last = nodes;
    watch.sink.offer(nodes);
  }

  #failed(error: unknown): void {
    // Of an outage the registry says it itself.
    if (isConnectionTrouble(error) || messageOf(error) === this.#trouble) return;
    this.#trouble = messageOf(error);
    this.#logger.warn({ path: this.#root || '/', error }, 'registry: the root cannot be read, trying again');
  }
}
