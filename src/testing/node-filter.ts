/** How a test selects the nodes of a registry. */
import { badOption } from '../core/options.js';
import type { ServiceNode } from '../micro/types.js';

/** Selects entries: the properties that they must have, or a function. Without one: all entries. */
export type NodeFilter = Partial<ServiceNode> | ((node: ServiceNode) => boolean);

/** Throws BAD_OPTION. */
export function selectorOf(filter: NodeFilter = {}): (node: ServiceNode) => boolean {
  if (typeof filter === 'function') return filter;
  if (typeof filter !== 'object' || filter === null)
    throw badOption('filter', filter, 'properties of a node, or a function');
  const properties = Object.entries(filter);
  return (node) => properties.every(([name, value]) => Reflect.get(node, name) === value);
}
