/** The entries beneath one ATTRIBUTES node, read once and then as they change. */
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { type Attributes, parseEntry } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import type { ZooKeeperClient } from './client.js';
import { isConnectionTrouble, reasonOf } from './errors.js';
import { listing } from './listing.js';
import { Steady } from './steady.js';

/** Entries that are read at a time. */
const BATCH = 200;
/**
 * Entries that are read at all: who writes more into one place fills no memory but the server's.
 */
export const MAX_ENTRIES = 20_000;

/** One entry as it was last read. */
interface Entry {
  /** Something has happened to it since. */
  stale: boolean;
  /** undefined: garbage. */
  node?: ServiceNode;
  /** Why it is passed over. */
  reason?: string;
  readonly onEvent: () => void;
}

export class Folder {
  readonly attributes: Attributes;
  readonly #client: ZooKeeperClient;
  readonly #path: string;
  readonly #name: string;
  readonly #logger: Logger;
  readonly #changed: () => void;
  readonly #steady = new Steady(
    () => this.#refresh(),
    (error) => this.#failed(error),
  );
  readonly #entries = new Map<string, Entry>();
  #names: readonly string[] = [];
  #mustList = true;
  #stopped = false;
  #trouble = '';
  /** The number of the read that began last, and of the one that `nodes` is from. */
  #readsBegun = 0;
  #readsDone = 0;
  #nodes: readonly ServiceNode[] | undefined;

  /** `changed` is called when there is another list. */
  constructor(
    client: ZooKeeperClient,
    root: string,
    name: string,
    attributes: Attributes,
    logger: Logger,
    changed: () => void,
  ) {
    this.attributes = attributes;
    this.#client = client;
    this.#path = `${root}/${name}`;
    this.#name = name;
    this.#logger = logger;
    this.#changed = changed;
    this.#steady.wake();
  }

  /** The last whole list; undefined before the first. */
  get nodes(): readonly ServiceNode[] | undefined {
    return this.#nodes;
  }

  /** The number of the read that `nodes` is from. */
  get readsDone(): number {
    return this.#readsDone;
  }

  /**
   * Read what has changed. Returns the number of the first read that has all changes that the
   * server has told of so far.
   */
  refresh(): number {
    const isStale =
      this.#mustList || this.#names.some((id) => this.#entries.get(id)?.stale !== false);
    if (!isStale) return this.#readsBegun;
    const next = this.#readsBegun + 1;
    this.#steady.wake();
    return next;
  }

  /** It is not watched any more. */
  stop(): void {
    this.#stopped = true;
    this.#steady.stop();
    this.#client.unwatch(this.#path, this.#onChildren);
    for (const [id, { onEvent }] of this.#entries)
      this.#client.unwatch(`${this.#path}/${id}`, onEvent);
    this.#entries.clear();
  }

  readonly #onChildren = (): void => {
    this.#mustList = true;
    this.#steady.wake();
  };

  async #refresh(): Promise<void> {
    const read = ++this.#readsBegun;
    if (this.#mustList) await this.#list();
    if (this.#stopped) return;
    const toRead = this.#names.filter((id) => this.#entries.get(id)?.stale !== false);
    for (let at = 0; at < toRead.length && !this.#stopped; at += BATCH) {
      const outcomes = await Promise.allSettled(
        toRead.slice(at, at + BATCH).map((id) => this.#read(id)),
      );
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    }
    if (this.#stopped) return;
    this.#trouble = '';
    this.#readsDone = read;
    this.#nodes = [...this.#entries.values()].flatMap(({ node }) =>
      node === undefined ? [] : [node],
    );
    this.#changed();
  }

  async #list(): Promise<void> {
    this.#mustList = false;
    try {
      this.#names = await listing(this.#client, this.#path, this.#onChildren);
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
    // The watch was set after stop() had ended all.
    if (this.#stopped) this.#client.unwatch(this.#path, this.#onChildren);
    if (this.#names.length > MAX_ENTRIES) {
      this.#say(`${this.#names.length} entries are too many, the first ${MAX_ENTRIES} are read`);
      this.#names = this.#names.slice(0, MAX_ENTRIES);
    }
    const names = new Set(this.#names);
    for (const id of [...this.#entries.keys()]) if (!names.has(id)) this.#entries.delete(id);
  }

  async #read(id: string): Promise<void> {
    const path = `${this.#path}/${id}`;
    const before = this.#entries.get(id);
    const entry: Entry = {
      stale: false,
      onEvent: () => {
        entry.stale = true;
        // Only of an entry that still counts.
        if (this.#entries.get(id) === entry) this.#steady.wake();
      },
    };
    try {
      const { data } = await this.#client.getData(path, { watch: entry.onEvent });
      entry.node = parseEntry({ attributes: this.#name, id }, data.toString());
    } catch (error) {
      if (reasonOf(error) === 'NO_NODE') {
        this.#entries.delete(id);
        return;
      }
      // What may not be read is passed over, and looked at again whenever something else is.
      if (reasonOf(error) === 'NO_AUTH') entry.stale = true;
      else if (reasonOf(error) !== undefined) throw error;
      entry.reason = messageOf(error);
      if (before?.reason !== entry.reason)
        this.#logger.warn({ path, error }, 'registry: this is no entry, passed over');
    }
    if (this.#stopped) {
      this.#client.unwatch(path, entry.onEvent);
      return;
    }
    this.#entries.set(id, entry);
    if (entry.stale && entry.reason === undefined) this.#steady.wake();
  }

  #failed(error: unknown): void {
    if (!isConnectionTrouble(error)) this.#say('the entries cannot be read, trying again', error);
  }

  #say(message: string, error?: unknown): void {
    const trouble = error === undefined ? message : `${message}: ${messageOf(error)}`;
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#logger.warn({ path: this.#path, error }, `registry: ${message}`);
  }
}
