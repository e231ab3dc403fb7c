/** WebSocket: `ws://host:port/path`, and `wss://` over TLS. */
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { type Address, type Credentials, formatAddress, withoutZone } from '../address.js';
import { dialled, listenWith, SocketConnection } from '../socket.js';
import { SocketPeer } from '../tcp.js';
import { secured, TlsPeer, tlsClientOptions, tlsServerOptions } from '../tls.js';
import type { ClientOptions, Connection, Listener, ListenOptions, Peer, Transport } from '../types.js';
import { WebSocketConnection, type WebSocketSettings } from './connection.js';
import { answerUpgrade, Offer } from './handshake.js';
import { checkWebSocketOptions } from './settings.js';

type Scheme = 'ws' | 'wss';

/** The most that the head of a request or an answer may take. */
const MAX_HEADER_BYTES = 16 * 1024;
const PORTS = { ws: 80, wss: 443 };

/** A path of only a slash is any path. */
function pathOf({ path }: Address): string {
  return path === '/' ? '' : path;
}

async function listen(scheme: Scheme, address: Address, options: ListenOptions, accept: (connection: Connection) => void): Promise<Listener> {
  const settings = checkWebSocketOptions(options.websocket);
  if (address.query !== undefined || address.credentials !== undefined) {
    throw gettyError('BAD_ADDRESS', `address: given ${JSON.stringify(address.text)}, expected no user and no query: a server checks neither`);
  }
  const { handshakeTimeout } = options;
  // The deadline is ours, for the whole of the handshake.
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0 };
  const path = pathOf(address);
  const secure = scheme === 'wss' ? createSecureServer({ ...limits, ...tlsServerOptions(options.tls, handshakeTimeout) }) : undefined;
  const server: Server = secure ?? createServer(limits);
  const shaking = new Shaking(handshakeTimeout);
  server.on(secure === undefined ? 'connection' : 'secureConnection', (socket: Socket) => shaking.begin(socket));
  server.on('request', (_request, response) => {
    response.writeHead(426, { Upgrade: 'websocket', Connection: 'close', 'Content-Type': 'text/plain' }).end('this is a WebSocket server\n');
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const { response, agreement } = answerUpgrade(request, path, settings);
    if (agreement === undefined) return turnAway(socket, response);
    shaking.end(socket);
    socket.write(response);
    const { url = '', headers } = request;
    accept(connectionOf(scheme, socket, head, path, { role: 'server', text: settings.text ?? false, request: { url, headers }, ...agreement }));
  });
  const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
  const bound = await listenWith(server, at, address, () => formatAddress(scheme, address.host, (server.address() as AddressInfo).port) + path);
  const listener: Listener = {
    address: bound.address,
    close() {
      const closed = bound.close();
      shaking.stop();
      return closed;
    },
  };
  return secure === undefined ? listener : secured(listener, secure, options.tls);
}

/** Sockets whose handshake is under way: each has its deadline, and none is waited for when the listener closes. */
class Shaking {
  readonly #timeout: number;
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  begin(socket: Socket): void {
    this.#timers.set(
      socket,
      setTimeout(() => socket.destroy(), this.#timeout),
    );
    socket.once('close', () => this.end(socket));
  }

  end(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  stop(): void {
    for (const socket of this.#timers.keys()) socket.destroy();
  }
}

/** Refused: the deadline still stands for those who do not take the answer. */
function turnAway(socket: Socket, response: string): void {
  // Node has let go of the socket; an error without a listener would end the process.
  socket.on('error', () => {});
  socket.end(response);
  socket.destroySoon();
}

function connectionOf(scheme: Scheme, socket: Socket, head: Buffer, path: string, settings: WebSocketSettings): WebSocketConnection {
  const peer: Peer = scheme === 'wss' ? new TlsPeer(scheme, socket as TLSSocket) : new SocketPeer(scheme, socket);
  const { localAddress, remoteAddress } = peer;
  const addresses =
    settings.role === 'server' ? { localAddress: localAddress + path, remoteAddress } : { localAddress, remoteAddress: remoteAddress + path };
  if (head.length > 0) socket.unshift(head);
  return new WebSocketConnection(new SocketConnection(socket, { certificate: peer.certificate, ...addresses }), settings);
}

async function dial(scheme: Scheme, address: Address, options: ClientOptions, signal: AbortSignal): Promise<Connection> {
  const settings = checkWebSocketOptions(options.websocket);
  const at = { host: address.host || 'localhost', port: address.port, allowHalfOpen: true };
  const socket = scheme === 'wss' ? connectTls({ ...tlsClientOptions(options.tls, address), ...at }) : connect(at);
  await dialled(socket, scheme === 'wss' ? 'secureConnect' : 'connect', address, signal);
  const offer = new Offer(settings);
  try {
    const { headers, head } = await upgrade(scheme, socket, address, offer.headers, signal);
    const agreement = offer.judge(headers);
    return connectionOf(scheme, socket, head, pathOf(address), { role: 'client', text: settings.text ?? false, ...agreement });
  } catch (error) {
    socket.destroy();
    throw gettyError('CONNECT_FAILED', `cannot connect to ${address.text}: ${messageOf(error)}`, error);
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
      headers: credentials === undefined ? headers : { Authorization: basic(credentials), ...headers },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const abort = (): void => void request.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    request.once('close', () => signal.removeEventListener('abort', abort));
    request.on('error', reject);
    request.on('response', (response) => {
      request.destroy();
      reject(new Error(`the server answered ${response.statusCode} ${response.statusMessage}`));
    });
    request.on('upgrade', (response, _socket, head) => {
      signal.removeEventListener('abort', abort);
      resolve({ headers: response.headers, head });
    });
    request.end();
    if (signal.aborted) abort();
  });
}

export const ws: Transport = {
  listen: (address, options, accept) => listen('ws', address, options, accept),
  dial: (address, options, signal) => dial('ws', address, options, signal),
};

export const wss: Transport = {
  listen: (address, options, accept) => listen('wss', address, options, accept),
  dial: (address, options, signal) => dial('wss', address, options, signal),
};
