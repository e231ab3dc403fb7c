/** Each node with the same chance; and the numbers by which balancers choose. */

import { answerOf, checkCallback } from '../../core/callbacks.js';
import { checkNames, type NamesOf } from '../../core/options.js';
import type { Balancer, ServiceNode } from '../types.js';

export interface RandomOptions {
  /** A number from 0 up to 1, 1 excluded. Default: Math.random. */
  random?: (() => number) | undefined;
}

export const RANDOM_NAMES = { random: true } satisfies NamesOf<RandomOptions>;

export function anyIndex(random: () => number, length: number): number {
  return Math.min(length - 1, Math.floor(random() * length));
}

/** The random numbers of the options; Math.random() where their function fails. */
export function guardedRandom({ random }: RandomOptions): () => number {
  if (random === undefined) return Math.random;
  checkCallback('random', random);
  return () => answerOf('random', random, Math.random());
}

/** Each node with the same chance. */
export function random(options: RandomOptions = {}): Balancer {
  checkNames('random()', options, RANDOM_NAMES);
  const next = guardedRandom(options);
  return () => (nodes) => nodes[anyIndex(next, nodes.length)] as ServiceNode;
}
