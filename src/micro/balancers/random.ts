/** The balancer random(), and the random numbers of all balancers. */
import { checkCallback, resultOf } from '../../core/callbacks.js';
import { checkNames, type NamesOf } from '../../core/options.js';
import type { Balancer, ServiceNode } from '../types.js';

/** Options of the balancers that pick at random. */
export interface RandomOptions {
  /** Returns a number from 0 up to 1, 1 excluded. Default: Math.random. */
  random?: (() => number) | undefined;
}

export const RANDOM_NAMES = { random: true } satisfies NamesOf<RandomOptions>;

/** A random index of an array with `length` items. */
export function randomIndex(random: () => number, length: number): number {
  return Math.min(length - 1, Math.floor(random() * length));
}

/**
 * `random` of the options, in a form that never throws: if it fails, Math.random() is used and a
 * warning of the process has the reason. Throws BAD_OPTION if it is not a function.
 */
export function guardedRandom(options: RandomOptions): () => number {
  const { random } = options;
  if (random === undefined) return Math.random;
  checkCallback('random', random);
  return () => resultOf('random', random, Math.random());
}

/** Picks each node with the same probability. Throws BAD_OPTION. */
export function random(options: RandomOptions = {}): Balancer {
  checkNames('random()', options, RANDOM_NAMES);
  const nextRandom = guardedRandom(options);
  return () => (nodes) => nodes[randomIndex(nextRandom, nodes.length)] as ServiceNode;
}
