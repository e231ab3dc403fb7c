/** A new node is given its share of the calls little by little. */
import type { ServiceNode } from '../types.js';

/** New nodes take at least this part of their share: whoever takes nothing never warms up. */
const LEAST = 0.05;

/** The part of its share that a node takes `age` milliseconds after it came. */
export function shareAt(age: number, slowStart: number): number {
  return age >= slowStart ? 1 : Math.max(LEAST, age / slowStart);
}

/**
 * Answers, for each call, the list that it picks from: each new node is in it with the chance of
 * its share. What came at one instant is one group, so that there are few lists, and each is the
 * same array as long as it is used.
 */
export class SlowStart {
  readonly #nodes: readonly ServiceNode[];
  readonly #slowStart: number;
  readonly #sinceOf: (node: ServiceNode) => number;
  /** When the groups came that are new, the oldest first. */
  readonly #groups: readonly number[];
  /** By the number of groups that are in it. */
  readonly #lists: (readonly ServiceNode[] | undefined)[] = [];

  constructor(
    nodes: readonly ServiceNode[],
    slowStart: number,
    sinceOf: (node: ServiceNode) => number,
  ) {
    this.#nodes = nodes;
    this.#slowStart = slowStart;
    this.#sinceOf = sinceOf;
    const now = performance.now();
    const groups = new Set(nodes.map(sinceOf).filter((since) => now - since < slowStart));
    this.#groups = [...groups].sort((a, b) => a - b);
  }

  /** All of them have their whole share. */
  get over(): boolean {
    const last = this.#groups.at(-1);
    return last === undefined || performance.now() - last >= this.#slowStart;
  }

  /** `chance`: a random number from 0 up to 1. */
  list(chance: number): readonly ServiceNode[] {
    const now = performance.now();
    let count = 0;
    while (
      count < this.#groups.length &&
      shareAt(now - (this.#groups[count] as number), this.#slowStart) > chance
    )
      count++;
    this.#lists[count] ??= this.#first(count);
    return this.#lists[count] as readonly ServiceNode[];
  }

  #first(count: number): readonly ServiceNode[] {
    if (count === this.#groups.length) return this.#nodes;
    const from = this.#groups[count] as number;
    const list = this.#nodes.filter((node) => this.#sinceOf(node) < from);
    // Somebody must take the calls.
    return list.length > 0 ? list : this.#nodes;
  }
}
