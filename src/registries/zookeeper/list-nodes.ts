/** Reads every entry below a root once. */
import { nextTurn, spend } from '../../core/turn.js';
import { MAX_ENTRY_BYTES, parseEntry, readAttributes } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';
import { type EntryBudget, entryBytes } from '../shared/entry-budget.js';
import { zooKeeperReasonOf } from './client/errors.js';
import { isName } from './client/path.js';
import type { ZooKeeperClient } from './client/zookeeper-client.js';
import { READ_BATCH } from './entry-group.js';

/** Units of core/turn.ts for one name below the root. */
const NAME_UNITS = 4;

/**
 * Returns all nodes, in any order, and skips invalid entries and those that do not fit. `root`: ''
 * for `/`. Rejects with a ZooKeeperError.
 */
export async function listNodes(
  client: ZooKeeperClient,
  root: string,
  budget: EntryBudget,
): Promise<ServiceNode[]> {
  await client.sync(root || '/');
  const nodes: ServiceNode[] = [];
  for (const name of await childrenOf(client, root || '/')) {
    if (spend(NAME_UNITS)) await nextTurn();
    if (!isName(name)) continue;
    const attributes = readAttributes(name);
    if ('why' in attributes || attributes.role !== 'SRT_Provider') continue;
    const ids = await childrenOf(client, `${root}/${name}`);
    for (let at = 0; at < ids.length; at += READ_BATCH) {
      const read = ids.slice(at, at + READ_BATCH).map(async (id) => {
        if (!isName(id)) return true;
        const path = `${root}/${name}/${id}`;
        const value = await readValue(client, path);
        const node = value === undefined ? undefined : parse(name, id, value);
        if (node === undefined) return true;
        if (!budget.add(entryBytes(path, value, attributes))) return false;
        nodes.push(node);
        return true;
      });
      if ((await Promise.all(read)).includes(false)) return nodes;
    }
  }
  return nodes;
}

async function childrenOf(client: ZooKeeperClient, path: string): Promise<string[]> {
  try {
    return (await client.firstChildren(path)).elements;
  } catch (error) {
    if (zooKeeperReasonOf(error) === 'NO_NODE') return [];
    throw error;
  }
}

/** undefined: the entry is gone, cannot be read, or is too large. */
async function readValue(client: ZooKeeperClient, path: string): Promise<string | undefined> {
  try {
    const { data } = await client.getData(path);
    return data.length > MAX_ENTRY_BYTES ? undefined : data.toString();
  } catch (error) {
    if (zooKeeperReasonOf(error) === 'NO_NODE' || zooKeeperReasonOf(error) === 'NO_AUTH')
      return undefined;
    throw error;
  }
}

/** undefined: the entry is invalid. */
function parse(attributes: string, id: string, value: string): ServiceNode | undefined {
  try {
    return parseEntry({ attributes, id }, value);
  } catch {
    return undefined;
  }
}
