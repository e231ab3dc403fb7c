/** A consumer: finds the nodes of a service, follows them, and balances calls over them. */
import { messageOf } from '../errors.js';
import { SILENT } from '../logger.js';
import { badOption } from '../options.js';
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
import { roundRobin } from './balancers.js';
import { Links } from './links.js';
import { Resolver } from './resolver.js';
import { failover } from './strategies.js';
import type { Balancer, Picker, Registry, ServiceNode, Strategy } from './types.js';

/** The rpc options are those of the connection to each node; interceptors see a call once, before its attempts. */
export interface ConsumeOptions extends Omit<RpcClientOptions, 'signal' | 'onReady'> {
  registry: Registry;
  /** Default: providers of any group. */
  group?: string;
  /** Default: roundRobin(). */
  balancer?: Balancer;
  /** Default: failover(). */
  strategy?: Strategy;
}

export interface Consumer extends AsyncDisposable {
  /** A typed caller. It asks the registry for nodes that speak its codec: the contract's own, unless `options` says another. */
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /** Follows the nodes that calls of this contract go to; the consumer closes it. */
  resolver(contract: Pick<Contract, 'name' | 'version' | 'codec'>, options?: StubOptions): Resolver;
  readonly invoke: Invoke;
  /** Stop following, let calls under way finish, close. */
  close(): Promise<void>;
}

/** The nodes of one service, version and codec, and the picker among them. */
class Pool {
  readonly resolver: Resolver;
  readonly #picker: Picker;
  readonly #links: Links;
  /** Those of the list that are worth a call; undefined when it has to be found out anew. */
  #available: readonly ServiceNode[] | undefined;
  ready = false;

  constructor(resolver: Resolver, picker: Picker, links: Links) {
    this.resolver = resolver;
    this.#picker = picker;
    this.#links = links;
  }

  changed(): void {
    this.#available = undefined;
  }

  /** Throws UNAVAILABLE when no node is left. */
  pick(call: Call, tried: ReadonlySet<ServiceNode>): ServiceNode {
    this.#available ??= this.#findAvailable();
    let nodes = this.#available;
    if (tried.size > 0) {
      // A node that rests is better than none, and one at an address that has just failed is none.
      const addresses = new Set([...tried].map((node) => node.address));
      const isLeft = (node: ServiceNode): boolean => !addresses.has(node.address);
      nodes = nodes.filter(isLeft);
      if (nodes.length === 0) nodes = this.resolver.nodes().filter(isLeft);
    }
    if (nodes.length === 0) throw new RpcError('UNAVAILABLE', this.#noNode(tried.size), { unsent: true });
    const node = this.#picker(nodes, call);
    if (typeof node?.address !== 'string')
      throw new RpcError('INTERNAL', 'the balancer answered none of the nodes that it was given', { unsent: true });
    return node;
  }

  #findAvailable(): readonly ServiceNode[] {
    const all = this.resolver.nodes();
    const available = all.filter((node) => this.#links.isAvailable(node.address));
    return available.length === 0 || available.length === all.length ? all : available;
  }

  #noNode(tried: number): string {
    const { service, version, group, protocol } = this.resolver.query;
    const what = [service, version && `version ${version}`, group && `group ${group}`, protocol].filter(Boolean).join(', ');
    return tried > 0 ? `no other node offers ${what}` : `no node offers ${what}`;
  }
}

class ServiceConsumer implements Consumer {
  readonly invoke: Invoke;
  readonly #options: ConsumeOptions;
  readonly #links: Links;
  readonly #pools = new Map<string, Pool>();
  /** The same pools, where each call finds its own. */
  readonly #byMethod: Readonly<Record<CodecName, Map<Method, Pool>>> = { json: new Map(), protobuf: new Map() };
  readonly #timeout: number;
  #closing: Promise<void> | undefined;

  constructor(options: ConsumeOptions) {
    const { registry, balancer = roundRobin(), strategy = failover(), interceptors = [], timeout = RPC_DEFAULTS.timeout } = options;
    if (typeof registry?.watch !== 'function') throw badOption('registry', registry, 'a Registry');
    if (typeof balancer !== 'function') throw badOption('balancer', balancer, 'a function that returns a picker, as roundRobin() is');
    if (typeof strategy !== 'function') throw badOption('strategy', strategy, 'what failover() or failfast() returns');
    this.#options = { ...options, balancer };
    this.#timeout = timeout;
    this.#links = new Links({ ...options, interceptors: [] }, () => {
      for (const pool of this.#pools.values()) pool.changed();
    });
    this.invoke = compose(
      interceptors,
      strategy((call, tried) => this.#attempt(call, tried)),
    );
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options: StubOptions = {}): Stub<Specs> {
    const stub = makeStub(contract, this.invoke, this.#timeout, options);
    // The list is under way before the first call.
    this.resolver(contract, options);
    return stub;
  }

  resolver({ name, version, codec }: Pick<Contract, 'name' | 'version' | 'codec'>, options: StubOptions = {}): Resolver {
    return this.#pool(name, version, options.codec ?? codec).resolver;
  }

  #pool(service: string, version: string, protocol: CodecName): Pool {
    if (this.#closing !== undefined) throw new RpcError('UNAVAILABLE', 'the consumer is closed', { unsent: true });
    const key = JSON.stringify([service, version, protocol]);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const { registry, group, balancer = roundRobin(), logger = SILENT } = this.#options;
      const resolver = new Resolver(registry, { service, group, version: version || undefined, protocol }, { logger });
      pool = new Pool(resolver, balancer(), this.#links);
      this.#pools.set(key, pool);
      resolver.onChange(() => this.#listChanged());
    }
    return pool;
  }

  #listChanged(): void {
    const addresses = new Set<string>();
    for (const pool of this.#pools.values()) {
      pool.changed();
      for (const node of pool.resolver.nodes()) addresses.add(node.address);
    }
    this.#links.keepOnly(addresses);
  }

  #attempt(call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    if (this.#closing !== undefined) return Promise.reject(new RpcError('UNAVAILABLE', 'the consumer is closed', { unsent: true }));
    const known = this.#byMethod[call.codec];
    let pool = known.get(call.method);
    if (pool === undefined) {
      pool = this.#pool(call.method.service, call.method.version, call.codec);
      known.set(call.method, pool);
    }
    if (!pool.ready) return this.#attemptLater(pool, call, tried);
    try {
      const node = pool.pick(call, tried);
      tried.add(node);
      return this.#links.of(node.address).invoke(call);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The first list has not come yet. */
  async #attemptLater(pool: Pool, call: Call, tried: Set<ServiceNode>): Promise<unknown> {
    try {
      await pool.resolver.ready({ timeout: call.timeout, signal: call.signal });
    } catch (error) {
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
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A consumer of the services in `registry`. It begins to look and to connect when it is used. Throws BAD_OPTION. */
export function consume(options: ConsumeOptions): Consumer {
  return new ServiceConsumer(options);
}
