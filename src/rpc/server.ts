/** The server of rpc: serves contracts at an address. */
import type { AsyncContext } from '../core/async-context.js';
import { badOption, checkNumber, pickNames, withDefaults } from '../core/options.js';
import { atMost, LONGEST_TIMER } from '../core/timers.js';
import { SERVER_OPTION_NAMES } from '../transport/option-names.js';
import type {
  HealthCheck,
  Server,
  ServerAddress,
  ServerOptions,
  Setup,
  TlsOptions,
} from '../transport/types.js';
import type { RpcChannel } from './calls/channel.js';
import { RpcEndpoint } from './endpoint.js';
import { RpcCounters } from './metrics/statistics.js';
import type { OperatedServer, OperatorServices } from './operator-services.js';
import { checkRpcServerNames } from './option-names.js';
import { type ResolvedRpcOptions, resolveRpcOptions } from './options.js';
import { ConnectionAge } from './peer/connection-age.js';
import { SERVED_PROVIDER, type ServedProvider } from './served-provider.js';
import type { Interceptor, RpcServer, RpcServerOptions, Service } from './types.js';
import type { Frame, OutgoingFrame } from './wire/frame.js';

/**
 * Default of SessionOptions.idleTimeout, in ms: a session ends when the server has received nothing
 * for this long. Heartbeats of clients are more frequent.
 */
const IDLE_TIMEOUT = 180_000;

/** Defaults of RpcServerOptions, in milliseconds. */
export const RPC_SERVER_DEFAULTS = {
  maxConnectionAge: 0,
  maxConnectionAgeGrace: 60_000,
} satisfies RpcServerOptions;

/**
 * Milliseconds. Clients wait before they replace a session that ends within the first second. The
 * jitter makes the age of a session shorter.
 */
const MIN_CONNECTION_AGE = 2_000;

/** The type of serve() of the transport. */
export type Listen = <In, Out>(
  address: ServerAddress | readonly ServerAddress[],
  setup: Setup<In, Out>,
  options?: ServerOptions,
) => Promise<Server<In, Out>>;

/**
 * Makes the services for operators. They need Node.js, so a page has none. `isAdmin`: whether the
 * service Admin is one of them. Throws BAD_OPTION.
 */
export type MakeOperatorServices = (
  operated: OperatedServer,
  address: ServerAddress | readonly ServerAddress[],
  isAdmin: boolean,
  interceptors: readonly Interceptor[],
) => OperatorServices;

class ContractServer extends RpcEndpoint implements RpcServer {
  readonly #options: ResolvedRpcOptions;
  #server: Server<Frame, OutgoingFrame> | undefined;
  readonly #makeOperatorServices: MakeOperatorServices | undefined;
  /** Undefined: sessions may have any age. */
  readonly #connectionAge: ConnectionAge | undefined;
  /** Undefined: neither introspection nor admin is on. */
  #operatorServices: OperatorServices | undefined;

  constructor(
    options: ResolvedRpcOptions,
    connectionAge: ConnectionAge | undefined,
    asyncContext: AsyncContext | undefined,
    makeOperatorServices: MakeOperatorServices | undefined,
  ) {
    super(options, new RpcCounters(), asyncContext);
    this.#options = options;
    this.#connectionAge = connectionAge;
    this.#makeOperatorServices = makeOperatorServices;
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
    address: ServerAddress | readonly ServerAddress[],
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

  protected override onChannelChange(channel: RpcChannel): void {
    const isNew = !this.channels.has(channel);
    super.onChannelChange(channel);
    if (channel.closed) this.#connectionAge?.onClose(channel);
    else if (isNew) this.#connectionAge?.onOpen(channel);
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
    address: ServerAddress | readonly ServerAddress[],
    services: readonly Service[],
    given: RpcServerOptions,
  ): readonly Service[] {
    const { introspection = false, admin = false } = given;
    if (typeof introspection !== 'boolean')
      throw badOption('introspection', introspection, 'a boolean');
    if (typeof admin !== 'boolean') throw badOption('admin', admin, 'a boolean');
    if (!introspection && !admin) return services;
    if (this.#makeOperatorServices === undefined)
      throw badOption(admin ? 'admin' : 'introspection', true, 'false in a page');
    const { interceptors } = this.#options;
    this.#operatorServices = this.#makeOperatorServices(
      this.#operated(given),
      address,
      admin,
      interceptors,
    );
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

/** Undefined: sessions may have any age. Throws BAD_OPTION. */
function resolveConnectionAge(options: RpcServerOptions): ConnectionAge | undefined {
  const { maxConnectionAge, maxConnectionAgeGrace } = withDefaults(RPC_SERVER_DEFAULTS, options, {
    maxConnectionAge: [0, LONGEST_TIMER],
    maxConnectionAgeGrace: [0, LONGEST_TIMER],
  });
  if (maxConnectionAge === 0) return undefined;
  checkNumber('maxConnectionAge', maxConnectionAge, MIN_CONNECTION_AGE, LONGEST_TIMER);
  return new ConnectionAge(maxConnectionAge, maxConnectionAgeGrace);
}

/**
 * serve() with `listen` as serve() of the transport. Handlers run in `asyncContext`. Without
 * `makeOperatorServices` the options `introspection` and `admin` are BAD_OPTION.
 */
export async function serveOver(
  listen: Listen,
  address: ServerAddress | readonly ServerAddress[],
  services: readonly Service[],
  options: RpcServerOptions = {},
  asyncContext?: AsyncContext,
  makeOperatorServices?: MakeOperatorServices,
): Promise<RpcServer> {
  checkRpcServerNames(options);
  const server = new ContractServer(
    resolveRpcOptions(options),
    resolveConnectionAge(options),
    asyncContext,
    makeOperatorServices,
  );
  return server.listen(listen, address, services, options);
}
