/** The nodes of one service, version and codec, as a consumer sees them. */
import { promiseOf } from '../../core/callbacks.js';
import { type Call, RpcError } from '../../rpc/index.js';
import type { ExplainedNode } from '../explanation.js';
import { differenceOf } from '../list-difference.js';
import type { Resolver } from '../resolver.js';
import { nodeKey } from '../snapshots.js';
import type { NodeCounts } from '../statistics.js';
import type { NodeLoad, Picker, ServiceNode } from '../types.js';
import type { ClientCache } from './client-cache.js';
import { type EjectionSettings, type HealthHooks, NodeHealth } from './node-health.js';
import { NodeState } from './node-state.js';
import { SlowStart, shareAt } from './slow-start.js';
import { Subset, type SubsetOptions } from './subset.js';

/** The options of consume() that a pool needs, with their defaults. */
export interface PoolSettings {
  /** Undefined: no node is ejected. */
  readonly ejection: EjectionSettings | undefined;
  /** ConsumeOptions.slowStart, in milliseconds. */
  readonly slowStart: number;
  /** Undefined: all nodes are used. */
  readonly subset: SubsetOptions | undefined;
}

const NO_LOAD: NodeLoad = { inFlight: 0, streams: 0, latency: 0, failureRate: 0 };

/** Decides which nodes may receive a call, and lets the picker choose one of them. */
export class NodePool implements HealthHooks {
  readonly resolver: Resolver;
  readonly onEject: () => void;
  readonly #picker: Picker;
  readonly #clients: ClientCache;
  readonly #settings: PoolSettings;
  /** The nodes of the last list that the consumer may use: all, or those of the subset. */
  #nodes: readonly ServiceNode[] = [];
  /** Undefined: all nodes are used. */
  #subset: Subset | undefined;
  /** The states of `#nodes`. */
  readonly #states = new Map<ServiceNode, NodeState>();
  readonly #loadOf = (node: ServiceNode): NodeLoad => this.#states.get(node) ?? NO_LOAD;
  /**
   * Nodes that are neither ejected nor unavailable; all nodes if there are none. Undefined: it must
   * be computed again.
   */
  #available: readonly ServiceNode[] | undefined;
  /** The connected nodes of `#available`. Undefined: it must be computed again. */
  #connected: readonly ServiceNode[] | undefined;
  #slowStart: SlowStart | undefined;
  #hadNodes = false;

  /** `onEject` is called for each node that is ejected. */
  constructor(
    resolver: Resolver,
    picker: Picker,
    clients: ClientCache,
    settings: PoolSettings,
    onEject: () => void,
  ) {
    this.onEject = onEject;
    this.resolver = resolver;
    this.#picker = picker;
    this.#clients = clients;
    this.#settings = settings;
    resolver.onChange((change, nodes) => {
      this.#onListChange(nodes);
      for (const { address } of change.added) clients.onPublish(address);
      for (const { address } of change.updated) clients.onPublish(address);
    });
  }

  /** The nodes that the consumer may use, in the order of lists. */
  get nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  onPhaseChange(): void {
    this.invalidate();
  }

  canEject(): boolean {
    let ejected = 0;
    for (const { health } of this.#states.values())
      if (health !== undefined && health.phase !== 'healthy') ejected++;
    return ejected < this.#maxEjected();
  }

  /** A node or its client has changed: the next call computes the available nodes again. */
  invalidate(): void {
    this.#available = undefined;
    this.#connected = undefined;
  }

  /** Stops all timers. */
  dispose(): void {
    for (const { health } of this.#states.values()) health?.dispose();
  }

  stateOf(node: ServiceNode): NodeState {
    // A balancer may return a node that has left the list.
    return this.#states.get(node) ?? new NodeState(Number.NEGATIVE_INFINITY, undefined);
  }

  /** Picks a node, which may not be connected. Throws UNAVAILABLE when no node is left. */
  pick(call: Call, tried: ReadonlySet<ServiceNode>): ServiceNode {
    return this.#pickFrom(this.nodesFor(tried), call);
  }

  /** Picks a connected node; undefined when there is none. Throws as pick() does. */
  pickConnected(call: Call, tried: ReadonlySet<ServiceNode>): ServiceNode | undefined {
    this.#available ??= this.#findAvailable();
    this.#connected ??= this.#available.filter((node) => this.#clients.isConnected(node.address));
    let nodes = withoutTried(this.#connected, tried);
    // If no available node is left, a connected node that is ejected is better than one without a
    // connection.
    if (nodes.length === 0)
      nodes = this.nodesFor(tried).filter((node) => this.#clients.isConnected(node.address));
    if (nodes.length === 0) return undefined;
    const node = this.#pickFrom(nodes, call);
    if (!this.#clients.isConnected(node.address) && !nodes.includes(node)) throw unlistedError();
    return node;
  }

  /** All nodes of the list. Throws UNAVAILABLE when there is none. */
  allNodes(): readonly ServiceNode[] {
    const nodes = this.resolver.nodes();
    if (nodes.length === 0) throw this.#noNodeError(false);
    return nodes;
  }

  /**
   * The nodes that the next attempt of a call may use: the available nodes, as slow start selects
   * them, without the addresses of `tried`. Throws UNAVAILABLE when no node is left.
   */
  nodesFor(tried: ReadonlySet<ServiceNode>): readonly ServiceNode[] {
    let nodes = withoutTried(this.#slowStartList(), tried);
    // If every node left is ejected or unavailable, use one of them.
    if (nodes.length === 0) nodes = withoutTried(this.#nodes, tried);
    if (nodes.length === 0) throw this.#noNodeError(tried.size > 0);
    return nodes;
  }

  #pickFrom(nodes: readonly ServiceNode[], call: Call): ServiceNode {
    const listed = this.#subset?.members ?? this.#nodes;
    const node = this.#picker(nodes, call, this.#loadOf, listed);
    promiseOf(node)?.catch(() => {});
    if (typeof node?.address !== 'string') throw unlistedError();
    return node;
  }

  #slowStartList(): readonly ServiceNode[] {
    this.#available ??= this.#findAvailable();
    const slowStart = this.#slowStart;
    if (slowStart === undefined) return this.#available;
    if (!slowStart.isOver) return slowStart.select(Math.random());
    this.#slowStart = undefined;
    return this.#available;
  }

  #findAvailable(): readonly ServiceNode[] {
    const all = this.#nodes;
    let ejectionsLeft = this.#maxEjected();
    const available: ServiceNode[] = [];
    for (const node of all) {
      if (!this.#clients.isAvailable(node.address)) continue;
      const isEjected = this.#states.get(node)?.health?.isEjected === true;
      // If the list has become shorter, more nodes may be ejected than `share` allows now. The
      // surplus nodes are used.
      if (isEjected && ejectionsLeft > 0) ejectionsLeft--;
      else available.push(node);
    }
    const usable = available.length === 0 || available.length === all.length ? all : available;
    const nodes = this.#subset?.select(usable) ?? usable;
    this.#slowStart =
      this.#settings.slowStart > 0
        ? new SlowStart(nodes, this.#settings.slowStart, (node) => this.stateOf(node).joinTime)
        : undefined;
    return nodes;
  }

  #maxEjected(): number {
    return Math.floor(this.#nodes.length * (this.#settings.ejection?.share ?? 0));
  }

  #onListChange(list: readonly ServiceNode[]): void {
    const { subset } = this.#settings;
    this.#subset = subset && new Subset(list, subset);
    const nodes = this.#subset?.candidates ?? list;
    // An update replaces the node object and keeps its key, so the state stays.
    // A node with another address is another process, which begins with a state of its own.
    const stateKey = (node: ServiceNode): string => `${node.address} ${nodeKey(node)}`;
    const { removed, added } = differenceOf(this.#nodes, nodes);
    this.#nodes = nodes;
    const before = new Map<string, NodeState>();
    for (const node of removed) {
      const state = this.#states.get(node);
      if (state !== undefined) before.set(stateKey(node), state);
      this.#states.delete(node);
    }
    // The nodes of the first list that is not empty count as warmed up.
    const joinTime = this.#hadNodes ? performance.now() : Number.NEGATIVE_INFINITY;
    this.#hadNodes ||= nodes.length > 0;
    for (const node of added) {
      const key = stateKey(node);
      this.#states.set(node, before.get(key) ?? this.#newState(joinTime));
      before.delete(key);
    }
    for (const { health } of before.values()) health?.dispose();
    // A registry of a program may list one object twice.
    if (this.#states.size !== nodes.length)
      for (const node of nodes)
        if (!this.#states.has(node)) this.#states.set(node, this.#newState(joinTime));
    this.invalidate();
  }

  #newState(joinTime: number): NodeState {
    const { ejection } = this.#settings;
    return new NodeState(joinTime, ejection && new NodeHealth(ejection, this));
  }

  #noNodeError(hasTried: boolean): RpcError {
    const { service, version, group, protocol } = this.resolver.query;
    const what = [service, version && `version ${version}`, group && `group ${group}`, protocol]
      .filter(Boolean)
      .join(', ');
    const message = hasTried
      ? `no other node offers ${what}`
      : `no node offers ${what}; consumer.explain() says what is published`;
    return new RpcError('UNAVAILABLE', message, { unsent: true });
  }

  /** Adds the nodes of the list to `counts`, by state. */
  countNodes(counts: Record<keyof NodeCounts, number>): void {
    for (const node of this.#nodes) {
      if (this.#states.get(node)?.health?.isEjected) counts.ejected++;
      else if (this.#clients.isConnected(node.address)) counts.connected++;
      else if (this.#clients.isAvailable(node.address)) counts.idle++;
      else counts.unavailable++;
    }
  }

  /** Every node of the list, with the reason why it receives calls or not. */
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

  #reason(node: ServiceNode, { health, joinTime }: NodeState, candidate: boolean): string {
    const problem = this.#clients.unavailableReason(node.address) ?? ejectionReason(health);
    if (problem !== undefined)
      return candidate ? `${problem}; used because too few other nodes are left` : problem;
    if (!candidate)
      return this.#states.has(node)
        ? 'in reserve: used when a node of the subset is unavailable'
        : 'outside of the subset of this consumer';
    const share = shareAt(performance.now() - joinTime, this.#settings.slowStart);
    if (share < 1) return `new: receives ${Math.round(share * 100)} % of its share`;
    return health?.phase === 'probe-due'
      ? 'ejection has ended; the next call is the probe'
      : 'receives calls';
  }
}

/**
 * The nodes whose address the call has not tried. If it has tried none, the result is `nodes`
 * itself, because balancers use the array as the key of their caches.
 */
function withoutTried(
  nodes: readonly ServiceNode[],
  tried: ReadonlySet<ServiceNode>,
): readonly ServiceNode[] {
  if (tried.size === 0) return nodes;
  // A call tries few nodes.
  const addresses = Array.from(tried, (node) => node.address);
  return nodes.filter((node) => !addresses.includes(node.address));
}

function ejectionReason(health: NodeHealth | undefined): string | undefined {
  if (health?.phase === 'ejected')
    return `ejected after ${health.failures} failed calls in a row, for another ${Math.ceil(health.ejectionTimeLeft)} ms`;
  return health?.phase === 'probing' ? 'ejected; a probe is in flight' : undefined;
}

function unlistedError(): RpcError {
  return new RpcError('INTERNAL', 'the balancer returned no node of the list that it got', {
    unsent: true,
  });
}
