/** The balancer consistentHash(). */
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { nodeKey } from '../snapshots.js';
import type { Balancer, ServiceNode } from '../types.js';

/** Points of each node on the ring. The share of a node then deviates by some 9 % (1 sigma). */
const POINTS_PER_NODE = 128;
/**
 * A point is one number: its position on the ring in the upper 32 bits, and the number of its node
 * in the lower 20.
 */
const MAX_NODES = 2 ** 20;
/** Points in one segment of the ring, on average. */
const POINTS_PER_SEGMENT = 32;

/** A hash of 32 bits: FNV-1a and the last step of MurmurHash3, which spreads every bit. */
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

/**
 * A hash ring with 2^32 positions. It depends on the keys of the nodes only, so it is the same in
 * all consumers. The ring has segments of equal length. Each is sorted when it is first searched,
 * because to sort the points of thousands of nodes at once would block the event loop.
 */
class Ring {
  readonly #keys: readonly string[];
  /** Each is position × MAX_NODES + the index of its key. Ordered by segment. */
  readonly #points: Float64Array;
  /** The index of the first point of each segment, and at the end the number of points. */
  readonly #segmentStarts: Uint32Array;
  readonly #isSorted: Uint8Array;
  /** A position shifted right by so many bits is the number of its segment. */
  readonly #shift: number;

  /** `keys`: of the nodes. */
  constructor(keys: readonly string[]) {
    const count = keys.length * POINTS_PER_NODE;
    const bits = Math.max(1, Math.floor(Math.log2(Math.max(1, count / POINTS_PER_SEGMENT))));
    const shift = 32 - bits;
    const positions = new Uint32Array(count);
    const starts = new Uint32Array(2 ** bits + 1);
    keys.forEach((key, number) => {
      let seed = hash(key);
      for (let i = 0; i < POINTS_PER_NODE; i++) {
        // Steps of an odd number reach all values of 32 bits; scatter() makes them look random.
        seed = (seed + 0x9e3779b9) >>> 0;
        const position = scatter(seed);
        positions[number * POINTS_PER_NODE + i] = position;
        const next = (position >>> shift) + 1;
        starts[next] = (starts[next] as number) + 1;
      }
    });
    for (let segment = 1; segment < starts.length; segment++)
      starts[segment] = (starts[segment] as number) + (starts[segment - 1] as number);
    const ends = starts.slice();
    const points = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const position = positions[i] as number;
      const segment = position >>> shift;
      const end = ends[segment] as number;
      points[end] = position * MAX_NODES + Math.floor(i / POINTS_PER_NODE);
      ends[segment] = end + 1;
    }
    this.#keys = keys;
    this.#points = points;
    this.#segmentStarts = starts;
    this.#isSorted = new Uint8Array(2 ** bits);
    this.#shift = shift;
  }

  /** The node of the first point at or after `position` whose node is in `members`. */
  find(position: number, members: ReadonlyMap<string, ServiceNode>): ServiceNode | undefined {
    const points = this.#points;
    const segments = this.#isSorted.length;
    const first = position >>> this.#shift;
    // The first segment is searched again at the end, for its points before `position`.
    for (let i = 0; i <= segments; i++) {
      const segment = (first + i) % segments;
      const start = this.#segmentStarts[segment] as number;
      const end = this.#segmentStarts[segment + 1] as number;
      this.#sort(segment, start, end);
      for (
        let index = i === 0 ? firstFrom(points, start, end, position * MAX_NODES) : start;
        index < end;
        index++
      ) {
        const node = members.get(this.#keys[(points[index] as number) % MAX_NODES] as string);
        if (node !== undefined) return node;
      }
    }
    return undefined;
  }

  #sort(segment: number, start: number, end: number): void {
    if (this.#isSorted[segment] === 1) return;
    this.#points.subarray(start, end).sort();
    this.#isSorted[segment] = 1;
  }
}

/** The index of the first point from `start` to `end` that is not less; `end` if all are less. */
function firstFrom(points: Float64Array, start: number, end: number, least: number): number {
  let low = start;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One ring, and the lists whose nodes are all on it. */
class RingCache {
  /** The nodes of each list by key. */
  readonly #membersByList = new WeakMap<readonly ServiceNode[], ReadonlyMap<string, ServiceNode>>();
  #ring = new Ring([]);
  #ringKeys: ReadonlySet<string> = new Set();
  /** Maps whose keys are all on the ring. */
  #onRing = new WeakSet<ReadonlyMap<string, ServiceNode>>();

  find(nodes: readonly ServiceNode[], position: number): ServiceNode | undefined {
    let members = this.#membersByList.get(nodes);
    if (members === undefined) {
      members = new Map(nodes.map((node) => [nodeKey(node), node]));
      this.#membersByList.set(nodes, members);
    }
    if (!this.#onRing.has(members)) this.#prepare(members);
    return this.#ring.find(position, members);
  }

  /**
   * Makes a ring for the list, unless the current ring has all of its nodes and at most twice as
   * many: a shorter list, such as that of a retry, uses the ring of the longer one.
   */
  #prepare(members: ReadonlyMap<string, ServiceNode>): void {
    const fits =
      members.size * 2 >= this.#ringKeys.size &&
      [...members.keys()].every((key) => this.#ringKeys.has(key));
    if (!fits) {
      this.#ringKeys = new Set(members.keys());
      this.#ring = new Ring([...this.#ringKeys]);
      this.#onRing = new WeakSet();
    }
    this.#onRing.add(members);
  }
}

/**
 * Picks the same node for the same key, in every consumer that has the same list. When one of n
 * nodes joins or leaves, about one in n keys moves. The keys of a node that is ejected, unavailable
 * or already tried go to the next node on the ring, and return later. If `key` does not return a
 * string, the call fails with INTERNAL. Throws BAD_OPTION.
 */
export function consistentHash(key: (call: Call) => string): Balancer {
  if (typeof key !== 'function')
    throw badOption('key', key, 'a function of the call that returns a string');
  return () => {
    const rings = new RingCache();
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
