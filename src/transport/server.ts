/** Accepts connections at an address, and creates a session for each. */
import { checkCallback } from '../core/callbacks.js';
import { codeOf, type GettyError, gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNumber, withDefaults } from '../core/options.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { type Address, parseAddress } from './address.js';
import { AdmissionControl, type AdmissionLimits } from './admission.js';
import { BaseEndpoint } from './endpoint.js';
import { checkServerNames } from './option-names.js';
import { type Platform, rateLimitsOf, transportFor } from './platform.js';
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
  Transport,
} from './types.js';

/** Milliseconds. */
export const SERVER_DEFAULTS = { backlog: 511, handshakeTimeout: 10_000 } satisfies ServerOptions;

/** The options of a listener except its admission control, which the server creates. */
type ResolvedServerOptions = Omit<ListenOptions, 'admission'>;

class TransportServer<In, Out> extends BaseEndpoint<In, Out> implements Server<In, Out> {
  readonly type = 'server';
  #listener: Listener | undefined;
  #stopped: Promise<void> | undefined;
  #scheme = '';
  readonly #admission: AdmissionControl;
  /** Sessions by connection, for writeTo(). Empty if the listener has no connectionTo(). */
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
    return this.#listener?.address ?? '';
  }

  async listen(
    address: Address,
    transport: Transport,
    options: ResolvedServerOptions,
  ): Promise<this> {
    this.#scheme = address.scheme;
    try {
      this.#listener = await transport.listen(
        address,
        { ...options, admission: this.#admission },
        (connection) => this.#accept(connection),
      );
    } catch (error) {
      void this.close();
      throw error;
    }
    return this;
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
    if (this.#listener?.connectionTo !== undefined)
      this.#sessionByConnection.set(connection, session);
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
    const listener = this.#listener;
    if (listener?.connectionTo === undefined)
      throw badOption('writeTo', this.address, 'a server at udp://');
    if (this.closed) throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} is closed`);
    const session = this.#sessionByConnection.get(
      listener.connectionTo(parseAddress(peer, [this.#scheme])),
    );
    if (session === undefined)
      throw gettyError(
        'SESSION_REFUSED',
        `the setup, a limit or a list of addresses refused the session with ${peer}`,
      );
    return session.write(message);
  }

  stopListening(): Promise<void> {
    this.#stopped ??= this.#listener?.close() ?? Promise.resolve();
    return this.#stopped;
  }

  reloadTls(options: TlsOptions): void {
    if (this.#listener?.reloadTls === undefined)
      throw badOption(
        'reloadTls',
        this.address,
        'a server at tls:// or wss:// that is not on an HTTP server of yours',
      );
    this.#listener.reloadTls(options);
  }

  protected override stopCreating(): Promise<void> {
    return this.stopListening();
  }
}

/** serve() with the transports of `platform`. */
export async function serveOn<In, Out>(
  platform: Platform,
  address: ServerAddress,
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  const target = transportFor(platform, address, 'serve()');
  checkServerNames(options, target.address);
  const resolved = {
    ...options,
    ...withDefaults(SERVER_DEFAULTS, options, {
      backlog: [1, 65535, 'integer'],
      handshakeTimeout: [1, LONGEST_TIMER],
    }),
  };
  for (const name of ['maxSessions', 'maxSessionsPerAddress'] as const) {
    if (resolved[name] !== undefined)
      checkNumber(name, resolved[name], 1, Number.POSITIVE_INFINITY, 'integer');
  }
  checkCallback('onRefused', resolved.onRefused);
  const behindProxy = platform.proxies?.readBehindProxy(resolved.behindProxy, target.address);
  const { maxSessions = target.transport.maxSessions } = resolved;
  const rateLimits = rateLimitsOf(platform, resolved.rate, 'server');
  const limits = {
    ...resolved,
    maxSessions,
    isAllowed: platform.proxies?.readPeerList('allow', resolved.allow, target.address),
    isDenied: platform.proxies?.readPeerList('deny', resolved.deny, target.address),
  };
  const server = new TransportServer<In, Out>(platform, setup, limits, rateLimits);
  return server.listen(target.address, target.transport, {
    ...resolved,
    behindProxy,
    websocket: withCompression(resolved.websocket, setup),
  });
}
