/** Raises the share of calls that a new node receives, linearly with its age. */
import type { ServiceNode } from '../types.js';

/** The smallest share, so that a node begins to warm up as soon as it has joined. */
const MIN_SHARE = 0.05;

/** The part of its full share that a node receives, `age` milliseconds after it joined the list. */
export function shareAt(age: number, slowStart: number): number {
  return age >= slowStart ? 1 : Math.max(MIN_SHARE, age / slowStart);
}

/**
 * Selects for each call the list that the balancer picks from. The list contains each new node with
 * the probability of its share. Nodes that joined at the same time form one group. So there are few
 * lists, and each stays the same array, which balancers use as the key of their caches.
 */
export class SlowStart {
  readonly #nodes: readonly ServiceNode[];
  /** Milliseconds. */
  readonly #slowStart: number;
  readonly #joinTimeOf: (node: ServiceNode) => number;
  /** Join times of the groups of new nodes, the oldest first. */
  readonly #groups: readonly number[];
  /** The lists, by the number of groups that they contain. */
  readonly #lists: (readonly ServiceNode[] | undefined)[] = [];

  constructor(
    nodes: readonly ServiceNode[],
    slowStart: number,
    joinTimeOf: (node: ServiceNode) => number,
  ) {
    this.#nodes = nodes;
    this.#slowStart = slowStart;
    this.#joinTimeOf = joinTimeOf;
    const now = performance.now();
    const groups = new Set(nodes.map(joinTimeOf).filter((time) => now - time < slowStart));
    this.#groups = [...groups].sort((a, b) => a - b);
  }

  /** Whether every node receives its full share. */
  get isOver(): boolean {
    const last = this.#groups.at(-1);
    return last === undefined || performance.now() - last >= this.#slowStart;
  }

  /** The list for one call. `random`: a random number from 0 to 1, 1 excluded. */
  select(random: number): readonly ServiceNode[] {
    const now = performance.now();
    let count = 0;
    while (
      count < this.#groups.length &&
      shareAt(now - (this.#groups[count] as number), this.#slowStart) > random
    )
      count++;
    this.#lists[count] ??= this.#listOf(count);
    return this.#lists[count] as readonly ServiceNode[];
  }

  /** The nodes that are not new and the oldest `count` groups; all nodes if there are none. */
  #listOf(count: number): readonly ServiceNode[] {
    if (count === this.#groups.length) return this.#nodes;
    const firstExcluded = this.#groups[count] as number;
    const list = this.#nodes.filter((node) => this.#joinTimeOf(node) < firstExcluded);
    return list.length > 0 ? list : this.#nodes;
  }
}
