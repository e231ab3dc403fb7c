/** The node with the fewest calls under way. */

import type { Balancer, NodeLoad, ServiceNode } from '../types.js';
import { anyIndex, guardedRandom, type RandomOptions } from './random.js';

/** A node whose calls all fail counts as one that has so many more calls under way. */
const FAILURE_WEIGHT = 100;

function activeAt({ inFlight, failureRate }: NodeLoad): number {
  return failureRate === 0 ? inFlight : inFlight + Math.floor(failureRate * FAILURE_WEIGHT);
}

/**
 * The node that has the fewest calls of this consumer under way; of several, any. A node whose
 * calls fail counts as one that has up to 100 more calls under way. Looks at all nodes until it
 * finds one without a call: for hundreds of nodes under load p2cEwma() costs less.
 */
export function leastActive(options: RandomOptions = {}): Balancer {
  const next = guardedRandom(options);
  return () => (nodes, _, load) => {
    const begin = anyIndex(next, nodes.length);
    let least = nodes[begin] as ServiceNode;
    let calls = activeAt(load(least));
    for (let i = 1; i < nodes.length && calls > 0; i++) {
      const node = nodes[(begin + i) % nodes.length] as ServiceNode;
      const active = activeAt(load(node));
      if (active >= calls) continue;
      least = node;
      calls = active;
    }
    return least;
  };
}
