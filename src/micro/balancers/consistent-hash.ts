/** Calls with the same key go to the same node, as long as it is there. */
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { nodeKey } from '../snapshots.js';
import type { Balancer, ServiceNode } from '../types.js';

/**
 * Points of each node on the ring: its share is then within some 9 % (one standard deviation) of
 * even.
 */
const POINTS = 128;
/** A point and the number of its node are one number: the upper 32 bits and the lower 20. */
const OWNERS = 2 ** 20;

/** 32 bits in which each bit of the text counts (FNV-1a, and the last step of murmur3). */
function hash(text: string): number {
  let mixed = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193);
  return scatter(mixed);
}

function scatter(mixed: number): number {
  let bits = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Points in one part of the circle, on average. */
const POINTS_PER_PART = 32;

/**
 * Where nodes lie on a circle of 32 bits. It depends only on their keys, so that all consumers have
 * the same. The circle has equal parts, and a part is sorted when it is first looked at: to sort
 * the points of thousands of nodes at once takes long.
 */
class Ring {
  readonly #owners: readonly string[];
  readonly #points: Float64Array;
  /** Where each part begins in the points, and their number at last. */
  readonly #begins: Uint32Array;
  readonly #isSorted: Uint8Array;
  /** Bits of a point below the number of its part. */
  readonly #shift: number;

  constructor(owners: readonly string[]) {
    const count = owners.length * POINTS;
    const bits = Math.max(1, Math.floor(Math.log2(Math.max(1, count / POINTS_PER_PART))));
    const shift = 32 - bits;
    const hashes = new Uint32Array(count);
    const begins = new Uint32Array(2 ** bits + 1);
    owners.forEach((owner, number) => {
      let point = hash(owner);
      for (let i = 0; i < POINTS; i++) {
        // An odd step goes round all of 32 bits; scattered it looks like chance.
        point = (point + 0x9e3779b9) >>> 0;
        const place = scatter(point);
        hashes[number * POINTS + i] = place;
        const next = (place >>> shift) + 1;
        begins[next] = (begins[next] as number) + 1;
      }
    });
    for (let part = 1; part < begins.length; part++)
      begins[part] = (begins[part] as number) + (begins[part - 1] as number);
    const ends = begins.slice();
    const points = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const place = hashes[i] as number;
      const part = place >>> shift;
      const end = ends[part] as number;
      points[end] = place * OWNERS + Math.floor(i / POINTS);
      ends[part] = end + 1;
    }
    this.#owners = owners;
    this.#points = points;
    this.#begins = begins;
    this.#isSorted = new Uint8Array(2 ** bits);
    this.#shift = shift;
  }

  /** The first node at or behind `at` that is among `members`. */
  find(at: number, members: ReadonlyMap<string, ServiceNode>): ServiceNode | undefined {
    const points = this.#points;
    const parts = this.#isSorted.length;
    const first = at >>> this.#shift;
    // The part of `at` comes last too, for its points before `at`.
    for (let i = 0; i <= parts; i++) {
      const part = (first + i) % parts;
      const begin = this.#begins[part] as number;
      const end = this.#begins[part + 1] as number;
      this.#sort(part, begin, end);
      for (
        let index = i === 0 ? firstFrom(points, begin, end, at * OWNERS) : begin;
        index < end;
        index++
      ) {
        const node = members.get(this.#owners[(points[index] as number) % OWNERS] as string);
        if (node !== undefined) return node;
      }
    }
    return undefined;
  }

  #sort(part: number, begin: number, end: number): void {
    if (this.#isSorted[part] === 1) return;
    this.#points.subarray(begin, end).sort();
    this.#isSorted[part] = 1;
  }
}

/** The index of the first point from `begin` to `end` that is not less; `end` when all are. */
function firstFrom(points: Float64Array, begin: number, end: number, least: number): number {
  let low = begin;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The ring, and which of its nodes are in the list that is asked for. */
class Rings {
  readonly #known = new WeakMap<readonly ServiceNode[], ReadonlyMap<string, ServiceNode>>();
  #ring = new Ring([]);
  #owners: ReadonlySet<string> = new Set();
  /** All of each of these lie on the ring. */
  #fitting = new WeakSet<ReadonlyMap<string, ServiceNode>>();

  find(nodes: readonly ServiceNode[], at: number): ServiceNode | undefined {
    let members = this.#known.get(nodes);
    if (members === undefined) {
      members = new Map(nodes.map((node) => [nodeKey(node), node]));
      this.#known.set(nodes, members);
    }
    if (!this.#fitting.has(members)) this.#prepare(members);
    return this.#ring.find(at, members);
  }

  /**
   * A shorter list, of a second try for instance, is found on the ring of the longer one, which
   * costs less than another ring.
   */
  #prepare(members: ReadonlyMap<string, ServiceNode>): void {
    const fits =
      members.size * 2 >= this.#owners.size &&
      [...members.keys()].every((owner) => this.#owners.has(owner));
    if (!fits) {
      this.#owners = new Set(members.keys());
      this.#ring = new Ring([...this.#owners]);
      this.#fitting = new WeakSet();
    }
    this.#fitting.add(members);
  }
}

/**
 * The same node for the same key, in every consumer that sees the same nodes. When a node comes or
 * goes, about one in n keys moves; keys of a node that is left out for a while, or was tried, go to
 * the next one and come back. `key` answers a string; else the call fails with INTERNAL. Throws
 * BAD_OPTION.
 */
export function consistentHash(key: (call: Call) => string): Balancer {
  if (typeof key !== 'function')
    throw badOption('key', key, 'a function of the call that answers a string');
  return () => {
    const rings = new Rings();
    return (nodes, call) => {
      const text: unknown = key(call);
      if (typeof text !== 'string') {
        refusePromise('BAD_OPTION', 'the key of consistentHash()', text);
        throw new RpcError(
          'INTERNAL',
          `the key of consistentHash() is a ${typeof text}, expected a string`,
          { unsent: true },
        );
      }
      return rings.find(nodes, hash(text)) as ServiceNode;
    };
  };
}
