/** The balancer p2cEwma(): power of two choices, by a moving average of the latency. */
import { checkNames } from '../../core/options.js';
import type { Balancer, NodeLoad, ServiceNode } from '../types.js';
import { guardedRandom, RANDOM_NAMES, type RandomOptions, randomIndex } from './random.js';

/**
 * Milliseconds: the assumed latency of a node that has calls in flight besides streams and has
 * answered none yet.
 */
const UNKNOWN_LATENCY = 1e6;
/**
 * Milliseconds: the assumed latency of a node whose calls in flight are all streams, if it has
 * answered no other call yet.
 */
const STREAM_LATENCY = 1;

/** Milliseconds that a failed call costs the caller: the retry and the lost work. */
const FAILURE_COST = 1_000;

function costOf({ inFlight, streams, latency, failureRate }: NodeLoad): number {
  const failureCost = failureRate * FAILURE_COST;
  if (latency > 0) return (latency + failureCost) * (inFlight + 1);
  // A new node receives one call at a time, besides streams, until it has answered.
  if (inFlight > streams) return inFlight * UNKNOWN_LATENCY;
  return (failureCost + (streams > 0 ? STREAM_LATENCY : 0)) * (streams + 1);
}

/**
 * Takes two different nodes at random and picks the one with the lower product of latency and calls
 * in flight, this call included. A failed call counts as one that took 1 s longer, so a node that
 * fails fast attracts no calls. The cost of a pick does not depend on the number of nodes.
 * Independent consumers do not all pick the same node. Throws BAD_OPTION.
 */
export function p2cEwma(options: RandomOptions = {}): Balancer {
  checkNames('p2cEwma()', options, RANDOM_NAMES);
  const nextRandom = guardedRandom(options);
  return () => (nodes, _, load) => {
    const first = randomIndex(nextRandom, nodes.length);
    const one = nodes[first] as ServiceNode;
    if (nodes.length === 1) return one;
    const second = randomIndex(nextRandom, nodes.length - 1);
    const other = nodes[second < first ? second : second + 1] as ServiceNode;
    return costOf(load(other)) < costOf(load(one)) ? other : one;
  };
}
