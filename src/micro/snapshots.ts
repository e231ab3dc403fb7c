/** Snapshots: whole lists of nodes. How they are ordered, compared and given to a slow reader. */
import { checkArray } from '../core/options.js';
import { followSignal } from '../core/signals.js';
import { differenceOf } from './list-difference.js';
import type { ServiceNode } from './types.js';

/** The differences between two snapshots. `updated` has the new nodes. */
export interface SnapshotChange {
  readonly added: readonly ServiceNode[];
  readonly removed: readonly ServiceNode[];
  readonly updated: readonly ServiceNode[];
}

/** The identity of a node: it stays the same when the address or the metadata change. */
export function nodeKey(node: ServiceNode): string {
  // None of the parts can contain the separator.
  return `${node.id}\0${node.service}\0${node.group}\0${node.version}\0${node.protocol}`;
}

/**
 * The order of every list: that of nodeKey(), by one field after the other, so that no key has to
 * be made.
 */
export function compareNodes(a: ServiceNode, b: ServiceNode): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  if (a.service !== b.service) return a.service < b.service ? -1 : 1;
  if (a.group !== b.group) return a.group < b.group ? -1 : 1;
  if (a.version !== b.version) return a.version < b.version ? -1 : 1;
  return a.protocol === b.protocol ? 0 : a.protocol < b.protocol ? -1 : 1;
}

/** A frozen copy in the order of compareNodes(). */
export function sortedNodes(nodes: readonly ServiceNode[]): readonly ServiceNode[] {
  return Object.freeze([...nodes].sort(compareNodes));
}

/** Orders one list after another. A list that differs by few nodes is not sorted again. */
class ListSorter {
  /** The last list, as it was given and in order. */
  #given: readonly ServiceNode[] = [];
  #sorted: readonly ServiceNode[] = [];

  /** The result of sortedNodes(). */
  sort(nodes: readonly ServiceNode[]): readonly ServiceNode[] {
    const { removed, added } = differenceOf(this.#given, nodes);
    if (removed.length + added.length === 0) return this.#sorted;
    const gone = new Set(removed);
    const kept = gone.size === 0 ? this.#sorted : this.#sorted.filter((node) => !gone.has(node));
    const merged = merge(kept, [...added].sort(compareNodes));
    // A list that has an object twice.
    this.#sorted = merged.length === nodes.length ? Object.freeze(merged) : sortedNodes(nodes);
    // A copy, because a registry of a program may change its array.
    this.#given = [...nodes];
    return this.#sorted;
  }
}

/** Merges the few nodes of `added` into `nodes`; both are ordered. */
function merge(nodes: readonly ServiceNode[], added: readonly ServiceNode[]): ServiceNode[] {
  const merged: ServiceNode[] = [];
  let at = 0;
  for (const node of added) {
    while (at < nodes.length && compareNodes(nodes[at] as ServiceNode, node) <= 0)
      merged.push(nodes[at++] as ServiceNode);
    merged.push(node);
  }
  while (at < nodes.length) merged.push(nodes[at++] as ServiceNode);
  return merged;
}

/** Whether two nodes with the same key have the same address and metadata. */
export function hasEqualContent(a: ServiceNode, b: ServiceNode): boolean {
  if (a === b) return true;
  if (a.address !== b.address) return false;
  const keys = Object.keys(a.metadata);
  return (
    keys.length === Object.keys(b.metadata).length &&
    keys.every((key) => Object.hasOwn(b.metadata, key) && a.metadata[key] === b.metadata[key])
  );
}

/** Whether two ordered lists are equal. */
function isEqualList(a: readonly ServiceNode[], b: readonly ServiceNode[]): boolean {
  return (
    a.length === b.length &&
    a.every((node, i) => {
      const other = b[i] as ServiceNode;
      return node === other || (compareNodes(node, other) === 0 && hasEqualContent(node, other));
    })
  );
}

/**
 * The changes from one snapshot to another. Neither needs to be ordered. Throws BAD_OPTION unless
 * both are arrays.
 */
export function compareSnapshots(
  before: readonly ServiceNode[],
  after: readonly ServiceNode[],
): SnapshotChange {
  checkArray('before', before);
  checkArray('after', after);
  const difference = differenceOf(before, after);
  const old = new Map(difference.removed.map((node) => [nodeKey(node), node]));
  const added: ServiceNode[] = [];
  const updated: ServiceNode[] = [];
  for (const node of difference.added) {
    const key = nodeKey(node);
    const previous = old.get(key);
    if (previous === undefined) added.push(node);
    else if (!hasEqualContent(previous, node)) updated.push(node);
    old.delete(key);
  }
  return { added, removed: [...old.values()], updated };
}

/** The lists that SnapshotIterator has given. */
const ownLists = new WeakSet<object>();

/**
 * Whether a registry of this package gave `list`. Its nodes are valid, and are never changed. Never
 * throws.
 */
export function isOwnList(list: unknown): list is readonly ServiceNode[] {
  return ownLists.has(list as object);
}

/** Receives the lists of one watch from a registry. */
export interface SnapshotSink {
  /**
   * The current list, in any order. The reader gets the newest list, if it differs from the list
   * that it got before.
   */
  offer(nodes: readonly ServiceNode[]): void;
  /** The registry is disposed. */
  end(): void;
  /** The watch has failed. One next() of the reader rejects, and then the iterator is done. */
  fail(error: unknown): void;
}

/** Starts a watch and returns the function that stops it, which is called once. */
export type StartWatch = (sink: SnapshotSink) => () => void;

/**
 * The iterable that Registry.watch() returns. Each iteration of it is a separate watch, started
 * by its first next().
 */
export function snapshots(
  start: StartWatch,
  signal?: AbortSignal,
): AsyncIterable<readonly ServiceNode[]> {
  return { [Symbol.asyncIterator]: () => new SnapshotIterator(start, signal) };
}

type Result = IteratorResult<readonly ServiceNode[], undefined>;

/** Not an async generator: return() of a generator waits until a pending next() has settled. */
class SnapshotIterator implements AsyncIterator<readonly ServiceNode[], undefined>, SnapshotSink {
  readonly #startWatch: StartWatch;
  readonly #signal: AbortSignal | undefined;
  #state: 'new' | 'live' | 'done' = 'new';
  #stopWatch: (() => void) | undefined;
  #releaseSignal: (() => void) | undefined;
  /** The list that was offered last and not given to the reader. */
  #offered: readonly ServiceNode[] | undefined;
  readonly #sorter = new ListSorter();
  /** The list that the reader got last. */
  #given: readonly ServiceNode[] | undefined;
  /** The failure with which the next call of next() rejects. */
  #failure: { readonly error: unknown } | undefined;
  /** The pending calls of next(). */
  #readers: { resolve(result: Result): void; reject(error: unknown): void }[] = [];

  constructor(startWatch: StartWatch, signal: AbortSignal | undefined) {
    this.#startWatch = startWatch;
    this.#signal = signal;
  }

  next(): Promise<Result> {
    if (this.#state === 'new') this.#start();
    if (this.#failure !== undefined) {
      const { error } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(error);
    }
    if (this.#state === 'done') return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#give();
    });
  }

  return(): Promise<Result> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  offer(nodes: readonly ServiceNode[]): void {
    if (this.#state === 'done') return;
    this.#offered = nodes;
    this.#give();
  }

  readonly end = (): void => {
    this.#finish();
    for (const { resolve } of this.#readers.splice(0)) resolve({ done: true, value: undefined });
  };

  fail(error: unknown): void {
    if (this.#state === 'done') return;
    this.#finish();
    const [first] = this.#readers.splice(0, 1);
    if (first === undefined) this.#failure = { error };
    else first.reject(error);
    this.end();
  }

  #start(): void {
    if (this.#signal?.aborted) {
      this.#state = 'done';
      return;
    }
    this.#state = 'live';
    this.#releaseSignal = followSignal(this.#signal, this.end);
    const stop = this.#startWatch(this);
    if (this.#isDone()) stop();
    else this.#stopWatch = stop;
  }

  /** A function, because the compiler does not see that #startWatch() may change the state. */
  #isDone(): boolean {
    return this.#state === 'done';
  }

  /** Gives the offered list to one reader, if it differs from the list given before. */
  #give(): void {
    if (this.#readers.length === 0 || this.#offered === undefined) return;
    const nodes = this.#sorter.sort(this.#offered);
    this.#offered = undefined;
    if (this.#given !== undefined && isEqualList(this.#given, nodes)) return;
    this.#given = nodes;
    ownLists.add(nodes);
    this.#readers.shift()?.resolve({ done: false, value: nodes });
  }

  #finish(): void {
    this.#state = 'done';
    this.#offered = undefined;
    this.#releaseSignal?.();
    this.#stopWatch?.();
    this.#stopWatch = undefined;
  }
}
