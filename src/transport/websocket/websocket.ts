/** WebSocket: `ws://host:port/path`, and `wss://` over TLS. */

import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createStreamServer,
  type Socket,
  type Server as StreamServer,
} from 'node:net';
import {
  connect as connectTls,
  createServer as createSecureServer,
  type TLSSocket,
} from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { followSignal } from '../../core/signals.js';
import { type Address, type Credentials, formatAddress, withoutZone } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import { RefusedError } from '../refused-error.js';
import { type Handshake, HandshakeTracker } from '../stream/handshake-tracker.js';
import { dialled, guardedOpen, listenWith, SocketConnection } from '../stream/socket.js';
import { SocketPeer } from '../stream/tcp.js';
import {
  closingHandshakes,
  reloadable,
  TlsPeer,
  tlsClientOptions,
  tlsServerOptions,
} from '../stream/tls.js';
import type {
  Admission,
  ClientOptions,
  Connection,
  ConnectionEvents,
  Listener,
  ListenOptions,
  Peer,
  Transport,
  WebSocketOptions,
} from '../types.js';
import { WebSocketConnection, type WebSocketSettings } from './connection.js';
import {
  answerUpgrade,
  type Grant,
  isOriginAllowed,
  Offer,
  type Refusal,
  refuseOrigin,
  refuseRequest,
  refuseTunnel,
  statusAnswer,
} from './handshake.js';
import { RequestReader } from './request-reader.js';
import { checkWebSocketOptions, headersOf } from './settings.js';

type Scheme = 'ws' | 'wss';

/** The most that the head of a request or an answer may take. */
const MAX_HEADER_BYTES = 16 * 1024;
const PORTS = { ws: 80, wss: 443 };

/** A path of only a slash is any path. */
function pathOf({ path }: Address): string {
  return path === '/' ? '' : path;
}

async function listen(
  scheme: Scheme,
  address: Address,
  options: ListenOptions,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const settings = checkWebSocketOptions(options.websocket);
  if (address.query !== undefined || address.credentials !== undefined) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: given ${JSON.stringify(address.text)}, expected no user and no query: a server checks neither`,
    );
  }
  const { admission, handshakeTimeout } = options;
  const path = pathOf(address);
  // As node:https does.
  const secure =
    scheme === 'wss'
      ? createSecureServer({ ALPNProtocols: ['http/1.1'], ...tlsServerOptions(options.tls) })
      : undefined;
  const server = secure ?? createStreamServer({ allowHalfOpen: true });
  const handshakes = new HandshakeTracker(server, secure !== undefined, {
    scheme,
    handshakeTimeout,
    admission,
  });
  new Upgrader(scheme, path, address.host, settings, admission, handshakes, accept).serve(server);
  const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
  const bound = await listenWith(
    server,
    at,
    address,
    () => formatAddress(scheme, address.host, (server.address() as AddressInfo).port) + path,
  );
  const listener = closingHandshakes(
    { address: bound.address, close: () => bound.close() },
    handshakes,
  );
  return secure === undefined ? listener : reloadable(listener, secure, options.tls);
}

/**
 * Answers the HTTP requests of a server, and makes connections of those that ask for a WebSocket.
 */
class Upgrader {
  readonly #scheme: Scheme;
  readonly #path: string;
  readonly #host: string;
  readonly #settings: WebSocketOptions;
  readonly #admission: Admission;
  readonly #handshakes: HandshakeTracker;
  readonly #accept: (connection: Connection) => void;

  constructor(
    scheme: Scheme,
    path: string,
    host: string,
    settings: WebSocketOptions,
    admission: Admission,
    handshakes: HandshakeTracker,
    accept: (connection: Connection) => void,
  ) {
    this.#scheme = scheme;
    this.#path = path;
    this.#host = host;
    this.#settings = settings;
    this.#admission = admission;
    this.#handshakes = handshakes;
    this.#accept = accept;
  }

  /** `server` accepts the connections, whose requests are read one by one. */
  serve(server: StreamServer): void {
    const failed = (reader: RequestReader, error: unknown): void =>
      this.#failed(reader.socket, error);
    const parser = this.#parser(failed);
    const open = (socket: Socket): void => {
      // The limits may have refused it.
      if (this.#handshakes.find(socket) !== undefined) new RequestReader(socket, parser, failed);
    };
    const peerOf = (socket: Socket): Peer => new SocketPeer(this.#scheme, socket);
    server.on(
      this.#scheme === 'wss' ? 'secureConnection' : 'connection',
      guardedOpen(open, peerOf, this.#admission),
    );
  }

  /**
   * A server that does not listen: it parses requests. HandshakeTracker has the deadline, for the
   * whole of the handshake.
   */
  #parser(failed: (reader: RequestReader, error: unknown) => void): Server {
    const limits = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
      requireHostHeader: false,
    };
    const parser = createServer(limits);
    const onRequest =
      (handle: (request: IncomingMessage, socket: Socket, rest: Buffer) => void) =>
      (request: IncomingMessage) => {
        const reader = request.socket as unknown as RequestReader;
        const rest = reader.release();
        if (rest === undefined) return;
        try {
          handle(request, reader.socket, rest);
        } catch (error) {
          failed(reader, error);
        }
      };
    const refuse = onRequest((request, socket) => this.#refuse(request, socket, refuseRequest()));
    for (const event of ['request', 'checkContinue', 'checkExpectation']) parser.on(event, refuse);
    parser.on(
      'connect',
      onRequest((request, socket) => this.#refuse(request, socket, refuseTunnel())),
    );
    parser.on(
      'upgrade',
      onRequest((request, socket, rest) => this.#upgrade(request, socket, rest)),
    );
    parser.on('clientError', (error: Error & { code?: string | undefined }, stream) => {
      const reader = stream as unknown as RequestReader;
      if (reader.release() !== undefined)
        guarded(
          () => this.#malformed(error, reader.socket),
          (failure) => failed(reader, failure),
        )();
    });
    return parser;
  }

  /** Bytes that are no HTTP, or a header that is too large. */
  #malformed(error: Error & { code?: string | undefined }, socket: Socket): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined || !socket.writable) return void socket.destroy();
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
    this.#handshakes.refused(
      handshake,
      new RefusedError(`the request cannot be read: ${error.message}`, {
        status,
        reason: 'request',
        cause: error,
      }),
    );
    this.#handshakes.answer(handshake, socket, statusAnswer(status));
  }

  /** A fault of ours costs this connection alone. */
  #failed(socket: Socket, error: unknown): void {
    this.#admission.fault(new SocketPeer(this.#scheme, socket), error);
    socket.destroy();
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const answer = answerUpgrade(request, this.#path, this.#settings, this.#host);
    if (answer.refusal !== undefined) return this.#refuse(request, socket, answer);
    const { originToAsk: origin } = answer;
    if (origin === undefined) return this.#open(socket, head, answer);
    void isOriginAllowed(this.#settings.allowOrigin, origin, (error) => {
      this.#admission.warnSometimes(
        gettyError('HANDLER_FAILED', 'allowOrigin failed, so the origin was refused', error),
      );
    }).then((isAllowed) => {
      const decided = (): void =>
        isAllowed
          ? this.#open(socket, head, answer)
          : this.#refuse(request, socket, refuseOrigin(origin));
      guarded(decided, (error) => this.#failed(socket, error))();
    });
  }

  #refuse(request: IncomingMessage, socket: Socket, { response, refusal }: Refusal): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined) return void socket.destroy();
    this.#handshakes.refused(handshake, refusal, this.#peerOf(request, socket));
    this.#handshakes.answer(handshake, socket, response);
  }

  #peerOf({ url = '', headers }: IncomingMessage, socket: Socket): Peer {
    const { localAddress, remoteAddress } = new SocketPeer(this.#scheme, socket);
    return { localAddress: localAddress + this.#path, remoteAddress, request: { url, headers } };
  }

  #open(socket: Socket, head: Buffer, answer: Grant): void {
    const handshake = this.#handshakes.find(socket);
    // The deadline passed, the server closed or the peer ended while allowOrigin was asked. A
    // session would not hear of an end before it.
    if (handshake === undefined || socket.destroyed || socket.readableEnded)
      return void socket.destroy();
    const { request, agreement, response } = answer;
    const settings: WebSocketSettings = {
      role: 'server',
      text: this.#settings.text ?? false,
      request,
      ...agreement,
    };
    const peer = peerOf(this.#scheme, socket, '', this.#path);
    const stream = new UpgradedConnection(
      peer,
      { socket, handshake, handshakes: this.#handshakes, response, head },
      this.#admission,
    );
    this.#accept(new WebSocketConnection(stream, settings));
  }
}

/** A request that is not answered yet. */
interface PendingUpgrade {
  readonly socket: Socket;
  readonly handshake: Handshake;
  readonly handshakes: HandshakeTracker;
  /** The answer of status 101. */
  readonly response: string;
  /** What came after the request. */
  readonly head: Buffer;
}

/**
 * The stream of an upgrade request: the session's setup decides between the answer of status 101
 * and a refusal.
 */
class UpgradedConnection extends SocketConnection {
  /** Undefined once the request is answered. */
  #pending: PendingUpgrade | undefined;

  readonly #admission: Admission;
  #isLingering = false;

  constructor(peer: Peer, pending: PendingUpgrade, admission: Admission) {
    super(pending.socket, peer);
    this.#pending = pending;
    this.#admission = admission;
  }

  override attach(events: ConnectionEvents): void {
    const { socket, handshake, handshakes, response, head } = this.#pending as PendingUpgrade;
    this.#pending = undefined;
    handshakes.end(handshake);
    socket.write(response);
    if (head.length > 0) socket.unshift(head);
    super.attach(events);
  }

  /** The server counts this refusal. */
  refuse(status: number): void {
    const { socket, handshake, handshakes } = this.#pending as PendingUpgrade;
    handshake.isRefused = true;
    handshakes.answer(handshake, socket, statusAnswer(status));
  }

  /** The session gives its place back; the socket has it from now on. */
  linger(): void {
    this.#isLingering = true;
    this.#admission.countSession(this, 1);
  }

  override closed(): void {
    if (this.#isLingering) this.#admission.countSession(this, -1);
    this.#isLingering = false;
    super.closed();
  }
}

/** The peer of a socket, with the paths of both ends. */
function peerOf(scheme: Scheme, socket: Socket, remotePath: string, localPath: string): Peer {
  const peer: Peer =
    scheme === 'wss' ? new TlsPeer(scheme, socket as TLSSocket) : new SocketPeer(scheme, socket);
  const { localAddress, remoteAddress, certificate } = peer;
  return {
    certificate,
    localAddress: localAddress + localPath,
    remoteAddress: remoteAddress + remotePath,
  };
}

async function dial(
  scheme: Scheme,
  address: Address,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const settings = checkWebSocketOptions(options.websocket);
  const offer = new Offer(settings, await headersOf(settings, address, signal));
  const at = { host: address.host || 'localhost', port: address.port, allowHalfOpen: true };
  const socket =
    scheme === 'wss'
      ? connectTls({ ...tlsClientOptions(options.tls, address), ...at })
      : connect(at);
  await dialled(socket, scheme === 'wss' ? 'secureConnect' : 'connect', address, signal);
  try {
    const { headers, head } = await upgrade(scheme, socket, address, offer.headers, signal);
    const agreement = offer.judge(headers);
    if (head.length > 0) socket.unshift(head);
    const stream = new SocketConnection(socket, peerOf(scheme, socket, pathOf(address), ''));
    return new WebSocketConnection(stream, {
      role: 'client',
      text: settings.text ?? false,
      ...agreement,
    });
  } catch (error) {
    socket.destroy();
    throw gettyError(
      'CONNECT_FAILED',
      `cannot connect to ${address.text}: ${messageOf(error)}`,
      error,
    );
  }
}

/** RFC 7617. */
function basic({ user, password }: Credentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** Send the request, and wait for the answer that it is granted. */
function upgrade(
  scheme: Scheme,
  socket: Socket,
  { host, port, path, query, credentials }: Address,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ headers: IncomingMessage['headers']; head: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      // For the header Host alone; the socket is connected.
      host: withoutZone(host) || 'localhost',
      port,
      defaultPort: PORTS[scheme],
      path: (path || '/') + (query === undefined ? '' : `?${query}`),
      headers:
        credentials === undefined ? headers : { Authorization: basic(credentials), ...headers },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const abort = (): void => void request.destroy(signal.reason as Error);
    const release = followSignal(signal, abort);
    request.once('close', release);
    request.on('error', reject);
    request.on('response', (response) => {
      request.destroy();
      reject(new Error(`the server answered ${response.statusCode} ${response.statusMessage}`));
    });
    request.on('upgrade', (response, _socket, head) => {
      release();
      resolve({ headers: response.headers, head });
    });
    request.end();
    if (signal.aborted) abort();
  });
}

export const ws: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },
  listen: (address, options, accept) => listen('ws', address, options, accept),
  dial: (address, options, signal) => dial('ws', address, options, signal),
};

export const wss: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },
  listen: (address, options, accept) => listen('wss', address, options, accept),
  dial: (address, options, signal) => dial('wss', address, options, signal),
};
