/** The balancer consistentHash(). */
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { nodeKey } from '../snapshots.js';
import type { Balancer, ServiceNode } from '../types.js';
import { HashRing, hash } from './hash-ring.js';

/** The ring is built anew when nodes that joined later would be more than one in so many. */
const MAX_ADDED_SHARE = 16;
/** A list with less than this share of the nodes of the ring is short. */
const SHORT_SHARE = 8;
/** The ring is built anew for a short list after so many picks from short lists in a row. */
const MAX_SHORT_PICKS = 256;

type NodesBySlot = readonly (ServiceNode | undefined)[];

/**
 * A ring for one list after another. Nodes that join are added to it, and those that leave are
 * skipped, because to build the ring of thousands of nodes takes tens of milliseconds.
 */
class ListRing {
  #ring = new HashRing([]);
  /** The nodes that the ring was built for. */
  #built: readonly ServiceNode[] = [];
  /** The slot of each node that was in a list. */
  #slotByNode = new WeakMap<ServiceNode, number>();
  /** Undefined until a node joins or is replaced. */
  #slotByKey: Map<string, number> | undefined;
  /** The nodes of each list by slot. */
  #slotsByList = new WeakMap<readonly ServiceNode[], NodesBySlot>();
  #shortPicks = 0;

  /** The node of `nodes` at `position`. */
  find(nodes: readonly ServiceNode[], position: number): ServiceNode | undefined {
    const isShort = nodes.length * SHORT_SHARE < this.#ring.slots;
    this.#shortPicks = isShort ? this.#shortPicks + 1 : 0;
    if (this.#shortPicks > MAX_SHORT_PICKS) this.#build(nodes);
    let bySlot = this.#slotsByList.get(nodes);
    if (bySlot === undefined) {
      bySlot = this.#addList(nodes);
      this.#slotsByList.set(nodes, bySlot);
    }
    return this.#ring.find(position, bySlot);
  }

  #build(nodes: readonly ServiceNode[]): void {
    this.#ring = new HashRing(nodes);
    // A copy, because a registry of a program may change its array.
    this.#built = [...nodes];
    this.#slotByNode = new WeakMap();
    this.#slotByKey = undefined;
    this.#slotsByList = new WeakMap();
    this.#shortPicks = 0;
    nodes.forEach((node, slot) => void this.#slotByNode.set(node, slot));
  }

  #addList(nodes: readonly ServiceNode[]): NodesBySlot {
    const unknown = nodes.filter((node) => this.#slotOf(node) === undefined);
    const added = this.#ring.slots - this.#built.length + unknown.length;
    if (added * MAX_ADDED_SHARE > this.#built.length) this.#build(nodes);
    else for (const node of unknown) this.#add(node);
    const bySlot = new Array<ServiceNode | undefined>(this.#ring.slots).fill(undefined);
    for (const node of nodes) bySlot[this.#slotOf(node) as number] = node;
    return bySlot;
  }

  /** Undefined: no node with this key is on the ring. */
  #slotOf(node: ServiceNode): number | undefined {
    const known = this.#slotByNode.get(node);
    if (known !== undefined || this.#built.length === 0) return known;
    this.#slotByKey ??= new Map(this.#built.map((each, slot) => [nodeKey(each), slot]));
    const slot = this.#slotByKey.get(nodeKey(node));
    if (slot !== undefined) this.#slotByNode.set(node, slot);
    return slot;
  }

  #add(node: ServiceNode): void {
    const slot = this.#ring.add(node);
    this.#slotByNode.set(node, slot);
    this.#slotByKey?.set(nodeKey(node), slot);
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
    const ring = new ListRing();
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
      return ring.find(nodes, hash(text)) as ServiceNode;
    };
  };
}
