/** The services of a target: those of one server, or those of all nodes of a registry. */
import type { FileRegistry } from '@bufbuild/protobuf';
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import { within } from '../../core/timers.js';
import type { ServiceNode } from '../../micro/index.js';
import { RpcError, type ServiceDescription } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import { type ConnectionOptions, DEFAULT_TIMEOUT } from '../target/connection-options.js';
import { DescriptorReader } from '../target/descriptors.js';
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

/** How often the time of one call describing the services of one server may take. */
const MAX_TIMEOUTS = 6;

/** The services of one server. `hasDescriptors`: of which services the descriptors are read. */
async function servicesAt(
  address: string,
  hasDescriptors: (service: string) => boolean,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<DescribedService[]> {
  const client = await connectTo(address, options, terminal);
  const describeAll = async (): Promise<DescribedService[]> => {
    const descriptors = new DescriptorReader(client, terminal);
    const described: DescribedService[] = [];
    for (const each of await describeServer(client, terminal)) {
      const isAsked = hasProtobuf(each) && hasDescriptors(each.name);
      described.push(isAsked ? { ...each, registry: await descriptors.read(each.name) } : each);
    }
    if (descriptors.isFull)
      output.progress('the server has too many descriptors; those of some services are not shown');
    return described;
  };
  const limit = MAX_TIMEOUTS * (options.timeout ?? DEFAULT_TIMEOUT);
  const late = (): Error =>
    new RpcError('DEADLINE_EXCEEDED', `the server has not described its services in ${limit} ms`);
  try {
    return await within(limit, describeAll(), late);
  } finally {
    client.destroy();
  }
}

function hasProtobuf({ methods }: ServiceDescription): boolean {
  return methods.some(({ input, output }) =>
    [input, output].some((each) => each?.type !== undefined),
  );
}

/** What is described. */
export interface DescribeSettings {
  /** Only this service. Default: all. */
  readonly service?: string | undefined;
  /** Whether to read the descriptors of services that have Protobuf messages. Default: false. */
  readonly needsDescriptors?: boolean;
  /**
   * Whether to reject if the nodes of a service fail for another reason than a lack of
   * introspection, which may be temporary. Default: false.
   */
  readonly needsAnswers?: boolean;
}

/**
 * The services of a server, or all services that a registry lists, and those that could not be
 * read. Each version of a service is asked of one node that answers. Rejects if a service that is
 * given, or all of them, cannot be described.
 */
export async function describeFleet(
  target: Target,
  { service, needsDescriptors = false, needsAnswers = false }: DescribeSettings,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<FleetDescription> {
  const hasDescriptors = (name: string): boolean =>
    needsDescriptors && (service === undefined || service === name);
  if (target.kind === 'address') {
    const services = await servicesAt(target.url, hasDescriptors, options, terminal, output);
    return { services, unread: [] };
  }
  const nodes = await untilAborted(publishedNodes(target.url), terminal.signal);
  const selected = service === undefined ? nodes : nodesOf(nodes, { service });
  const found: DescribedService[] = [];
  const unread: UnreadService[] = [];
  let failure: unknown;
  for (const versionNodes of byVersion(selected)) {
    try {
      const described = await askNodes(versionNodes, hasDescriptors, options, terminal, output);
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
  hasDescriptors: (service: string) => boolean,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<DescribedService> {
  let failure: unknown;
  let lack: unknown;
  for (const { id, address, service, version } of nodes.slice(0, MAX_NODES_ASKED)) {
    let error: unknown;
    try {
      const isAsked = (name: string): boolean => name === service && hasDescriptors(name);
      const services = await servicesAt(address, isAsked, options, terminal, output);
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
