/**
 * What distinguishes two lists of nodes by the identity of their objects. Registries keep the
 * object of a node until its entry changes, so a list of thousands of nodes mostly has the objects
 * of the list before it.
 */
import type { ServiceNode } from './types.js';

type NodeList = readonly ServiceNode[];

/** The objects that only one of two lists has, each in the order of its list. */
export interface ListDifference {
  readonly removed: NodeList;
  readonly added: NodeList;
}

/** The difference of two lists, neither of which has an object twice. */
export function differenceOf(before: NodeList, after: NodeList): ListDifference {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end])
    end++;
  const old = before.slice(start, before.length - end);
  const fresh = after.slice(start, after.length - end);
  if (old.length === 0 || fresh.length === 0) return { removed: old, added: fresh };
  const [oldSet, freshSet] = [new Set(old), new Set(fresh)];
  return {
    removed: old.filter((node) => !freshSet.has(node)),
    added: fresh.filter((node) => !oldSet.has(node)),
  };
}
