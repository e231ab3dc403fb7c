/** Accepts connections at an address, and creates a session for each. */
import { checkCallback } from '../core/callbacks.js';
import { codeOf, type GettyError, gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNumber, withDefaults } from '../core/options.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { type Address, parseAddress } from './address.js';
import { AdmissionControl, type AdmissionLimits } from './admission.js';
import { GOING_AWAY } from './close-code.js';
import { BaseEndpoint } from './endpoint.js';
import { checkServerNames } from './option-names.js';
import { addressList, type Platform, rateLimitsOf, type Target, targetOf } from './platform.js';
import type { RateLimits } from './rate/rate-limiter.js';
import { isIntactRefusal, RefusedError } from './refused-error.js';
import type { TransportSession } from './session/session.js';
import { withCompression } from './session/session-options.js';
import type {
  Connection,
  Listener,
  ListenOptions,
  RefusalReason,
  Server,
  ServerAddress,
  ServerOptions,
  Session,
  Setup,
  TlsOptions,
} from './types.js';

/** Milliseconds. */
export const SERVER_DEFAULTS = { handshakeTimeout: 10_000 } satisfies ServerOptions;

/** The options of a listener except its admission control, which the server creates. */
type ResolvedServerOptions = Omit<ListenOptions, 'admission'>;

class TransportServer<In, Out> extends BaseEndpoint<In, Out> implements Server<In, Out> {
  readonly type = 'server';
  protected override readonly closeOptions = { code: GOING_AWAY };
  /** In the order of the addresses. */
  readonly #listeners: Listener[] = [];
  /** The listener of writeTo(), and its scheme. */
  #datagrams: { readonly listener: Listener; readonly scheme: string } | undefined;
  #stopped: Promise<void> | undefined;
  readonly #admission: AdmissionControl;
  /** Sessions by connection, for writeTo(). Empty if no listener has connectionTo(). */
  readonly #sessionByConnection = new WeakMap<Connection, TransportSession<In, Out>>();

  constructor(
    platform: Platform,
    setup: Setup<In, Out>,
    limits: AdmissionLimits,
    rateLimits: RateLimits | undefined,
  ) {
    super(platform, setup, rateLimits);
    this.#admission = new AdmissionControl(limits, () => this.address);
  }

  get address(): string {
    return this.#listeners[0]?.address ?? '';
  }

  get addresses(): readonly string[] {
    return this.#listeners.map(({ address }) => address);
  }

  /** Listens at all addresses, one after the other. If one fails, the others are free again. */
  async listen(targets: readonly Target[], options: ResolvedServerOptions): Promise<this> {
    try {
      for (const target of targets) await this.#listenAt(target, options);
    } catch (error) {
      this.destroy();
      await this.stopListening();
      throw error;
    }
    return this;
  }

  async #listenAt({ address, transport }: Target, options: ResolvedServerOptions): Promise<void> {
    const listener = await transport.listen(
      address,
      { ...options, admission: this.#admission },
      (connection) => this.#accept(connection),
    );
    this.#listeners.push(listener);
    if (listener.connectionTo !== undefined)
      this.#datagrams ??= { listener, scheme: address.scheme };
    // A session of an earlier address can close the server.
    if (!this.closed) return;
    await listener.close();
    throw gettyError(
      'ENDPOINT_CLOSED',
      `the server was closed before it listened at ${address.text}`,
    );
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#admission.refusals;
  }

  #accept(connection: Connection): void {
    if (this.closed) return connection.destroy();
    const refusal = this.#admission.refusalOfSession(connection);
    if (refusal !== undefined) return this.refuse(connection, refusal);
    // refuse() has counted a refusal by the setup. onError has received a refusal by onOpen.
    this.openSession(connection).catch(() => {});
  }

  protected override createSession(connection: Connection): TransportSession<In, Out> {
    const session = super.createSession(connection);
    this.#admission.countSession(session, 1);
    if (this.#datagrams !== undefined) this.#sessionByConnection.set(connection, session);
    return session;
  }

  protected override refuse(connection: Connection, error: GettyError): void {
    const refused = isIntactRefusal(error)
      ? error
      : new RefusedError(messageOf(error), {
          status: codeOf(error) === 'BAD_OPTION' ? 500 : 403,
          cause: error,
        });
    if (connection.refuse === undefined) connection.destroy();
    else connection.refuse(refused.status);
    this.#admission.reportRefusal(connection, refused);
  }

  override onSessionClosed(session: Session<In, Out>): void {
    this.#admission.countSession(session, -1);
    super.onSessionClosed(session);
  }

  writeTo(message: Out, peer: string): boolean {
    const { listener, scheme } = this.#datagrams ?? {};
    if (listener?.connectionTo === undefined || scheme === undefined)
      throw badOption('writeTo', this.address, 'a server at udp://');
    if (this.closed) throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} is closed`);
    const session = this.#sessionByConnection.get(
      listener.connectionTo(parseAddress(peer, [scheme])),
    );
    if (session === undefined)
      throw gettyError(
        'SESSION_REFUSED',
        `the setup, a limit or a list of addresses refused the session with ${peer}`,
      );
    return session.write(message);
  }

  stopListening(): Promise<void> {
    this.#stopped ??= this.#stopListening();
    return this.#stopped;
  }

  async #stopListening(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  reloadTls(options: TlsOptions): void {
    const listeners = this.#listeners.filter(({ reloadTls }) => reloadTls !== undefined);
    if (listeners.length === 0)
      throw badOption(
        'reloadTls',
        this.address,
        'a server at tls:// or wss:// that is not on an HTTP server of yours',
      );
    for (const listener of listeners) listener.reloadTls?.(options);
  }

  protected override stopCreating(): Promise<void> {
    return this.stopListening();
  }
}

/** The default of maxSessions: the lowest of the transports. */
function defaultMaxSessions(targets: readonly Target[]): number | undefined {
  const limits = targets.flatMap(({ transport }) => transport.maxSessions ?? []);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** What `read` returns for all addresses. Throws what `read` throws for one of them. */
function readForAll<T>(addresses: readonly Address[], read: (address: Address) => T): T {
  const [first] = addresses.map(read);
  return first as T;
}

/** serve() with the transports of `platform`. */
export async function serveOn<In, Out>(
  platform: Platform,
  address: ServerAddress | readonly ServerAddress[],
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  const targets = addressList(address).map((one) => targetOf(platform, one, 'serve()'));
  const addresses = targets.map((target) => target.address);
  checkServerNames(options, addresses);
  const resolved = {
    ...options,
    ...withDefaults(SERVER_DEFAULTS, options, { handshakeTimeout: [1, LONGEST_TIMER] }),
    socket: platform.sockets?.ofServer(options ?? {}, addresses),
  };
  for (const name of ['maxSessions', 'maxSessionsPerAddress'] as const) {
    if (resolved[name] !== undefined)
      checkNumber(name, resolved[name], 1, Number.POSITIVE_INFINITY, 'integer');
  }
  checkCallback('onRefused', resolved.onRefused);
  const { proxies } = platform;
  const { behindProxy, allow, deny, maxSessions = defaultMaxSessions(targets) } = resolved;
  const rateLimits = rateLimitsOf(platform, resolved.rate, 'server');
  const limits = {
    ...resolved,
    maxSessions,
    isAllowed: readForAll(addresses, (one) => proxies?.readPeerList('allow', allow, one)),
    isDenied: readForAll(addresses, (one) => proxies?.readPeerList('deny', deny, one)),
  };
  const proxySettings = readForAll(addresses, (one) => proxies?.readBehindProxy(behindProxy, one));
  const server = new TransportServer<In, Out>(platform, setup, limits, rateLimits);
  return server.listen(targets, {
    ...resolved,
    behindProxy: proxySettings,
    websocket: withCompression(resolved.websocket, setup),
  });
}
