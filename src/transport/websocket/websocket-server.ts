import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { asGettyError, gettyError } from '../../core/errors.js';
import type { Address } from '../address.js';
import { RefusedError } from '../refused-error.js';
import type { HandshakeTracker } from '../stream/handshake-tracker.js';
import { StreamServer } from '../stream/stream-server.js';
import type { Connection, Listener, ListenOptions } from '../types.js';
import { HealthAnswers } from './handshake/health-answers.js';
import { type HttpError, type RequestHandlers, RequestParser } from './handshake/request-parser.js';
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
  const { admission } = options;
  if (address.httpServer !== undefined) {
    const { httpServer, path } = address;
    const { behindProxy, socket: socketSettings } = options;
    const acceptorOptions = {
      scheme,
      path,
      websocket,
      admission,
      behindProxy,
      socketSettings,
      accept,
    };
    try {
      return listenOnHttpServer(httpServer, acceptorOptions, options);
    } catch (error) {
      // The server may be a Proxy that throws.
      throw asGettyError(error, 'LISTEN_FAILED', `cannot listen at ${address.text}`);
    }
  }
  if (address.query !== undefined || address.credentials !== undefined) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: got ${JSON.stringify(address.text)}, expected no user and no query: a server checks neither`,
    );
  }
  const path = pathOf(address);
  const { host } = address;
  const server = new StreamServer(
    {
      scheme,
      plainScheme: 'ws',
      hasTls: scheme === 'wss',
      // The same ALPN protocol as in node:https.
      alpnProtocols: ['http/1.1'],
      options,
    },
    (socket) => upgrader.open(socket),
  );
  const { handshakes } = server;
  const upgrader = new Upgrader({
    scheme,
    path,
    host,
    websocket,
    admission,
    behindProxy: options.behindProxy,
    socketSettings: options.socket,
    handshakes,
    accept,
  });
  return server.listen(address, path);
}

/** Reads the HTTP requests of a server that has its own port. */
class Upgrader implements RequestHandlers {
  readonly #handshakes: HandshakeTracker;
  readonly #acceptor: UpgradeAcceptor;
  readonly #health: HealthAnswers;
  readonly #parser: RequestParser;

  constructor(options: UpgradeAcceptorOptions) {
    this.#handshakes = options.handshakes;
    this.#acceptor = new UpgradeAcceptor(options);
    this.#health = new HealthAnswers(options.websocket.health, options);
    // HandshakeTracker has one timeout for the whole handshake.
    this.#parser = new RequestParser(MAX_HEADER_BYTES, this);
  }

  /** Reads the request of a connection. */
  open(socket: Socket): void {
    this.#parser.read(socket);
    // A socket whose first bytes were read before is paused.
    socket.resume();
  }

  onRequest(request: IncomingMessage, socket: Socket, expects: boolean): void {
    if (request.method === 'CONNECT') this.#acceptor.refuse(request, socket, refuseTunnel());
    else if (expects || !this.#health.answer(request, socket))
      this.#acceptor.refuse(request, socket, refuseOtherRequest());
  }

  onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#acceptor.upgrade(request, socket, head);
  }

  onFault(socket: Socket, error: unknown): void {
    this.#acceptor.onFault(socket, error);
  }

  /** Refuses bytes that are not HTTP, and headers that are too large. */
  onInvalid(error: HttpError, socket: Socket): void {
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
