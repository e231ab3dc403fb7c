/** A server of stream sockets whose protocol follows a handshake, of a proxy, TLS or WebSocket. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { type Address, formatAddress } from '../address.js';
import { RefusedError } from '../refused-error.js';
import type { Listener, ListenOptions, Peer } from '../types.js';
import { type Handshake, HandshakeTracker } from './handshake-tracker.js';
import { PreambleReader } from './preamble-reader.js';
import { guardedOpen, listenWith } from './socket-listener.js';
import { SocketPeer } from './socket-peer.js';
import { HostContexts, readHosts } from './tls-hosts.js';
import { tlsServerOptions } from './tls-options.js';
import { withTlsReload } from './tls-reload.js';

export interface StreamServerSetup {
  /** Of the addresses of peers; with TLS, of those that use it. */
  readonly scheme: string;
  /** With TLS: the scheme of peers that do not use it, which TlsOptions.allowPlain permits. */
  readonly plainScheme: string;
  readonly hasTls: boolean;
  /** See node:tls. */
  readonly alpnProtocols?: string[] | undefined;
  readonly options: ListenOptions;
}

/**
 * Called when the protocol of a socket begins: with TLS after its handshake. The socket is a
 * TLSSocket if its handshake has the scheme with TLS. The function ends the handshake.
 */
export type OpenSocket = (socket: Socket, handshake: Handshake) => void;

export class StreamServer {
  readonly handshakes: HandshakeTracker;
  readonly #setup: StreamServerSetup;
  readonly #open: OpenSocket;
  /** The server that listens. */
  readonly #server: Server;
  readonly #tlsServer: TlsServer | undefined;
  readonly #hosts: HostContexts | undefined;
  readonly #hasProxyHeader: boolean;
  readonly #allowsPlain: boolean;

  /** Throws BAD_OPTION. */
  constructor(setup: StreamServerSetup, open: OpenSocket) {
    const { scheme, hasTls, alpnProtocols, options } = setup;
    const { admission, handshakeTimeout, behindProxy, tls } = options;
    this.#setup = setup;
    this.#open = open;
    this.handshakes = new HandshakeTracker({ scheme, handshakeTimeout, admission, behindProxy });
    this.#hasProxyHeader = behindProxy?.header === 'proxy-protocol';
    this.#allowsPlain = hasTls && tls?.allowPlain === true;
    const peerOf = (socket: Socket): Peer => new SocketPeer(scheme, socket);
    if (hasTls) {
      this.#hosts = new HostContexts();
      this.#tlsServer = createTlsServer({
        ...(alpnProtocols && { ALPNProtocols: alpnProtocols }),
        ...tlsServerOptions(tls),
        SNICallback: this.#hosts.sniCallback,
      });
      this.#hosts.replace(readHosts(tls ?? {}));
      this.handshakes.trackTls(this.#tlsServer);
      this.#tlsServer.on(
        'secureConnection',
        guardedOpen((socket: Socket) => this.#onSecure(socket), peerOf, admission),
      );
    }
    this.#server =
      this.#tlsServer !== undefined && !this.#readsPreamble
        ? this.#tlsServer
        : // Half-open, so that pending handlers can still answer after the peer has ended its side.
          createServer({ allowHalfOpen: !hasTls });
    this.#server.on(
      'connection',
      guardedOpen((socket: Socket) => this.#onConnection(socket), peerOf, admission),
    );
  }

  get #readsPreamble(): boolean {
    return this.#hasProxyHeader || this.#allowsPlain;
  }

  /** `path`: the end of the address. Rejects with LISTEN_FAILED. */
  async listen(address: Address, path = ''): Promise<Listener> {
    const { scheme, options } = this.#setup;
    const { host, port } = address;
    const server = this.#server;
    const bound = await listenWith(
      server,
      { port, host: host || undefined, backlog: options.backlog },
      address,
      () => formatAddress(scheme, host, (server.address() as AddressInfo).port) + path,
    );
    const { handshakes } = this;
    const listener: Listener = {
      address: bound.address,
      close() {
        const closed = bound.close();
        handshakes.stop();
        return closed;
      },
    };
    return this.#tlsServer === undefined
      ? listener
      : withTlsReload(listener, this.#tlsServer, this.#hosts as HostContexts, options.tls);
  }

  #onConnection(socket: Socket): void {
    const { hasTls } = this.#setup;
    const handshake = this.handshakes.begin(socket, hasTls && !this.#readsPreamble);
    if (handshake === undefined) return;
    if (this.#readsPreamble) this.#readPreamble(socket, handshake);
    else if (!hasTls) this.#open(socket, handshake);
  }

  #readPreamble(socket: Socket, handshake: Handshake): void {
    const refuse = (error: RefusedError): void => {
      this.handshakes.reportRefusal(handshake, error);
      socket.destroy();
    };
    new PreambleReader(socket, {
      hasProxyHeader: this.#hasProxyHeader,
      detectsTls: this.#allowsPlain,
      onClient: (client) => {
        const refusal = this.handshakes.setClient(handshake, client);
        if (refusal !== undefined) refuse(refusal);
      },
      onPreamble: (isTls) => this.#afterPreamble(socket, handshake, isTls),
      onInvalid: ({ message }) =>
        refuse(new RefusedError(message, { status: 400, reason: 'proxy' })),
      onFault: (error) => {
        this.#setup.options.admission.reportFault(handshake.peer, error);
        socket.destroy();
      },
    });
  }

  #afterPreamble(socket: Socket, handshake: Handshake, isTls: boolean | undefined): void {
    if (this.#tlsServer !== undefined && isTls !== false) {
      handshake.isTlsPending = true;
      // The TLS server reads the bytes that the socket has buffered, and then its handle.
      this.#tlsServer.emit('connection', socket);
      return;
    }
    if (isTls === false) {
      this.handshakes.setScheme(handshake, this.#setup.plainScheme);
      socket.allowHalfOpen = true;
    }
    this.#open(socket, handshake);
  }

  #onSecure(socket: Socket): void {
    const handshake = this.handshakes.find(socket);
    // The peer has closed the connection, or a limit has refused it.
    if (handshake === undefined) socket.destroy();
    else this.#open(socket, handshake);
  }
}
