/** Each node with the same chance; and the numbers by which balancers choose. */
import type { Balancer, ServiceNode } from '../types.js';

export interface RandomOptions {
  /** A number from 0 up to 1, 1 excluded. Default: Math.random. */
  random?: () => number;
}

export function anyIndex(random: () => number, length: number): number {
  return Math.min(length - 1, Math.floor(random() * length));
}

/** Each node with the same chance. */
export function random({ random: next = Math.random }: RandomOptions = {}): Balancer {
  return () => (nodes) => nodes[anyIndex(next, nodes.length)] as ServiceNode;
}
