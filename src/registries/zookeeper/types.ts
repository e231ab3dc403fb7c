/**
 * The ZooKeeper client in one file: what a node is, what a watch tells, who may do what, and the
 * client's options.
 */
import type { TlsOptions } from '../../transport/index.js';

/**
 * What ZooKeeper knows of a node besides its data. Transactions and sessions are 64-bit numbers.
 */
export interface Stat {
  /** The transactions that made the node, last changed its data, and last changed its children. */
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly pzxid: bigint;
  /** Milliseconds since the epoch, by the server's clock. */
  readonly ctime: number;
  readonly mtime: number;
  /** How often the data, the children and the ACL were changed since the node was made. */
  readonly version: number;
  readonly cversion: number;
  readonly aversion: number;
  /** The session that an ephemeral node lives as long as; 0n: it is persistent. */
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly numChildren: number;
}

/** Data is a view of what arrived; it stays valid. */
export interface NodeData {
  readonly data: Buffer;
  readonly stat: Stat;
}

/** `lost`: the session has ended, and the watch with it. */
export type WatchEventType = 'created' | 'deleted' | 'changed' | 'children' | 'lost';

export interface WatchEvent {
  readonly type: WatchEventType;
  /** As it was watched: without the chroot. */
  readonly path: string;
}

/**
 * Called once, with the first thing that happens; then the watch is over. What it throws is a
 * process warning.
 */
export type Watcher = (event: WatchEvent) => unknown;

/**
 * A watch is set if the operation succeeds (exists: also when there is no node). It survives the
 * loss of the connection, not that of the session.
 */
export interface WatchOptions {
  watch?: Watcher;
}

/** Who may do what with a node; permissions are a sum of PERMISSIONS. */
export interface Acl {
  readonly permissions: number;
  readonly scheme: string;
  readonly id: string;
}

export const PERMISSIONS = { read: 1, write: 2, create: 4, delete: 8, admin: 16, all: 31 } as const;

/**
 * `anyone` may do all; `creator`: only who has authenticated as the one who made the node;
 * `readable`: the creator may do all, anybody may read.
 */
export type AclName = 'anyone' | 'creator' | 'readable';

export interface CreateOptions {
  /** The node goes when this session ends. Default: false. */
  ephemeral?: boolean;
  /** Default: the client's. */
  acl?: AclName | readonly Acl[];
}

/** A version of -1, the default, is any. */
export type MultiOperation =
  | ({ readonly type: 'create'; readonly path: string; readonly data: Uint8Array } & CreateOptions)
  | { readonly type: 'delete'; readonly path: string; readonly version?: number }
  | {
      readonly type: 'setData';
      readonly path: string;
      readonly data: Uint8Array;
      readonly version?: number;
    }
  | { readonly type: 'check'; readonly path: string; readonly version?: number };

/**
 * `connected`: operations go to a server; `away`: every host was tried in vain since the connection
 * was lost, said once until it is connected again; `expired`: the session is over, its ephemeral
 * nodes and watches are gone, and a new one begins.
 */
export type ClientState = 'connecting' | 'connected' | 'away' | 'expired' | 'closed';

/** Times in milliseconds, sizes in bytes. Defaults: CLIENT_DEFAULTS. */
export interface ZooKeeperClientOptions {
  /**
   * How long a session outlives its connection; the server may grant another. A server that is
   * silent for two thirds of it is left, a ping is sent each third.
   */
  sessionTimeout?: number;
  /** How long an operation may take, the wait for a connection included. */
  operationTimeout?: number;
  /**
   * The first delay before all hosts are tried again; it doubles up to maxDelay, each time random
   * between half of it and the whole.
   */
  initialDelay?: number;
  maxDelay?: number;
  /**
   * The largest request that is sent; a server closes the connection at one over its
   * `jute.maxbuffer`.
   */
  maxRequestBytes?: number;
  /** The largest answer that is read; one over it ends the connection. */
  maxResponseBytes?: number;
  /** Operations that may wait or be under way. */
  maxPending?: number;
  /**
   * `user:password` of ZooKeeper's digest scheme. It is sent as it is: use TLS where others may
   * listen.
   */
  credentials?: string;
  /** Of the nodes that are made. Default: `anyone`, with credentials `creator`. */
  acl?: AclName | readonly Acl[];
  /** Speak TLS with the servers, which are always verified. Default: plain TCP. */
  tls?: TlsOptions;
  /**
   * Told of each change of state, after it; `cause` says why for `away` and `expired`. What it
   * throws is a process warning.
   */
  onState?: (state: ClientState, cause?: Error) => unknown;
}
