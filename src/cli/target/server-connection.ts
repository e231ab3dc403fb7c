/**
 * Connects to the server that a target means: the server of an address, or a node of a registry.
 */
import { messageOf } from '../../core/errors.js';
import { nearestTo } from '../../core/options.js';
import { redactUrl } from '../../core/redact.js';
import { untilAborted } from '../../core/signals.js';
import type { ServiceNode } from '../../micro/index.js';
import {
  type CodecName,
  connect,
  type RpcClient,
  type RpcClientOptions,
  RpcError,
} from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import type { Terminal } from '../terminal.js';
import { type ConnectionOptions, clientOptions } from './connection-options.js';
import { publishedNodes } from './published-nodes.js';
import type { Target } from './target.js';

/** Which nodes of a registry are meant. An undefined property matches every node. */
export interface NodeFilter {
  readonly service: string;
  readonly version?: string | undefined;
  readonly group?: string | undefined;
  readonly codec?: CodecName | undefined;
  /** Nodes with this codec are meant if there are any. */
  readonly preferredCodec?: CodecName | undefined;
  /** An id or an address. */
  readonly node?: string | undefined;
}

/**
 * The user has asked for the reply, so it may be large. No peer waits for this process, so a long
 * turn of the event loop is harmless.
 */
const REPLY_LIMITS = { session: { maxMessageBytes: 2 ** 26 }, maxDecodedObjects: 10_000_000 };

export interface ServerConnection {
  readonly client: RpcClient;
  /** The address with its secrets, for another connection. */
  readonly address: string;
  /** The node, if the target is a registry. */
  readonly node: ServiceNode | undefined;
}

/** Connects to one address. Rejects with CONNECT_FAILED and others. `limits`: of what it sends. */
export function connectTo(
  address: string,
  options: ConnectionOptions,
  { environment, signal }: Terminal,
  limits: Pick<RpcClientOptions, 'session' | 'maxDecodedObjects'> = {},
): Promise<RpcClient> {
  return connect(address, { ...clientOptions(address, options, environment), ...limits, signal });
}

/**
 * Connects to the address of `target`, or to a random node of the registry that `filter` selects.
 * If a node cannot be reached, the next one is tried.
 */
export async function connectToServer(
  target: Target,
  filter: NodeFilter,
  options: ConnectionOptions,
  terminal: Terminal,
  output: Output,
): Promise<ServerConnection> {
  if (target.kind === 'address')
    return {
      client: await connectTo(target.url, options, terminal, REPLY_LIMITS),
      address: target.url,
      node: undefined,
    };
  const nodes = await untilAborted(publishedNodes(target.url), terminal.signal);
  const selected = shuffled(nodesOf(nodes, filter));
  let failure: unknown;
  for (const node of selected) {
    try {
      const client = await connectTo(node.address, options, terminal, REPLY_LIMITS);
      return { client, address: node.address, node };
    } catch (error) {
      failure = error;
      if (terminal.signal.aborted) break;
      if (selected.length > 1) output.progress(`node ${node.id}: ${messageOf(error)}`);
    }
  }
  throw failure;
}

/** Tells which node of a registry was chosen. */
export function tellNode({ node }: ServerConnection, output: Output): void {
  if (node !== undefined) output.progress(`node ${node.id} at ${redactUrl(node.address)}`);
}

/** Whether a node has the service, or is of a registry that does not know which ones it has. */
export function canOffer(node: ServiceNode, service: string): boolean {
  return node.service === service || node.assumed?.includes('service') === true;
}

/** The nodes that `filter` selects. Throws UNAVAILABLE, with advice, if there is none. */
export function nodesOf(nodes: readonly ServiceNode[], filter: NodeFilter): ServiceNode[] {
  const { service, version, group, codec, node: wanted } = filter;
  const ofService = nodes.filter((node) => canOffer(node, service));
  const isUnknown = (node: ServiceNode, field: 'version' | 'group' | 'protocol'): boolean =>
    node.assumed?.includes(field) === true;
  const selected = ofService.filter(
    (node) =>
      (version === undefined || node.version === version || isUnknown(node, 'version')) &&
      (group === undefined || node.group === group || isUnknown(node, 'group')) &&
      (codec === undefined || node.protocol === codec || isUnknown(node, 'protocol')) &&
      (wanted === undefined || node.id === wanted || node.address === wanted),
  );
  const preferred = selected.filter(({ protocol }) => protocol === filter.preferredCodec);
  if (codec === undefined && preferred.length > 0) return preferred;
  if (selected.length > 0) return selected;
  throw new AdvisedError(
    new RpcError('UNAVAILABLE', `no node offers ${nameOf(filter)}`, { unsent: true }),
    adviceFor(filter, nodes, ofService),
  );
}

function nameOf({ service, version, group, codec, node }: NodeFilter): string {
  return [
    service,
    version && `version ${version}`,
    group && `group ${group}`,
    codec && `in ${codec}`,
    node && `at node ${node}`,
  ]
    .filter(Boolean)
    .join(' ');
}

function adviceFor(
  { service, version = '' }: NodeFilter,
  nodes: readonly ServiceNode[],
  ofService: readonly ServiceNode[],
): string {
  if (nodes.length === 0) return 'the registry is empty; is it the root that providers use?';
  const similar = nearestTo(service, [...new Set(nodes.map((node) => node.service))]);
  if (ofService.length === 0 && similar !== undefined) return `did you mean ${similar}?`;
  const versions = [...new Set(ofService.map((node) => node.version))];
  const nearest = versions.includes(version) ? undefined : nearestTo(version, versions);
  if (version !== '' && nearest) return `did you mean version ${nearest}?`;
  return '`getty ls REGISTRY` shows what is published, and `getty explain REGISTRY SERVICE` why';
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
