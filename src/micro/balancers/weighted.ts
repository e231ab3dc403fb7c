/** Each node with a chance in proportion to the weight that its provider gave it. */
import { checkNames } from '../../core/options.js';
import { DEFAULT_WEIGHT, MAX_WEIGHT, WEIGHT_KEY } from '../registry-entry.js';
import type { Balancer, ServiceNode } from '../types.js';
import { anyIndex, RANDOM_NAMES, type RandomOptions } from './random.js';

/**
 * What the node says of itself under `getty-weight`: a whole number from 0 to 1,000,000. Whatever
 * else is there counts as 100.
 */
export function weightOf(node: ServiceNode): number {
  const text = node.metadata[WEIGHT_KEY];
  if (text === undefined || !/^\d{1,7}$/.test(text)) return DEFAULT_WEIGHT;
  const weight = Number(text);
  return weight <= MAX_WEIGHT ? weight : DEFAULT_WEIGHT;
}

/** For each node the sum of the weights up to it. */
function sumsOf(nodes: readonly ServiceNode[]): Float64Array {
  let sum = 0;
  return Float64Array.from(nodes, (node) => {
    sum += weightOf(node);
    return sum;
  });
}

/** The index of the first sum that is greater than `point`. */
function firstAbove(sums: Float64Array, point: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] as number) > point) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * At random, each node with a chance in proportion to its weight; 0: none, unless all have 0. At
 * random rather than in turn, because consumers that do not know of each other would otherwise
 * begin with the heaviest all together.
 */
export function weighted(options: RandomOptions = {}): Balancer {
  checkNames('weighted()', options, RANDOM_NAMES);
  const { random: next = Math.random } = options;
  return () => {
    // A list stays the same object until it changes, and is summed up once.
    const known = new WeakMap<readonly ServiceNode[], Float64Array>();
    return (nodes) => {
      let sums = known.get(nodes);
      if (sums === undefined) {
        sums = sumsOf(nodes);
        known.set(nodes, sums);
      }
      const total = sums.at(-1) as number;
      const index = total === 0 ? anyIndex(next, nodes.length) : firstAbove(sums, next() * total);
      return nodes[index] as ServiceNode;
    };
  };
}
