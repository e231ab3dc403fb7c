/** The types of the ZooKeeper client: nodes, watches, access control lists and options. */
import type { TlsOptions } from '../../transport/index.js';

/** The metadata of a node. Transactions and sessions are 64-bit numbers. */
export interface Stat {
  /** The transactions that created the node, last changed its data, last changed its children. */
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly pzxid: bigint;
  /**
   * When the node was created, and when its data last changed: milliseconds since the epoch, by the
   * server's clock.
   */
  readonly ctime: number;
  readonly mtime: number;
  /** The number of changes of the data, of the children and of the ACL. */
  readonly version: number;
  readonly cversion: number;
  readonly aversion: number;
  /** The session whose end deletes this ephemeral node. 0n: the node is persistent. */
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly numChildren: number;
}

/** The data is a view of a received chunk. It stays valid and belongs to the caller. */
export interface NodeData {
  readonly data: Buffer;
  readonly stat: Stat;
}

/** `lost`: the session has expired, and the watch with it. */
export type WatchEventType = 'created' | 'deleted' | 'changed' | 'children' | 'lost';

export interface WatchEvent {
  readonly type: WatchEventType;
  /** Without the chroot. */
  readonly path: string;
}

/**
 * Called once, with the first event. Then the watch has ended. An error that it throws becomes a
 * warning of the process.
 */
export type Watcher = (event: WatchEvent) => unknown;

/**
 * A watch is set if the operation succeeds; that of exists() is also set if there is no node. It
 * outlives the connection, but not the session.
 */
export interface WatchOptions {
  /** Default: none. */
  watch?: Watcher;
}

/** The permissions of one user or group of users for a node. */
export interface Acl {
  /** A sum of PERMISSIONS. */
  readonly permissions: number;
  readonly scheme: string;
  readonly id: string;
}

export const PERMISSIONS = { read: 1, write: 2, create: 4, delete: 8, admin: 16, all: 31 } as const;

/**
 * `anyone`: all clients have all permissions. `creator`: only the users as which the creator of the
 * node has authenticated. `readable`: the creator has all permissions, all clients may read.
 */
export type AclName = 'anyone' | 'creator' | 'readable';

export interface CreateOptions {
  /** Whether the node is deleted when this session ends. Default: false. */
  ephemeral?: boolean;
  /** Default: the `acl` of the client. */
  acl?: AclName | readonly Acl[];
}

/** `version`: the required version of the node. -1, the default, is any version. */
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
 * `connecting`: there is no connection. `connected`: operations are sent to a server. `away`: every
 * host has failed since the connection was lost; reported once until the next `connected`.
 * `expired`: the session has ended, its ephemeral nodes and watches are lost, and a new session
 * begins. `closed`: close() was called.
 */
export type ClientState = 'connecting' | 'connected' | 'away' | 'expired' | 'closed';

/** Times in milliseconds, sizes in bytes. */
export interface ZooKeeperClientOptions {
  /**
   * How long a session outlives its connection; the server may grant another time. A ping is sent
   * after a third of it without a request. A server that does not answer for two thirds of it is
   * replaced by another one. Default: 10,000.
   */
  sessionTimeout?: number;
  /** The limit of an operation, including the wait for a connection. Default: 5,000. */
  operationTimeout?: number;
  /**
   * The delay after all hosts have failed. It doubles up to `maxDelay`, and is random between half
   * of it and the whole. Default: 100.
   */
  initialDelay?: number;
  /** The limit of the delay. Default: 1,000. */
  maxDelay?: number;
  /**
   * The largest request that is sent. A server closes the connection at a request over its
   * `jute.maxbuffer`. Default: 1,048,575.
   */
  maxRequestBytes?: number;
  /** The largest answer that is read. A larger one ends the connection. Default: 8,388,608. */
  maxResponseBytes?: number;
  /** The most operations that wait or are in flight. Default: 20,000. */
  maxPending?: number;
  /**
   * `user:password` of ZooKeeper's digest scheme. It is sent in plain text: use TLS in networks
   * that are not trusted. Default: none.
   */
  credentials?: string;
  /** The ACL of nodes that are created. Default: `anyone`; with credentials `creator`. */
  acl?: AclName | readonly Acl[];
  /** TLS with the servers, whose certificates are always verified. Default: plain TCP. */
  tls?: TlsOptions;
  /**
   * Called with `connected`, `away`, `expired` and `closed`. A change to `connecting` is not
   * reported. `cause`: the reason of `away` and `expired`. An error that it throws becomes a
   * warning of the process. Default: none.
   */
  onState?: (state: ClientState, cause?: Error) => unknown;
}
