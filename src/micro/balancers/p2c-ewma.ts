/** The better of two random nodes: by how long its calls take, and how many are under way. */
import { checkNames } from '../../core/options.js';
import type { Balancer, NodeLoad, ServiceNode } from '../types.js';
import { anyIndex, guardedRandom, RANDOM_NAMES, type RandomOptions } from './random.js';

/**
 * Milliseconds: what a call is taken to cost at a node that has one under way and has not answered
 * any yet.
 */
const UNKNOWN_COST = 1e6;

/**
 * Milliseconds that a failed call is taken to cost its caller, in time to try again and in work
 * that is lost.
 */
const FAILURE_COST = 1_000;

function costOf({ inFlight, latency, failureRate }: NodeLoad): number {
  const expected = latency + failureRate * FAILURE_COST;
  // One call finds out how a new node does; until it has answered, the others wait.
  if (expected === 0) return inFlight * UNKNOWN_COST;
  return expected * (inFlight + 1);
}

/**
 * Two different nodes at random, and of these the one whose recent latency times the calls under
 * way is less. A failed call counts as one that took a second longer, so a node that fails fast
 * draws no calls. Costs the same whatever the number of nodes, and consumers that do not know of
 * each other do not all choose the same node.
 */
export function p2cEwma(options: RandomOptions = {}): Balancer {
  checkNames('p2cEwma()', options, RANDOM_NAMES);
  const next = guardedRandom(options);
  return () => (nodes, _, load) => {
    const first = anyIndex(next, nodes.length);
    const one = nodes[first] as ServiceNode;
    if (nodes.length === 1) return one;
    const second = anyIndex(next, nodes.length - 1);
    const other = nodes[second < first ? second : second + 1] as ServiceNode;
    return costOf(load(other)) < costOf(load(one)) ? other : one;
  };
}
