/** The balancer zoneFirst(): nodes of the own zone, as long as they have enough capacity. */
import {
  badOption,
  checkNames,
  checkNumber,
  checkObject,
  type NamesOf,
  withDefaults,
} from '../../core/options.js';
import { checkZone, ZONE_KEY } from '../registry-entry.js';
import type { Balancer, ServiceNode } from '../types.js';
import { makePicker } from './make-picker.js';
import { guardedRandom, RANDOM_NAMES, type RandomOptions } from './random.js';
import { roundRobin } from './round-robin.js';
import { weightOf } from './weighted.js';

/** Options of zoneFirst(). */
export interface ZoneFirstOptions extends RandomOptions {
  /** The zone of this consumer: what providers in it have as ProvideOptions.zone. */
  zone: string;
  /**
   * Picks the node in the zone that gets the call, and the node of other zones for calls that spill
   * over. Default: roundRobin().
   */
  balancer?: Balancer | undefined;
  /**
   * The part of `capacity` that suffices for all calls: above 0, to 1. Default: 0.7, so the zone
   * keeps all calls while 70 % of its nodes are available.
   */
  threshold?: number | undefined;
  /**
   * The weight that the nodes of the zone have together when all of them run; each has 100 unless
   * its provider gives another. Default: the weight of those in the list of the registry. Then
   * nodes that have left the list do not count as missing.
   */
  capacity?: number | undefined;
}

const NAMES = {
  zone: true,
  balancer: true,
  threshold: true,
  capacity: true,
  ...RANDOM_NAMES,
} satisfies NamesOf<ZoneFirstOptions>;

/** Defaults of ZoneFirstOptions. */
export const ZONE_FIRST_DEFAULTS = { threshold: 0.7 } satisfies Partial<ZoneFirstOptions>;

/** A list, divided into the nodes of the own zone and the others. */
interface Split {
  /** The list of the registry for which `share` was computed. */
  readonly listed: readonly ServiceNode[];
  readonly own: readonly ServiceNode[];
  readonly others: readonly ServiceNode[];
  /** The part of the calls that the own zone gets. */
  readonly share: number;
}

/**
 * Picks nodes of the own zone while their weight is at least `threshold` of `capacity`. With less,
 * the zone gets calls in proportion to its weight, and the rest goes to the nodes of other zones:
 * at half of the weight that suffices, half of the calls. Nodes that are ejected, unavailable or
 * tried before count as missing. Nodes without a zone belong to another zone. A zone whose nodes
 * have the weight 0 gets no calls, unless all nodes have 0. Throws BAD_OPTION.
 */
export function zoneFirst(options: ZoneFirstOptions): Balancer {
  checkObject('options of zoneFirst()', options);
  checkNames('zoneFirst()', options, NAMES);
  const { zone, balancer = roundRobin(), capacity } = options;
  checkZone(zone);
  if (typeof balancer !== 'function')
    throw badOption('balancer', balancer, 'a balancer, such as roundRobin()');
  const { threshold } = withDefaults(ZONE_FIRST_DEFAULTS, options, {
    threshold: [Number.MIN_VALUE, 1],
  });
  if (capacity !== undefined) checkNumber('capacity', capacity, Number.MIN_VALUE, Number.MAX_VALUE);
  const nextRandom = guardedRandom(options);
  return () => {
    const pickOwn = makePicker(balancer);
    const pickOther = makePicker(balancer);
    // A list stays the same object until it changes.
    const splits = new WeakMap<readonly ServiceNode[], Split>();
    return (nodes, call, load, listed = nodes) => {
      let split = splits.get(nodes);
      if (split === undefined || split.listed !== listed) {
        split = splitByZone(nodes, listed, zone, threshold, capacity);
        splits.set(nodes, split);
      }
      const { own, others, share } = split;
      const isOwn = share === 1 || (share > 0 && nextRandom() < share);
      return isOwn ? pickOwn(own, call, load, listed) : pickOther(others, call, load, listed);
    };
  };
}

function splitByZone(
  nodes: readonly ServiceNode[],
  listed: readonly ServiceNode[],
  zone: string,
  threshold: number,
  capacity: number | undefined,
): Split {
  const isOwn = ({ metadata }: ServiceNode): boolean => metadata[ZONE_KEY] === zone;
  const own = nodes.filter(isOwn);
  const others = nodes.filter((node) => !isOwn(node));
  const enough = threshold * (capacity ?? totalWeight(listed.filter(isOwn)));
  const ownWeight = totalWeight(own);
  let share = ownWeight === 0 ? 0 : Math.min(1, ownWeight / enough);
  // Calls must not spill over to nodes that should get none.
  if (own.length > 0 && totalWeight(others) === 0) share = 1;
  return { listed, own, others, share };
}

function totalWeight(nodes: readonly ServiceNode[]): number {
  return nodes.reduce((sum, node) => sum + weightOf(node), 0);
}
