/** Reads every entry under a root once. */
import { parseAttributes, parseEntry } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import type { ZooKeeperClient } from './client.js';
import { reasonOf } from './errors.js';

/** Entries that are read at a time. */
const BATCH = 200;

/**
 * All nodes, in any order; what is no entry is passed over. `root`: '' for `/`. Rejects with a
 * ZooKeeperError.
 */
export async function listNodes(client: ZooKeeperClient, root: string): Promise<ServiceNode[]> {
  await client.sync(root || '/');
  const nodes: ServiceNode[] = [];
  for (const attributes of (await childrenOf(client, root || '/')).filter(isProviders)) {
    const path = `${root}/${attributes}`;
    const ids = await childrenOf(client, path);
    for (let at = 0; at < ids.length; at += BATCH) {
      const read = ids.slice(at, at + BATCH).map((id) => readNode(client, path, attributes, id));
      for (const node of await Promise.all(read)) if (node !== undefined) nodes.push(node);
    }
  }
  return nodes;
}

async function childrenOf(client: ZooKeeperClient, path: string): Promise<string[]> {
  try {
    return await client.getChildren(path);
  } catch (error) {
    if (reasonOf(error) === 'NO_NODE') return [];
    throw error;
  }
}

function isProviders(name: string): boolean {
  try {
    return parseAttributes(name).role === 'SRT_Provider';
  } catch {
    return false;
  }
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
    if (reasonOf(error) === 'NO_NODE' || reasonOf(error) === 'NO_AUTH') return undefined;
    throw error;
  }
  try {
    return parseEntry({ attributes, id }, data.toString());
  } catch {
    return undefined;
  }
}
