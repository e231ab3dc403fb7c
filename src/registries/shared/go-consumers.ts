/**
 * Replacing an entry so that Go consumers see it. A Go consumer takes each write of an etcd key for
 * one more node, and does not see a ZooKeeper node that is replaced or changed under its name. So
 * the old entry is deleted, and the new one is created after a pause. Meanwhile the node has an
 * entry under another id, so that no list is without it.
 */

/** Milliseconds between the deletion and the creation, in which a Go consumer reads its list. */
export const GO_PAUSE = 500;
const SUFFIX = '-replacing';

/**
 * The path and value of the entry that stands while the entry is replaced. Values are those of
 * entryValue().
 */
export function standIn(
  path: string,
  value: string,
): { readonly path: string; readonly value: string } {
  const entry = JSON.parse(value) as { Nodes: [{ ID: string }] };
  entry.Nodes[0].ID += SUFFIX;
  return { path: path + SUFFIX, value: JSON.stringify(entry) };
}
