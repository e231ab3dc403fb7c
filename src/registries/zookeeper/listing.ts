/** The children of a node that may not be there. */
import type { ZooKeeperClient } from './client.js';
import { reasonOf } from './errors.js';
import type { Watcher } from './types.js';

/**
 * Their names, and a watch that tells of any change of them; when the node is not there: none, and
 * a watch that tells when it is.
 */
export async function listing(
  client: ZooKeeperClient,
  path: string,
  watch: Watcher,
): Promise<string[]> {
  for (;;) {
    try {
      return await client.getChildren(path, { watch });
    } catch (error) {
      if (reasonOf(error) !== 'NO_NODE') throw error;
    }
    // It may have been made in between.
    if ((await client.exists(path, { watch })) === undefined) return [];
  }
}
