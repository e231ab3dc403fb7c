/** Accepts connections at an address and makes sessions of them. */
import { gettyError } from '../errors.js';
import { badOption, checkNumber, withDefaults } from '../options.js';
import { type Address, parseAddress } from './address.js';
import { BaseEndpoint } from './endpoint.js';
import type { StreamSession } from './session.js';
import { withCompression } from './session-options.js';
import { transportFor } from './transports.js';
import type { Connection, Listener, ListenOptions, Server, ServerOptions, Setup, TlsOptions, Transport } from './types.js';

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
  /** Those refused by maxSessions since the last warning of it. */
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
    this.#listener = await transport.listen(address, options, (connection) => this.#accept(connection));
    return this;
  }

  #accept(connection: Connection): void {
    if (this.closed) connection.destroy();
    else if (this.sessions.size >= this.#maxSessions) this.#refuse(connection);
    // The refused session has told its listener; a setup function that throws refuses without words, unless it is wrong itself.
    else this.open(connection).catch((error) => error.code === 'BAD_OPTION' && this.#mayWarn(error.code) && process.emitWarning(error));
  }

  /** A flood of peers must not become a flood of warnings. */
  #mayWarn(code: string): boolean {
    const now = performance.now();
    if (now - (this.#warnedAt.get(code) ?? Number.NEGATIVE_INFINITY) < BETWEEN_WARNINGS) return false;
    this.#warnedAt.set(code, now);
    return true;
  }

  #refuse(connection: Connection): void {
    connection.destroy();
    this.#refused++;
    if (!this.#mayWarn('SESSION_REFUSED')) return;
    const what = `${this.#refused} refused at ${this.address}, the last of them ${connection.remoteAddress}: maxSessions, ${this.#maxSessions}, are open`;
    this.#refused = 0;
    process.emitWarning(gettyError('SESSION_REFUSED', what));
  }

  protected override make(connection: Connection): StreamSession<In, Out> {
    const session = super.make(connection);
    if (this.#listener?.reach !== undefined) this.#sessionOf.set(connection, session);
    return session;
  }

  writeTo(message: Out, peer: string): boolean {
    const listener = this.#listener;
    if (listener?.reach === undefined) throw badOption('writeTo', this.address, 'a server at udp://');
    if (this.closed) throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} is closed`);
    const session = this.#sessionOf.get(listener.reach(parseAddress(peer, [this.#scheme])));
    if (session === undefined) throw gettyError('SESSION_REFUSED', `the setup or maxSessions, ${this.#maxSessions}, refused a session with ${peer}`);
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

/**
 * Listen at `address` (`tcp://host:port`, `memory://name`; port 0 asks for a free one).
 * Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED and its cause.
 */
export async function serve<In, Out = In>(address: string, setup: Setup<In, Out>, options?: ServerOptions): Promise<Server<In, Out>> {
  const target = transportFor(address);
  const resolved = { ...options, ...withDefaults(SERVER_DEFAULTS, options, { backlog: [1, 65535], handshakeTimeout: [1, 2 ** 31 - 1] }) };
  if (resolved.maxSessions !== undefined) checkNumber('maxSessions', resolved.maxSessions, 1, Number.POSITIVE_INFINITY);
  const withSetup = { ...resolved, websocket: withCompression(resolved.websocket, setup) };
  return new TransportServer<In, Out>(setup).listen(target.address, target.transport, withSetup);
}
