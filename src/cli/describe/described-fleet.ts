/** The services of a target: those of one server, or those of all nodes of a registry. */
import type { FileRegistry } from '@bufbuild/protobuf';
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import type { ServiceNode } from '../../micro/index.js';
import type { ServiceDescription } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { descriptorsOf } from '../target/descriptors.js';
import { describeServer, hasNoIntrospection } from '../target/introspection.js';
import { publishedNodes } from '../target/published-nodes.js';
import { connectTo, nodesOf } from '../target/server-connection.js';
import type { Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';

/** A service with the descriptors of its Protobuf messages, if its server tells them. */
export interface DescribedService extends ServiceDescription {
  readonly registry?: FileRegistry | undefined;
  /** The groups of its nodes, if a registry lists them. */
  readonly groups?: readonly string[] | undefined;
}

/** The name and the version of a service that no node describes. */
type UnreadService = Pick<ServiceDescription, 'name' | 'version'>;

interface FleetDescription {
  readonly services: DescribedService[];
  /** The services whose nodes have no introspection. Always empty for an address. */
  readonly unread: UnreadService[];
}

/** The most nodes of one service that are asked until one of them answers. */
const MAX_NODES_ASKED = 5;

/** The services of one server. */
export async function servicesAt(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<DescribedService[]> {
  const client = await connectTo(address, options, terminal);
  try {
    const described: DescribedService[] = [];
    for (const service of await describeServer(client, terminal))
      described.push(
        hasProtobuf(service)
          ? { ...service, registry: await descriptorsOf(client, service.name, terminal) }
          : service,
      );
    return described;
  } finally {
    client.destroy();
  }
}

function hasProtobuf({ methods }: ServiceDescription): boolean {
  return methods.some(({ input, output }) =>
    [input, output].some((each) => each?.type !== undefined),
  );
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
): Promise<DescribedService[]> {
  return (await describeFleet(target, service, options, terminal, output, false)).services;
}

/**
 * As servicesOf(), with the services that could not be read. `needsAnswers`: rejects if the nodes
 * of a service fail for another reason than a lack of introspection, which may be temporary.
 */
export async function describeFleet(
  target: Target,
  service: string | undefined,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
  needsAnswers: boolean,
): Promise<FleetDescription> {
  if (target.kind === 'address')
    return { services: await servicesAt(target.url, options, terminal), unread: [] };
  const nodes = await untilAborted(publishedNodes(target.url), terminal.signal);
  const selected = service === undefined ? nodes : nodesOf(nodes, { service });
  const found: DescribedService[] = [];
  const unread: UnreadService[] = [];
  let failure: unknown;
  for (const versionNodes of byVersion(selected)) {
    try {
      const described = await askNodes(versionNodes, options, terminal, output);
      const same = selected.filter(
        (node) => node.service === described.name && node.version === described.version,
      );
      found.push({ ...described, groups: [...new Set(same.map(({ group }) => group))] });
    } catch (error) {
      if (terminal.signal.aborted) throw error;
      if (needsAnswers && !hasNoIntrospection(error)) throw error;
      failure = error;
      const [node] = versionNodes;
      if (node !== undefined) unread.push({ name: node.service, version: node.version });
    }
  }
  if (found.length === 0 && failure !== undefined) throw failure;
  return { services: found, unread };
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

/**
 * The service of these nodes, which all offer the same version. Rejects if none describes it: with
 * the lack of introspection only if that is true of all.
 */
async function askNodes(
  nodes: readonly ServiceNode[],
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<DescribedService> {
  let failure: unknown;
  let lack: unknown;
  for (const { id, address, service, version } of nodes.slice(0, MAX_NODES_ASKED)) {
    let error: unknown;
    try {
      const services = await servicesAt(address, options, terminal);
      const found = services.find((each) => each.name === service && each.version === version);
      if (found !== undefined) return found;
      error = new Error(`node ${id} is published for ${service} and does not offer it`);
    } catch (thrown) {
      if (terminal.signal.aborted) throw thrown;
      error = thrown;
    }
    if (hasNoIntrospection(error)) lack = error;
    else failure = error;
    const advice = error instanceof AdvisedError ? ` (${error.advice})` : '';
    output.progress(`${service} ${version} at node ${id}: ${messageOf(error)}${advice}`);
  }
  throw failure ?? lack;
}
