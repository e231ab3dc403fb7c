/** Balancers. A self-defined one is a function that makes a function: `() => (nodes, call) => nodes[…]`. */
import { compareNodes } from './snapshots.js';
import type { Balancer, ServiceNode } from './types.js';

export interface RandomOptions {
  /** A number from 0 up to 1, 1 excluded. Default: Math.random. */
  random?: () => number;
}

function anyIndex(random: () => number, length: number): number {
  return Math.min(length - 1, Math.floor(random() * length));
}

/** Each node with the same chance. */
export function random({ random: next = Math.random }: RandomOptions = {}): Balancer {
  return () => (nodes) => nodes[anyIndex(next, nodes.length)] as ServiceNode;
}

/**
 * One node after the other, in the order of the list; begins anywhere, so that consumers that start together do not
 * all begin with the same. When the list has changed it goes on behind the node that it picked last.
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

/** The index of the first node that comes behind `last` in the order of lists; the list's length when none does. */
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
