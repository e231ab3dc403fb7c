/** The nodes that a registry has now. */
import type { Registry, ServiceNode } from '../../micro/index.js';
import { registry as openRegistry } from '../../registries/index.js';

/** A command reports an outage itself. */
const SILENT = { info() {}, warn() {} };

/** Opens a registry that does not wait for a server that is away, and logs nothing. */
export function openQuietRegistry(url: string): Promise<Registry> {
  return openRegistry(url, { waitForRegistry: false, logger: SILENT });
}

/** All nodes. Rejects with REGISTRY_FAILED, BAD_ADDRESS or BAD_OPTION. */
export async function publishedNodes(url: string): Promise<readonly ServiceNode[]> {
  await using registry = await openQuietRegistry(url);
  return await registry.list();
}
