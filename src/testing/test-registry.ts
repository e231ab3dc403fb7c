/** testRegistry(): a registry within the process that a test can disturb. */
import { type GettyError, gettyError } from '../core/errors.js';
import { badOption, checkNames, checkNumber, type NamesOf, withDefaults } from '../core/options.js';
import { LONGEST_TIMER, LongTimer, pause } from '../core/timers.js';
import { entryPath, entryValue, matches, parseEntry } from '../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../micro/snapshots.js';
import type {
  NodeRegistration,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
} from '../micro/types.js';
import { Registration } from '../registries/shared/registration.js';
import { watchQuery } from '../registries/shared/watch-query.js';
import { type NodeFilter, selectorOf } from './node-filter.js';

/** A node for add(): the properties that are left out have a default. */
export type TestNode = Pick<ServiceNode, 'service' | 'address'> & Partial<ServiceNode>;

/** Options of TestRegistry.flap(). */
export interface FlapOptions {
  /** How often the entries leave the lists and return. From 1. Default: 1. */
  times?: number | undefined;
  /** How long the entries are missing, and then how long they are present, in ms. Default: 10. */
  period?: number | undefined;
}

/** Defaults of FlapOptions; times are in ms. */
export const FLAP_DEFAULTS = { times: 1, period: 10 } satisfies FlapOptions;

const FLAP_NAMES = { times: true, period: true } satisfies NamesOf<FlapOptions>;

/**
 * A registry within the process, for provide() and consume(), with methods that disturb it. Without
 * them it behaves as memory() does. Watches get a list after each change; two changes in one tick
 * may give one list.
 */
export interface TestRegistry extends Registry {
  /** The entries that lists have now, ordered by id. */
  readonly nodes: readonly ServiceNode[];
  /** How many watches are running. */
  readonly watchCount: number;
  /** The delay of each list before the watches receive it, in ms. Default: 0. */
  delay: number;
  /**
   * Add an entry that has no provider, such as one that a crashed process has left. Default of
   * `id`: `test-` and a number; of `protocol`: `'json'`; of the others: empty. Returns a function
   * that removes the entry. Throws BAD_OPTION.
   */
  add(node: TestNode): () => void;
  /**
   * Take entries out of the lists, as if they had expired. `onPublish` of their providers is
   * called without them. Returns how many entries were taken out.
   */
  remove(filter?: NodeFilter): number;
  /**
   * Put entries that remove() took out into the lists again. `onPublish` of their providers is
   * called with them. Returns how many entries were put back.
   */
  restore(filter?: NodeFilter): number;
  /**
   * Add a second entry with the id `ID-double` for each selected entry: what consumers see when a
   * restarted process has left its old entry. Returns a function that removes these entries.
   */
  double(filter?: NodeFilter): () => void;
  /** Take entries out and put them back, several times. Settles after the last time. */
  flap(filter?: NodeFilter, options?: FlapOptions): Promise<void>;
  /** Deliver no list to the watches until release(). */
  hold(): void;
  /** Deliver the current list to each watch, and continue as before hold(). */
  release(): void;
  /**
   * The registry cannot be reached until up(). `failure` is set, list() rejects with
   * REGISTRY_FAILED, watches get no list, and the entries of register() are published or removed by
   * up(). Provider.drain() rejects.
   */
  down(): void;
  /** The registry can be reached again. */
  up(): void;
  /** End all running watches with REGISTRY_FAILED. A consumer begins another one after a delay. */
  failWatches(): void;
}

interface Entry {
  readonly node: ServiceNode;
  readonly registration: Registration;
  /** Whether remove() has taken it out. */
  isRemoved: boolean;
  /** Whether the registry has been up since the entry was registered. */
  isPublished: boolean;
}

/**
 * Makes a registry within this process that a test can disturb. Each one has its own entries.
 *
 * ```ts
 * await using registry = testRegistry();
 * await using provider = await provide({ registry, address: 'memory://', services });
 * registry.remove({ address: provider.address });
 * ```
 */
export function testRegistry(): TestRegistry {
  return new DisturbedRegistry();
}

class DisturbedRegistry implements TestRegistry {
  readonly #entries = new Map<string, Entry>();
  readonly #watches = new Map<SnapshotSink, ServiceQuery>();
  /** Lists so far, and the number of the last one that each watch got. */
  #lists = 0;
  readonly #lastOffered = new WeakMap<SnapshotSink, number>();
  readonly #timers = new Set<LongTimer>();
  readonly #disposed = new AbortController();
  #delay = 0;
  #lastId = 0;
  #isHeld = false;
  #failure: GettyError | undefined;

  get nodes(): readonly ServiceNode[] {
    const listed = [...this.#entries.values()].filter(isListed);
    return sortedNodes(listed.map(({ node }) => node));
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  get failure(): GettyError | undefined {
    return this.#failure;
  }

  get delay(): number {
    return this.#delay;
  }

  set delay(ms: number) {
    checkNumber('delay', ms, 0, LONGEST_TIMER);
    this.#delay = ms;
  }

  // ---- Registry ----

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<NodeRegistration> {
    this.#checkOpen();
    const remove = this.#publish(node, onPublished);
    let removed = false;
    const isUp = (): boolean => this.#failure === undefined;
    return {
      // While the registry is down, lists keep the entry until up().
      get isRemoved() {
        removed ||= isUp();
        return removed;
      },
      [Symbol.asyncDispose]: async () => {
        removed = isUp();
        remove();
      },
    };
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) => {
      if (this.#disposed.signal.aborted) return undefined;
      this.#watches.set(sink, query);
      this.#offer(sink, query);
      return () => this.#watches.delete(sink);
    });
  }

  async list(): Promise<readonly ServiceNode[]> {
    this.#checkOpen();
    if (this.#failure !== undefined) throw this.#failure;
    return this.nodes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    for (const timer of this.#timers) timer.cancel();
    for (const sink of [...this.#watches.keys()]) sink.end();
    this.#entries.clear();
  }

  // ---- what a test does ----

  add(node: TestNode): () => void {
    if (typeof node !== 'object' || node === null) throw badOption('node', node, 'an object');
    this.#checkOpen();
    const defaults = {
      id: `test-${++this.#lastId}`,
      group: '',
      version: '',
      protocol: 'json',
      metadata: {},
    } as const;
    return this.#publish({ ...defaults, ...node });
  }

  remove(filter?: NodeFilter): number {
    return this.#setRemoved(this.#select(filter), true);
  }

  restore(filter?: NodeFilter): number {
    return this.#setRemoved(this.#select(filter), false);
  }

  double(filter?: NodeFilter): () => void {
    const added = this.#select(filter).map(({ node }) =>
      this.#publish({ ...node, id: `${node.id}-double` }),
    );
    return () => {
      for (const remove of added) remove();
    };
  }

  async flap(filter?: NodeFilter, options: FlapOptions = {}): Promise<void> {
    checkNames('flap()', options, FLAP_NAMES);
    const { times, period } = withDefaults(FLAP_DEFAULTS, options, {
      times: [1, Number.MAX_SAFE_INTEGER, 'integer'],
      period: [0, LONGEST_TIMER],
    });
    const entries = this.#select(filter);
    const { signal } = this.#disposed;
    for (let time = 0; time < times && !signal.aborted; time++) {
      this.#setRemoved(entries, true);
      await pause(period, signal);
      this.#setRemoved(entries, false);
      await pause(period, signal);
    }
  }

  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#offerAll();
  }

  down(): void {
    this.#failure = gettyError('REGISTRY_FAILED', 'the test registry is down');
  }

  up(): void {
    this.#failure = undefined;
    for (const entry of this.#entries.values()) {
      entry.isPublished = true;
      entry.registration.report(!entry.isRemoved);
    }
    this.#offerAll();
  }

  failWatches(): void {
    const error = gettyError('REGISTRY_FAILED', 'the test registry has ended the watch');
    for (const sink of [...this.#watches.keys()]) sink.fail(error);
  }

  /** Returns a function that removes the entry. */
  #publish(node: ServiceNode, onPublished?: PublicationListener): () => void {
    const path = entryPath('', node);
    const isUp = this.#failure === undefined;
    const entry: Entry = {
      // The node is encoded and decoded, so that it is exactly what any other registry returns.
      node: parseEntry(path, entryValue(node)),
      registration: new Registration(path, onPublished, isUp ? true : undefined),
      isRemoved: false,
      isPublished: isUp,
    };
    this.#entries.set(path, entry);
    if (isUp) this.#offerAll();
    else entry.registration.report(false);
    return () => {
      if (this.#entries.get(path) !== entry) return;
      this.#entries.delete(path);
      this.#offerAll();
    };
  }

  #select(filter: NodeFilter | undefined): Entry[] {
    const isSelected = selectorOf(filter);
    return [...this.#entries.values()].filter(({ node }) => isSelected(node));
  }

  #setRemoved(entries: readonly Entry[], isRemoved: boolean): number {
    const changed = entries.filter((entry) => entry.isRemoved !== isRemoved);
    for (const entry of changed) {
      entry.isRemoved = isRemoved;
      if (entry.isPublished && this.#failure === undefined) entry.registration.report(!isRemoved);
    }
    if (changed.length > 0) this.#offerAll();
    return changed.length;
  }

  #offerAll(): void {
    for (const [sink, query] of this.#watches) this.#offer(sink, query);
  }

  #offer(sink: SnapshotSink, query: ServiceQuery): void {
    if (this.#isHeld || this.#failure !== undefined) return;
    const list = this.nodes.filter((node) => matches(node, query));
    const number = ++this.#lists;
    const offer = (): void => {
      // The delay of a later list may be shorter.
      if (number < (this.#lastOffered.get(sink) ?? 0)) return;
      this.#lastOffered.set(sink, number);
      sink.offer(list);
    };
    if (this.#delay === 0) return offer();
    const timer = new LongTimer(() => {
      this.#timers.delete(timer);
      if (!this.#isHeld && this.#failure === undefined) offer();
    }, this.#delay);
    this.#timers.add(timer);
  }

  #checkOpen(): void {
    if (this.#disposed.signal.aborted)
      throw gettyError('REGISTRY_FAILED', 'the test registry is closed');
  }
}

function isListed({ isRemoved, isPublished }: Entry): boolean {
  return !isRemoved && isPublished;
}
