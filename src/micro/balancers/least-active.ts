/** The node with the fewest calls under way. */
import type { Balancer, ServiceNode } from '../types.js';
import { anyIndex, type RandomOptions } from './random.js';

/**
 * The node that has the fewest calls of this consumer under way; of several, any. Looks at all nodes until it finds one without a call: for
 * hundreds of nodes under load p2cEwma() costs less.
 */
export function leastActive({ random: next = Math.random }: RandomOptions = {}): Balancer {
  return () => (nodes, _, load) => {
    const begin = anyIndex(next, nodes.length);
    let least = nodes[begin] as ServiceNode;
    let calls = load(least).inFlight;
    for (let i = 1; i < nodes.length && calls > 0; i++) {
      const node = nodes[(begin + i) % nodes.length] as ServiceNode;
      const { inFlight } = load(node);
      if (inFlight >= calls) continue;
      least = node;
      calls = inFlight;
    }
    return least;
  };
}
