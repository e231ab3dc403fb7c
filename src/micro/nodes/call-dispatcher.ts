/** Sends the attempts of a consumer's calls to nodes. */
import { messageOf } from '../../core/errors.js';
import { redactUrl } from '../../core/redact.js';
import { nextTurn, spend } from '../../core/turn.js';
import { cancelledError, unsentTimeoutError, waitToSend } from '../../rpc/calls/call-errors.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import { type NodeConnection, SEND_OBSERVED } from '../../rpc/consumer-connection.js';
import { type Call, type CodecName, type Method, RpcError } from '../../rpc/index.js';
import { isStreaming } from '../../rpc/method-kind.js';
import { invokeUntilEnd } from '../../rpc/streams/call-end.js';
import type { ConsumerCounters } from '../statistics.js';
import {
  FailedAttempt,
  FIRST_ATTEMPT,
  type RetryableAttempt,
} from '../strategies/sequential-attempts.js';
import type { NodeAccess, ServiceNode } from '../types.js';
import { type ClientCache, consumerClosedError } from './client-cache.js';
import { FirstAttempt, NodeAttempt } from './node-attempt.js';
import type { NodeClient } from './node-client.js';
import type { NodePool } from './node-pool.js';
import type { NodeState } from './node-state.js';

/** The most nodes that are dialed for one call when none is connected. */
const MAX_DIALS = 8;
const NO_NODES: ReadonlySet<ServiceNode> = new Set();
/** Units of core/turn.ts for the choice and the dials of these nodes. */
const DIAL_UNITS = 64;

export class CallDispatcher {
  readonly #clients: ClientCache;
  readonly #counters: ConsumerCounters;
  readonly #findPool: (service: string, version: string, codec: CodecName) => NodePool;
  /** The results of `#findPool`. Weak, because a program may make a contract for each call. */
  readonly #pools: Readonly<Record<CodecName, WeakMap<Method, NodePool>>> = {
    json: new WeakMap(),
    protobuf: new WeakMap(),
  };
  #isClosed = false;

  constructor(
    clients: ClientCache,
    counters: ConsumerCounters,
    findPool: (service: string, version: string, codec: CodecName) => NodePool,
  ) {
    this.#clients = clients;
    this.#counters = counters;
    this.#findPool = findPool;
  }

  readonly attempt: RetryableAttempt = Object.assign(
    (call: Call, tried: Set<ServiceNode>) => this.#attempt(call, tried),
    { [FIRST_ATTEMPT]: (call: Call) => this.#attemptFirst(call) },
  );

  /** Calls one node that is not in `tried`, and adds the node to it. */
  #attempt(call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    try {
      const pool = this.#openPoolOf(call);
      if (!pool.resolver.isReady)
        return untilReady(pool, call).then(() => this.#attempt(call, tried));
      const node = pool.pick(call, tried);
      const client = this.#clients.of(node.address);
      return client.isConnected
        ? this.#callNode(pool, node, client, call, tried)
        : this.#connectAndCall(pool, node, client, call, tried);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** See RetryableAttempt. */
  #attemptFirst(call: Call): Promise<unknown> {
    try {
      const pool = this.#openPoolOf(call);
      if (!pool.resolver.isReady) return this.#attemptSlowly(call);
      const node = pool.pick(call, NO_NODES);
      const client = this.#clients.of(node.address);
      if (!client.isConnected) return this.#attemptSlowly(call, { pool, node, client });
      const state = pool.stateOf(node);
      state.onCallStart(false);
      return client.use()[SEND_OBSERVED](call, new FirstAttempt(call, state, this.#counters, node));
    } catch (error) {
      return Promise.reject(new FailedAttempt(call, error, new Set()));
    }
  }

  /** The part of #attemptFirst() that waits. */
  async #attemptSlowly(
    call: Call,
    picked?: { pool: NodePool; node: ServiceNode; client: NodeClient },
  ): Promise<unknown> {
    const tried = new Set<ServiceNode>();
    try {
      return picked === undefined
        ? await this.#attempt(call, tried)
        : await this.#connectAndCall(picked.pool, picked.node, picked.client, call, tried);
    } catch (error) {
      throw new FailedAttempt(call, error, tried);
    }
  }

  /** For strategies that call nodes without the balancer. */
  readonly nodeAccess: NodeAccess = {
    list: async (call) => {
      const pool = this.#openPoolOf(call);
      if (!pool.resolver.isReady) await untilReady(pool, call);
      return pool.allNodes();
    },
    call: async (node, call) => {
      const pool = this.#openPoolOf(call);
      if (typeof node?.address !== 'string')
        throw new RpcError('INTERNAL', 'the strategy called no node', { unsent: true });
      let client = this.#clients.of(node.address);
      while (!client.isConnected) {
        if (spend(DIAL_UNITS)) await nextTurn();
        await this.#untilConnected(node, client.connect(), call);
        // As in #waitAndAttempt().
        if (!client.isConnected) await nextTurn();
        // The node may have left the list, and come back.
        client = this.#clients.of(node.address);
      }
      return this.#callNode(pool, node, client, call, new Set());
    },
  };

  /** Makes all further attempts fail. */
  close(): void {
    this.#isClosed = true;
  }

  /** Throws UNAVAILABLE after close(). */
  #openPoolOf(call: Call): NodePool {
    if (this.#isClosed) throw consumerClosedError();
    const pools = this.#pools[call.codec];
    let pool = pools.get(call.method);
    if (pool === undefined) {
      pool = this.#findPool(call.method.service, call.method.version, call.codec);
      pools.set(call.method, pool);
    }
    return pool;
  }

  #callNode(
    pool: NodePool,
    node: ServiceNode,
    client: NodeClient,
    call: Call,
    tried: Set<ServiceNode>,
  ): Promise<unknown> {
    const isRetry = tried.size > 0;
    tried.add(node);
    const state = pool.stateOf(node);
    const isStream = isStreaming(call.method.kind);
    state.onCallStart(isStream);
    const connection = client.use();
    return isStream
      ? this.#invokeStream(connection, state, call, isRetry)
      : connection[SEND_OBSERVED](call, new NodeAttempt(call, state, this.#counters, isRetry));
  }

  #invokeStream(
    { invoke }: NodeConnection,
    state: NodeState,
    call: Call,
    isRetry: boolean,
  ): Promise<unknown> {
    const answer = invokeUntilEnd(invoke, call, (error) => state.onStreamEnd(error));
    const count = (error?: unknown): void => this.#counters.countAttempt(isRetry, error);
    answer.then(() => count(), count);
    return answer;
  }

  /**
   * Dials the picked node and waits briefly, so that a balancer that always picks this node can use
   * it. Then the call goes to a connected node: an address that drops packets must not cost the
   * call its timeout.
   */
  async #connectAndCall(
    pool: NodePool,
    picked: ServiceNode,
    client: NodeClient,
    call: Call,
    tried: Set<ServiceNode>,
  ): Promise<unknown> {
    const dial = client.connect();
    dial.catch(() => {});
    if (client.dialGrace > 0)
      await waitToSend(call, Math.min(client.dialGrace, timeLeft(call) / 2), dial, undefined).catch(
        () => {},
      );
    if (call.signal?.aborted) throw cancelledError(call, true);
    // Another attempt of a hedged call may have tried the node meanwhile.
    const node =
      this.#clients.isConnected(picked.address) && !tried.has(picked)
        ? picked
        : pool.pickConnected(call, tried);
    if (node === undefined) return this.#waitAndAttempt(pool, picked, dial, call, tried);
    return this.#callNode(pool, node, this.#clients.of(node.address), call, tried);
  }

  /**
   * No node is connected: dials several nodes, waits until one of them is connected or the list
   * changes, and makes the attempt again.
   */
  async #waitAndAttempt(
    pool: NodePool,
    picked: ServiceNode,
    dial: Promise<void>,
    call: Call,
    tried: Set<ServiceNode>,
  ): Promise<unknown> {
    // Many calls may come here in one turn.
    if (spend(DIAL_UNITS)) await nextTurn();
    const dials = [dial, ...this.#dialOthers(pool, picked, tried)];
    let removeListener!: () => void;
    const listChange = new Promise<void>((resolve) => {
      removeListener = pool.resolver.onChange(() => resolve());
    });
    try {
      await this.#untilConnected(picked, Promise.race([Promise.any(dials), listChange]), call);
    } finally {
      removeListener();
    }
    // If each connection is lost as soon as it is made, other events must still be handled.
    await nextTurn();
    return this.#attempt(call, tried);
  }

  /** Waits for `dial`. Rejects with an unsent error, whose message has the address of the node. */
  async #untilConnected(node: ServiceNode, dial: Promise<void>, call: Call): Promise<void> {
    const cannotBeCalled = `${redactUrl(node.address)} cannot be called`;
    try {
      await waitToSend(call, timeLeft(call), dial, () =>
        unsentTimeoutError(call, new Error(`${cannotBeCalled}: it has no connection`)),
      );
    } catch (error) {
      if (error instanceof RpcError) throw error;
      const cause = error instanceof AggregateError ? error.errors[0] : error;
      throw new RpcError('UNAVAILABLE', `${cannotBeCalled}: ${messageOf(cause)}`, {
        cause,
        unsent: true,
      });
    }
  }

  /** Dials random candidates, up to MAX_DIALS with the picked one. */
  #dialOthers(
    pool: NodePool,
    picked: ServiceNode,
    tried: ReadonlySet<ServiceNode>,
  ): Promise<void>[] {
    const others = pool.nodesFor(tried).filter((node) => node !== picked);
    const dials: Promise<void>[] = [];
    while (others.length > 0 && dials.length < MAX_DIALS - 1) {
      const index = Math.floor(Math.random() * others.length);
      const [node] = others.splice(index, 1) as [ServiceNode];
      dials.push(this.#clients.of(node.address).connect());
    }
    return dials;
  }
}

/** Waits for the first list of nodes. Rejects with an unsent error. */
async function untilReady({ resolver }: NodePool, call: Call): Promise<void> {
  const left = timeLeft(call);
  const timeout = left === Number.POSITIVE_INFINITY ? undefined : Math.ceil(left);
  try {
    await resolver.ready({ timeout, signal: call.signal });
  } catch (error) {
    if (call.signal?.aborted) throw cancelledError(call, true);
    // When the watch ends, ready() rejects with the reason. Otherwise it timed out.
    if (error !== resolver.failure) throw unsentTimeoutError(call, error);
    throw new RpcError('UNAVAILABLE', messageOf(error), { cause: error, unsent: true });
  }
}
