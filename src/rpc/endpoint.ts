/** The base of clients and servers: their channels, statistics and end. */
import type { AsyncContext } from '../core/async-context.js';
import { resources } from '../core/resource-tracker.js';
import type { Endpoint, SessionOptions, Setup } from '../transport/types.js';
import { type ChannelSetup, RpcChannel } from './calls/channel.js';
import { Router } from './contract/router.js';
import { compose, composeHandlerInvoke } from './interceptor-chain.js';
import { type RpcCounters, statisticsOf } from './metrics/statistics.js';
import { type ResolvedRpcOptions, usesDeflate } from './options.js';
import type { Channel, RpcStatistics, Service } from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

export abstract class RpcEndpoint {
  readonly channels = new Set<RpcChannel>() as Set<RpcChannel> & ReadonlySet<Channel>;
  readonly #options: ResolvedRpcOptions;
  protected readonly counters: RpcCounters;
  readonly #asyncContext: AsyncContext | undefined;
  readonly #draining = new AbortController();
  #closing: Promise<void> | undefined;

  /** Handlers run in `asyncContext`. */
  constructor(
    options: ResolvedRpcOptions,
    counters: RpcCounters,
    asyncContext: AsyncContext | undefined,
  ) {
    this.#options = options;
    this.counters = counters;
    this.#asyncContext = asyncContext;
  }

  /** Undefined until serve() or connect() of the transport has resolved. */
  protected abstract readonly transport: Endpoint<Frame, OutgoingFrame> | undefined;

  get address(): string {
    return this.transport?.address ?? '';
  }

  get addresses(): readonly string[] {
    return this.transport?.addresses ?? [];
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Returns the function that sets up each session: with a channel, and with `session` as its
   * options. Throws BAD_OPTION for invalid services or interceptors.
   */
  protected sessionSetup(
    side: 'client' | 'server',
    services: readonly Service[],
    sendsHeartbeats: boolean,
    session: SessionOptions,
  ): Setup<Frame, OutgoingFrame> {
    const options = this.#options;
    const { interceptors } = options;
    const setup: ChannelSetup = {
      side,
      calls: this.counters.calls,
      served: this.counters.served,
      router: new Router(services),
      handle: composeHandlerInvoke(interceptors, options.inheritContext),
      asyncContext: this.#asyncContext,
      draining: this.#draining.signal,
      wrap: (invoke) => compose(interceptors, invoke),
      onChange: (channel) => this.onChannelChange(channel),
      isCompressed: usesDeflate(session),
      ...options,
    };
    return (peer) => {
      const channel = new RpcChannel(setup, sendsHeartbeats, peer);
      return { ...session, allowHalfOpen: false, codec: channel, listener: channel };
    };
  }

  /** Called by ChannelSetup.onChange. */
  protected onChannelChange(channel: RpcChannel): void {
    if (channel.closed) {
      this.channels.delete(channel);
      resources.tracker?.onClose(channel);
    } else {
      this.channels.add(channel);
      resources.tracker?.onOpen('channel', channel);
    }
  }

  statistics(): RpcStatistics {
    return statisticsOf(this.counters, this.channels);
  }

  resetStatistics(): void {
    this.counters.reset();
    for (const channel of this.channels) channel.resetStatistics();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #close(): Promise<void> {
    this.#draining.abort();
    return this.drainAndClose(this.#options.drainTimeout);
  }

  /** Waits for running calls for at most `drainTimeout` ms, then closes the transport. */
  protected abstract drainAndClose(drainTimeout: number): Promise<void>;

  destroy(): void {
    this.transport?.destroy();
    this.#closing ??= this.transport?.close() ?? Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
