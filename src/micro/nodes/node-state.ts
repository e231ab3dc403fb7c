/** What a consumer knows of one node from its own calls. */
import type { RpcCode } from '../../rpc/index.js';
import { fateOf } from '../strategies/safe.js';
import type { NodeLoad } from '../types.js';
import type { NodeHealth } from './health.js';

/** Milliseconds: a latency counts for less and less, and after about this time for a third. */
const MEMORY = 2_000;
/** The weight of the newest call in the failure rate. */
const NEWEST = 0.05;
/**
 * Errors that say something of the node. The others are answers to a request that was wrong, or the
 * caller's own doing.
 */
const NODE_FAULTS: ReadonlySet<unknown> = new Set<RpcCode>([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'INTERNAL',
  'UNKNOWN',
  'UNIMPLEMENTED',
  'DATA_LOSS',
]);

export class NodeState implements NodeLoad {
  /** When it came; -Infinity: it was there before us. An instant of performance.now(). */
  readonly since: number;
  readonly health: NodeHealth | undefined;
  inFlight = 0;
  #latency = 0;
  /** When the latency was last observed. */
  #at = 0;
  #failureRate = 0;
  /** When the failure rate was last observed; it stays 0 without a failure. */
  #failureAt = 0;

  constructor(since: number, health: NodeHealth | undefined) {
    this.since = since;
    this.health = health;
  }

  /**
   * A mean that later calls count for more in. It falls while there are none, so that a node which
   * was slow is tried again.
   */
  get latency(): number {
    return this.#latency === 0
      ? 0
      : this.#latency * Math.exp((this.#at - performance.now()) / MEMORY);
  }

  get failureRate(): number {
    return this.#failureRate === 0
      ? 0
      : this.#failureRate * Math.exp((this.#failureAt - performance.now()) / MEMORY);
  }

  begin(): void {
    this.inFlight++;
    this.health?.begin();
  }

  /** It is sent, and nobody will know more of it. */
  leave(): void {
    this.inFlight--;
    this.health?.unknown();
  }

  /**
   * `ms`: undefined where it says nothing of the node, as of a stream. `isOvertaken`: a node that
   * was asked later answered first.
   */
  end(ms: number | undefined, error: unknown, isOvertaken = false): void {
    this.inFlight--;
    if (isOvertaken) this.health?.overtaken();
    else this.health?.end(error);
    if (error !== undefined ? NODE_FAULTS.has(fateOf(error).code) : this.#failureRate > 0)
      this.#observeFailure(error === undefined ? 0 : 1);
    // An error may come quicker than an answer; that makes no good node.
    if (ms !== undefined && (error === undefined || ms > this.#latency)) this.#observe(ms);
  }

  #observeFailure(failed: 0 | 1): void {
    const rate = this.failureRate * (1 - NEWEST) + failed * NEWEST;
    // Below this it changes no choice, and calls are spared the exponential.
    this.#failureRate = rate < 1e-4 ? 0 : rate;
    this.#failureAt = performance.now();
  }

  #observe(ms: number): void {
    const now = performance.now();
    const kept = this.#latency === 0 ? 0 : Math.exp((this.#at - now) / MEMORY);
    // Never 0, which is: not known.
    this.#latency = Math.max(Number.MIN_VALUE, this.#latency * kept + ms * (1 - kept));
    this.#at = now;
  }
}
