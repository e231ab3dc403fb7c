import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import { type Address, basicAuthorization, withoutZone } from '../address.js';
import { dialTunnel } from '../proxies/http-tunnel.js';
import { SocketConnection } from '../stream/socket-connection.js';
import { untilConnected } from '../stream/socket-dial.js';
import { tlsClientOptions } from '../tls/tls-options.js';
import type { Connection, DialOptions } from '../types.js';
import { ClientHandshake } from './handshake/client-handshake.js';
import { responseStatus } from './handshake/response-status.js';
import { pathOf, peerOf, type WebSocketScheme } from './websocket-address.js';
import { WebSocketConnection } from './websocket-connection.js';
import { checkWebSocketOptions, headersOf, MAX_HEADER_BYTES } from './websocket-options.js';

const DEFAULT_PORTS = { ws: 80, wss: 443 };
/** Of node:tls too, whose type does not have it. */
const HALF_OPEN: object = { allowHalfOpen: true };

/** Connects to a WebSocket server. Rejects with CONNECT_FAILED or BAD_OPTION. */
export async function dial(
  scheme: WebSocketScheme,
  address: Address,
  { websocket, tls, proxy, socket: settings }: DialOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const options = checkWebSocketOptions(websocket);
  const handshake = new ClientHandshake(options, await headersOf(options, address, signal));
  const tlsOptions = scheme === 'wss' ? tlsClientOptions(tls, address) : undefined;
  const tunnel = await dialTunnel(proxy, address, signal);
  const socket = await connectSocket(address, tlsOptions, tunnel?.socket, signal);
  try {
    const { headers, head } = await upgrade(scheme, socket, address, handshake.headers, signal);
    const result = handshake.validateResponse(headers);
    if (head.length > 0) socket.unshift(head);
    const stream = new SocketConnection(
      socket,
      peerOf(scheme, socket, pathOf(address), '', tunnel?.remote),
      settings,
    );
    return new WebSocketConnection(stream, {
      role: 'client',
      isText: options.text ?? false,
      ...result,
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

/**
 * The socket of the upgrade request. `tlsOptions`: undefined without TLS. `tunnel`: a socket that a
 * proxy has connected.
 */
async function connectSocket(
  address: Address,
  tlsOptions: ConnectionOptions | undefined,
  tunnel: Socket | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  if (tunnel !== undefined && tlsOptions === undefined) return tunnel;
  const target = { host: address.host || 'localhost', port: address.port, ...HALF_OPEN };
  const socket =
    tlsOptions === undefined
      ? connect(target)
      : connectTls({ ...tlsOptions, ...(tunnel ? { socket: tunnel, ...HALF_OPEN } : target) });
  const event = tlsOptions === undefined ? 'connect' : 'secureConnect';
  await untilConnected(socket, event, address, signal);
  return socket;
}

interface UpgradeResponse {
  readonly headers: IncomingMessage['headers'];
  /** The bytes after the response. */
  readonly head: Buffer;
}

/** Responses such as 103 before the final one. Node.js limits only the size of each. */
const MAX_INFORMATIONAL = 8;

/** Sends the upgrade request. Rejects if the status of the response is not 101. */
function upgrade(
  scheme: WebSocketScheme,
  socket: Socket,
  { host, port, path, query, credentials }: Address,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<UpgradeResponse> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      // Only for the header Host, because the socket is connected.
      host: withoutZone(host) || 'localhost',
      port,
      defaultPort: DEFAULT_PORTS[scheme],
      path: (path || '/') + (query === undefined ? '' : `?${query}`),
      headers:
        credentials === undefined
          ? headers
          : { Authorization: basicAuthorization(credentials), ...headers },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const abort = (): void => void request.destroy(signal.reason as Error);
    const release = followSignal(signal, abort);
    request.once('close', release);
    request.on('error', reject);
    let informational = 0;
    request.on('information', () => {
      if (++informational !== MAX_INFORMATIONAL + 1) return;
      const error = new Error(
        `the server sent more than ${MAX_INFORMATIONAL} informational responses`,
      );
      // Without an 'error' event if the rest of the chunk has the final response.
      reject(error);
      request.destroy(error);
    });
    request.on('response', (response) => {
      request.destroy();
      reject(new Error(`the server answered ${responseStatus(response)}`));
    });
    request.on('upgrade', (response, _socket, head) => {
      release();
      resolve({ headers: response.headers, head });
    });
    request.end();
    if (signal.aborted) abort();
  });
}
