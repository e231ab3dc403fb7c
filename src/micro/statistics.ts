/** What a consumer counts: the attempts that calls took, and its nodes. */
import type { RpcStatistics } from '../rpc/index.js';
import { Meters, type SharedMeters } from '../rpc/metrics/statistics.js';

/**
 * Nodes of all lists that a consumer follows. A node counts once, in the first state that applies.
 */
export type NodeCounts = {
  /** Left out, as calls to them failed; see EjectionOptions. */
  readonly ejected: number;
  /** Calls go to them at once. */
  readonly connected: number;
  /** No call has needed them yet. */
  readonly idle: number;
  /** Being dialed, waiting for the next attempt, or without a sign of life. */
  readonly unavailable: number;
};

export interface ConsumerStatistics extends RpcStatistics {
  /** Calls that went to a node, each time by itself. */
  readonly attempts: number;
  /** Attempts that were not the first of their call: those of failover() and hedge(). */
  readonly retries: number;
  /** How often a node was left out because calls to it failed. */
  readonly ejections: number;
  readonly nodes: NodeCounts;
}

/** The counters of a consumer. */
export class ConsumerCounters {
  attempts = 0;
  retries = 0;
  ejections = 0;
  /** Shared by its connections: they count each call anyway. */
  readonly meters: SharedMeters = { calls: new Meters(), served: new Meters() };

  reset(): void {
    this.attempts = 0;
    this.retries = 0;
    this.ejections = 0;
    this.meters.calls.reset();
    this.meters.served.reset();
  }
}
