/** The balancer roundRobin(). */
import { checkNames } from '../../core/options.js';
import { compareNodes } from '../snapshots.js';
import type { Balancer, ServiceNode } from '../types.js';
import { guardedRandom, RANDOM_NAMES, type RandomOptions, randomIndex } from './random.js';

/**
 * Picks one node after another, in the order of the list. It begins with a random node, so that
 * consumers that start together do not all call the same one. After a change of the list it
 * continues after the node that it picked last. Throws BAD_OPTION.
 */
export function roundRobin(options: RandomOptions = {}): Balancer {
  checkNames('roundRobin()', options, RANDOM_NAMES);
  const nextRandom = guardedRandom(options);
  return () => {
    let list: readonly ServiceNode[] = [];
    let index = -1;
    let last: ServiceNode | undefined;
    return (nodes) => {
      if (nodes === list) index++;
      else if (last === undefined) index = randomIndex(nextRandom, nodes.length);
      else index = firstAfter(nodes, last);
      list = nodes;
      if (index >= nodes.length) index = 0;
      last = nodes[index] as ServiceNode;
      return last;
    };
  };
}

/** The index of the first node after `last` in the order of lists; the length if there is none. */
function firstAfter(nodes: readonly ServiceNode[], last: ServiceNode): number {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareNodes(nodes[middle] as ServiceNode, last) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
