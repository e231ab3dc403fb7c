/** What a consumer knows of one node from its own calls. */
import { instantFor } from '../../rpc/calls/client-call.js';
import type { RpcCode } from '../../rpc/index.js';
import { isNeverSent, readFailure } from '../strategies/retry-safety.js';
import type { NodeLoad } from '../types.js';
import type { NodeHealth } from './node-health.js';

/** Milliseconds in which the weight of a past observation falls to 1/e, about a third. */
const DECAY_TIME = 2_000;
/** The weight of the newest call in the failure rate. */
const NEWEST_WEIGHT = 0.05;
/**
 * A lower failure rate counts as 0, so that calls need no Math.exp(). No balancer would pick
 * another node for it.
 */
const MIN_FAILURE_RATE = 1e-4;
/**
 * The codes of errors that the node causes. Other errors are answers to a wrong request, or are
 * caused by the caller.
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

/** The load and health of one node. */
export class NodeState implements NodeLoad {
  /**
   * When the node joined the list: a time of performance.now(). -Infinity: it was in the first list
   * that is not empty.
   */
  readonly joinTime: number;
  readonly health: NodeHealth | undefined;
  inFlight = 0;
  streams = 0;
  #latency = 0;
  /** When the latency was last observed. */
  #latencyTime = 0;
  #failureRate = 0;
  /** When the failure rate was last observed. */
  #failureTime = 0;

  constructor(joinTime: number, health: NodeHealth | undefined) {
    this.joinTime = joinTime;
    this.health = health;
  }

  /**
   * Milliseconds: a moving average. It falls while there are no calls, so that a slow node is tried
   * again.
   */
  get latency(): number {
    return this.#latency === 0 ? 0 : this.#latency * decaySince(this.#latencyTime);
  }

  get failureRate(): number {
    return this.#failureRate === 0 ? 0 : this.#failureRate * decaySince(this.#failureTime);
  }

  onCallStart(isStream: boolean): void {
    this.inFlight++;
    if (isStream) this.streams++;
    this.health?.onCallStart();
  }

  /** A call without an answer has been sent: its outcome stays unknown. */
  onOnewaySent(): void {
    this.inFlight--;
    this.health?.onUnknownOutcome();
  }

  /**
   * A stream has ended. Its duration does not depend on the node. A timeout is the usual end of a
   * stream that has no other end, so it says nothing about the node.
   */
  onStreamEnd(error: unknown): void {
    this.streams--;
    if (readFailure(error).code !== 'DEADLINE_EXCEEDED') return this.onCallEnd(undefined, error);
    this.inFlight--;
    this.health?.onUnknownOutcome();
  }

  /**
   * `ms`: the latency in milliseconds; undefined if it is unknown.
   * `isOvertaken`: a later attempt at another node was answered first.
   */
  onCallEnd(ms: number | undefined, error: unknown, isOvertaken = false): void {
    this.inFlight--;
    if (isOvertaken) this.health?.onOvertaken();
    else this.health?.onCallEnd(error);
    if (error !== undefined && isNeverSent(error)) return;
    if (error !== undefined ? NODE_FAULTS.has(readFailure(error).code) : this.#failureRate > 0)
      this.#observeFailure(error === undefined ? 0 : 1);
    // A fast error does not make a node fast, so an error can only raise the latency.
    if (ms !== undefined && (error === undefined || ms > this.#latency)) this.#observeLatency(ms);
  }

  #observeFailure(failed: 0 | 1): void {
    const rate = this.failureRate * (1 - NEWEST_WEIGHT) + failed * NEWEST_WEIGHT;
    this.#failureRate = rate < MIN_FAILURE_RATE ? 0 : rate;
    this.#failureTime = performance.now();
  }

  #observeLatency(ms: number): void {
    const now = instantFor();
    const oldWeight = this.#latency === 0 ? 0 : decaySince(this.#latencyTime, now);
    // A known latency is never 0, because 0 means unknown.
    this.#latency = Math.max(Number.MIN_VALUE, this.#latency * oldWeight + ms * (1 - oldWeight));
    this.#latencyTime = now;
  }
}

/** The weight of an observation made at `time`: from 1 down to 0. */
function decaySince(time: number, now = performance.now()): number {
  return Math.exp((time - now) / DECAY_TIME);
}
