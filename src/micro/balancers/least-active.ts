/** The balancer leastActive(). */
import { checkNames } from '../../core/options.js';
import type { Balancer, NodeLoad, ServiceNode } from '../types.js';
import { guardedRandom, RANDOM_NAMES, type RandomOptions, randomIndex } from './random.js';

/** A failure rate of 1 counts as this many calls in flight. */
const FAILURE_WEIGHT = 100;

function callsAt({ inFlight, failureRate }: NodeLoad): number {
  return failureRate === 0 ? inFlight : inFlight + Math.floor(failureRate * FAILURE_WEIGHT);
}

/**
 * Picks the node with the fewest calls of this consumer in flight; a random one of equal nodes. A
 * failure rate of 1 counts as 100 more calls in flight. A pick may read the load of every node, so
 * for hundreds of nodes p2cEwma() costs less. Throws BAD_OPTION.
 */
export function leastActive(options: RandomOptions = {}): Balancer {
  checkNames('leastActive()', options, RANDOM_NAMES);
  const nextRandom = guardedRandom(options);
  return () => (nodes, _, load) => {
    const start = randomIndex(nextRandom, nodes.length);
    let least = nodes[start] as ServiceNode;
    let leastCalls = callsAt(load(least));
    for (let i = 1; i < nodes.length && leastCalls > 0; i++) {
      const node = nodes[(start + i) % nodes.length] as ServiceNode;
      const calls = callsAt(load(node));
      if (calls >= leastCalls) continue;
      least = node;
      leastCalls = calls;
    }
    return least;
  };
}
