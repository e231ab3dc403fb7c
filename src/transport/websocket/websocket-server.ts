import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  type AddressInfo,
  createServer as createStreamServer,
  type Socket,
  type Server as StreamServer,
} from 'node:net';
import { createServer as createSecureServer } from 'node:tls';
import { gettyError } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { type Address, formatAddress } from '../address.js';
import { RefusedError } from '../refused-error.js';
import { HandshakeTracker, stopHandshakesOnClose } from '../stream/handshake-tracker.js';
import { guardedOpen, listenWith } from '../stream/socket-listener.js';
import { SocketPeer } from '../stream/socket-peer.js';
import { tlsServerOptions } from '../stream/tls-options.js';
import { withTlsReload } from '../stream/tls-reload.js';
import type {
  Admission,
  Connection,
  Listener,
  ListenOptions,
  Peer,
  WebSocketOptions,
} from '../types.js';
import { isOriginAllowed } from './handshake/origin-policy.js';
import { RequestReader } from './handshake/request-reader.js';
import {
  type AcceptedUpgrade,
  answerUpgrade,
  type RefusedUpgrade,
  refuseOrigin,
  refuseOtherRequest,
  refuseTunnel,
  statusResponse,
} from './handshake/server-handshake.js';
import { UpgradedConnection } from './upgraded-connection.js';
import { pathOf, peerOf, type WebSocketScheme } from './websocket-address.js';
import { type ConnectionSettings, WebSocketConnection } from './websocket-connection.js';
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
  if (address.query !== undefined || address.credentials !== undefined) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: got ${JSON.stringify(address.text)}, expected no user and no query: a server checks neither`,
    );
  }
  const { admission, handshakeTimeout } = options;
  const path = pathOf(address);
  const secureServer =
    scheme === 'wss'
      ? // The same ALPN protocol as in node:https.
        createSecureServer({ ALPNProtocols: ['http/1.1'], ...tlsServerOptions(options.tls) })
      : undefined;
  const server = secureServer ?? createStreamServer({ allowHalfOpen: true });
  const handshakes = new HandshakeTracker(server, secureServer !== undefined, {
    scheme,
    handshakeTimeout,
    admission,
  });
  const { host, port } = address;
  new Upgrader({ scheme, path, host, websocket, admission, handshakes, accept }).serve(server);
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

interface UpgraderOptions {
  readonly scheme: WebSocketScheme;
  /** Empty: any path. */
  readonly path: string;
  /** The host of the server's address. */
  readonly host: string;
  readonly websocket: WebSocketOptions;
  readonly admission: Admission;
  readonly handshakes: HandshakeTracker;
  readonly accept: (connection: Connection) => void;
}

type HttpError = Error & { code?: string | undefined };

/** Answers the HTTP requests of a server, and accepts the WebSocket connections among them. */
class Upgrader {
  readonly #options: UpgraderOptions;
  readonly #handshakes: HandshakeTracker;

  constructor(options: UpgraderOptions) {
    this.#options = options;
    this.#handshakes = options.handshakes;
  }

  /** Reads one request of each connection that `server` accepts. */
  serve(server: StreamServer): void {
    const { scheme, admission } = this.#options;
    const onFault = (reader: RequestReader, error: unknown): void =>
      this.#onFault(reader.socket, error);
    const parser = this.#createParser(onFault);
    const open = (socket: Socket): void => {
      // Without a handshake the limits of the server have refused it.
      if (this.#handshakes.find(socket) !== undefined) new RequestReader(socket, parser, onFault);
    };
    const socketPeer = (socket: Socket): Peer => new SocketPeer(scheme, socket);
    server.on(
      scheme === 'wss' ? 'secureConnection' : 'connection',
      guardedOpen(open, socketPeer, admission),
    );
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
    const refuse = onRequest((request, socket) =>
      this.#refuse(request, socket, refuseOtherRequest()),
    );
    for (const event of ['request', 'checkContinue', 'checkExpectation']) parser.on(event, refuse);
    parser.on(
      'connect',
      onRequest((request, socket) => this.#refuse(request, socket, refuseTunnel())),
    );
    parser.on(
      'upgrade',
      onRequest((request, socket, head) => this.#upgrade(request, socket, head)),
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

  #onFault(socket: Socket, error: unknown): void {
    const { scheme, admission } = this.#options;
    admission.reportFault(new SocketPeer(scheme, socket), error);
    socket.destroy();
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { path, host, websocket, admission } = this.#options;
    const upgrade = answerUpgrade(request, path, websocket, host);
    if (upgrade.refusal !== undefined) return this.#refuse(request, socket, upgrade);
    const { originToAsk: origin } = upgrade;
    if (origin === undefined) return this.#open(socket, head, upgrade);
    void isOriginAllowed(websocket.allowOrigin, origin, (error) => {
      admission.warnOncePerMinute(
        gettyError('HANDLER_FAILED', 'allowOrigin failed, so the origin was refused', error),
      );
    }).then((isAllowed) => {
      const finish = (): void =>
        isAllowed
          ? this.#open(socket, head, upgrade)
          : this.#refuse(request, socket, refuseOrigin(origin));
      guarded(finish, (error) => this.#onFault(socket, error))();
    });
  }

  #refuse(request: IncomingMessage, socket: Socket, { response, refusal }: RefusedUpgrade): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined) return void socket.destroy();
    this.#handshakes.reportRefusal(handshake, refusal, this.#requestPeer(request, socket));
    this.#handshakes.answer(handshake, socket, response);
  }

  /** The peer of a request that has no connection. */
  #requestPeer({ url = '', headers }: IncomingMessage, socket: Socket): Peer {
    const { scheme, path } = this.#options;
    const { localAddress, remoteAddress } = new SocketPeer(scheme, socket);
    return { localAddress: localAddress + path, remoteAddress, request: { url, headers } };
  }

  #open(socket: Socket, head: Buffer, upgrade: AcceptedUpgrade): void {
    const { scheme, path, websocket, admission, accept } = this.#options;
    const handshake = this.#handshakes.find(socket);
    // While allowOrigin was called, the handshake may have ended, or the peer may have closed. A
    // session would never get the 'end' event that the socket has already emitted.
    if (handshake === undefined || socket.destroyed || socket.readableEnded)
      return void socket.destroy();
    const { request, result, response } = upgrade;
    const settings: ConnectionSettings = {
      role: 'server',
      isText: websocket.text ?? false,
      request,
      ...result,
    };
    const stream = new UpgradedConnection(
      peerOf(scheme, socket, '', path),
      { socket, handshake, handshakes: this.#handshakes, response, head },
      admission,
    );
    accept(new WebSocketConnection(stream, settings));
  }
}
