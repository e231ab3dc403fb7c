/** A server of stream sockets whose protocol follows a handshake, of a proxy, TLS or WebSocket. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { type Address, formatAddress } from '../address.js';
import { RefusedError } from '../refused-error.js';
import { HostContexts, tlsHostOptions } from '../tls/tls-hosts.js';
import { withTlsReload } from '../tls/tls-reload.js';
import type { Listener, ListenOptions, Peer } from '../types.js';
import { type Handshake, HandshakeTracker } from './handshake-tracker.js';
import { type PreambleOptions, PreambleReader } from './preamble-reader.js';
import { guardedOpen, listenWith, openInTurn, portOptions } from './socket-listener.js';
import { SocketPeer } from './socket-peer.js';

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
  /** It never listens: it gets each connection when its ClientHello is complete. */
  readonly #tlsServer: TlsServer | undefined;
  readonly #hosts = new HostContexts();
  readonly #preamble: PreambleOptions;

  /** Throws BAD_OPTION. */
  constructor(setup: StreamServerSetup, open: OpenSocket) {
    const { scheme, hasTls, options } = setup;
    const { admission, handshakeTimeout, behindProxy, tls } = options;
    this.#setup = setup;
    this.#open = open;
    this.handshakes = new HandshakeTracker({ scheme, handshakeTimeout, admission, behindProxy });
    this.#tlsServer = hasTls ? this.#createTlsServer() : undefined;
    this.#preamble = {
      hasProxyHeader: behindProxy?.header === 'proxy-protocol',
      tls: !hasTls ? 'none' : tls?.allowPlain === true ? 'optional' : 'required',
    };
    // Half-open, so that pending handlers can still answer after the peer has ended its side. A
    // peer that ends its side within a TLS handshake is disconnected.
    this.#server = createServer({ allowHalfOpen: !hasTls });
    this.#server.on(
      'connection',
      guardedOpen((socket: Socket) => this.#onConnection(socket), this.#peerOf, admission),
    );
  }

  readonly #peerOf = (socket: Socket): Peer => new SocketPeer(this.#setup.scheme, socket);

  #createTlsServer(): TlsServer {
    const { alpnProtocols, options } = this.#setup;
    const { server, contexts } = tlsHostOptions(options.tls);
    const tlsServer = createTlsServer({
      ...(alpnProtocols && { ALPNProtocols: alpnProtocols }),
      ...server,
      SNICallback: this.#hosts.sniCallback,
    });
    this.#hosts.replace(contexts);
    this.handshakes.trackTls(tlsServer);
    const open = (socket: Socket): void => this.#onSecure(socket);
    return tlsServer.on('secureConnection', openInTurn(open, this.#peerOf, options.admission));
  }

  /** `path`: the end of the address. Rejects with LISTEN_FAILED. */
  async listen(address: Address, path = ''): Promise<Listener> {
    const { scheme, options } = this.#setup;
    const server = this.#server;
    const bound = await listenWith(
      server,
      portOptions(address, options),
      address,
      () => formatAddress(scheme, address.host, (server.address() as AddressInfo).port) + path,
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
      : withTlsReload(listener, this.#tlsServer, this.#hosts, options.tls);
  }

  #onConnection(socket: Socket): void {
    const handshake = this.handshakes.begin(socket);
    if (handshake === undefined) return;
    const { hasProxyHeader, tls } = this.#preamble;
    if (hasProxyHeader || tls !== 'none') this.#readPreamble(socket, handshake);
    else this.#open(socket, handshake);
  }

  #readPreamble(socket: Socket, handshake: Handshake): void {
    const { handshakes } = this;
    const refuse = (error: RefusedError): void => {
      handshakes.reportRefusal(handshake, error);
      socket.destroy();
    };
    new PreambleReader(socket, this.#preamble, {
      onClient(client) {
        const refusal = handshakes.setClient(handshake, client);
        if (refusal !== undefined) refuse(refusal);
      },
      onTlsExpected() {
        handshake.isTlsPending = true;
      },
      onPreamble: (isTls) => this.#afterPreamble(socket, handshake, isTls),
      onInvalidHeader: ({ message }) =>
        refuse(new RefusedError(message, { status: 400, reason: 'proxy' })),
      onTlsError: (error) => handshakes.refuseTls(handshake, error),
      onFault: (error) => handshakes.failWith(handshake, error),
    });
  }

  #afterPreamble(socket: Socket, handshake: Handshake, isTls: boolean): void {
    // TLS reads the bytes that the socket has buffered, and then its handle.
    if (isTls) return void this.#tlsServer?.emit('connection', socket);
    if (this.#tlsServer !== undefined) {
      this.handshakes.setScheme(handshake, this.#setup.plainScheme);
      socket.allowHalfOpen = true;
    }
    this.#open(socket, handshake);
  }

  #onSecure(socket: Socket): void {
    const handshake = this.handshakes.find(socket);
    // The peer has left: the addresses of its socket are unknown.
    if (handshake === undefined) socket.destroy();
    else this.#open(socket, handshake);
  }
}
