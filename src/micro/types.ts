/**
 * The micro layer in one file: a Registry knows which nodes offer a service, a Balancer picks one
 * of them, a Strategy decides what happens when a call to it fails.
 */
import type { Call, CodecName } from '../rpc/types.js';

/** One service offered in one codec at one address: one entry of a registry. */
export interface ServiceNode {
  /** Unique among the nodes of its service, group, version and protocol. */
  readonly id: string;
  readonly service: string;
  readonly group: string;
  readonly version: string;
  readonly protocol: CodecName;
  /** `tcp://host:port`. */
  readonly address: string;
  /**
   * Go's meta string is under `getty-micro-meta-key`; what only TypeScript peers know has keys that
   * begin with `getty-`.
   */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Which nodes: by service, and exactly by whatever else is given. */
export interface ServiceQuery {
  readonly service: string;
  readonly group?: string | undefined;
  readonly version?: string | undefined;
  readonly protocol?: CodecName | undefined;
}

/**
 * Called with true when the entry of a node is in the registry, and with false when it is not, or
 * not any more. What it throws is a warning of the process.
 */
export type PublicationListener = (isPublished: boolean) => void;

export interface Registry extends AsyncDisposable {
  /**
   * Publish a node; it is kept alive, and published again after an outage, until the result is
   * disposed. Rejects with REGISTRY_FAILED. A registry that waits out an outage resolves before the
   * entry is there: it calls `onPublished` with false before that, and with true when the entry is
   * there. Without a call, the entry is there when register() resolves.
   */
  register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable>;
  /**
   * The whole present list at once, then again at each change, ordered by id. The first list has
   * everything that was registered before the watch began. Ends when the signal aborts or the
   * registry is disposed. A slow reader is given the newest list only.
   */
  watch(
    query: ServiceQuery,
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterable<readonly ServiceNode[]>;
  /**
   * Every node that is published, of all services, ordered by id. Asks once and does not wait out
   * an outage: rejects with REGISTRY_FAILED.
   */
  list(): Promise<readonly ServiceNode[]>;
  /**
   * Why the registry cannot be reached now, with its address and the cause; undefined: it can, or
   * it was not asked yet.
   */
  readonly failure?: Error | undefined;
}

/** What a consumer knows of a node from its own calls. */
export interface NodeLoad {
  /** Calls under way; a stream is, until its end. */
  readonly inFlight: number;
  /**
   * Milliseconds that calls have taken of late; falls while there are none, and is 0 before the
   * first answer.
   */
  readonly latency: number;
  /**
   * The part of recent calls that failed through the node, from 0 to 1; falls while there are no
   * calls. A node that fails fast has a small latency and few calls under way, so a picker that
   * looks at these must look at this too.
   */
  readonly failureRate: number;
}

/**
 * Picks one of at least one node for a call. The list is the same array until it changes. `load`
 * tells how busy a node is.
 */
export type Picker = (
  nodes: readonly ServiceNode[],
  call: Call,
  load: (node: ServiceNode) => NodeLoad,
) => ServiceNode;
/** Makes a picker; its state lives in the closure. */
export type Balancer = () => Picker;

/** Try the call once on a node that is not in `tried`, and add the node to it. */
export type Attempt = (call: Call, tried: Set<ServiceNode>) => Promise<unknown>;
/**
 * Decides how often a call is attempted. Made once per consumer; its state lives in the closure.
 */
export type Strategy = (attempt: Attempt) => (call: Call) => Promise<unknown>;
