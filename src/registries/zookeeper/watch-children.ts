/** Reads and watches the children of a node that may not exist. */
import { zooKeeperReasonOf } from './client/errors.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import type { Watcher } from './types.js';

/**
 * Returns the names of the children, none if the node does not exist. `watch` is called at the next
 * change of them, or when the node is created.
 */
export async function watchChildren(
  client: ZooKeeperClient,
  path: string,
  watch: Watcher,
): Promise<string[]> {
  for (;;) {
    try {
      return await client.getChildren(path, { watch });
    } catch (error) {
      if (zooKeeperReasonOf(error) !== 'NO_NODE') throw error;
    }
    // If the node was created meanwhile, its children are read again.
    if ((await client.exists(path, { watch })) === undefined) return [];
  }
}
