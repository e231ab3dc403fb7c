/** A consumer: watches the nodes of services, and spreads calls over them. */
import { runIn } from '../core/async-context.js';
import { captureAsyncContext } from '../core/node-async-context.js';
import { badOption } from '../core/options.js';
import { resources } from '../core/resource-tracker.js';
import { CONSUMER_CONNECTION, type ConsumerConnection } from '../rpc/consumer-connection.js';
import {
  type CodecName,
  type Contract,
  type Invoke,
  type MethodSpecs,
  makeStub,
  type RpcClientOptions,
  type Stub,
  type StubOptions,
} from '../rpc/index.js';
import { checkedInvoke, compose } from '../rpc/interceptor-chain.js';
import { checkStubNames } from '../rpc/option-names.js';
import {
  type ConsumeOptions,
  type ConsumerSettings,
  resolveConsumeOptions,
  startStrategy,
} from './consume-options.js';
import { type Explanation, explain, findAllNodes, findSimilarService } from './explanation.js';
import { CallDispatcher } from './nodes/call-dispatcher.js';
import { ClientCache, consumerClosedError } from './nodes/client-cache.js';
import { NodePool } from './nodes/node-pool.js';
import { type ChangeListener, Resolver } from './resolver.js';
import { ConsumerCounters, type ConsumerStatistics } from './statistics.js';

/** Milliseconds that explain() waits for the nodes of other groups, versions and codecs. */
const EXPLAIN_TIMEOUT = 1_000;

/** The part of a contract that a consumer needs to find its nodes. */
export type ContractName = Pick<Contract, 'name' | 'version' | 'codec'>;

/** Calls the services that a registry lists. Made by consume(). */
export interface Consumer extends AsyncDisposable {
  /**
   * A typed caller, whose calls go to nodes of the contract's name and version that use its codec:
   * that of `options`, or the contract's own. Starts to watch the nodes. Throws BAD_OPTION, or
   * UNAVAILABLE after close().
   */
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /**
   * The resolver that watches the nodes of this contract. Its calls use it too, and the consumer
   * closes it: do not close it. Throws UNAVAILABLE after close().
   */
  resolver(contract: ContractName, options?: StubOptions): Resolver;
  /**
   * Calls `listener` with the current nodes as `added`, before this returns, and then with each
   * change. Returns the function that ends this. What the listener throws is logged.
   */
  notify(contract: ContractName, listener: ChangeListener, options?: StubOptions): () => void;
  /**
   * Which nodes calls of this contract may use, which they may not use, and why. It also asks the
   * registry for nodes of other groups, versions and codecs, and waits for them for at most 1 s. If
   * there are none, it asks for a service with a similar name in the same way.
   */
  explain(contract: ContractName, options?: StubOptions): Promise<Explanation>;
  /** Makes a call without a stub. */
  readonly invoke: Invoke;
  /**
   * The counts since the start, or since resetStatistics(), over all connections. `calls` counts
   * each attempt; `nodes` are the nodes as they are now.
   */
  statistics(): ConsumerStatistics;
  /** Resets all counts but those of calls in flight. */
  resetStatistics(): void;
  /** Stops watching nodes, lets calls in flight finish for at most `drainTimeout`, and closes. */
  close(): Promise<void>;
}

class ServiceConsumer implements Consumer {
  readonly invoke: Invoke;
  readonly #settings: ConsumerSettings;
  readonly #clients: ClientCache;
  readonly #dispatcher: CallDispatcher;
  /** The pools, by service, version and codec. */
  readonly #pools = new Map<string, NodePool>();
  /** The context of consume(). A resolver or client that a call starts may outlive the call. */
  readonly #asyncContext = captureAsyncContext();
  readonly #counters = new ConsumerCounters();
  #closing: Promise<void> | undefined;

  constructor(options: ConsumeOptions) {
    const settings = resolveConsumeOptions(options);
    this.#settings = settings;
    const connection: ConsumerConnection = { counters: this.#counters.rpc };
    this.#clients = new ClientCache(
      { ...settings.connection, [CONSUMER_CONNECTION]: connection } as RpcClientOptions,
      settings.idleTimeout,
      this.#asyncContext,
      () => {
        for (const pool of this.#pools.values()) pool.invalidate();
      },
    );
    this.#dispatcher = new CallDispatcher(
      this.#clients,
      this.#counters,
      (service, version, codec) => this.#findPool(service, version, codec),
    );
    const { attempt, nodeAccess } = this.#dispatcher;
    const strategy = startStrategy(settings.strategy, attempt, nodeAccess);
    this.invoke = checkedInvoke(compose(settings.interceptors, strategy));
    resources.tracker?.onOpen('consumer', this);
  }

  stub<Specs extends MethodSpecs>(
    contract: Contract<Specs>,
    options: StubOptions = {},
  ): Stub<Specs> {
    const stub = makeStub(contract, this.invoke, this.#settings.timeout, options);
    // Starts the watch, so that the first call has to wait less for the first list.
    this.resolver(contract, options);
    return stub;
  }

  resolver(contract: ContractName, options: StubOptions = {}): Resolver {
    return this.#poolOf(contract, options).resolver;
  }

  notify(contract: ContractName, listener: ChangeListener, options: StubOptions = {}): () => void {
    if (typeof listener !== 'function') throw badOption('listener', listener, 'a function');
    return this.resolver(contract, options).notify(listener);
  }

  async explain(contract: ContractName, options: StubOptions = {}): Promise<Explanation> {
    const pool = this.#poolOf(contract, options);
    const { service } = pool.resolver.query;
    const { registry } = this.#settings;
    const all = await findAllNodes(registry, service, EXPLAIN_TIMEOUT);
    const listed = pool.explain();
    const similar =
      all.length + listed.length === 0
        ? await findSimilarService(registry, service, EXPLAIN_TIMEOUT)
        : undefined;
    return explain(pool.resolver, listed, all, similar);
  }

  statistics(): ConsumerStatistics {
    const { attempts, retries, ejections, rpc } = this.#counters;
    const { calls, served } = rpc;
    const nodes = { ejected: 0, connected: 0, idle: 0, unavailable: 0 };
    for (const pool of this.#pools.values()) pool.countNodes(nodes);
    return {
      since: calls.since,
      calls: calls.snapshot(),
      served: served.snapshot(),
      peers: this.#clients.peers(),
      attempts,
      retries,
      ejections,
      nodes,
    };
  }

  resetStatistics(): void {
    this.#counters.reset();
    this.#clients.resetStatistics();
  }

  #poolOf(contract: ContractName, options: StubOptions): NodePool {
    if (typeof contract !== 'object' || typeof contract?.name !== 'string')
      throw badOption('contract', contract, 'a contract, or { name, version, codec }');
    checkStubNames(options);
    return this.#findPool(contract.name, contract.version, options.codec ?? contract.codec);
  }

  #findPool(service: string, version: string, codec: CodecName): NodePool {
    if (this.#closing !== undefined) throw consumerClosedError();
    const key = JSON.stringify([service, version, codec]);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = this.#makePool(service, version, codec);
      this.#pools.set(key, pool);
      pool.resolver.onChange(() => this.#closeUnlistedClients());
    }
    return pool;
  }

  #makePool(service: string, version: string, protocol: CodecName): NodePool {
    const { registry, group, newPicker, logger, pool } = this.#settings;
    // Before the resolver is made, because the balancer may throw.
    const picker = newPicker();
    const query = { service, group, version: version || undefined, protocol };
    const resolver = runIn(this.#asyncContext, () => new Resolver(registry, query, { logger }));
    return new NodePool(resolver, picker, this.#clients, pool, () => this.#counters.ejections++);
  }

  #closeUnlistedClients(): void {
    const addresses = new Set<string>();
    const listed = new Set<string>();
    for (const { nodes, resolver } of this.#pools.values()) {
      for (const { address } of nodes) addresses.add(address);
      for (const { address } of resolver.nodes()) listed.add(address);
    }
    this.#clients.keepOnly(addresses, listed);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#dispatcher.close();
    await Promise.all([...this.#pools.values()].map((pool) => pool.resolver.close()));
    await this.#clients.close();
    for (const pool of this.#pools.values()) pool.dispose();
    resources.tracker?.onClose(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * A consumer of the services that `options.registry` lists. It watches a service from the first
 * stub() on, and dials a node when a call first needs it. Throws BAD_OPTION.
 */
export function consume(options: ConsumeOptions): Consumer {
  return new ServiceConsumer(options);
}
