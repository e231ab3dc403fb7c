/** What a consumer counts: calls as their callers see them, the attempts that they took, and its nodes. */
import { type Invoke, RpcError, type RpcStatistics } from '../rpc/index.js';
import { Meters } from '../rpc/statistics.js';
import { invokeUntilEnd } from '../rpc/stream-end.js';

/** Nodes of all lists that a consumer follows. A node counts once, in the first state that applies. */
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
  readonly meters = new Meters();

  reset(): void {
    this.attempts = 0;
    this.retries = 0;
    this.ejections = 0;
    this.meters.reset();
  }

  /** `invoke`, each call of which is counted. It must answer a promise. */
  count(invoke: Invoke): Invoke {
    return (call) => {
      const meter = this.meters.of(call.method);
      meter.begin();
      const began = performance.now();
      // Bytes are counted where they are sent.
      const end = (error: RpcError | undefined): void => meter.end(error, performance.now() - began, 0, 0);
      const { kind } = call.method;
      if (kind === 'serverStream' || kind === 'duplex') return invokeUntilEnd(invoke, call, end);
      const answer = invoke(call) as Promise<unknown>;
      // On the side: the caller's answer is not a turn later for it.
      answer.then(
        () => end(undefined),
        (error) => end(RpcError.from(error)),
      );
      return answer;
    };
  }
}
