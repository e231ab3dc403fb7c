/** Accepts connections at an address and makes sessions of them. */
import { gettyError } from '../core/errors.js';
import { badOption, checkNumber, withDefaults } from '../core/options.js';
import { type Address, parseAddress } from './address.js';
import { BaseEndpoint } from './endpoint.js';
import { checkServerNames } from './option-names.js';
import { type Platform, transportFor } from './platform.js';
import type { StreamSession } from './session.js';
import { withCompression } from './session-options.js';
import type { Connection, Listener, ListenOptions, Peer, Server, ServerOptions, Session, Setup, TlsOptions, Transport } from './types.js';

/** Milliseconds. */
export const SERVER_DEFAULTS = { backlog: 511, handshakeTimeout: 10_000 } satisfies ServerOptions;

/** Milliseconds. */
const BETWEEN_WARNINGS = 60_000;

class TransportServer<In, Out> extends BaseEndpoint<In, Out> implements Server<In, Out> {
  readonly type = 'server';
  #listener: Listener | undefined;
  #stopped: Promise<void> | undefined;
  #scheme = '';
  #maxSessions = Number.POSITIVE_INFINITY;
  #maxSessionsPerAddress = Number.POSITIVE_INFINITY;
  /** How many sessions each host has, where that is limited; a host that has none is not there. */
  readonly #sessionsOf = new Map<string, number>();
  /** Those refused by these limits since the last warning of it. */
  #refused = 0;
  /** When the process was last warned of a code. */
  readonly #warnedAt = new Map<string, number>();
  /** For writeTo(), where peers can be reached. */
  readonly #sessionOf = new WeakMap<Connection, StreamSession<In, Out>>();

  get address(): string {
    return this.#listener?.address ?? '';
  }

  async listen(address: Address, transport: Transport, options: ListenOptions): Promise<this> {
    this.#scheme = address.scheme;
    this.#maxSessions = options.maxSessions ?? transport.maxSessions ?? Number.POSITIVE_INFINITY;
    this.#maxSessionsPerAddress = options.maxSessionsPerAddress ?? Number.POSITIVE_INFINITY;
    this.#listener = await transport.listen(address, options, (connection) => this.#accept(connection));
    return this;
  }

  #accept(connection: Connection): void {
    const limit = this.closed ? undefined : this.#limitReached(connection);
    if (this.closed) connection.destroy();
    else if (limit !== undefined) this.#refuse(connection, limit);
    // The refused session has told its listener; a setup function that throws refuses without words, unless it is wrong itself.
    else this.open(connection).catch((error) => error.code === 'BAD_OPTION' && this.#mayWarn(error.code) && process.emitWarning(error));
  }

  /** The limit that lets nobody else in, in words. */
  #limitReached(connection: Connection): string | undefined {
    if (this.sessions.size >= this.#maxSessions) return `maxSessions, ${this.#maxSessions}, are open`;
    const host = this.#limitedHost(connection);
    if (host === undefined || (this.#sessionsOf.get(host) ?? 0) < this.#maxSessionsPerAddress) return undefined;
    return `maxSessionsPerAddress, ${this.#maxSessionsPerAddress}, are open from ${host}`;
  }

  /** The host of a peer, where its sessions are limited and peers have hosts. */
  #limitedHost(peer: Peer): string | undefined {
    // The address is made when it is asked for: where nothing is limited it costs nothing.
    return this.#maxSessionsPerAddress === Number.POSITIVE_INFINITY ? undefined : /^[a-z]+:\/\/(.+):\d+$/.exec(peer.remoteAddress)?.[1];
  }

  #count(peer: Peer, change: 1 | -1): void {
    const host = this.#limitedHost(peer);
    if (host === undefined) return;
    const count = (this.#sessionsOf.get(host) ?? 0) + change;
    if (count > 0) this.#sessionsOf.set(host, count);
    else this.#sessionsOf.delete(host);
  }

  /** A flood of peers must not become a flood of warnings. */
  #mayWarn(code: string): boolean {
    const now = performance.now();
    if (now - (this.#warnedAt.get(code) ?? Number.NEGATIVE_INFINITY) < BETWEEN_WARNINGS) return false;
    this.#warnedAt.set(code, now);
    return true;
  }

  #refuse(connection: Connection, limit: string): void {
    connection.destroy();
    this.#refused++;
    if (!this.#mayWarn('SESSION_REFUSED')) return;
    const what = `${this.#refused} refused at ${this.address}, the last of them ${connection.remoteAddress}: ${limit}`;
    this.#refused = 0;
    process.emitWarning(gettyError('SESSION_REFUSED', what));
  }

  protected override make(connection: Connection): StreamSession<In, Out> {
    const session = super.make(connection);
    this.#count(session, 1);
    if (this.#listener?.reach !== undefined) this.#sessionOf.set(connection, session);
    return session;
  }

  override forget(session: Session<In, Out>): void {
    this.#count(session, -1);
    super.forget(session);
  }

  writeTo(message: Out, peer: string): boolean {
    const listener = this.#listener;
    if (listener?.reach === undefined) throw badOption('writeTo', this.address, 'a server at udp://');
    if (this.closed) throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} is closed`);
    const session = this.#sessionOf.get(listener.reach(parseAddress(peer, [this.#scheme])));
    if (session === undefined) throw gettyError('SESSION_REFUSED', `the setup, maxSessions or maxSessionsPerAddress refused a session with ${peer}`);
    return session.write(message);
  }

  stopListening(): Promise<void> {
    this.#stopped ??= this.#listener?.close() ?? Promise.resolve();
    return this.#stopped;
  }

  reloadTls(options: TlsOptions): void {
    if (this.#listener?.reloadTls === undefined) throw badOption('reloadTls', this.address, 'a server at tls:// or wss://');
    this.#listener.reloadTls(options);
  }

  protected override stop(): Promise<void> {
    return this.stopListening();
  }
}

/** serve() of a platform. */
export async function serveOn<In, Out>(
  platform: Platform,
  address: string,
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  const target = transportFor(platform, address);
  checkServerNames(options, target.address);
  const resolved = { ...options, ...withDefaults(SERVER_DEFAULTS, options, { backlog: [1, 65535], handshakeTimeout: [1, 2 ** 31 - 1] }) };
  for (const name of ['maxSessions', 'maxSessionsPerAddress'] as const) {
    if (resolved[name] !== undefined) checkNumber(name, resolved[name], 1, Number.POSITIVE_INFINITY);
  }
  const withSetup = { ...resolved, websocket: withCompression(resolved.websocket, setup) };
  return new TransportServer<In, Out>(platform, setup).listen(target.address, target.transport, withSetup);
}
