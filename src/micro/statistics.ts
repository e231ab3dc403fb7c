/** What a consumer counts: attempts, retries, ejections and nodes. */
import type { RpcStatistics } from '../rpc/index.js';
import { RpcCounters } from '../rpc/metrics/statistics.js';
import { isNeverSent } from './strategies/retry-safety.js';

/** Nodes of all lists that a consumer watches, by state. The first state that applies counts. */
export type NodeCounts = {
  /** Receive no calls because calls to them failed; see EjectionOptions. */
  readonly ejected: number;
  /** Connected: a call can be sent at once. */
  readonly connected: number;
  /** Not dialed: no call has needed them yet. */
  readonly idle: number;
  /** Being dialed, waiting before the next dial, or without a sign of life. */
  readonly unavailable: number;
};

/** The statistics of a Consumer. */
export interface ConsumerStatistics extends RpcStatistics {
  /** Attempts that were sent to a node, each counted when it is answered or its stream begins. */
  readonly attempts: number;
  /** Attempts after the first of their call: those of failover() and hedge(). */
  readonly retries: number;
  /** How often a node was ejected because calls to it failed. */
  readonly ejections: number;
  readonly nodes: NodeCounts;
}

/** The counters of one consumer. */
export class ConsumerCounters {
  attempts = 0;
  retries = 0;
  ejections = 0;
  /** The counters that all connections of the consumer share. */
  readonly rpc = new RpcCounters();

  /**
   * Counts an attempt that was answered, failed with `error`, or whose stream has begun. An attempt
   * that was never sent does not count.
   */
  countAttempt(isRetry: boolean, error?: unknown): void {
    if (error !== undefined && isNeverSent(error)) return;
    this.attempts++;
    if (isRetry) this.retries++;
  }

  reset(): void {
    this.attempts = 0;
    this.retries = 0;
    this.ejections = 0;
    this.rpc.reset();
  }
}
