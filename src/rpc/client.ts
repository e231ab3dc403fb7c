/** Calls contracts at an address, and serves those that it offers to the server. */

import { type AsyncContext, runIn } from '../core/async-context.js';
import { checkCallback, notifyOrWarn } from '../core/callbacks.js';
import { isInstance, messageOf } from '../core/errors.js';
import { pickNames } from '../core/options.js';
import { atMost, within } from '../core/timers.js';
import { CLIENT_OPTION_NAMES } from '../transport/option-names.js';
import type { Client, ClientOptions, Setup } from '../transport/types.js';
import { unlessCancelled } from './calls/call-errors.js';
import { type ChannelSetup, RpcChannel } from './calls/channel.js';
import { timeLeft } from './calls/client-call.js';
import { Router } from './contract/router.js';
import { makeStub } from './contract/stub.js';
import { RpcError } from './errors.js';
import { Meters, SHARED_METERS, type SharedMeters, statisticsOf } from './metrics/statistics.js';
import { checkRpcClientNames } from './option-names.js';
import { compose, isCompressed, type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import { handlerChain } from './server.js';
import type {
  Call,
  Channel,
  Contract,
  Invoke,
  MethodSpecs,
  RpcClient,
  RpcClientOptions,
  RpcStatistics,
  Stub,
  StubOptions,
} from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * Two connections overlap the work of both processes, and one that is slow to die does not take all
 * calls with it.
 */
export const RPC_CLIENT_DEFAULTS = { connections: 2 } satisfies RpcClientOptions;

/** connect() of a transport. */
export type Dial = <In, Out>(
  address: string,
  setup: Setup<In, Out>,
  options?: ClientOptions,
) => Promise<Client<In, Out>>;

class ContractClient implements RpcClient {
  readonly #target: string;
  readonly channels = new Set<RpcChannel>() as Set<RpcChannel> & ReadonlySet<Channel>;
  readonly invoke: Invoke;
  readonly #options: ResolvedRpcOptions;
  #onReady: ((ready: boolean) => unknown) | undefined;
  #onResponsive: ((responsive: boolean) => unknown) | undefined;
  #responsive = false;
  #client: Client<Frame, OutgoingFrame> | undefined;
  /** Channels that take calls; of these the responsive ones, if there are any. */
  #usable: RpcChannel[] = [];
  #next = 0;
  #closing: Promise<void> | undefined;
  readonly #calls: Meters;
  readonly #served: Meters;

  readonly #asyncContext: AsyncContext | undefined;
  readonly #draining = new AbortController();

  constructor(
    address: string,
    options: ResolvedRpcOptions,
    { calls, served }: SharedMeters,
    asyncContext: AsyncContext | undefined,
  ) {
    this.#calls = calls;
    this.#served = served;
    this.#target = address;
    this.#options = options;
    this.#asyncContext = asyncContext;
    this.invoke = compose(options.interceptors, (call) => this.#send(call));
  }

  get address(): string {
    return this.#client?.address ?? '';
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  async connect(dial: Dial, given: RpcClientOptions): Promise<this> {
    const { services = [], onReady, onResponsive } = given;
    const options = this.#options;
    checkCallback('onReady', onReady);
    checkCallback('onResponsive', onResponsive);
    this.#onReady = onReady;
    this.#onResponsive = onResponsive;
    const setup: ChannelSetup = {
      side: 'client',
      calls: this.#calls,
      served: this.#served,
      router: new Router(services),
      handle: handlerChain(options),
      asyncContext: this.#asyncContext,
      draining: this.#draining.signal,
      wrap: (invoke) => compose(options.interceptors, invoke),
      onChange: (channel) => this.#changed(channel),
      isCompressed: isCompressed(options.session),
      ...options,
    };
    const heartbeats = options.heartbeatPeriod > 0;
    const session = {
      ...options.session,
      ...(heartbeats && { cronPeriod: options.heartbeatPeriod }),
    };
    this.#client = await dial(
      this.#target,
      (peer) => {
        const channel = new RpcChannel(setup, heartbeats, peer);
        return { ...session, allowHalfOpen: false, codec: channel, listener: channel };
      },
      { ...RPC_CLIENT_DEFAULTS, ...pickNames(given, CLIENT_OPTION_NAMES) },
    );
    return this;
  }

  #changed(channel: RpcChannel): void {
    if (channel.closed) this.channels.delete(channel);
    else this.channels.add(channel);
    const wasReady = this.#usable.length > 0;
    const usable = [...this.channels].filter((one) => one.usable);
    const responsive = usable.filter((one) => one.responsive);
    const isResponsive = responsive.length > 0;
    this.#usable = isResponsive ? responsive : usable;
    const isReady = usable.length > 0;
    if (isReady !== wasReady) this.#notify('onReady', this.#onReady, isReady);
    // All channels lead to the same process: what makes one of them silent may have made the others
    // so.
    if (channel.usable && !channel.responsive)
      for (const other of responsive) other.checkLiveness();
    if (isResponsive === this.#responsive) return;
    this.#responsive = isResponsive;
    this.#notify('onResponsive', this.#onResponsive, isResponsive);
  }

  /** The event may come from a timer that some call has started. */
  #notify(name: string, callback: ((state: boolean) => unknown) | undefined, state: boolean): void {
    if (callback !== undefined)
      runIn(this.#asyncContext, () => notifyOrWarn(name, () => callback(state)));
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs> {
    return makeStub(contract, this.invoke, this.#options.timeout, options);
  }

  #send(call: Call): Promise<unknown> {
    const usable = this.#usable;
    const count = usable.length;
    if (count === 0 || this.#closing !== undefined) return this.#sendLater(call);
    this.#next = (this.#next + 1) % count;
    return (usable[this.#next] as RpcChannel).send(call);
  }

  /** No channel takes calls: wait for the attempt that is under way, or learn why there is none. */
  async #sendLater(call: Call): Promise<unknown> {
    const limit = call.timeout === undefined ? this.#options.timeout : timeLeft(call);
    try {
      if (this.#client === undefined || this.#closing !== undefined)
        throw new Error('the client is closed');
      await within(
        limit,
        unlessCancelled(call, this.#client.session()),
        () => new Error(`none within ${Math.ceil(limit)} ms`),
      );
    } catch (error) {
      if (isInstance(error, RpcError)) throw error;
      throw new RpcError('UNAVAILABLE', `no session with ${this.address}: ${messageOf(error)}`, {
        cause: error,
        unsent: true,
      });
    }
    const channel = this.#usable[0];
    if (channel === undefined)
      throw new RpcError('UNAVAILABLE', `${this.address} is going away`, { unsent: true });
    return channel.send(call);
  }

  statistics(): RpcStatistics {
    return statisticsOf(this.#calls, this.#served, this.channels);
  }

  resetStatistics(): void {
    this.#calls.reset();
    this.#served.reset();
    for (const channel of this.channels) channel.resetStatistics();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#draining.abort();
    await atMost(
      this.#options.drainTimeout,
      Promise.all([...this.channels].map((channel) => channel.idle())),
    );
    await this.#client?.close();
  }

  destroy(): void {
    this.#client?.destroy();
    this.#closing ??= this.#client?.close() ?? Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** connect() over sessions that `dial` makes. Handlers and callbacks run in `asyncContext`. */
export async function connectOver(
  dial: Dial,
  address: string,
  options: RpcClientOptions = {},
  asyncContext?: AsyncContext,
): Promise<RpcClient> {
  checkRpcClientNames(options);
  const { [SHARED_METERS]: meters = { calls: new Meters(), served: new Meters() } } = options as {
    [SHARED_METERS]?: SharedMeters;
  };
  return new ContractClient(address, resolveRpcOptions(options), meters, asyncContext).connect(
    dial,
    options,
  );
}
