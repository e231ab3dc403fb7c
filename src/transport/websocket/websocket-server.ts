import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { asGettyError, gettyError } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import type { Address } from '../address.js';
import { RefusedError } from '../refused-error.js';
import type { HandshakeTracker } from '../stream/handshake-tracker.js';
import { StreamServer } from '../stream/stream-server.js';
import type { Connection, Listener, ListenOptions } from '../types.js';
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

type HttpError = Error & { code?: string | undefined };

/** Reads the HTTP requests of a server that has its own port. */
class Upgrader {
  readonly #handshakes: HandshakeTracker;
  readonly #acceptor: UpgradeAcceptor;
  readonly #health: HealthAnswers;
  /** An HTTP server that never listens. It parses the bytes of RequestReaders. */
  readonly #parser: Server;

  constructor(options: UpgradeAcceptorOptions) {
    this.#handshakes = options.handshakes;
    this.#acceptor = new UpgradeAcceptor(options);
    this.#health = new HealthAnswers(options.websocket.health, options);
    this.#parser = this.#createParser();
  }

  /** Reads the request of a connection. */
  open(socket: Socket): void {
    new RequestReader(socket, this.#parser, this.#onFault);
    // A socket whose first bytes were read before is paused.
    socket.resume();
  }

  readonly #onFault = (reader: RequestReader, error: unknown): void =>
    this.#acceptor.onFault(reader.socket, error);

  #createParser(): Server {
    const onFault = this.#onFault;
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
