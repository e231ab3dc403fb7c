/** The entries below one ATTRIBUTES node. They are read once, and again as they change. */
import type { Logger } from '../../core/logger.js';
import { type Attributes, parseEntry } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import type { InvalidEntries } from '../shared/invalid-entries.js';
import { ProblemLog } from '../shared/problem-log.js';
import { isConnectionError, zooKeeperReasonOf } from './client/errors.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import { Reconciler } from './reconciler.js';
import { watchChildren } from './watch-children.js';

/** The number of entries that are read at once. */
export const READ_BATCH = 200;
/** The most entries that are read, so that forged entries cannot fill the memory of consumers. */
const MAX_ENTRIES = 20_000;

/** One entry as it was last read. */
interface Entry {
  /** Whether the entry has changed since it was read. */
  isStale: boolean;
  /** undefined: the entry is invalid. */
  node?: ServiceNode;
  isInvalid?: boolean;
  readonly onEvent: () => void;
}

export class EntryGroup {
  readonly attributes: Attributes;
  readonly #client: ZooKeeperClient;
  readonly #path: string;
  readonly #name: string;
  readonly #invalid: InvalidEntries;
  readonly #problems: ProblemLog;
  readonly #onChange: () => void;
  readonly #reconciler = new Reconciler(
    () => this.#readStale(),
    (error) => {
      if (!isConnectionError(error))
        this.#problems.logOnce('the entries cannot be read, trying again', error);
    },
  );
  /** The entries, by NODE_ID. */
  readonly #entries = new Map<string, Entry>();
  #ids: readonly string[] = [];
  #mustList = true;
  #isStopped = false;
  /** The number of the read that began last, and of the read that `nodes` is from. */
  #readsBegun = 0;
  #readsDone = 0;
  #nodes: readonly ServiceNode[] | undefined;

  /** `onChange` is called when `nodes` has changed. */
  constructor(
    client: ZooKeeperClient,
    root: string,
    name: string,
    attributes: Attributes,
    logger: Logger,
    invalid: InvalidEntries,
    onChange: () => void,
  ) {
    this.attributes = attributes;
    this.#client = client;
    this.#path = `${root}/${name}`;
    this.#name = name;
    this.#invalid = invalid;
    this.#problems = new ProblemLog(this.#path, logger);
    this.#onChange = onChange;
    this.#reconciler.request();
  }

  /** The last complete list. undefined: there is none yet. */
  get nodes(): readonly ServiceNode[] | undefined {
    return this.#nodes;
  }

  /** The number of the read that `nodes` is from. */
  get readsDone(): number {
    return this.#readsDone;
  }

  /**
   * Reads the entries that have changed. Returns the number of the first read that has all changes
   * that the server has reported so far.
   */
  refresh(): number {
    if (!this.#mustList && !this.#ids.some((id) => this.#isStale(id))) return this.#readsBegun;
    const next = this.#readsBegun + 1;
    this.#reconciler.request();
    return next;
  }

  /** Ends the watches. */
  stop(): void {
    this.#isStopped = true;
    this.#reconciler.stop();
    this.#client.unwatch(this.#path, this.#onChildren);
    for (const [id, { onEvent }] of this.#entries) {
      this.#client.unwatch(`${this.#path}/${id}`, onEvent);
      this.#delete(id);
    }
  }

  #isStale(id: string): boolean {
    return this.#entries.get(id)?.isStale !== false;
  }

  readonly #onChildren = (): void => {
    this.#mustList = true;
    this.#reconciler.request();
  };

  async #readStale(): Promise<void> {
    const read = ++this.#readsBegun;
    if (this.#mustList) await this.#list();
    if (this.#isStopped) return;
    const stale = this.#ids.filter((id) => this.#isStale(id));
    for (let at = 0; at < stale.length && !this.#isStopped; at += READ_BATCH) {
      const outcomes = await Promise.allSettled(
        stale.slice(at, at + READ_BATCH).map((id) => this.#read(id)),
      );
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    }
    if (this.#isStopped) return;
    this.#problems.reset();
    this.#readsDone = read;
    this.#nodes = [...this.#entries.values()].flatMap(({ node }) =>
      node === undefined ? [] : [node],
    );
    this.#onChange();
  }

  async #list(): Promise<void> {
    this.#mustList = false;
    try {
      this.#ids = await watchChildren(this.#client, this.#path, this.#onChildren);
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
    // stop() was called before this watch was set.
    if (this.#isStopped) this.#client.unwatch(this.#path, this.#onChildren);
    if (this.#ids.length > MAX_ENTRIES) {
      this.#problems.logOnce(
        `${this.#ids.length} entries are too many, the first ${MAX_ENTRIES} are read`,
      );
      this.#ids = this.#ids.slice(0, MAX_ENTRIES);
    }
    const ids = new Set(this.#ids);
    for (const id of [...this.#entries.keys()]) if (!ids.has(id)) this.#delete(id);
  }

  #delete(id: string): void {
    this.#entries.delete(id);
    this.#invalid.forget(`${this.#path}/${id}`);
  }

  async #read(id: string): Promise<void> {
    const path = `${this.#path}/${id}`;
    const entry: Entry = {
      isStale: false,
      onEvent: () => {
        entry.isStale = true;
        // An entry that was replaced meanwhile needs no read.
        if (this.#entries.get(id) === entry) this.#reconciler.request();
      },
    };
    try {
      const { data } = await this.#client.getData(path, { watch: entry.onEvent });
      entry.node = parseEntry({ attributes: this.#name, id }, data.toString());
      this.#invalid.forget(path);
    } catch (error) {
      if (zooKeeperReasonOf(error) === 'NO_NODE') {
        this.#delete(id);
        return;
      }
      // An entry without read permission has no watch, so each later run reads it again.
      if (zooKeeperReasonOf(error) === 'NO_AUTH') entry.isStale = true;
      else if (zooKeeperReasonOf(error) !== undefined) throw error;
      entry.isInvalid = true;
      this.#invalid.report(path, error);
    }
    if (this.#isStopped) {
      this.#client.unwatch(path, entry.onEvent);
      return;
    }
    this.#entries.set(id, entry);
    if (entry.isStale && !entry.isInvalid) this.#reconciler.request();
  }
}
