/** The balancer weighted(). */
import { checkNames } from '../../core/options.js';
import { DEFAULT_WEIGHT, MAX_WEIGHT, WEIGHT_KEY } from '../registry-entry.js';
import type { Balancer, ServiceNode } from '../types.js';
import { guardedRandom, RANDOM_NAMES, type RandomOptions, randomIndex } from './random.js';

/** The weight in the metadata: a whole number from 0 to 1,000,000; anything else counts as 100. */
export function weightOf(node: ServiceNode): number {
  const text = node.metadata[WEIGHT_KEY];
  if (text === undefined || !/^\d{1,7}$/.test(text)) return DEFAULT_WEIGHT;
  const weight = Number(text);
  return weight <= MAX_WEIGHT ? weight : DEFAULT_WEIGHT;
}

/** For each node the sum of the weights up to and including it. */
function cumulativeWeights(nodes: readonly ServiceNode[]): Float64Array {
  let sum = 0;
  return Float64Array.from(nodes, (node) => {
    sum += weightOf(node);
    return sum;
  });
}

/** The index of the first sum that is greater than `point`; the last index if there is none. */
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
 * Picks at random, with a probability in proportion to the weight. Nodes with weight 0 are not
 * picked, unless all have 0. Random rather than in turn, because independent consumers would all
 * begin with the heaviest node. Throws BAD_OPTION.
 */
export function weighted(options: RandomOptions = {}): Balancer {
  checkNames('weighted()', options, RANDOM_NAMES);
  const nextRandom = guardedRandom(options);
  return () => {
    // A list stays the same object until it changes.
    const sumsByList = new WeakMap<readonly ServiceNode[], Float64Array>();
    return (nodes) => {
      let sums = sumsByList.get(nodes);
      if (sums === undefined) {
        sums = cumulativeWeights(nodes);
        sumsByList.set(nodes, sums);
      }
      const total = sums.at(-1) as number;
      const index =
        total === 0
          ? randomIndex(nextRandom, nodes.length)
          : firstAbove(sums, nextRandom() * total);
      return nodes[index] as ServiceNode;
    };
  };
}
