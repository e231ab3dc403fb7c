/** The services of a target: those of one server, or those of all nodes of a registry. */
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import type { ServiceNode } from '../../micro/index.js';
import type { ServiceDescription } from '../../rpc/index.js';
import type { Output } from '../output/output.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { describeServer } from '../target/introspection.js';
import { publishedNodes } from '../target/published-nodes.js';
import { connectTo, nodesOf } from '../target/server-connection.js';
import type { Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';

/** The most nodes of one service that are asked until one of them answers. */
const MAX_NODES_ASKED = 5;

/** The services of one server. */
export async function servicesAt(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<ServiceDescription[]> {
  const client = await connectTo(address, options, terminal);
  try {
    return await describeServer(client, terminal);
  } finally {
    client.destroy();
  }
}

/**
 * The services of a server, or all services that a registry lists. `service`: only this one. Each
 * version of a service is asked of one node that answers. Rejects if a service that is given, or
 * all of them, cannot be described.
 */
export async function servicesOf(
  target: Target,
  service: string | undefined,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<ServiceDescription[]> {
  if (target.kind === 'address') return servicesAt(target.url, options, terminal);
  const nodes = await untilAborted(publishedNodes(target.url), terminal.signal);
  const selected = service === undefined ? nodes : nodesOf(nodes, { service });
  const found: ServiceDescription[] = [];
  let failure: unknown;
  for (const versionNodes of byVersion(selected)) {
    try {
      found.push(await askNodes(versionNodes, options, terminal, output));
    } catch (error) {
      failure = error;
    }
  }
  if (found.length === 0 && failure !== undefined) throw failure;
  return found;
}

/** The nodes of each version of each service. */
function byVersion(nodes: readonly ServiceNode[]): ServiceNode[][] {
  const groups = new Map<string, ServiceNode[]>();
  for (const node of nodes) {
    const key = JSON.stringify([node.service, node.version]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [node]);
    else if (!group.some(({ address }) => address === node.address)) group.push(node);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

/** The service of these nodes, which all offer the same version. Rejects if none describes it. */
async function askNodes(
  nodes: readonly ServiceNode[],
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<ServiceDescription> {
  let failure: unknown;
  for (const { id, address, service, version } of nodes.slice(0, MAX_NODES_ASKED)) {
    try {
      const services = await servicesAt(address, options, terminal);
      const found = services.find((each) => each.name === service && each.version === version);
      if (found !== undefined) return found;
      failure = new Error(`node ${id} is published for ${service} and does not offer it`);
    } catch (error) {
      if (terminal.signal.aborted) throw error;
      failure = error;
    }
    output.progress(`${service} ${version} at node ${id}: ${messageOf(failure)}`);
  }
  throw failure;
}
