/**
 * The nodes of one service, version and codec as a consumer sees them, and the picker among them.
 */
import { promiseOf } from '../../core/callbacks.js';
import { type Call, RpcError } from '../../rpc/index.js';
import type { ExplainedNode } from '../explain.js';
import type { Resolver } from '../resolver.js';
import { nodeKey } from '../snapshots.js';
import type { NodeCounts } from '../statistics.js';
import type { NodeLoad, Picker, ServiceNode } from '../types.js';
import { type EjectionSettings, type HealthHost, NodeHealth } from './health.js';
import type { Links } from './links.js';
import { NodeState } from './node-state.js';
import { SlowStart, shareAt } from './slow-start.js';

export interface PoolSettings {
  /** undefined: nobody is left out for failing. */
  readonly ejection: EjectionSettings | undefined;
  /** Milliseconds. */
  readonly slowStart: number;
}

const IDLE: NodeLoad = { inFlight: 0, latency: 0, failureRate: 0 };

export class Pool implements HealthHost {
  readonly resolver: Resolver;
  /** Part of HealthHost. */
  readonly ejected: () => void;
  readonly #picker: Picker;
  readonly #links: Links;
  readonly #settings: PoolSettings;
  /** What is known of a node stays when it says something else of itself. */
  #states = new Map<string, NodeState>();
  readonly #byNode = new Map<ServiceNode, NodeState>();
  readonly #load = (node: ServiceNode): NodeLoad => this.#byNode.get(node) ?? IDLE;
  /** Those of the list that are worth a call; undefined when it has to be found out anew. */
  #available: readonly ServiceNode[] | undefined;
  /** Those of them that a call can be sent to at once. */
  #connected: readonly ServiceNode[] | undefined;
  #slowStart: SlowStart | undefined;
  #hadNodes = false;
  ready = false;

  /** `ejected` is called when a node is left out because calls to it failed. */
  constructor(
    resolver: Resolver,
    picker: Picker,
    links: Links,
    settings: PoolSettings,
    ejected: () => void,
  ) {
    this.ejected = ejected;
    this.resolver = resolver;
    this.#picker = picker;
    this.#links = links;
    this.#settings = settings;
    resolver.onChange((_, nodes) => this.#listChanged(nodes));
  }

  /** Part of HealthHost; and for whatever else may change which nodes are worth a call. */
  changed(): void {
    this.#available = undefined;
    this.#connected = undefined;
  }

  /** Part of HealthHost. */
  mayEject(): boolean {
    let out = 0;
    for (const { health } of this.#states.values())
      if (health !== undefined && health.phase !== 'in') out++;
    return out < this.#mostOut();
  }

  /** The last call has ended. */
  forget(): void {
    for (const { health } of this.#states.values()) health?.forget();
  }

  stateOf(node: ServiceNode): NodeState {
    // A balancer may answer a node that is not in the list any more.
    return this.#byNode.get(node) ?? new NodeState(Number.NEGATIVE_INFINITY, undefined);
  }

  /** The node may not be connected yet. Throws UNAVAILABLE when no node is left. */
  pick(call: Call, tried: ReadonlySet<ServiceNode>): ServiceNode {
    return this.#pickOf(this.candidates(tried), call);
  }

  /** A node that a call can be sent to at once; undefined when there is none. */
  pickConnected(call: Call, tried: ReadonlySet<ServiceNode>): ServiceNode | undefined {
    this.#available ??= this.#findAvailable();
    this.#connected ??= this.#available.filter((node) => this.#links.isConnected(node.address));
    let nodes = untried(this.#connected, tried);
    // A node in backoff that is connected is better than one that is not.
    if (nodes.length === 0)
      nodes = this.candidates(tried).filter((node) => this.#links.isConnected(node.address));
    return nodes.length === 0 ? undefined : this.#pickOf(nodes, call);
  }

  /**
   * The nodes that a call may go to, not at an address that it has tried. Throws UNAVAILABLE when
   * no node is left.
   */
  candidates(tried: ReadonlySet<ServiceNode>): readonly ServiceNode[] {
    let nodes = untried(this.#candidates(), tried);
    // If every node left is in backoff, use one of them.
    if (nodes.length === 0) nodes = untried(this.resolver.nodes(), tried);
    if (nodes.length === 0)
      throw new RpcError('UNAVAILABLE', this.#noNode(tried.size), { unsent: true });
    return nodes;
  }

  #pickOf(nodes: readonly ServiceNode[], call: Call): ServiceNode {
    const node = this.#picker(nodes, call, this.#load);
    promiseOf(node)?.catch(() => {});
    if (typeof node?.address !== 'string')
      throw new RpcError('INTERNAL', 'the balancer answered none of the nodes that it was given', {
        unsent: true,
      });
    return node;
  }

  #candidates(): readonly ServiceNode[] {
    this.#available ??= this.#findAvailable();
    const slowStart = this.#slowStart;
    if (slowStart === undefined) return this.#available;
    if (!slowStart.over) return slowStart.list(Math.random());
    this.#slowStart = undefined;
    return this.#available;
  }

  #findAvailable(): readonly ServiceNode[] {
    const all = this.resolver.nodes();
    let left = this.#mostOut();
    const available = all.filter((node) => {
      if (!this.#links.isAvailable(node.address)) return false;
      const phase = this.#byNode.get(node)?.health?.phase ?? 'in';
      return phase === 'in' || phase === 'due' || left-- <= 0;
    });
    const nodes = available.length === 0 || available.length === all.length ? all : available;
    this.#slowStart =
      this.#settings.slowStart > 0
        ? new SlowStart(nodes, this.#settings.slowStart, (node) => this.stateOf(node).since)
        : undefined;
    return nodes;
  }

  #mostOut(): number {
    return Math.floor(this.resolver.nodes().length * (this.#settings.ejection?.share ?? 0));
  }

  #listChanged(nodes: readonly ServiceNode[]): void {
    const before = this.#states;
    // Those that were there before us are warm.
    const since = this.#hadNodes ? performance.now() : Number.NEGATIVE_INFINITY;
    this.#hadNodes ||= nodes.length > 0;
    this.#states = new Map();
    this.#byNode.clear();
    for (const node of nodes) {
      const key = nodeKey(node);
      const state = before.get(key) ?? this.#newState(since);
      before.delete(key);
      this.#states.set(key, state);
      this.#byNode.set(node, state);
    }
    for (const { health } of before.values()) health?.forget();
    this.changed();
  }

  #newState(since: number): NodeState {
    const { ejection } = this.#settings;
    return new NodeState(since, ejection && new NodeHealth(ejection, this));
  }

  #noNode(tried: number): string {
    const { service, version, group, protocol } = this.resolver.query;
    const what = [service, version && `version ${version}`, group && `group ${group}`, protocol]
      .filter(Boolean)
      .join(', ');
    return tried > 0 ? `no other node offers ${what}` : `no node offers ${what}`;
  }

  /** Adds the nodes of the list to `counts`, by state. */
  countNodes(counts: Record<keyof NodeCounts, number>): void {
    for (const node of this.resolver.nodes()) {
      const phase = this.#byNode.get(node)?.health?.phase ?? 'in';
      if (phase === 'out' || phase === 'probed') counts.ejected++;
      else if (this.#links.isConnected(node.address)) counts.connected++;
      else if (this.#links.isAvailable(node.address)) counts.idle++;
      else counts.unavailable++;
    }
  }

  /** Every node of the list, and what is thought of it. */
  explain(): ExplainedNode[] {
    this.#available ??= this.#findAvailable();
    const candidates = new Set(this.#available);
    return this.resolver.nodes().map((node) => {
      const state = this.stateOf(node);
      const candidate = candidates.has(node);
      const { inFlight, latency } = state;
      return { node, candidate, reason: this.#reason(node, state, candidate), inFlight, latency };
    });
  }

  #reason(node: ServiceNode, { health, since }: NodeState, candidate: boolean): string {
    const fault = this.#links.faultOf(node.address) ?? healthFault(health);
    if (fault !== undefined) return candidate ? `${fault}; no other is better` : fault;
    const share = shareAt(performance.now() - since, this.#settings.slowStart);
    if (share < 1) return `new: takes ${Math.round(share * 100)} % of its share`;
    return health?.phase === 'due'
      ? 'failed; one call finds out whether it is well again'
      : 'takes calls';
  }
}

/**
 * Without the addresses that the call has tried; the same array when it has tried none, which
 * balancers know theirs by.
 */
function untried(
  nodes: readonly ServiceNode[],
  tried: ReadonlySet<ServiceNode>,
): readonly ServiceNode[] {
  if (tried.size === 0) return nodes;
  const addresses = new Set([...tried].map((node) => node.address));
  return nodes.filter((node) => !addresses.has(node.address));
}

function healthFault(health: NodeHealth | undefined): string | undefined {
  if (health?.phase === 'out')
    return `${health.failures} calls in a row failed; left out for another ${Math.ceil(health.restsFor)} ms`;
  return health?.phase === 'probed'
    ? 'failed; one call is finding out whether it is well again'
    : undefined;
}
