/** Reads every entry below a root once. */
import { parseEntry, readAttributes } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import { zooKeeperReasonOf } from './client/errors.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import { READ_BATCH } from './entry-group.js';

/**
 * Returns all nodes, in any order, and skips invalid entries. `root`: '' for `/`. Rejects with a
 * ZooKeeperError.
 */
export async function listNodes(client: ZooKeeperClient, root: string): Promise<ServiceNode[]> {
  await client.sync(root || '/');
  const nodes: ServiceNode[] = [];
  for (const attributes of (await childrenOf(client, root || '/')).filter(isOfProviders)) {
    const path = `${root}/${attributes}`;
    const ids = await childrenOf(client, path);
    for (let at = 0; at < ids.length; at += READ_BATCH) {
      const batch = ids.slice(at, at + READ_BATCH);
      const read = batch.map((id) => readNode(client, path, attributes, id));
      for (const node of await Promise.all(read)) if (node !== undefined) nodes.push(node);
    }
  }
  return nodes;
}

async function childrenOf(client: ZooKeeperClient, path: string): Promise<string[]> {
  try {
    return await client.getChildren(path);
  } catch (error) {
    if (zooKeeperReasonOf(error) === 'NO_NODE') return [];
    throw error;
  }
}

function isOfProviders(attributes: string): boolean {
  const read = readAttributes(attributes);
  return 'role' in read && read.role === 'SRT_Provider';
}

async function readNode(
  client: ZooKeeperClient,
  path: string,
  attributes: string,
  id: string,
): Promise<ServiceNode | undefined> {
  let data: Buffer;
  try {
    ({ data } = await client.getData(`${path}/${id}`));
  } catch (error) {
    if (zooKeeperReasonOf(error) === 'NO_NODE' || zooKeeperReasonOf(error) === 'NO_AUTH')
      return undefined;
    throw error;
  }
  try {
    return parseEntry({ attributes, id }, data.toString());
  } catch {
    return undefined;
  }
}
