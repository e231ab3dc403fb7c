/** Consumer.explain(): why each node receives calls, or does not. */
import { callAsync } from '../core/callbacks.js';
import { messageOf } from '../core/errors.js';
import { nearestTo } from '../core/options.js';
import { within } from '../core/timers.js';
import { Resolver } from './resolver.js';
import { nodeKey } from './snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from './types.js';

/** One node, as a consumer sees it. */
export interface ExplainedNode {
  readonly node: ServiceNode;
  /** Whether the balancer may pick it. */
  readonly candidate: boolean;
  /** Why, as text for logs and diagnostics. */
  readonly reason: string;
  /** Calls of this consumer to the node that are in flight. */
  readonly inFlight: number;
  /**
   * Milliseconds: a moving average over the calls of this consumer. 0: no call has been answered.
   */
  readonly latency: number;
}

/** The nodes of a service, as a consumer sees them. */
export interface Explanation {
  /** What the consumer asks the registry for. */
  readonly query: ServiceQuery;
  /** Whether the registry has given a list yet. */
  readonly ready: boolean;
  /**
   * Why the registry cannot be reached, with its address, as text for logs and diagnostics.
   * Undefined: no failure is known.
   */
  readonly registryFailure: string | undefined;
  /** Nodes that calls may use. */
  readonly candidates: readonly ExplainedNode[];
  /**
   * Nodes that calls may not use: first nodes of the query, which are ejected or unavailable (see
   * `reason`), then nodes of other groups, versions and codecs.
   */
  readonly leftOut: readonly ExplainedNode[];
  /**
   * If the registry has no node of the service: the published service whose name differs by few
   * letters. Undefined: there is none.
   */
  readonly similarService: string | undefined;
}

/**
 * All nodes of the service in all groups, versions and codecs; none if the registry gives no list
 * within `timeout` ms.
 */
export async function findAllNodes(
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
 * The service in the registry whose name is most like `service`; undefined if there is none, or if
 * the registry gives no list within `timeout` ms.
 */
export async function findSimilarService(
  registry: Registry,
  service: string,
  timeout: number,
): Promise<string | undefined> {
  try {
    const nodes = await within(
      timeout,
      callAsync(() => registry.list()),
      () => new Error('too late'),
    );
    return nearestTo(service, [...new Set(nodes.map((node) => node.service))]);
  } catch {
    return undefined;
  }
}

/**
 * Makes the explanation. `listed`: the nodes of the resolver's list. `all`: the nodes of the
 * service in all groups, versions and codecs; empty if the registry did not answer.
 */
export function explain(
  { query, isReady, failure }: Resolver,
  listed: readonly ExplainedNode[],
  all: readonly ServiceNode[],
  similarService: string | undefined,
): Explanation {
  const keys = new Set(listed.map(({ node }) => nodeKey(node)));
  const others = all
    .map((node) => asAsked(node, query))
    .filter((node) => !keys.has(nodeKey(node)))
    .map((node) => ({
      node,
      candidate: false,
      reason: mismatch(node, query),
      inFlight: 0,
      latency: 0,
    }));
  return {
    query,
    ready: isReady,
    registryFailure: failure === undefined ? undefined : messageOf(failure),
    candidates: listed.filter(({ candidate }) => candidate),
    leftOut: [...listed.filter(({ candidate }) => !candidate), ...others],
    similarService,
  };
}

/** The node with the fields that its registry does not know as the query asks for them. */
function asAsked(node: ServiceNode, query: ServiceQuery): ServiceNode {
  if (node.assumed === undefined) return node;
  const asked = node.assumed.filter((name) => query[name]).map((name) => [name, query[name]]);
  return { ...node, ...Object.fromEntries(asked) };
}

function mismatch(node: ServiceNode, query: ServiceQuery): string {
  const differences = (['group', 'version', 'protocol'] as const)
    .filter((name) => query[name] && query[name] !== node[name])
    .map(
      (name) =>
        `its ${name === 'protocol' ? 'codec' : name} is ${JSON.stringify(node[name])}, this consumer needs ${JSON.stringify(query[name])}`,
    );
  return differences.join('; ') || 'not in the list of this consumer yet';
}
