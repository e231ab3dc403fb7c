/** Serves contracts at an address. */
import type { AsyncContext } from '../core/async-context.js';
import { badOption, pickNames } from '../core/options.js';
import { atMost } from '../core/timers.js';
import { SERVER_OPTION_NAMES } from '../transport/option-names.js';
import type { Server, ServerOptions, Setup, TlsOptions } from '../transport/types.js';
import { type ChannelSetup, RpcChannel } from './calls/channel.js';
import { runInCall } from './calls/inherited-call.js';
import type { ServerCall } from './calls/server-call.js';
import { Router } from './contract/router.js';
import { RpcError } from './errors.js';
import { withIntrospection } from './metrics/introspection.js';
import { Meters, statisticsOf } from './metrics/statistics.js';
import { checkRpcServerNames } from './option-names.js';
import { compose, isCompressed, type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import type {
  Channel,
  Invoke,
  RpcServer,
  RpcServerOptions,
  RpcStatistics,
  Service,
} from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * A session is given up that has not heard its peer for so long; peers send heartbeats more often.
 */
const IDLE_TIMEOUT = 180_000;

/** serve() of a transport. */
export type Listen = <In, Out>(
  address: string,
  setup: Setup<In, Out>,
  options?: ServerOptions,
) => Promise<Server<In, Out>>;

class ContractServer implements RpcServer {
  readonly channels = new Set<RpcChannel>() as Set<RpcChannel> & ReadonlySet<Channel>;
  readonly #options: ResolvedRpcOptions;
  #server: Server<Frame, OutgoingFrame> | undefined;
  #closing: Promise<void> | undefined;
  readonly #calls = new Meters();
  readonly #served = new Meters();

  readonly #asyncContext: AsyncContext | undefined;
  readonly #draining = new AbortController();

  constructor(options: ResolvedRpcOptions, asyncContext: AsyncContext | undefined) {
    this.#options = options;
    this.#asyncContext = asyncContext;
  }

  get address(): string {
    return this.#server?.address ?? '';
  }

  get refusals(): RpcServer['refusals'] {
    // There is a server as soon as serve() has settled.
    return (this.#server as Server<Frame, OutgoingFrame>).refusals;
  }

  async listen(
    listen: Listen,
    address: string,
    services: readonly Service[],
    given: RpcServerOptions,
  ): Promise<this> {
    const { introspection = false } = given;
    const options = this.#options;
    if (typeof introspection !== 'boolean')
      throw badOption('introspection', introspection, 'a boolean');
    const setup: ChannelSetup = {
      side: 'server',
      calls: this.#calls,
      served: this.#served,
      router: new Router(introspection ? withIntrospection(services, this) : services),
      handle: handlerChain(options),
      asyncContext: this.#asyncContext,
      draining: this.#draining.signal,
      wrap: (invoke) => compose(options.interceptors, invoke),
      onChange: (channel) => {
        if (channel.closed) this.channels.delete(channel);
        else this.channels.add(channel);
      },
      isCompressed: isCompressed(options.session),
      ...options,
    };
    const session = { idleTimeout: IDLE_TIMEOUT, ...options.session };
    this.#server = await listen(
      address,
      (peer) => {
        const channel = new RpcChannel(setup, false, peer);
        return { ...session, allowHalfOpen: false, codec: channel, listener: channel };
      },
      pickNames(given, SERVER_OPTION_NAMES),
    );
    return this;
  }

  reloadTls(options: TlsOptions): void {
    this.#server?.reloadTls(options);
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
    const stopped = this.#server?.stopListening();
    const channels = [...this.channels];
    for (const channel of channels) channel.sendGoaway();
    await atMost(
      this.#options.drainTimeout,
      Promise.all(channels.map((channel) => channel.drain())),
    );
    await this.#server?.close();
    await stopped;
  }

  destroy(): void {
    this.#server?.destroy();
    this.#closing ??= this.#server?.close() ?? Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * What runs a handler behind interceptors; undefined where there are none, so that nobody pays for
 * them.
 */
export function handlerChain({
  interceptors,
  inheritContext,
}: ResolvedRpcOptions): Invoke | undefined {
  if (interceptors.length === 0) return undefined;
  return compose(interceptors, async (call) => {
    const context = call as ServerCall;
    const { origin } = context;
    origin.hasBegun = true;
    // An interceptor may answer before this handler has settled: only what is counted here is
    // bounded.
    origin.handledCalls.onHandlerStart(origin);
    try {
      // An interceptor may have given the handler another context, with a nearer deadline.
      const isOther = inheritContext && context !== origin;
      const answer = await (isOther
        ? runInCall(context, () => context.handler(context.input, context))
        : context.handler(context.input, context));
      return origin.stream?.writer === undefined
        ? answer
        : origin.handledCalls.trackReplies(origin, answer);
    } catch (error) {
      throw RpcError.from(error);
    } finally {
      origin.handledCalls.onHandlerEnd(origin);
    }
  });
}

/** serve() over sessions that `listen` makes. Handlers run in `asyncContext`. */
export async function serveOver(
  listen: Listen,
  address: string,
  services: readonly Service[],
  options: RpcServerOptions = {},
  asyncContext?: AsyncContext,
): Promise<RpcServer> {
  checkRpcServerNames(options);
  return new ContractServer(resolveRpcOptions(options), asyncContext).listen(
    listen,
    address,
    services,
    options,
  );
}
