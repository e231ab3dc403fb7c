/** Why calls go where they go: what a consumer thinks of each node. */
import { messageOf } from '../core/errors.js';
import { Resolver } from './resolver.js';
import { nodeKey } from './snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from './types.js';

export interface ExplainedNode {
  readonly node: ServiceNode;
  /** Whether the balancer is given it. */
  readonly candidate: boolean;
  /** For people to read. */
  readonly reason: string;
  /** Calls of this consumer under way at it. */
  readonly inFlight: number;
  /** Milliseconds that calls of this consumer have taken of late; 0: none was answered. */
  readonly latency: number;
}

export interface Explanation {
  /** What the registry is asked for. */
  readonly query: ServiceQuery;
  /** Whether the registry has given a list yet. */
  readonly ready: boolean;
  /**
   * Why the registry cannot be asked, with its address, for people to read; undefined: it can, as
   * far as is known.
   */
  readonly registryFailure: string | undefined;
  /** Those that calls may go to. */
  readonly candidates: readonly ExplainedNode[];
  /** Those that they do not go to, other groups, versions and codecs of the service among them. */
  readonly leftOut: readonly ExplainedNode[];
}

/**
 * All nodes of the service, whatever they are. Empty when the registry does not tell within
 * `timeout` ms.
 */
export async function everyNode(
  registry: Registry,
  service: string,
  timeout: number,
): Promise<readonly ServiceNode[]> {
  await using resolver = new Resolver(registry, { service });
  try {
    return await resolver.ready({ timeout });
  } catch {
    return [];
  }
}

/**
 * `known`: what is thought of the nodes of the resolver's query; `every`: all nodes of its service.
 */
export function explain(
  { query, isReady, failure }: Resolver,
  known: readonly ExplainedNode[],
  every: readonly ServiceNode[],
): Explanation {
  const keys = new Set(known.map(({ node }) => nodeKey(node)));
  const others = every
    .filter((node) => !keys.has(nodeKey(node)))
    .map((node) => ({
      node,
      candidate: false,
      reason: difference(node, query),
      inFlight: 0,
      latency: 0,
    }));
  return {
    query,
    ready: isReady,
    registryFailure: failure === undefined ? undefined : messageOf(failure),
    candidates: known.filter(({ candidate }) => candidate),
    leftOut: [...known.filter(({ candidate }) => !candidate), ...others],
  };
}

function difference(node: ServiceNode, query: ServiceQuery): string {
  const differences = (['group', 'version', 'protocol'] as const)
    .filter((name) => query[name] && query[name] !== node[name])
    .map(
      (name) =>
        `its ${name} is ${JSON.stringify(node[name])}, asked for is ${JSON.stringify(query[name])}`,
    );
  return differences.join('; ') || 'it has just come';
}
