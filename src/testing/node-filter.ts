/** How a test selects the nodes of a registry. */
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import type { ServiceNode } from '../micro/types.js';

/**
 * Selects entries: the properties that they must have, or a function. Without one: all entries. Of
 * `metadata` an entry must have the given keys, and may have more.
 */
export type NodeFilter = Partial<ServiceNode> | ((node: ServiceNode) => boolean);

const NODE_NAMES = {
  id: true,
  service: true,
  group: true,
  version: true,
  protocol: true,
  address: true,
  metadata: true,
  assumed: true,
} satisfies NamesOf<ServiceNode>;

/** Throws BAD_OPTION. */
export function selectorOf(filter: NodeFilter = {}): (node: ServiceNode) => boolean {
  if (typeof filter === 'function') return filter;
  if (typeof filter !== 'object' || filter === null)
    throw badOption('filter', filter, 'properties of a node, or a function');
  checkNames('a filter of nodes', filter, NODE_NAMES);
  const { metadata = {}, ...others } = filter;
  if (typeof metadata !== 'object' || metadata === null)
    throw badOption('metadata', metadata, 'an object of strings');
  return (node) => hasAll(node, others) && hasAll(node.metadata, metadata);
}

function hasAll(owner: object, properties: object): boolean {
  return Object.entries(properties).every(([name, value]) => Reflect.get(owner, name) === value);
}
