/**
 * How an entry is replaced so that Go consumers see it. A Go consumer counts each write of an etcd
 * key as one more node. It does not see that a ZooKeeper node is replaced or changed. So the old
 * entry is deleted, and the new one is created after a pause. In the pause a stand-in entry under
 * another id keeps the node in every list.
 */

/** Milliseconds between the deletion and the creation, in which a Go consumer reads its list. */
export const GO_CONSUMER_PAUSE = 500;
const SUFFIX = '-replacing';

/** Returns the path and value of the stand-in entry. Values are those of entryValue(). */
export function standInEntry(
  path: string,
  value: string,
): { readonly path: string; readonly value: string } {
  const entry = JSON.parse(value) as { Nodes: [{ ID: string }] };
  entry.Nodes[0].ID += SUFFIX;
  return { path: path + SUFFIX, value: JSON.stringify(entry) };
}
