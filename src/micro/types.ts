/**
 * The interfaces of the micro layer: a Registry lists the nodes that offer a service, a Balancer
 * picks one of them, and a Strategy decides about further attempts.
 */
import type { Call, CodecName } from '../rpc/types.js';

/**
 * One service, offered in one codec at one address: one entry of a registry. Its identity is the
 * five fields `id`, `service`, `group`, `version` and `protocol`; an update changes the others.
 * Nodes with the same address share the connections of a consumer.
 */
export interface ServiceNode {
  /** Unique among the nodes with the same service, group, version and protocol. */
  readonly id: string;
  readonly service: string;
  readonly group: string;
  readonly version: string;
  readonly protocol: CodecName;
  /** Such as `tcp://host:port`. */
  readonly address: string;
  /**
   * Strings by key. The key `getty-micro-meta-key` holds Go's meta string. Keys that begin with
   * `getty-` are reserved for this package.
   */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * The fields that the registry does not know, and has set to what the query asked for. Only
   * registries that have addresses and no entries set it. In `list()` such a field is `*` for
   * `service`, `json` for `protocol`, and otherwise empty. Undefined: none.
   */
  readonly assumed?: readonly ('service' | 'group' | 'version' | 'protocol')[] | undefined;
}

/** Selects the nodes of one service. An optional field that is given must match exactly. */
export interface ServiceQuery {
  readonly service: string;
  readonly group?: string | undefined;
  readonly version?: string | undefined;
  readonly protocol?: CodecName | undefined;
}

/**
 * Called with true when the entry of a node is in the registry, and with false when it is not, or
 * no longer. An error that it throws becomes a warning of the process.
 */
export type PublicationListener = (isPublished: boolean) => void;

/** What Registry.register() resolves with. Disposing it removes the entry. */
export interface NodeRegistration extends AsyncDisposable {
  /**
   * After the disposal: whether the entry is gone, or belongs to a newer registration. A registry
   * that waits out an outage resolves the disposal before that. Until then this is false, and
   * Provider.drain() rejects. Undefined: the entry is gone when the disposal resolves.
   */
  readonly isRemoved?: boolean | undefined;
}

/** Where providers publish their nodes and consumers find them. */
export interface Registry extends AsyncDisposable {
  /**
   * Publishes a node, and publishes it again after an outage, until the result is disposed. Rejects
   * with REGISTRY_FAILED. Must settle within 60 s; a provider disposes a later result. A registry
   * that waits out an outage resolves before the entry is there: it calls `onPublished` with false
   * before that, and with true when the entry is there. Without a call of `onPublished`, the entry
   * is there when register() resolves. A second registration of the same entry replaces the first.
   * To dispose the first one leaves the entry as it is.
   */
  register(node: ServiceNode, onPublished?: PublicationListener): Promise<NodeRegistration>;
  /**
   * Gives the whole current list, and then the whole list after each change, ordered by id. The
   * first list has all nodes that were registered before the watch began. Ends when the signal
   * aborts or the registry is disposed. A slow reader gets the newest list only.
   */
  watch(
    query: ServiceQuery,
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterable<readonly ServiceNode[]>;
  /**
   * All published nodes of all services, ordered by id. Asks once and does not wait out an outage:
   * rejects with REGISTRY_FAILED.
   */
  list(): Promise<readonly ServiceNode[]>;
  /**
   * Why the registry cannot be reached now, with its address and the cause. Undefined: it can be
   * reached, or was not asked yet.
   */
  readonly failure?: Error | undefined;
}

/** The load of a node, measured by the calls of one consumer. */
export interface NodeLoad {
  /** Calls in flight. A stream counts until its end. */
  readonly inFlight: number;
  /** How many of these calls stream. `latency` is measured for the others only. */
  readonly streams: number;
  /**
   * Milliseconds: a moving average of the time that calls took. It falls while there are no calls,
   * and is 0 before the first answer.
   */
  readonly latency: number;
  /**
   * The part of recent calls that failed because of the node, from 0 to 1. It falls while there are
   * no calls. Take it into account: a node that fails fast has a low latency and few calls in
   * flight.
   */
  readonly failureRate: number;
}

/**
 * Picks a node for a call. `nodes` has at least one node, and is the same array until the list
 * changes. `load` returns the load of a node. `listed` has all nodes that the consumer uses, also
 * those that this call may not use: they are ejected, unavailable or tried before. Undefined: it is
 * `nodes`. An error that it throws is the error of the call.
 */
export type Picker = (
  nodes: readonly ServiceNode[],
  call: Call,
  load: (node: ServiceNode) => NodeLoad,
  listed?: readonly ServiceNode[],
) => ServiceNode;
/** Makes a picker, once for each service. The picker keeps its state in its closure. */
export type Balancer = () => Picker;

/**
 * Calls one node that is not in `tried`, and adds the node to `tried` before the call is sent. If
 * no node can be called, it rejects and `tried` stays as it is.
 */
export type Attempt = (call: Call, tried: Set<ServiceNode>) => Promise<unknown>;
/** The nodes of a service, for a strategy that calls them without the balancer. */
export interface NodeAccess {
  /**
   * All nodes of the call's service, version and codec, ordered by id: also those that are ejected
   * or unavailable. Waits for the first list. Rejects with UNAVAILABLE if there is none, and with
   * DEADLINE_EXCEEDED or CANCELLED as a call does; each has `unsent`.
   */
  list(call: Call): Promise<readonly ServiceNode[]>;
  /** Calls one node, and waits for its connection within the timeout of the call. */
  call(node: ServiceNode, call: Call): Promise<unknown>;
}

/**
 * Decides which attempts a call gets. Called once for each consumer. The function that it returns
 * keeps its state in its closure.
 */
export type Strategy = (attempt: Attempt, nodes: NodeAccess) => (call: Call) => Promise<unknown>;
/** A strategy that leaves the choice of the nodes to the balancer. */
export type AttemptStrategy = (attempt: Attempt) => (call: Call) => Promise<unknown>;
