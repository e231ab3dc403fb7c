/**
 * Keeps nodes that are missing after an outage in a list for a limited time, so that their
 * providers can publish them again.
 */
import { nodeKey } from '../../micro/snapshots.js';
import type { ServiceNode } from '../../micro/types.js';

/** The missing nodes of one list. Times are those of performance.now(), in milliseconds. */
export class MissingNodes {
  /**
   * By nodeKey: when the node leaves the list. The time is set once, so that further outages do not
   * prolong it.
   */
  readonly #deadlines = new Map<string, number>();

  /** The earliest time at which a node leaves the list. undefined: no node is missing. */
  get nextDeadline(): number | undefined {
    return this.#deadlines.size === 0 ? undefined : Math.min(...this.#deadlines.values());
  }

  /**
   * Returns the nodes of `present`, and the nodes of `before` that are missing. A node that becomes
   * missing now stays until `graceEnd`.
   */
  keep(
    before: readonly ServiceNode[],
    present: readonly ServiceNode[],
    graceEnd: number,
  ): readonly ServiceNode[] {
    if (this.#deadlines.size === 0 && performance.now() >= graceEnd) return present;
    const now = performance.now();
    const presentKeys = new Set(present.map(nodeKey));
    for (const key of [...this.#deadlines.keys()])
      if (presentKeys.has(key)) this.#deadlines.delete(key);
    const nodes = [...present];
    for (const node of before) {
      const key = nodeKey(node);
      if (presentKeys.has(key)) continue;
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
