import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  type AddressInfo,
  createServer as createStreamServer,
  type Socket,
  type Server as StreamServer,
} from 'node:net';
import { createServer as createSecureServer, type Server as TlsServer } from 'node:tls';
import { gettyError } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { type Address, formatAddress } from '../address.js';
import { RefusedError } from '../refused-error.js';
import { HandshakeTracker, stopHandshakesOnClose } from '../stream/handshake-tracker.js';
import { guardedOpen, listenWith } from '../stream/socket-listener.js';
import { SocketPeer } from '../stream/socket-peer.js';
import { createTlsAcceptor, openInTurn } from '../stream/tls-acceptor.js';
import { tlsServerOptions } from '../tls/tls-options.js';
import { withTlsReload } from '../tls/tls-reload.js';
import type { Connection, Listener, ListenOptions, Peer } from '../types.js';
import { HealthAnswers } from './handshake/health-answers.js';
import { RequestReader } from './handshake/request-reader.js';
import { refuseOtherRequest, refuseTunnel, statusResponse } from './handshake/server-handshake.js';
import { listenOnHttpServer } from './http-server/http-server-listener.js';
import { UpgradeAcceptor, type UpgradeAcceptorOptions } from './upgrade-acceptor.js';
import { pathOf, type WebSocketScheme } from './websocket-address.js';
import { checkWebSocketOptions, MAX_HEADER_BYTES } from './websocket-options.js';

/**
 * Starts a WebSocket server. Calls `accept` with each connection before its upgrade request is
 * answered. Rejects with BAD_ADDRESS, BAD_OPTION or LISTEN_FAILED.
 */
export async function listen(
  scheme: WebSocketScheme,
  address: Address,
  options: ListenOptions,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const websocket = checkWebSocketOptions(options.websocket);
  const { admission, handshakeTimeout } = options;
  if (address.httpServer !== undefined) {
    const { httpServer, path } = address;
    return listenOnHttpServer(httpServer, { scheme, path, websocket, admission, accept }, options);
  }
  if (address.query !== undefined || address.credentials !== undefined) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: got ${JSON.stringify(address.text)}, expected no user and no query: a server checks neither`,
    );
  }
  const path = pathOf(address);
  const secureServer =
    scheme === 'wss'
      ? // The same ALPN protocol as in node:https.
        createSecureServer({ ALPNProtocols: ['http/1.1'], ...tlsServerOptions(options.tls) })
      : undefined;
  const handshakes = new HandshakeTracker({ scheme, handshakeTimeout, admission });
  const server =
    secureServer === undefined
      ? createStreamServer({ allowHalfOpen: true })
      : createTlsAcceptor(secureServer, handshakes);
  if (secureServer === undefined) handshakes.track(server);
  const { host, port } = address;
  const upgrader = new Upgrader({ scheme, path, host, websocket, admission, handshakes, accept });
  upgrader.serve(server, secureServer);
  const bound = await listenWith(
    server,
    { port, host: host || undefined, backlog: options.backlog },
    address,
    () => formatAddress(scheme, host, (server.address() as AddressInfo).port) + path,
  );
  const listener = stopHandshakesOnClose(
    { address: bound.address, close: () => bound.close() },
    handshakes,
  );
  return secureServer === undefined ? listener : withTlsReload(listener, secureServer, options.tls);
}

type HttpError = Error & { code?: string | undefined };

/** Reads the HTTP requests of a server that has its own port. */
class Upgrader {
  readonly #options: UpgradeAcceptorOptions;
  readonly #handshakes: HandshakeTracker;
  readonly #acceptor: UpgradeAcceptor;
  readonly #health: HealthAnswers;

  constructor(options: UpgradeAcceptorOptions) {
    this.#options = options;
    this.#handshakes = options.handshakes;
    this.#acceptor = new UpgradeAcceptor(options);
    this.#health = new HealthAnswers(options.websocket.health, options);
  }

  /**
   * Reads one request of each connection that `server` accepts. With TLS `secureServer` has the
   * connections after their TLS handshake.
   */
  serve(server: StreamServer, secureServer?: TlsServer): void {
    const { scheme, admission } = this.#options;
    const onFault = (reader: RequestReader, error: unknown): void =>
      this.#acceptor.onFault(reader.socket, error);
    const parser = this.#createParser(onFault);
    const open = (socket: Socket): void => {
      // Without a handshake the limits of the server have refused it, or the peer has left: the
      // addresses of such a TLS socket are unknown.
      if (this.#handshakes.find(socket) === undefined) socket.destroy();
      else new RequestReader(socket, parser, onFault);
    };
    const socketPeer = (socket: Socket): Peer => new SocketPeer(scheme, socket);
    if (secureServer === undefined)
      server.on('connection', guardedOpen(open, socketPeer, admission));
    else secureServer.on('secureConnection', openInTurn(open, socketPeer, admission));
  }

  /** An HTTP server that never listens. It parses the bytes of RequestReaders. */
  #createParser(onFault: (reader: RequestReader, error: unknown) => void): Server {
    const limits = {
      maxHeaderSize: MAX_HEADER_BYTES,
      // HandshakeTracker has one timeout for the whole handshake.
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
      requireHostHeader: false,
    };
    const parser = createServer(limits);
    const onRequest =
      (handle: (request: IncomingMessage, socket: Socket, head: Buffer) => void) =>
      (request: IncomingMessage) => {
        const reader = request.socket as unknown as RequestReader;
        const head = reader.release();
        if (head === undefined) return;
        try {
          handle(request, reader.socket, head);
        } catch (error) {
          onFault(reader, error);
        }
      };
    const acceptor = this.#acceptor;
    const refuse = (request: IncomingMessage, socket: Socket): void =>
      acceptor.refuse(request, socket, refuseOtherRequest());
    parser.on(
      'request',
      onRequest((request, socket) => {
        if (!this.#health.answer(request, socket)) refuse(request, socket);
      }),
    );
    for (const event of ['checkContinue', 'checkExpectation']) parser.on(event, onRequest(refuse));
    parser.on(
      'connect',
      onRequest((request, socket) => acceptor.refuse(request, socket, refuseTunnel())),
    );
    parser.on(
      'upgrade',
      onRequest((request, socket, head) => acceptor.upgrade(request, socket, head)),
    );
    parser.on('clientError', (error: HttpError, stream) => {
      const reader = stream as unknown as RequestReader;
      if (reader.release() !== undefined)
        guarded(
          () => this.#refuseMalformed(error, reader.socket),
          (failure) => onFault(reader, failure),
        )();
    });
    return parser;
  }

  /** Refuses bytes that are not HTTP, and headers that are too large. */
  #refuseMalformed(error: HttpError, socket: Socket): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined || !socket.writable) return void socket.destroy();
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
    this.#handshakes.reportRefusal(
      handshake,
      new RefusedError(`the request cannot be read: ${error.message}`, {
        status,
        reason: 'request',
        cause: error,
      }),
    );
    this.#handshakes.answer(handshake, socket, statusResponse(status));
  }
}
