/**
 * Keeps nodes that are missing after an outage in a list for a limited time, so that their
 * providers can publish them again.
 */
import { nodeKey } from '../../micro/snapshots.js';
import type { ServiceNode } from '../../micro/types.js';

/** The missing nodes of one list. Times are those of performance.now(), in milliseconds. */
export class MissingNodes {
  /**
   * When each node leaves the list, by nodeKey(). The time is set once, so that further outages do
   * not prolong it.
   */
  readonly #deadlines = new Map<string, number>();

  /** The earliest time at which a node leaves the list. undefined: no node is missing. */
  get nextDeadline(): number | undefined {
    let earliest: number | undefined;
    // Not Math.min(...): a call takes about 100,000 arguments at most.
    for (const deadline of this.#deadlines.values())
      if (earliest === undefined || deadline < earliest) earliest = deadline;
    return earliest;
  }

  /**
   * Returns the nodes of `current`, and the nodes of `before` that are missing in it. A node that
   * becomes missing now stays until `graceEnd`.
   */
  keep(
    before: readonly ServiceNode[],
    current: readonly ServiceNode[],
    graceEnd: number,
  ): readonly ServiceNode[] {
    if (this.#deadlines.size === 0 && performance.now() >= graceEnd) return current;
    const now = performance.now();
    const currentKeys = new Set(current.map(nodeKey));
    for (const key of [...this.#deadlines.keys()])
      if (currentKeys.has(key)) this.#deadlines.delete(key);
    const nodes = [...current];
    for (const node of before) {
      const key = nodeKey(node);
      if (currentKeys.has(key)) continue;
      const deadline = this.#deadlines.get(key) ?? graceEnd;
      if (now < deadline) {
        this.#deadlines.set(key, deadline);
        nodes.push(node);
      } else {
        this.#deadlines.delete(key);
      }
    }
    return nodes;
  }
}
