/** The client of rpc: calls contracts at an address, and serves contracts to the server there. */
import { type AsyncContext, runIn } from '../core/async-context.js';
import { checkCallback, notifyOrWarn } from '../core/callbacks.js';
import { isInstance, messageOf } from '../core/errors.js';
import { pickNames } from '../core/options.js';
import { atMost } from '../core/timers.js';
import {
  HAS_GIVEN_UP,
  type InternalClient,
  REPLACE_SESSION,
} from '../transport/client/open-sessions.js';
import { CLIENT_OPTION_NAMES } from '../transport/option-names.js';
import { now } from '../transport/session/flush-scheduler.js';
import type { Client, ClientAddress, ClientOptions, Setup } from '../transport/types.js';
import { unsentTimeoutError, waitToSend } from './calls/call-errors.js';
import type { RpcChannel } from './calls/channel.js';
import { timeLeft } from './calls/client-call.js';
import type { CallObserver } from './calls/outgoing-request.js';
import {
  CONSUMER_CONNECTION,
  type ConsumerConnection,
  type NodeConnection,
  SEND_OBSERVED,
} from './consumer-connection.js';
import { makeStub } from './contract/stub.js';
import { RpcEndpoint } from './endpoint.js';
import { RpcError, withMethod } from './errors.js';
import { checkedInvoke, compose } from './interceptor-chain.js';
import { RpcCounters } from './metrics/statistics.js';
import { checkRpcClientNames } from './option-names.js';
import { type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import type {
  Call,
  Contract,
  Invoke,
  MethodSpecs,
  RpcClient,
  RpcClientOptions,
  Stub,
  StubOptions,
} from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * Two connections, because they overlap the work of both processes, and because the loss of one
 * fails only part of the calls. At a message port or a process one: there the other side is lost as
 * a whole.
 */
export const RPC_CLIENT_DEFAULTS = { connections: 2 } satisfies RpcClientOptions;

/** The type of connect() of the transport. */
export type Dial = <In, Out>(
  address: ClientAddress | readonly ClientAddress[],
  setup: Setup<In, Out>,
  options?: ClientOptions,
) => Promise<Client<In, Out>>;

class ContractClient extends RpcEndpoint implements NodeConnection {
  readonly invoke: Invoke;
  readonly #options: ResolvedRpcOptions;
  readonly #asyncContext: AsyncContext | undefined;
  #onReady: ((ready: boolean) => unknown) | undefined;
  #onResponsive: ((responsive: boolean) => unknown) | undefined;
  #isResponsive = false;
  #client: (Client<Frame, OutgoingFrame> & InternalClient<Frame, OutgoingFrame>) | undefined;
  /** The channels that accept calls. If some of these are responsive, only the responsive ones. */
  #candidates: RpcChannel[] = [];
  /** Index in `#candidates` of the channel that got the last call. */
  #lastIndex = 0;

  constructor(
    options: ResolvedRpcOptions,
    consumer: ConsumerConnection | undefined,
    asyncContext: AsyncContext | undefined,
  ) {
    super(options, consumer?.counters ?? new RpcCounters(), asyncContext);
    this.#options = options;
    this.#asyncContext = asyncContext;
    const interceptors = consumer === undefined ? options.interceptors : [];
    this.invoke = checkedInvoke(compose(interceptors, (call) => this.#send(call)));
  }

  protected override get transport(): Client<Frame, OutgoingFrame> | undefined {
    return this.#client;
  }

  /** The addresses for messages. */
  get #servers(): string {
    return this.addresses.join(', ');
  }

  get reconnectAttempts(): number {
    return this.#client?.reconnectAttempts ?? 0;
  }

  get [HAS_GIVEN_UP](): boolean {
    return this.#client?.[HAS_GIVEN_UP] === true;
  }

  async connect(
    dial: Dial,
    address: ClientAddress | readonly ClientAddress[],
    given: RpcClientOptions,
  ): Promise<this> {
    const { services = [], onReady, onResponsive } = given;
    const { heartbeatPeriod, session } = this.#options;
    checkCallback('onReady', onReady);
    checkCallback('onResponsive', onResponsive);
    this.#onReady = onReady;
    this.#onResponsive = onResponsive;
    const sendsHeartbeats = heartbeatPeriod > 0;
    this.#client = await dial(
      address,
      this.sessionSetup('client', services, sendsHeartbeats, {
        ...session,
        ...(sendsHeartbeats && { cronPeriod: heartbeatPeriod }),
      }),
      {
        ...(typeof address === 'string' && RPC_CLIENT_DEFAULTS),
        ...pickNames(given, CLIENT_OPTION_NAMES),
      },
    );
    for (const channel of this.channels) this.#replaceIfGoingAway(channel);
    return this;
  }

  /** Dials another session for new calls. The calls of the channel end in their own session. */
  #replaceIfGoingAway({ usable, closed, session }: RpcChannel): void {
    if (!usable && !closed && session !== undefined) this.#client?.[REPLACE_SESSION]?.(session);
  }

  protected override onChannelChange(channel: RpcChannel): void {
    super.onChannelChange(channel);
    const wasReady = this.#candidates.length > 0;
    const usable = [...this.channels].filter((one) => one.usable);
    const responsive = usable.filter((one) => one.responsive);
    const isResponsive = responsive.length > 0;
    this.#candidates = isResponsive ? responsive : usable;
    this.#replaceIfGoingAway(channel);
    const isReady = usable.length > 0;
    if (isReady !== wasReady) this.#notify('onReady', this.#onReady, isReady);
    // All channels lead to the same process. If one does not respond, the others may not either.
    if (channel.usable && !channel.responsive)
      for (const other of responsive) other.checkLiveness();
    if (isResponsive === this.#isResponsive) return;
    this.#isResponsive = isResponsive;
    this.#notify('onResponsive', this.#onResponsive, isResponsive);
  }

  /** Enters the async context of the client: a timer of some call may have caused the event. */
  #notify(name: string, callback: ((state: boolean) => unknown) | undefined, state: boolean): void {
    if (callback !== undefined)
      runIn(this.#asyncContext, () => notifyOrWarn(name, () => callback(state)));
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs> {
    return makeStub(contract, this.invoke, this.#options.timeout, options);
  }

  [SEND_OBSERVED](call: Call, observer: CallObserver): Promise<unknown> {
    return this.#send(call, observer);
  }

  #send(call: Call, observer?: CallObserver): Promise<unknown> {
    const candidates = this.#candidates;
    const count = candidates.length;
    if (count === 0 || this.closed) return this.#sendWhenConnected(call, observer);
    this.#lastIndex = (this.#lastIndex + 1) % count;
    return (candidates[this.#lastIndex] as RpcChannel).send(call, observer);
  }

  /**
   * For a call while no channel accepts calls. It waits for the connection attempt that is under
   * way. It rejects with UNAVAILABLE when there is no attempt, or when the attempt fails, and with
   * DEADLINE_EXCEEDED when the timeout of the call passes before.
   */
  async #sendWhenConnected(call: Call, observer: CallObserver | undefined): Promise<unknown> {
    const startedAt = now();
    let channel: RpcChannel;
    try {
      channel = await this.#connectedChannel(call);
    } catch (error) {
      const failure = withMethod(RpcError.from(error), call.method);
      const counter = this.counters.calls.of(call.method);
      counter.onCallStart();
      counter.onCallEnd(failure, startedAt, 0, 0);
      throw observer === undefined ? failure : observer.onFailed(failure, 0);
    }
    return channel.send(call, observer);
  }

  /** Waits for a channel that accepts the call. Rejects with an unsent RpcError. */
  async #connectedChannel(call: Call): Promise<RpcChannel> {
    const limit = call.timeout === undefined ? this.#options.timeout : timeLeft(call);
    try {
      if (this.#client === undefined || this.closed) throw new Error('the client is closed');
      await waitToSend(call, limit, this.#client.session(), () => {
        return call.timeout === undefined
          ? new Error(`none was opened within ${limit} ms`)
          : unsentTimeoutError(call, new Error(`no session with ${this.#servers} was opened`));
      });
    } catch (error) {
      if (isInstance(error, RpcError)) throw error;
      throw new RpcError('UNAVAILABLE', `no session with ${this.#servers}: ${messageOf(error)}`, {
        cause: error,
        unsent: true,
      });
    }
    const channel = this.#candidates[0];
    if (channel === undefined)
      throw new RpcError('UNAVAILABLE', `the server at ${this.#servers} is closing`, {
        unsent: true,
      });
    return channel;
  }

  protected override async drainAndClose(drainTimeout: number): Promise<void> {
    await atMost(drainTimeout, Promise.all([...this.channels].map((channel) => channel.idle())));
    await this.#client?.close();
  }
}

/**
 * connect() with `dial` as connect() of the transport. Handlers and callbacks run in
 * `asyncContext`.
 */
export async function connectOver(
  dial: Dial,
  address: ClientAddress | readonly ClientAddress[],
  options: RpcClientOptions = {},
  asyncContext?: AsyncContext,
): Promise<RpcClient> {
  checkRpcClientNames(options);
  const { [CONSUMER_CONNECTION]: consumer } = options as {
    [CONSUMER_CONNECTION]?: ConsumerConnection;
  };
  return new ContractClient(resolveRpcOptions(options), consumer, asyncContext).connect(
    dial,
    address,
    options,
  );
}
