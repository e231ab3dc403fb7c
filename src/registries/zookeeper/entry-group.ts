/** The entries below one ATTRIBUTES node. They are read once, and again as they change. */
import type { Logger } from '../../core/logger.js';
import { type Attributes, MAX_ENTRY_BYTES, parseEntry } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import { type EntryBudget, entryBytes } from '../shared/entry-budget.js';
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
/** The bytes of the watch of an entry: its function, and its place in the table of the client. */
const WATCH_BYTES = 650;

/** One entry as it was last read, or that must be read. */
interface Entry {
  /** Whether the entry has changed since it was read. */
  isStale: boolean;
  /** undefined: the entry is invalid. */
  readonly node?: ServiceNode;
  /** What the budget counts for it. */
  readonly bytes: number;
  /** The watch. undefined: the entry was not read yet. */
  readonly onEvent?: () => void;
}

export class EntryGroup {
  readonly attributes: Attributes;
  readonly #client: ZooKeeperClient;
  readonly #path: string;
  readonly #name: string;
  readonly #invalid: InvalidEntries;
  readonly #budget: EntryBudget;
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
    budget: EntryBudget,
    onChange: () => void,
  ) {
    this.attributes = attributes;
    this.#client = client;
    this.#path = `${root}/${name}`;
    this.#name = name;
    this.#invalid = invalid;
    this.#budget = budget;
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
    if (!this.#mustList && this.#staleIds().length === 0) return this.#readsBegun;
    const next = this.#readsBegun + 1;
    this.#reconciler.request();
    return next;
  }

  /** Reads the entries that did not fit into the budget, which has room now. */
  readSkipped(): void {
    this.#onChildren();
  }

  /** Ends the watches. */
  stop(): void {
    this.#isStopped = true;
    this.#reconciler.stop();
    this.#client.unwatch(this.#path, this.#onChildren);
    for (const [id, { onEvent }] of this.#entries) {
      if (onEvent !== undefined) this.#client.unwatch(`${this.#path}/${id}`, onEvent);
      this.#delete(id);
    }
  }

  #staleIds(): string[] {
    const ids: string[] = [];
    for (const [id, { isStale }] of this.#entries) if (isStale) ids.push(id);
    return ids;
  }

  readonly #onChildren = (): void => {
    this.#mustList = true;
    this.#reconciler.request();
  };

  async #readStale(): Promise<void> {
    const read = ++this.#readsBegun;
    if (this.#mustList) await this.#list();
    if (this.#isStopped) return;
    const stale = this.#staleIds();
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
    let ids: readonly string[];
    let count: number;
    try {
      ({ elements: ids, count } = await watchChildren(this.#client, this.#path, this.#onChildren));
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
    // stop() was called before this watch was set.
    if (this.#isStopped) {
      this.#client.unwatch(this.#path, this.#onChildren);
      return;
    }
    if (ids.length > MAX_ENTRIES) {
      this.#problems.logOnce(`${count} entries are too many, the first ${MAX_ENTRIES} are read`);
      ids = ids.slice(0, MAX_ENTRIES);
    }
    const present = new Set(ids);
    for (const id of [...this.#entries.keys()]) if (!present.has(id)) this.#delete(id);
    for (const id of ids) {
      if (this.#entries.has(id)) continue;
      const bytes = entryBytes(`${this.#path}/${id}`, undefined, this.attributes);
      if (!this.#budget.add(bytes)) return;
      this.#entries.set(id, { isStale: true, bytes });
    }
  }

  #delete(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#budget.remove(entry.bytes);
    this.#entries.delete(id);
    this.#invalid.forget(`${this.#path}/${id}`);
  }

  async #read(id: string): Promise<void> {
    const path = `${this.#path}/${id}`;
    let [isStale, isInvalid] = [false, false];
    let [value, node]: [string?, ServiceNode?] = [];
    let entry: Entry | undefined;
    const onEvent = (): void => {
      isStale = true;
      if (entry === undefined) return;
      entry.isStale = true;
      // An entry that was replaced meanwhile needs no read.
      if (this.#entries.get(id) === entry) this.#reconciler.request();
    };
    try {
      const { data } = await this.#client.getData(path, { watch: onEvent });
      if (data.length > MAX_ENTRY_BYTES)
        throw new Error(`its value has ${data.length} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      value = data.toString();
      node = parseEntry({ attributes: this.#name, id }, value);
      this.#invalid.forget(path);
    } catch (error) {
      if (zooKeeperReasonOf(error) === 'NO_NODE') {
        this.#delete(id);
        return;
      }
      // An entry without read permission has no watch, so each later run reads it again.
      if (zooKeeperReasonOf(error) === 'NO_AUTH') isStale = true;
      else if (zooKeeperReasonOf(error) !== undefined) throw error;
      isInvalid = true;
      this.#invalid.report(path, error);
    }
    const before = this.#entries.get(id);
    if (this.#isStopped || before === undefined) return this.#client.unwatch(path, onEvent);
    this.#budget.remove(before.bytes);
    this.#entries.delete(id);
    const kept = node === undefined ? undefined : value;
    const bytes = entryBytes(path, kept, this.attributes) + WATCH_BYTES;
    if (!this.#budget.add(bytes)) return this.#client.unwatch(path, onEvent);
    entry = { isStale, bytes, onEvent, ...(node !== undefined && { node }) };
    this.#entries.set(id, entry);
    if (isStale && !isInvalid) this.#reconciler.request();
  }
}
