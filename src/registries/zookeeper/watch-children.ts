/** Reads and watches the children of a node that may not exist. */
import { zooKeeperReasonOf } from './client/errors.js';
import type { Vector } from './client/jute.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import type { Watcher } from './types.js';

const NO_CHILDREN: Vector<string> = { elements: [], count: 0 };

/**
 * Returns the first 50,000 names of the children, none if the node does not exist, and how many
 * there are. `watch` is called at the next change of them, or when the node is created.
 */
export async function watchChildren(
  client: ZooKeeperClient,
  path: string,
  watch: Watcher,
): Promise<Vector<string>> {
  for (;;) {
    try {
      return await client.firstChildren(path, { watch });
    } catch (error) {
      if (zooKeeperReasonOf(error) !== 'NO_NODE') throw error;
    }
    // If the node was created meanwhile, its children are read again.
    if ((await client.exists(path, { watch })) === undefined) return NO_CHILDREN;
  }
}
