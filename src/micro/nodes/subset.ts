/** ConsumeOptions.subset: which nodes of a large fleet a consumer uses. */
import {
  badOption,
  checkNames,
  checkNumber,
  checkObject,
  type NamesOf,
} from '../../core/options.js';
import { hash } from '../balancers/hash-ring.js';
import { compareNodes } from '../snapshots.js';
import type { ServiceNode } from '../types.js';

/** The nodes of a large fleet that one consumer uses. Both options are required. */
export interface SubsetOptions {
  /**
   * How many nodes the consumer uses: from 1. A node that is ejected or unavailable is replaced by
   * another, for as long as it is; there are at most `size` such replacements.
   */
  size: number;
  /**
   * What distinguishes this consumer from the others. An integer from 0, which the consumers count
   * without gaps, such as the ordinal of a stateful set: each node then gets nearly the same number
   * of consumers. Or a unique string, such as the name of the host: each node gets the same number
   * on average.
   */
  id: number | string;
}

const NAMES = { size: true, id: true } satisfies NamesOf<SubsetOptions>;
const MAX_ID = 2 ** 32 - 1;

/** Throws BAD_OPTION. */
export function checkSubset(options: SubsetOptions): void {
  checkObject('subset', options);
  checkNames('subset', options, NAMES);
  const { size, id } = options;
  checkNumber('subset.size', size, 1, Number.MAX_SAFE_INTEGER, 'integer');
  if (typeof id === 'number') checkNumber('subset.id', id, 0, MAX_ID, 'integer');
  else if (typeof id !== 'string' || id === '')
    throw badOption('subset.id', id, 'an integer from 0, or a string that is not empty');
}

/** The subset of one list. Its arrays have the order of lists. */
export class Subset {
  /** The nodes that the consumer uses while all of them are available. */
  readonly members: readonly ServiceNode[];
  /** The members, and the nodes that replace them. */
  readonly candidates: readonly ServiceNode[];
  readonly #size: number;
  readonly #ranks: ReadonlyMap<ServiceNode, number>;

  /** `nodes` has the order of lists. */
  constructor(nodes: readonly ServiceNode[], { size, id }: SubsetOptions) {
    const ranked = typeof id === 'number' ? rankedFromPosition(nodes, id) : rankedByHash(nodes, id);
    this.#size = size;
    this.#ranks = new Map(ranked.slice(0, 2 * size).map((node, rank) => [node, rank]));
    this.members = nodes.length <= size ? nodes : this.#ranksBelow(nodes, size);
    this.candidates = nodes.length <= size ? nodes : this.#ranksBelow(nodes, 2 * size);
  }

  /** The first nodes of the ranking in `available`; `members` itself if it has all of them. */
  select(available: readonly ServiceNode[]): readonly ServiceNode[] {
    if (available.length <= this.#size) return available;
    const ranks = available.map((node) => this.#ranks.get(node) as number).sort((a, b) => a - b);
    const end = (ranks[this.#size - 1] as number) + 1;
    return end === this.#size ? this.members : this.#ranksBelow(available, end);
  }

  #ranksBelow(nodes: readonly ServiceNode[], end: number): readonly ServiceNode[] {
    return nodes.filter((node) => (this.#ranks.get(node) ?? end) < end);
  }
}

/** Each of `nodes` with a number, in the order of the numbers. Equal numbers: in that of lists. */
function sortedBy(
  nodes: readonly ServiceNode[],
  numberOf: (node: ServiceNode) => number,
): ServiceNode[] {
  return nodes
    .map((node) => ({ node, number: numberOf(node) }))
    .sort((a, b) => a.number - b.number || compareNodes(a.node, b.node))
    .map(({ node }) => node);
}

/**
 * Rendezvous hashing: the nodes by a hash of consumer and node. A node that joins or leaves changes
 * the subsets of those consumers only that rank it first.
 */
function rankedByHash(nodes: readonly ServiceNode[], consumer: string): ServiceNode[] {
  // Without service and version, so that all services of a fleet use the same connections.
  return sortedBy(nodes, ({ id }) => hash(`${consumer}\0${id}`));
}

/**
 * A deterministic aperture: all consumers have the nodes on the same ring, and each begins at a
 * position of its own. Multiples of the golden ratio divide the ring evenly for every number of
 * consumers. A node that joins or leaves replaces at most one node of a subset, or two of a subset
 * that goes over the end of the ring.
 */
function rankedFromPosition(nodes: readonly ServiceNode[], consumer: number): ServiceNode[] {
  const ring = sortedBy(nodes, ({ id }) => hash(id));
  const position = (Math.imul(consumer, 0x9e3779b9) >>> 0) / 2 ** 32;
  const start = Math.floor(position * ring.length);
  return [...ring.slice(start), ...ring.slice(0, start)];
}
