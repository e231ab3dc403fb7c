/** The two kinds of proxies, for streams and for datagrams, as proxy() uses them. */
import type { ConnectionOptions } from 'node:tls';
import type { Address } from '../../transport/address.js';
import type { Direction, ResolvedFaults } from './faults.js';

/**
 * Follows the connections of a proxy, each with its number, which begins with 1. The functions must
 * not throw. They are called when the bytes are on their way, so that they do not delay them.
 */
export interface ProxyObserver {
  /** `peer`: the address of the client; empty for a Unix socket, or if it has left. */
  onOpen(connection: number, peer: string): void;
  /**
   * The bytes still belong to the proxy: do not change them. A datagram is whole. A stream passes
   * no more bytes in this direction until the promise resolves. It must not reject.
   */
  onBytes(connection: number, direction: Direction, bytes: Buffer): Promise<void> | undefined;
  /** `failed`: `toServer` if the client has failed, `toClient` if the target has. */
  onClose(connection: number, error: Error | undefined, failed: Direction | undefined): void;
  /** There are as many connections as are allowed, or the proxy refuses all. */
  onRefused(connection: number, peer: string): void;
}

/** The settings of a relay, and the functions with which it reports to its proxy. */
export interface RelaySetup {
  /** From 0 to 1, as Math.random(). */
  readonly random: () => number;
  /** The most open connections, or known clients. */
  readonly maxConnections: number;
  /** The connections to the target are encrypted. */
  readonly tls: ConnectionOptions | undefined;
  readonly observer: ProxyObserver | undefined;
  faults(): Readonly<Record<Direction, ResolvedFaults>>;
  /** Whether new connections are reset, and datagrams of new clients dropped. */
  isRefusing(): boolean;
  /**
   * A client has connected, or a client that is not known has sent a datagram. While
   * `isRefusing()`, clients of datagrams do not become known. Returns the number of the connection.
   */
  onConnection(): number;
  /** As ProxyObserver.onBytes(). */
  onBytes(connection: number, direction: Direction, bytes: Buffer): Promise<void> | undefined;
}

export interface Relay {
  /** The address where it listens. The scheme is `tcp`, `unix` or `udp`. */
  readonly boundAddress: string;
  readonly connections: number;
  /** The target of new connections. */
  target: Address;
  /** The faults have changed. */
  update(): void;
  reset(): void;
  close(): Promise<void>;
}
