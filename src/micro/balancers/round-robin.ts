/** One node after the other, whatever happens to the list. */
import { compareNodes } from '../snapshots.js';
import type { Balancer, ServiceNode } from '../types.js';
import { anyIndex, type RandomOptions } from './random.js';

/**
 * One node after the other, in the order of the list; begins anywhere, so that consumers that start
 * together do not all begin with the same. When the list has changed it goes on behind the node
 * that it picked last.
 */
export function roundRobin({ random: next = Math.random }: RandomOptions = {}): Balancer {
  return () => {
    let list: readonly ServiceNode[] = [];
    let index = -1;
    let last: ServiceNode | undefined;
    return (nodes) => {
      if (nodes === list) index++;
      else if (last === undefined) index = anyIndex(next, nodes.length);
      else index = firstBehind(nodes, last);
      list = nodes;
      if (index >= nodes.length) index = 0;
      last = nodes[index] as ServiceNode;
      return last;
    };
  };
}

/**
 * The index of the first node that comes behind `last` in the order of lists; the list's length
 * when none does.
 */
function firstBehind(nodes: readonly ServiceNode[], last: ServiceNode): number {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareNodes(nodes[middle] as ServiceNode, last) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
