/** The two kinds of proxies, for streams and for datagrams, as proxy() uses them. */
import type { Address } from '../../transport/address.js';
import type { Direction, ResolvedFaults } from './faults.js';

/** What a relay learns from its proxy, and reports to it. */
export interface RelaySetup {
  /** From 0 to 1, as Math.random(). */
  readonly random: () => number;
  faults(): Readonly<Record<Direction, ResolvedFaults>>;
  /** Whether new connections are reset, and datagrams of new clients dropped. */
  isRefusing(): boolean;
  /**
   * A client has connected, or a client that is not known has sent a datagram. While
   * `isRefusing()`, clients of datagrams do not become known.
   */
  onConnection(): void;
  onBytes(direction: Direction, count: number): void;
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
