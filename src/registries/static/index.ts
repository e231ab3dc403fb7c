/** A registry of addresses that the program gives. Nothing is published in it. */
import { gettyError } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { entryPath } from '../../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../../micro/snapshots.js';
import type { NodeRegistration, Registry, ServiceNode, ServiceQuery } from '../../micro/types.js';
import {
  allNodes,
  checkListed,
  checkServed,
  type ListedNode,
  nodesFor,
  refusedRegistration,
  SERVED_NAMES,
  withWeight,
  withZone,
} from '../shared/listed-nodes.js';
import { watchQuery } from '../shared/watch-query.js';

/** What all nodes serve that do not say it themselves. */
export interface StaticRegistryOptions {
  /** The only service of the nodes. Default: each node serves whatever a query asks for. */
  service?: string | undefined;
  /** The group of the nodes; '' means none. Default: whatever a query asks for. */
  group?: string | undefined;
  /** The version of the services; '' means none. Default: whatever a query asks for. */
  version?: string | undefined;
  /** The only codec of the nodes. Default: whatever a query asks for. */
  protocol?: 'json' | 'protobuf' | undefined;
}

export const STATIC_NAMES = SERVED_NAMES satisfies NamesOf<StaticRegistryOptions>;

/** A node of a static registry. A string stands for a node with this address and nothing else. */
export interface StaticNode extends StaticRegistryOptions {
  /** Such as `tcp://host:port`, `unix:///path` or `wss://host/path`. */
  address: string;
  /** Default: the address without its scheme, user and query, percent-encoded where needed. */
  id?: string | undefined;
  /** For weighted(): a whole number from 0 to 1,000,000. Default: 100. */
  weight?: number | undefined;
  /** For zoneFirst(): the zone of the node. Default: none. */
  zone?: string | undefined;
  /** Strings by key. Default: none. */
  metadata?: Readonly<Record<string, string>> | undefined;
}

const NODE_NAMES = {
  ...SERVED_NAMES,
  address: true,
  id: true,
  weight: true,
  zone: true,
  metadata: true,
} satisfies NamesOf<StaticNode>;

/** A registry whose list a program changes. */
export interface StaticRegistry extends Registry {
  /**
   * Replaces the whole list, and gives the new lists to all watches. Throws BAD_OPTION or
   * BAD_ADDRESS and keeps the list as it is, or REGISTRY_FAILED after the disposal.
   */
  update(nodes: readonly (string | StaticNode)[]): void;
}

/** All nodes of a list are compared for each query, so their number has a limit. */
const MAX_NODES = 10_000;

class ListRegistry implements StaticRegistry {
  readonly #options: StaticRegistryOptions;
  readonly #watches = new Map<SnapshotSink, ServiceQuery>();
  #listed: readonly ListedNode[];
  #isClosed = false;

  constructor(nodes: readonly (string | StaticNode)[], options: StaticRegistryOptions) {
    this.#options = options;
    this.#listed = readNodes(nodes, options);
  }

  update(nodes: readonly (string | StaticNode)[]): void {
    this.#checkOpen();
    this.#listed = readNodes(nodes, this.#options);
    for (const [sink, query] of this.#watches) sink.offer(nodesFor(this.#listed, query));
  }

  async register(node: ServiceNode): Promise<NodeRegistration> {
    this.#checkOpen();
    entryPath('', node);
    throw refusedRegistration('a static registry', node);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) => {
      if (this.#isClosed) return undefined;
      this.#watches.set(sink, query);
      sink.offer(nodesFor(this.#listed, query));
      return () => this.#watches.delete(sink);
    });
  }

  async list(): Promise<readonly ServiceNode[]> {
    this.#checkOpen();
    return sortedNodes(allNodes(this.#listed));
  }

  #checkOpen(): void {
    if (this.#isClosed) throw gettyError('REGISTRY_FAILED', 'the static registry is closed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const sink of [...this.#watches.keys()]) sink.end();
  }
}

function readNodes(
  given: readonly (string | StaticNode)[],
  options: StaticRegistryOptions,
): readonly ListedNode[] {
  if (!Array.isArray(given)) throw badOption('nodes', given, 'an array of addresses or nodes');
  if (given.length > MAX_NODES)
    throw badOption('nodes', `${given.length} nodes`, `at most ${MAX_NODES}`);
  const nodesById = new Map<string, ListedNode[]>();
  return given.map((one: unknown) => {
    const node = readNode(one, options);
    const others = nodesById.get(node.id) ?? [];
    if (others.some((other) => canBothAnswer(node, other)))
      throw badOption('id', node.id, 'an id that no other node has for what this one serves');
    others.push(node);
    nodesById.set(node.id, others);
    return node;
  });
}

/** Whether one query can match both. */
function canBothAnswer(a: ListedNode, b: ListedNode): boolean {
  return (['service', 'group', 'version', 'protocol'] as const).every(
    (name) => a[name] === undefined || b[name] === undefined || a[name] === b[name],
  );
}

function readNode(given: unknown, options: StaticRegistryOptions): ListedNode {
  const node = typeof given === 'string' ? { address: given } : given;
  if (typeof node !== 'object' || node === null)
    throw badOption('a node', given, 'an address such as tcp://host:port, or an object with one');
  checkNames('a node', node, NODE_NAMES);
  const { address, id, weight, zone, metadata = {}, ...served } = node as StaticNode;
  if (typeof metadata !== 'object' || metadata === null)
    throw badOption('metadata', metadata, 'an object of strings');
  const listed: ListedNode = {
    service: served.service ?? options.service,
    group: served.group ?? options.group,
    version: served.version ?? options.version,
    protocol: served.protocol ?? options.protocol,
    id: id ?? (typeof address === 'string' ? idOf(address) : ''),
    address,
    metadata: Object.freeze(withZone(withWeight({ ...metadata }, weight), zone)),
  };
  checkListed(listed);
  return listed;
}

/** `host:port` with the path. The user and the query may be secrets, and an id is shown. */
function idOf(address: string): string {
  const [, authority = '', path = ''] =
    /^[a-z]+:\/\/(?:[^/?#]*@(?=[^/?#]))?([^/?#]*)([^?#]*)/.exec(address) ?? [];
  return authority + (path.length > 1 ? encodeURIComponent(path) : '');
}

/**
 * Makes a registry of `nodes`: consumers call exactly these. A node serves whatever a query asks
 * for, unless the node or the options say otherwise. Nodes with the same id serve
 * different things. update() changes the
 * list. register() rejects with BAD_OPTION: start the servers with serve(). Throws BAD_OPTION, or
 * BAD_ADDRESS for an address that cannot be dialed.
 */
export function staticRegistry(
  nodes: readonly (string | StaticNode)[],
  options: StaticRegistryOptions = {},
): StaticRegistry {
  checkNames('staticRegistry()', options, STATIC_NAMES);
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object');
  checkServed(options);
  return new ListRegistry(nodes, { ...options });
}
