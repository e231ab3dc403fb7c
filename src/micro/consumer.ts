/** A consumer: finds the nodes of a service, follows them, and balances calls over them. */

import { runIn } from '../core/async-context.js';
import { refusePromise } from '../core/callbacks.js';
import { messageOf } from '../core/errors.js';
import { SILENT } from '../core/logger.js';
import { captureAsyncContext } from '../core/node-async-context.js';
import { badOption, type NamesOf, pickNames, withDefaults } from '../core/options.js';
import { redactUrl } from '../core/redact.js';
import { atMost, LONGEST_TIMER, within } from '../core/timers.js';
import { nextTurn } from '../core/turn.js';
import { cancelled, timeLeft, unlessCancelled } from '../rpc/calls/client-call.js';
import {
  type Call,
  type CodecName,
  type Contract,
  compose,
  type Invoke,
  type Method,
  type MethodSpecs,
  makeStub,
  RPC_DEFAULTS,
  type RpcClientOptions,
  RpcError,
  type Stub,
  type StubOptions,
} from '../rpc/index.js';
import { SHARED_METERS } from '../rpc/metrics/statistics.js';
import { checkRpcClientNames, checkStubNames, RPC_CLIENT_NAMES } from '../rpc/option-names.js';
import { settled } from '../rpc/options.js';
import { invokeUntilEnd } from '../rpc/streams/stream-end.js';
import { roundRobin } from './balancers/index.js';
import { type Explanation, everyNode, explain } from './explain.js';
import { type EjectionOptions, resolveEjection } from './nodes/health.js';
import { Links } from './nodes/links.js';
import { Pool, type PoolSettings } from './nodes/pool.js';
import { type ChangeListener, Resolver } from './resolver.js';
import { ConsumerCounters, type ConsumerStatistics } from './statistics.js';
import { isOvertaken } from './strategies/hedge.js';
import { failover } from './strategies/strategies.js';
import type { Balancer, Picker, Registry, ServiceNode, Strategy } from './types.js';

/**
 * The rpc options are those of the connection to each node; interceptors see a call once, before
 * its attempts.
 */
export interface ConsumeOptions
  extends Omit<RpcClientOptions, 'signal' | 'onReady' | 'onResponsive'> {
  registry: Registry;
  /** Default: providers of any group. */
  group?: string | undefined;
  /** Default: roundRobin(). */
  balancer?: Balancer | undefined;
  /** Default: failover(). */
  strategy?: Strategy | undefined;
  /** When nodes whose calls fail are left out, and for how long; false: never. */
  ejection?: EjectionOptions | false | undefined;
  /**
   * Milliseconds over which a node that comes later is given more and more of its share of the
   * calls. 0: its whole share at once.
   */
  slowStart?: number | undefined;
  /**
   * Milliseconds after which the connections to a node that no call has used are closed; the next
   * call dials again. It may take a quarter longer. 0: never, which is the default where `services`
   * are offered to the providers.
   */
  idleTimeout?: number | undefined;
}

const {
  signal: _signal,
  onReady: _onReady,
  onResponsive: _onResponsive,
  ...CONNECTION_NAMES
} = RPC_CLIENT_NAMES;
const NAMES = {
  registry: true,
  group: true,
  balancer: true,
  strategy: true,
  ejection: true,
  slowStart: true,
  idleTimeout: true,
} satisfies NamesOf<Omit<ConsumeOptions, keyof typeof CONNECTION_NAMES>>;

/** Milliseconds. */
export const CONSUME_DEFAULTS = {
  slowStart: 0,
  idleTimeout: 600_000,
} satisfies Partial<ConsumeOptions>;
/** How many nodes are dialed for a call when none is connected. */
const DIALS_AT_ONCE = 8;
/** Milliseconds that explain() waits for nodes of other groups and versions. */
const EXPLAIN_LIMIT = 1_000;

/** What a consumer needs to know of a contract to find its nodes. */
export type ContractName = Pick<Contract, 'name' | 'version' | 'codec'>;

export interface Consumer extends AsyncDisposable {
  /**
   * A typed caller. It asks the registry for nodes that speak its codec: the contract's own, unless
   * `options` says another.
   */
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /** Follows the nodes that calls of this contract go to; the consumer closes it. */
  resolver(contract: ContractName, options?: StubOptions): Resolver;
  /**
   * Tell of the nodes of this contract: once of those that there are, as added, then of each
   * change. Answers the function that ends it. What the listener throws is logged.
   */
  notify(contract: ContractName, listener: ChangeListener, options?: StubOptions): () => void;
  /**
   * Which nodes calls of this contract may go to, which they do not go to, and why. It asks the
   * registry for nodes of other groups, versions and codecs too, and waits for them for a second at
   * most.
   */
  explain(contract: ContractName, options?: StubOptions): Promise<Explanation>;
  readonly invoke: Invoke;
  /**
   * What happened since the start, or since resetStatistics(), over all connections: each attempt
   * of a call by itself, how many of them were not the first of their call, and the nodes as they
   * are now.
   */
  statistics(): ConsumerStatistics;
  /** Begin to count anew; calls under way stay so. */
  resetStatistics(): void;
  /** Stop following, let calls under way finish, close. */
  close(): Promise<void>;
}

class ServiceConsumer implements Consumer {
  readonly invoke: Invoke;
  readonly #options: ConsumeOptions;
  readonly #links: Links;
  readonly #pools = new Map<string, Pool>();
  /** The same pools, where each call finds its own. */
  readonly #byMethod: Readonly<Record<CodecName, Map<Method, Pool>>> = {
    json: new Map(),
    protobuf: new Map(),
  };
  readonly #timeout: number;
  /** Of consume(): what is begun for a call outlives it. */
  readonly #asyncContext = captureAsyncContext();
  readonly #settings: PoolSettings;
  readonly #counters = new ConsumerCounters();
  #closing: Promise<void> | undefined;

  constructor(options: ConsumeOptions) {
    checkRpcClientNames(options, 'consume()', NAMES, CONNECTION_NAMES);
    const {
      registry,
      balancer = roundRobin(),
      strategy = failover(),
      interceptors = [],
      timeout = RPC_DEFAULTS.timeout,
    } = options;
    if (typeof registry?.watch !== 'function') throw badOption('registry', registry, 'a Registry');
    if (typeof balancer !== 'function')
      throw badOption('balancer', balancer, 'a function that returns a picker, as roundRobin() is');
    if (typeof strategy !== 'function')
      throw badOption('strategy', strategy, 'what failover() or failfast() returns');
    this.#options = { ...options, balancer };
    this.#timeout = timeout;
    const { slowStart, idleTimeout } = withDefaults(CONSUME_DEFAULTS, options, {
      slowStart: [0, LONGEST_TIMER],
      idleTimeout: [0, LONGEST_TIMER],
    });
    this.#settings = { slowStart, ejection: resolveEjection(options.ejection) };
    // A provider may call back whenever it likes.
    const offers = options.services !== undefined && options.services.length > 0;
    this.#links = new Links(
      {
        ...pickNames(options, CONNECTION_NAMES),
        interceptors: [],
        [SHARED_METERS]: this.#counters.meters,
      } as RpcClientOptions,
      offers ? (options.idleTimeout ?? 0) : idleTimeout,
      this.#asyncContext,
      () => {
        for (const pool of this.#pools.values()) pool.changed();
      },
    );
    this.invoke = compose(
      interceptors,
      settled(strategy((call, tried) => this.#attempt(call, tried))),
    );
  }

  stub<Specs extends MethodSpecs>(
    contract: Contract<Specs>,
    options: StubOptions = {},
  ): Stub<Specs> {
    const stub = makeStub(contract, this.invoke, this.#timeout, options);
    // The list is under way before the first call.
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
    const every = await everyNode(
      this.#options.registry,
      pool.resolver.query.service,
      EXPLAIN_LIMIT,
    );
    return explain(pool.resolver, pool.explain(), every);
  }

  statistics(): ConsumerStatistics {
    const { attempts, retries, ejections, meters } = this.#counters;
    const { calls, served } = meters;
    const nodes = { ejected: 0, connected: 0, idle: 0, unavailable: 0 };
    for (const pool of this.#pools.values()) pool.countNodes(nodes);
    return {
      since: calls.since,
      calls: calls.snapshot(),
      served: served.snapshot(),
      peers: this.#links.peers(),
      attempts,
      retries,
      ejections,
      nodes,
    };
  }

  resetStatistics(): void {
    this.#counters.reset();
  }

  #poolOf({ name, version, codec }: ContractName, options: StubOptions): Pool {
    checkStubNames(options);
    return this.#pool(name, version, options.codec ?? codec);
  }

  #pool(service: string, version: string, protocol: CodecName): Pool {
    if (this.#closing !== undefined)
      throw new RpcError('UNAVAILABLE', 'the consumer is closed', { unsent: true });
    const key = JSON.stringify([service, version, protocol]);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const { registry, group, balancer = roundRobin(), logger = SILENT } = this.#options;
      // First, for it may throw, and nothing would close the resolver.
      const picker = pickerOf(balancer);
      const query = { service, group, version: version || undefined, protocol };
      const resolver = runIn(this.#asyncContext, () => new Resolver(registry, query, { logger }));
      pool = new Pool(
        resolver,
        picker,
        this.#links,
        this.#settings,
        () => this.#counters.ejections++,
      );
      this.#pools.set(key, pool);
      resolver.onChange(() => this.#keepLinks());
    }
    return pool;
  }

  #keepLinks(): void {
    const addresses = new Set<string>();
    for (const pool of this.#pools.values()) {
      for (const node of pool.resolver.nodes()) addresses.add(node.address);
    }
    this.#links.keepOnly(addresses);
  }

  #attempt(call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    if (this.#closing !== undefined)
      return Promise.reject(
        new RpcError('UNAVAILABLE', 'the consumer is closed', { unsent: true }),
      );
    const known = this.#byMethod[call.codec];
    let pool = known.get(call.method);
    if (pool === undefined) {
      pool = this.#pool(call.method.service, call.method.version, call.codec);
      known.set(call.method, pool);
    }
    if (!pool.ready) return this.#attemptLater(pool, call, tried);
    try {
      const node = pool.pick(call, tried);
      return this.#links.isConnected(node.address)
        ? this.#invokeAt(pool, node, call, tried)
        : this.#connectFirst(pool, node, call, tried);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The node is not connected. The call waits for it for a moment, so that a balancer which must
   * have this node gets it, and then goes to a connected node: an address that swallows packets
   * must not cost a call its timeout.
   */
  async #connectFirst(
    pool: Pool,
    picked: ServiceNode,
    call: Call,
    tried: Set<ServiceNode>,
  ): Promise<unknown> {
    const link = this.#links.of(picked.address);
    const dial = link.connect();
    dial.catch(() => {});
    if (link.grace > 0)
      await atMost(Math.min(link.grace, timeLeft(call) / 2), unlessCancelled(call, dial)).catch(
        () => {},
      );
    if (call.signal?.aborted) throw cancelled(call, true);
    // A hedged call may have tried the node meanwhile.
    const node =
      this.#links.isConnected(picked.address) && !tried.has(picked)
        ? picked
        : pool.pickConnected(call, tried);
    if (node === undefined) return this.#waitForConnection(pool, picked, dial, call, tried);
    return this.#invokeAt(pool, node, call, tried);
  }

  /**
   * No node is connected: dial several, and send the call to the first that is, or to one of the
   * next list.
   */
  async #waitForConnection(
    pool: Pool,
    picked: ServiceNode,
    dial: Promise<void>,
    call: Call,
    tried: Set<ServiceNode>,
  ): Promise<unknown> {
    const dials = [dial];
    const limit = timeLeft(call);
    const others = pool.candidates(tried).filter((node) => node !== picked);
    for (let i = others.length; i > 0 && dials.length < DIALS_AT_ONCE; i--) {
      const [other] = others.splice(Math.floor(Math.random() * i), 1);
      if (other !== undefined) dials.push(this.#links.of(other.address).connect());
    }
    let stop!: () => void;
    const otherList = new Promise<void>((resolve) => {
      stop = pool.resolver.onChange(() => resolve());
    });
    try {
      await within(
        limit,
        unlessCancelled(call, Promise.race([Promise.any(dials), otherList])),
        () => new Error(`no connection within ${call.timeout} ms`),
      );
    } catch (error) {
      if (error instanceof RpcError) throw error;
      const cause = error instanceof AggregateError ? error.errors[0] : error;
      throw new RpcError(
        'UNAVAILABLE',
        `${redactUrl(picked.address)} cannot be called: ${messageOf(cause)}`,
        { cause, unsent: true },
      );
    } finally {
      stop();
    }
    // A connection that is lost as soon as it is made must not hold the event loop.
    await nextTurn();
    return this.#attempt(call, tried);
  }

  #invokeAt(pool: Pool, node: ServiceNode, call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    const link = this.#links.of(node.address);
    const state = pool.stateOf(node);
    this.#counters.attempts++;
    if (tried.size > 0) this.#counters.retries++;
    tried.add(node);
    const { kind } = call.method;
    state.begin();
    if (kind === 'serverStream' || kind === 'duplex')
      return invokeUntilEnd(
        (made) => link.invoke(made),
        call,
        (error) => state.end(undefined, error),
      );
    const isTimed = kind === 'unary' || kind === 'noReply';
    const began = isTimed ? performance.now() : 0;
    const took = (): number | undefined => (isTimed ? performance.now() - began : undefined);
    const answer = link.invoke(call);
    // On the side: the caller's answer is not a turn later for it.
    answer.then(
      () => (kind === 'oneway' ? state.leave() : state.end(took(), undefined)),
      (error) => state.end(took(), error, isOvertaken(call)),
    );
    return answer;
  }

  /** The first list has not come yet. */
  async #attemptLater(pool: Pool, call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    try {
      await pool.resolver.ready({ timeout: timeoutOf(call), signal: call.signal });
    } catch (error) {
      if (call.signal?.aborted) throw cancelled(call, true);
      throw new RpcError('UNAVAILABLE', messageOf(error), { cause: error, unsent: true });
    }
    pool.ready = true;
    return this.#attempt(call, tried);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.resolver.close()));
    await this.#links.close();
    for (const pool of this.#pools.values()) pool.forget();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * A consumer of the services in `registry`. It begins to look and to connect when it is used.
 * Throws BAD_OPTION.
 */
export function consume(options: ConsumeOptions): Consumer {
  return new ServiceConsumer(options);
}

/** What is left of a call's timeout, as the resolver takes it. */
function timeoutOf(call: Call): number | undefined {
  const left = timeLeft(call);
  return left === Number.POSITIVE_INFINITY ? undefined : Math.ceil(left);
}

/** Throws what `balancer` throws, and BAD_OPTION when it makes no function. */
function pickerOf(balancer: Balancer): Picker {
  const picker = balancer();
  if (typeof picker === 'function') return picker;
  refusePromise('BAD_OPTION', 'the balancer', picker);
  throw badOption('balancer', picker, 'a function that returns a picker, as roundRobin() is');
}
