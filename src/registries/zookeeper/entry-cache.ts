/** The entries that match any watch of a registry, kept as the server has them. */
import type { Logger } from '../../core/logger.js';
import { startTimer } from '../../core/timers.js';
import { nextTurn, onNextTurn, spend } from '../../core/turn.js';
import { type Attributes, matches, readAttributes } from '../../micro/registry-entry.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { EntryBudget, type EntryLimits } from '../shared/entry-budget.js';
import { InvalidEntries } from '../shared/invalid-entries.js';
import { MissingNodes } from '../shared/missing-nodes.js';
import { ProblemLog } from '../shared/problem-log.js';
import { isConnectionError } from './client/errors.js';
import { isName } from './client/path.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import { EntryGroup } from './entry-group.js';
import { Reconciler } from './reconciler.js';
import { watchChildren } from './watch-children.js';

/** The most ATTRIBUTES nodes that are read, so that forged ones cannot fill the memory. */
const MAX_GROUPS = 2_000;
/** Units of core/turn.ts for one name below the root. */
const NAME_UNITS = 4;

interface Watch {
  readonly query: ServiceQuery;
  readonly sink: SnapshotSink;
  /** The list that was offered last. */
  last?: readonly ServiceNode[];
  readonly missing: MissingNodes;
  /**
   * The read of each group that the first list waits for. undefined: not known until the server has
   * answered a sync.
   */
  requiredReads?: ReadonlyMap<EntryGroup, number>;
}

export class EntryCache {
  readonly #client: ZooKeeperClient;
  readonly #root: string;
  readonly #logger: Logger;
  readonly #invalid: InvalidEntries;
  readonly #problems: ProblemLog;
  /** Problems of the list of names below the root. */
  readonly #nameProblems: ProblemLog;
  readonly #budget: EntryBudget;
  readonly #reconciler = new Reconciler(
    () => this.#refresh(),
    (error) => {
      if (!isConnectionError(error))
        this.#problems.logOnce('the root cannot be read, trying again', error);
    },
  );
  readonly #watches = new Set<Watch>();
  /** All names below the root. undefined: the name is invalid. */
  #names: ReadonlyMap<string, Attributes | undefined> = new Map();
  /** The groups that match a watch. */
  readonly #groups = new Map<string, EntryGroup>();
  #mustList = true;
  /** Whether the names below the root are known. */
  #isListed = false;
  /** When missing nodes leave the lists: a time of performance.now(). */
  #graceEnd = 0;
  /** Watches with entries that have been read since their last offer. */
  readonly #changed = new Set<Watch>();
  /** Offers the lists again when missing nodes must leave them. */
  #graceTimer: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;

  /** `root`: '' for `/`. */
  constructor(client: ZooKeeperClient, root: string, limits: EntryLimits, logger: Logger) {
    this.#client = client;
    this.#root = root;
    this.#logger = logger;
    this.#invalid = new InvalidEntries(logger);
    this.#problems = new ProblemLog(root || '/', logger);
    this.#nameProblems = new ProblemLog(root || '/', logger);
    this.#budget = new EntryBudget(root || '/', limits, logger);
  }

  /** Returns the function that ends the watch. */
  watch(query: ServiceQuery, sink: SnapshotSink): () => void {
    const watch: Watch = { query, sink, missing: new MissingNodes() };
    this.#watches.add(watch);
    this.#reconciler.request();
    return () => {
      this.#watches.delete(watch);
      this.#removeUnmatched();
    };
  }

  /**
   * Must be called when an outage has ended. Nodes that are missing within the next `ms`
   * milliseconds stay in the lists for that time. The sessions of their providers may have expired
   * too, and living providers publish them again.
   */
  keepMissingFor(ms: number): void {
    this.#graceEnd = performance.now() + ms;
  }

  /** Ends all watches, because the registry is disposed. */
  stop(): void {
    this.#reconciler.stop();
    for (const { sink } of [...this.#watches]) sink.end();
    this.#cancelGraceTimer();
  }

  #removeUnmatched(): void {
    for (const [name, group] of this.#groups) {
      if (!this.#isMatched(group.attributes)) this.#remove(name, group);
    }
    this.#readSkipped();
    if (this.#watches.size > 0) return;
    this.#cancelGraceTimer();
    this.#graceEnd = 0;
    this.#client.unwatch(this.#root || '/', this.#onChange);
    this.#mustList = true;
    this.#isListed = false;
  }

  #remove(name: string, group: EntryGroup): void {
    this.#groups.delete(name);
    group.stop();
  }

  /** Reads the entries that did not fit, if there is room now. */
  #readSkipped(): void {
    if (!this.#budget.hasRoomAgain) return;
    this.#budget.retry();
    for (const group of this.#groups.values()) group.readSkipped();
  }

  #isMatched(attributes: Attributes): boolean {
    for (const { query } of this.#watches) if (matches(attributes, query)) return true;
    return false;
  }

  readonly #onChange = (): void => {
    this.#mustList = true;
    this.#reconciler.request();
  };

  async #refresh(): Promise<void> {
    const newWatches = [...this.#watches].filter(
      ({ requiredReads }) => requiredReads === undefined,
    );
    if (newWatches.length > 0) await this.#sync();
    if (this.#watches.size === 0) return;
    if (this.#mustList) await this.#list();
    // The last watch may have ended meanwhile.
    if (this.#watches.size === 0) return;
    await this.#updateGroups();
    if (this.#watches.size === 0) return;
    this.#isListed = true;
    for (const watch of newWatches)
      watch.requiredReads = new Map(
        [...this.#groups.values()].map((group) => [group, group.refresh()]),
      );
    for (const watch of this.#watches) this.#offer(watch);
  }

  /** Makes `#groups` those of the names that match a watch. */
  async #updateGroups(): Promise<void> {
    for (const [name, group] of this.#groups) if (!this.#names.has(name)) this.#remove(name, group);
    for (const [name, attributes] of this.#names) {
      if (spend(1)) await nextTurn();
      if (attributes === undefined || !this.#isMatched(attributes)) continue;
      if (this.#groups.has(name)) continue;
      if (this.#groups.size === MAX_GROUPS)
        return this.#problems.logOnce(
          `too many ATTRIBUTES nodes match the watches, ${MAX_GROUPS} of them are read`,
        );
      this.#groups.set(name, this.#createGroup(name, attributes));
    }
    this.#problems.reset();
  }

  /**
   * Waits until the server has reported every earlier change. A list that is read afterwards has
   * everything that was published before the watch began. While no server can be reached, a new
   * watch gets the last list.
   */
  async #sync(): Promise<void> {
    if (this.#isListed && this.#client.state === 'away') return;
    await this.#client.sync(this.#root || '/');
  }

  #createGroup(name: string, attributes: Attributes): EntryGroup {
    return new EntryGroup(
      this.#client,
      this.#root,
      name,
      attributes,
      this.#logger,
      this.#invalid,
      this.#budget,
      () => {
        this.#offerOnNextTurn(attributes);
        this.#readSkipped();
      },
    );
  }

  async #list(): Promise<void> {
    this.#mustList = false;
    try {
      const { elements: names, count } = await watchChildren(
        this.#client,
        this.#root || '/',
        this.#onChange,
      );
      if (count > names.length)
        this.#nameProblems.logOnce(
          `${count} ATTRIBUTES nodes are too many, the first ${names.length} are read`,
        );
      else this.#nameProblems.reset();
      const before = this.#names;
      const after = new Map<string, Attributes | undefined>();
      for (const name of names) {
        if (spend(NAME_UNITS)) await nextTurn();
        after.set(name, before.has(name) ? before.get(name) : this.#parse(name));
      }
      this.#names = after;
      for (const name of before.keys()) {
        if (spend(1)) await nextTurn();
        if (!after.has(name)) this.#invalid.forget(`${this.#root}/${name}`);
      }
    } catch (error) {
      this.#mustList = true;
      throw error;
    }
  }

  #parse(name: string): Attributes | undefined {
    const attributes = isName(name) ? readAttributes(name) : { why: 'its name is invalid' };
    if (!('why' in attributes)) return attributes;
    this.#invalid.report(`${this.#root}/${name}`, attributes.why);
    return undefined;
  }

  /** One turn may read thousands of groups, and each offer reads the lists of all of them. */
  #offerOnNextTurn(attributes: Attributes): void {
    const isScheduled = this.#changed.size > 0;
    for (const watch of this.#watches)
      if (matches(attributes, watch.query)) this.#changed.add(watch);
    if (!isScheduled && this.#changed.size > 0) onNextTurn(() => this.#offerChanged());
  }

  #offerChanged(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const watch of changed) if (this.#watches.has(watch)) this.#offer(watch);
  }

  /** Offers the list if all of its entries were read. */
  #offer(watch: Watch): void {
    const { requiredReads } = watch;
    if (!this.#isListed || requiredReads === undefined) return;
    const nodes: ServiceNode[] = [];
    for (const group of this.#groups.values()) {
      if (!matches(group.attributes, watch.query)) continue;
      // Only the first list waits for a certain read: a group with constant changes must not delay
      // later lists.
      if (
        group.nodes === undefined ||
        (watch.last === undefined && group.readsDone < (requiredReads.get(group) ?? 0))
      )
        return;
      for (const node of group.nodes) nodes.push(node);
    }
    watch.last = watch.missing.keep(watch.last ?? [], nodes, this.#graceEnd);
    if (watch.missing.nextDeadline !== undefined) this.#offerAllAt(watch.missing.nextDeadline);
    watch.sink.offer(watch.last);
  }

  #offerAllAt(at: number): void {
    if (this.#graceTimer !== undefined && this.#graceTimer.at <= at) return;
    this.#cancelGraceTimer();
    const onTimer = (): void => {
      this.#graceTimer = undefined;
      for (const watch of this.#watches) this.#offer(watch);
    };
    const timer = startTimer(onTimer, Math.max(1, at - performance.now())).unref();
    this.#graceTimer = { at, timer };
  }

  #cancelGraceTimer(): void {
    clearTimeout(this.#graceTimer?.timer);
    this.#graceTimer = undefined;
  }
}
