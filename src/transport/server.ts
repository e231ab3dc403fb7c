/** Accepts connections at an address and makes sessions of them. */
import { badOption, withDefaults } from '../options.js';
import type { Address } from './address.js';
import { BaseEndpoint } from './endpoint.js';
import { transportFor } from './transports.js';
import type { Connection, Listener, ListenOptions, Server, ServerOptions, Setup, TlsOptions, Transport } from './types.js';

/** Milliseconds. */
export const SERVER_DEFAULTS = { backlog: 511, handshakeTimeout: 10_000 } satisfies ServerOptions;

class TransportServer<In, Out> extends BaseEndpoint<In, Out> implements Server<In, Out> {
  readonly type = 'server';
  #listener: Listener | undefined;
  #stopped: Promise<void> | undefined;

  get address(): string {
    return this.#listener?.address ?? '';
  }

  async listen(address: Address, transport: Transport, options: ListenOptions): Promise<this> {
    this.#listener = await transport.listen(address, options, (connection) => this.#accept(connection));
    return this;
  }

  #accept(connection: Connection): void {
    if (this.closed) connection.destroy();
    // The refused session has told its listener; a setup function that throws refuses without words, unless it is wrong itself.
    else this.open(connection).catch((error) => error.code === 'BAD_OPTION' && process.emitWarning(error));
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
  return new TransportServer<In, Out>(setup).listen(target.address, target.transport, resolved);
}
