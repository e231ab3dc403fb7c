/** The nodes that `getty top` asks, and whether they offer the service that it shows. */
import type { Registry, ServiceNode } from '../../micro/index.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { describeServer, isOwnService } from '../target/introspection.js';
import { canOffer, connectTo, nodesOf } from '../target/server-connection.js';
import type { Terminal } from '../terminal.js';
import { unknownName } from '../unknown-name.js';

/** The addresses of nodes, with the id of one of the nodes at each. */
export type NodeAddresses = ReadonlyMap<string, string>;

/**
 * The nodes of a registry that offer `service`; all of them without it, and for a service of getty
 * itself, which is not published. None is no error.
 */
export async function addressesOf(registry: Registry, service?: string): Promise<NodeAddresses> {
  return addressMap(selectNodes(await registry.list(), service));
}

/** As addressesOf(). Rejects with AdvisedError if the registry has nodes, and none offers it. */
export async function firstAddressesOf(
  registry: Registry,
  service?: string,
): Promise<NodeAddresses> {
  const nodes = await registry.list();
  const selected = selectNodes(nodes, service);
  if (selected.length === 0 && nodes.length > 0 && service !== undefined)
    nodesOf(nodes, { service });
  return addressMap(selected);
}

/** Rejects with AdvisedError if the server of an address does not offer `service`. */
export async function checkOffered(
  address: string,
  service: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<void> {
  if (isOwnService(service)) return;
  const client = await connectTo(address, options, terminal);
  try {
    const names = (await describeServer(client, terminal)).map(({ name }) => name);
    if (!names.includes(service))
      throw unknownName(`the server does not offer ${service}`, service, names);
  } finally {
    client.destroy();
  }
}

function selectNodes(nodes: readonly ServiceNode[], service?: string): readonly ServiceNode[] {
  if (service === undefined || isOwnService(service)) return nodes;
  return nodes.filter((node) => canOffer(node, service));
}

const addressMap = (nodes: readonly ServiceNode[]): NodeAddresses =>
  new Map(nodes.map(({ address, id }) => [address, id]));
