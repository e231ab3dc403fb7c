/** One attempt of a call that does not stream: it counts for its node and for the consumer. */
import type { CallObserver } from '../../rpc/consumer-connection.js';
import type { Call, RpcError } from '../../rpc/index.js';
import type { ConsumerCounters } from '../statistics.js';
import { isOvertaken } from '../strategies/hedge.js';
import { FailedAttempt } from '../strategies/sequential-attempts.js';
import type { ServiceNode } from '../types.js';
import type { NodeState } from './node-state.js';

export class NodeAttempt implements CallObserver {
  protected readonly call: Call;
  readonly #state: NodeState;
  readonly #counters: ConsumerCounters;
  readonly #isRetry: boolean;

  constructor(call: Call, state: NodeState, counters: ConsumerCounters, isRetry: boolean) {
    this.call = call;
    this.#state = state;
    this.#counters = counters;
    this.#isRetry = isRetry;
  }

  onAnswered(latency: number): void {
    this.#counters.countAttempt(this.#isRetry);
    if (this.call.method.kind === 'oneway') this.#state.onOnewaySent();
    else this.#state.onCallEnd(latency, undefined);
  }

  onFailed(error: RpcError, latency: number): unknown {
    this.#counters.countAttempt(this.#isRetry, error);
    const isOneway = this.call.method.kind === 'oneway';
    this.#state.onCallEnd(isOneway ? undefined : latency, error, isOvertaken(this.call));
    return error;
  }
}

/** See RetryableAttempt[FIRST_ATTEMPT]. */
export class FirstAttempt extends NodeAttempt {
  readonly #node: ServiceNode;

  constructor(call: Call, state: NodeState, counters: ConsumerCounters, node: ServiceNode) {
    super(call, state, counters, false);
    this.#node = node;
  }

  override onFailed(error: RpcError, latency: number): FailedAttempt {
    super.onFailed(error, latency);
    return new FailedAttempt(this.call, error, new Set([this.#node]));
  }
}
