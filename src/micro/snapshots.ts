/** Snapshots: whole lists of nodes, ordered, compared, and handed to a reader who may be slow. */
import { followSignal } from '../core/signals.js';
import type { ServiceNode } from './types.js';

/** What differs between two snapshots; an updated node is given as it is now. */
export interface SnapshotChange {
  readonly added: readonly ServiceNode[];
  readonly removed: readonly ServiceNode[];
  readonly updated: readonly ServiceNode[];
}

/**
 * What a node is within a list, whatever it says of itself. None of its parts can hold the
 * separator.
 */
export function nodeKey(node: ServiceNode): string {
  return `${node.id}\0${node.service}\0${node.group}\0${node.version}\0${node.protocol}`;
}

/** The order of every list: by id, and where two services share an id, by the rest of the key. */
export function compareNodes(a: ServiceNode, b: ServiceNode): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  const [left, right] = [nodeKey(a), nodeKey(b)];
  return left === right ? 0 : left < right ? -1 : 1;
}

/** A frozen copy in the order of every list. */
export function sortedNodes(nodes: readonly ServiceNode[]): readonly ServiceNode[] {
  return Object.freeze([...nodes].sort(compareNodes));
}

/** Whether two nodes of one key say the same. */
function sameNode(a: ServiceNode, b: ServiceNode): boolean {
  if (a === b) return true;
  if (a.address !== b.address) return false;
  const keys = Object.keys(a.metadata);
  return (
    keys.length === Object.keys(b.metadata).length &&
    keys.every((key) => Object.hasOwn(b.metadata, key) && a.metadata[key] === b.metadata[key])
  );
}

function sameList(a: readonly ServiceNode[], b: readonly ServiceNode[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (node, i) =>
        compareNodes(node, b[i] as ServiceNode) === 0 && sameNode(node, b[i] as ServiceNode),
    )
  );
}

/** What changed from one snapshot to another, in whatever order they are. */
export function compareSnapshots(
  before: readonly ServiceNode[],
  after: readonly ServiceNode[],
): SnapshotChange {
  const old = new Map(before.map((node) => [nodeKey(node), node]));
  const added: ServiceNode[] = [];
  const updated: ServiceNode[] = [];
  for (const node of after) {
    const key = nodeKey(node);
    const previous = old.get(key);
    if (previous === undefined) added.push(node);
    else if (!sameNode(previous, node)) updated.push(node);
    old.delete(key);
  }
  return { added, removed: [...old.values()], updated };
}

/** Where a registry puts the lists of one watch. */
export interface SnapshotSink {
  /**
   * The present list, in any order; the reader is given the newest that differs from what it had.
   */
  offer(nodes: readonly ServiceNode[]): void;
  /** The registry is disposed. */
  end(): void;
  /** The watch cannot go on: the reader's next() rejects, once. */
  fail(error: unknown): void;
}

/** Begin a watch; the function that it answers ends it, and is called once, whoever ends it. */
export type Follow = (sink: SnapshotSink) => () => void;

/**
 * The iterable that Registry.watch answers. Each iteration of it is a watch of its own, begun by
 * its first next().
 */
export function snapshots(
  follow: Follow,
  signal?: AbortSignal,
): AsyncIterable<readonly ServiceNode[]> {
  return { [Symbol.asyncIterator]: () => new SnapshotIterator(follow, signal) };
}

type Result = IteratorResult<readonly ServiceNode[], undefined>;

// An async generator would not do: its return() waits for a next() that is under way.
class SnapshotIterator implements AsyncIterator<readonly ServiceNode[], undefined>, SnapshotSink {
  readonly #follow: Follow;
  readonly #signal: AbortSignal | undefined;
  #state: 'new' | 'live' | 'done' = 'new';
  #stop: (() => void) | undefined;
  #release: (() => void) | undefined;
  #newest: readonly ServiceNode[] | undefined;
  #given: readonly ServiceNode[] | undefined;
  #failure: { readonly error: unknown } | undefined;
  #waiting: { resolve(result: Result): void; reject(error: unknown): void }[] = [];

  constructor(follow: Follow, signal: AbortSignal | undefined) {
    this.#follow = follow;
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
      this.#waiting.push({ resolve, reject });
      this.#give();
    });
  }

  return(): Promise<Result> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  offer(nodes: readonly ServiceNode[]): void {
    if (this.#state === 'done') return;
    this.#newest = nodes;
    this.#give();
  }

  readonly end = (): void => {
    this.#finish();
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  };

  fail(error: unknown): void {
    if (this.#state === 'done') return;
    this.#finish();
    const [first] = this.#waiting.splice(0, 1);
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
    this.#release = followSignal(this.#signal, this.end);
    const stop = this.#follow(this);
    if (this.#isDone()) stop();
    else this.#stop = stop;
  }

  /** A follow may end the watch before it returns; the compiler does not see that. */
  #isDone(): boolean {
    return this.#state === 'done';
  }

  /** The one place that gives: the newest list, to one who waits, if it says something new. */
  #give(): void {
    if (this.#waiting.length === 0 || this.#newest === undefined) return;
    const nodes = sortedNodes(this.#newest);
    this.#newest = undefined;
    if (this.#given !== undefined && sameList(this.#given, nodes)) return;
    this.#given = nodes;
    this.#waiting.shift()?.resolve({ done: false, value: nodes });
  }

  #finish(): void {
    this.#state = 'done';
    this.#newest = undefined;
    this.#release?.();
    this.#stop?.();
    this.#stop = undefined;
  }
}
