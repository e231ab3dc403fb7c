/** The ring of consistentHash(). */
import { compareNodes } from '../snapshots.js';
import type { ServiceNode } from '../types.js';

/** Points of each node on the ring. The share of a node then deviates by some 9 % (1 sigma). */
const POINTS_PER_NODE = 128;
/**
 * A point is one number of 53 bits: its position on the ring in the upper 32, and the slot of its
 * node in the lower 21.
 */
const SLOTS = 2 ** 21;
/**
 * Points in one segment of the ring, on average. More would make the first search of a segment
 * slow, fewer the distribution of the points to their segments.
 */
const POINTS_PER_SEGMENT = 512;
const NO_POINTS: number[] = [];

/** A hash of 32 bits: FNV-1a and the last step of MurmurHash3, which spreads every bit. */
export function hash(text: string): number {
  return scatter(mix(0x811c9dc5, text));
}

/** hash(nodeKey(node)), without making the key. */
function hashOfKey({ id, service, group, version, protocol }: ServiceNode): number {
  let mixed = mix(0x811c9dc5, id);
  for (const part of [service, group, version, protocol]) mixed = mix(mix(mixed, '\0'), part);
  return scatter(mixed);
}

function mix(before: number, text: string): number {
  let mixed = before;
  for (let i = 0; i < text.length; i++) mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193);
  return mixed;
}

function scatter(mixed: number): number {
  let bits = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** From one point of a node to the next. Odd steps reach all values of 32 bits. */
const step = (seed: number): number => (seed + 0x9e3779b9) >>> 0;

/**
 * A hash ring with 2^32 positions. It depends on the keys of the nodes only, so it is the same in
 * all consumers. Each node has a slot, which is a number. The ring has segments of equal length.
 * Each is sorted when it is searched, because to sort the points of thousands of nodes at once
 * would block the event loop.
 */
export class HashRing {
  /** The points of the first nodes. Each segment has room for `#capacity` points. */
  readonly #points: Float64Array;
  readonly #capacity: number;
  /** The number of points in each segment of `#points`. */
  readonly #counts: Uint32Array;
  /** By segment, the points of the nodes of add(), and those without room in `#points`. */
  readonly #added: (number[] | undefined)[] = [];
  readonly #isSorted: Uint8Array;
  /** A position shifted right by so many bits is the number of its segment. */
  readonly #shift: number;
  #slots = 0;

  /** The slot of a node is its index in `nodes`. */
  constructor(nodes: readonly ServiceNode[]) {
    const count = nodes.length * POINTS_PER_NODE;
    const bits = Math.max(1, Math.floor(Math.log2(Math.max(1, count / POINTS_PER_SEGMENT))));
    const average = count / 2 ** bits;
    // Few segments have 4 standard deviations more than the average.
    this.#capacity = Math.ceil(average + 4 * Math.sqrt(average));
    this.#points = new Float64Array(2 ** bits * this.#capacity);
    this.#counts = new Uint32Array(2 ** bits);
    this.#isSorted = new Uint8Array(2 ** bits);
    this.#shift = 32 - bits;
    for (const node of nodes) this.#place(node);
  }

  /** The number of nodes on the ring. */
  get slots(): number {
    return this.#slots;
  }

  /** Adds a node, and returns its slot. */
  add(node: ServiceNode): number {
    const slot = this.#slots++;
    let seed = hashOfKey(node);
    for (let i = 0; i < POINTS_PER_NODE; i++) {
      seed = step(seed);
      const position = scatter(seed);
      this.#addPoint(position >>> this.#shift, position * SLOTS + slot);
    }
    return slot;
  }

  #addPoint(segment: number, point: number): void {
    this.#added[segment] ??= [];
    this.#added[segment].push(point);
    this.#isSorted[segment] = 0;
  }

  /** As add(), while no segment is sorted. */
  #place(node: ServiceNode): void {
    const slot = this.#slots++;
    const [points, counts] = [this.#points, this.#counts];
    const [capacity, shift] = [this.#capacity, this.#shift];
    let seed = hashOfKey(node);
    for (let i = 0; i < POINTS_PER_NODE; i++) {
      seed = step(seed);
      const position = scatter(seed);
      const segment = position >>> shift;
      const point = position * SLOTS + slot;
      const index = counts[segment] as number;
      if (index === capacity) this.#addPoint(segment, point);
      else {
        points[segment * capacity + index] = point;
        counts[segment] = index + 1;
      }
    }
  }

  /**
   * The node of the first point at or after `position` whose slot has a node in `nodes`. If several
   * nodes have a point there, it is the first one in the order of lists.
   */
  find(position: number, nodes: readonly (ServiceNode | undefined)[]): ServiceNode | undefined {
    const segments = this.#isSorted.length;
    const first = position >>> this.#shift;
    // The first segment is searched again at the end, for its points before `position`.
    for (let i = 0; i <= segments; i++) {
      const segment = (first + i) % segments;
      const node = this.#findInSegment(segment, i === 0 ? position * SLOTS : 0, nodes);
      if (node !== undefined) return node;
    }
    return undefined;
  }

  /** As find(). `least`: the least point that counts. */
  #findInSegment(
    segment: number,
    least: number,
    nodes: readonly (ServiceNode | undefined)[],
  ): ServiceNode | undefined {
    const points = this.#points;
    const start = segment * this.#capacity;
    const end = start + (this.#counts[segment] as number);
    const added = this.#added[segment] ?? NO_POINTS;
    this.#sort(segment, start, end, added);
    let next = firstFrom(points, start, end, least);
    let nextAdded = firstFrom(added, 0, added.length, least);
    let found: ServiceNode | undefined;
    let limit = Number.POSITIVE_INFINITY;
    while (next < end || nextAdded < added.length) {
      const point = Math.min(
        next < end ? (points[next] as number) : Number.POSITIVE_INFINITY,
        added[nextAdded] ?? Number.POSITIVE_INFINITY,
      );
      if (point >= limit) break;
      if (point === added[nextAdded]) nextAdded++;
      else next++;
      const position = Math.floor(point / SLOTS);
      const node = nodes[point - position * SLOTS];
      if (node === undefined) continue;
      if (found === undefined || compareNodes(node, found) < 0) found = node;
      limit = (position + 1) * SLOTS;
    }
    return found;
  }

  #sort(segment: number, start: number, end: number, added: number[]): void {
    if (this.#isSorted[segment] === 1) return;
    this.#points.subarray(start, end).sort();
    added.sort((a, b) => a - b);
    this.#isSorted[segment] = 1;
  }
}

/** The index of the first point from `start` to `end` that is not less; `end` if all are less. */
function firstFrom(points: ArrayLike<number>, start: number, end: number, least: number): number {
  let low = start;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
