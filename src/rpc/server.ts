/** The server of rpc: serves contracts at an address. */
import type { AsyncContext } from '../core/async-context.js';
import { badOption, pickNames } from '../core/options.js';
import { atMost } from '../core/timers.js';
import { SERVER_OPTION_NAMES } from '../transport/option-names.js';
import type {
  HealthCheck,
  ListenAddress,
  Server,
  ServerOptions,
  Setup,
  TlsOptions,
} from '../transport/types.js';
import { checkAdminProtection } from './admin/admin-protection.js';
import { RpcEndpoint } from './endpoint.js';
import { RpcCounters } from './metrics/statistics.js';
import { type OperatedServer, OperatorServices } from './operator-services.js';
import { checkRpcServerNames } from './option-names.js';
import { type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import { SERVED_PROVIDER, type ServedProvider } from './served-provider.js';
import type { RpcServer, RpcServerOptions, Service } from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * Default of SessionOptions.idleTimeout, in ms: a session ends when the server has received nothing
 * for this long. Heartbeats of clients are more frequent.
 */
const IDLE_TIMEOUT = 180_000;

/** The type of serve() of the transport. */
export type Listen = <In, Out>(
  address: ListenAddress | readonly ListenAddress[],
  setup: Setup<In, Out>,
  options?: ServerOptions,
) => Promise<Server<In, Out>>;

class ContractServer extends RpcEndpoint implements RpcServer {
  readonly #options: ResolvedRpcOptions;
  #server: Server<Frame, OutgoingFrame> | undefined;
  /** Undefined: neither introspection nor admin is on. */
  #operatorServices: OperatorServices | undefined;

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
    address: ListenAddress | readonly ListenAddress[],
    services: readonly Service[],
    given: RpcServerOptions,
  ): Promise<this> {
    this.#server = await listen(
      address,
      this.sessionSetup('server', this.#withOperatorServices(address, services, given), false, {
        idleTimeout: IDLE_TIMEOUT,
        ...this.#options.session,
      }),
      this.#serverOptions(given),
    );
    return this;
  }

  /** The health check of a WebSocket server also knows whether this server drains. */
  #serverOptions(given: RpcServerOptions): ServerOptions {
    const options = pickNames(given, SERVER_OPTION_NAMES);
    const health = options.websocket?.health;
    if (health === undefined) return options;
    const { [SERVED_PROVIDER]: provider } = given as { [SERVED_PROVIDER]?: ServedProvider };
    const isServing = (): boolean => !this.closed && provider?.isDraining !== true;
    return { ...options, websocket: { ...options.websocket, health: healthOf(health, isServing) } };
  }

  #withOperatorServices(
    address: ListenAddress | readonly ListenAddress[],
    services: readonly Service[],
    given: RpcServerOptions,
  ): readonly Service[] {
    const { introspection = false, admin = false } = given;
    if (typeof introspection !== 'boolean')
      throw badOption('introspection', introspection, 'a boolean');
    if (typeof admin !== 'boolean') throw badOption('admin', admin, 'a boolean');
    if (admin) checkAdminProtection(address, this.#options.interceptors);
    if (!introspection && !admin) return services;
    this.#operatorServices = new OperatorServices(this.#operated(given));
    return this.#operatorServices.addTo(services, { introspection, admin });
  }

  #operated(given: RpcServerOptions): OperatedServer {
    const { [SERVED_PROVIDER]: provider } = given as { [SERVED_PROVIDER]?: ServedProvider };
    const { logger, drainTimeout } = this.#options;
    const refusals = (): RpcServer['refusals'] => this.refusals;
    return {
      channels: this.channels,
      counters: this.counters,
      get refusals() {
        return refusals();
      },
      provider,
      logger,
      drainTimeout,
    };
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
    this.#operatorServices?.close();
  }

  override destroy(): void {
    super.destroy();
    this.#operatorServices?.close();
  }
}

/** `health`, which is healthy only while `isServing` returns true. */
function healthOf(health: string | HealthCheck, isServing: () => boolean): string | HealthCheck {
  if (typeof health === 'string') return { path: health, isHealthy: isServing };
  const isHealthy = health?.isHealthy ?? (() => true);
  // serve() of the transport rejects what is no object, and what is no function.
  if (typeof health !== 'object' || typeof isHealthy !== 'function') return health;
  return { ...health, isHealthy: () => isServing() && isHealthy() };
}

/** serve() with `listen` as serve() of the transport. Handlers run in `asyncContext`. */
export async function serveOver(
  listen: Listen,
  address: ListenAddress | readonly ListenAddress[],
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
