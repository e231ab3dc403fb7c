/** The server of rpc: serves contracts at an address. */
import type { AsyncContext } from '../core/async-context.js';
import { badOption, pickNames } from '../core/options.js';
import { atMost } from '../core/timers.js';
import { SERVER_OPTION_NAMES } from '../transport/option-names.js';
import type { Server, ServerOptions, Setup, TlsOptions } from '../transport/types.js';
import { RpcEndpoint } from './endpoint.js';
import { DescriptorSets } from './metrics/descriptor-set.js';
import { withIntrospection } from './metrics/introspection.js';
import { RpcCounters } from './metrics/statistics.js';
import { checkRpcServerNames } from './option-names.js';
import { type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import type { RpcServer, RpcServerOptions, Service } from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * Default of SessionOptions.idleTimeout, in ms: a session ends when the server has received nothing
 * for this long. Heartbeats of clients are more frequent.
 */
const IDLE_TIMEOUT = 180_000;

/** The type of serve() of the transport. */
export type Listen = <In, Out>(
  address: string,
  setup: Setup<In, Out>,
  options?: ServerOptions,
) => Promise<Server<In, Out>>;

class ContractServer extends RpcEndpoint implements RpcServer {
  readonly #options: ResolvedRpcOptions;
  #server: Server<Frame, OutgoingFrame> | undefined;

  constructor(options: ResolvedRpcOptions, asyncContext: AsyncContext | undefined) {
    super(options, new RpcCounters(), asyncContext);
    this.#options = options;
  }

  protected override get transport(): Server<Frame, OutgoingFrame> | undefined {
    return this.#server;
  }

  get refusals(): RpcServer['refusals'] {
    // A program gets this object when serve() has resolved, so #server is set.
    return (this.#server as Server<Frame, OutgoingFrame>).refusals;
  }

  async listen(
    listen: Listen,
    address: string,
    services: readonly Service[],
    given: RpcServerOptions,
  ): Promise<this> {
    const { introspection = false } = given;
    if (typeof introspection !== 'boolean')
      throw badOption('introspection', introspection, 'a boolean');
    this.#server = await listen(
      address,
      this.sessionSetup(
        'server',
        introspection
          ? withIntrospection(services, this.channels, this.counters, new DescriptorSets(services))
          : services,
        false,
        { idleTimeout: IDLE_TIMEOUT, ...this.#options.session },
      ),
      pickNames(given, SERVER_OPTION_NAMES),
    );
    return this;
  }

  reloadTls(options: TlsOptions): void {
    this.#server?.reloadTls(options);
  }

  protected override async drainAndClose(drainTimeout: number): Promise<void> {
    const stopped = this.#server?.stopListening();
    const channels = [...this.channels];
    for (const channel of channels) channel.sendGoaway();
    await atMost(drainTimeout, Promise.all(channels.map((channel) => channel.drain())));
    await this.#server?.close();
    await stopped;
  }
}

/** serve() with `listen` as serve() of the transport. Handlers run in `asyncContext`. */
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
