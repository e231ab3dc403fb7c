/** Connects to a server through an HTTP proxy, by the method CONNECT (RFC 9110, section 9.3.6). */
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import { type Address, basicAuthorization } from '../address.js';
import { untilConnected } from '../stream/socket-dial.js';
import { responseStatus } from '../websocket/handshake/response-status.js';
import type { HostAddress } from './ip-address.js';
import { type ProxyServer, parseProxyUrl } from './proxy-url.js';

/** The largest header of the proxy's response, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024;

export interface Tunnel {
  /** Paused if the server has sent bytes. */
  readonly socket: Socket;
  /** The other end of the tunnel: the host, which may be a name, and the port of the address. */
  readonly remote: HostAddress;
}

/**
 * Opens a tunnel to `address`. Undefined: `proxy` is undefined, and nothing is opened. Rejects with
 * BAD_OPTION, or with CONNECT_FAILED if the proxy does not open the tunnel or `signal` aborts.
 */
export async function dialTunnel(
  proxy: string | undefined,
  address: Address,
  signal: AbortSignal,
): Promise<Tunnel | undefined> {
  if (proxy === undefined) return undefined;
  const server = parseProxyUrl(proxy);
  const { host, port, text } = server;
  const remote = { host: address.host || 'localhost', port: address.port };
  const socket = connect({ host, port, allowHalfOpen: true });
  try {
    await untilConnected(socket, 'connect', { ...address, text }, signal);
    await requestTunnel(socket, server, remote, signal);
    return { socket, remote };
  } catch (error) {
    socket.destroy();
    throw gettyError(
      'CONNECT_FAILED',
      `cannot connect to ${address.text} through the proxy ${text}: ${messageOf(error)}`,
      error,
    );
  }
}

/** Sends the request. Rejects if the status of the response is not 2xx. */
function requestTunnel(
  socket: Socket,
  { credentials }: ProxyServer,
  { host, port }: HostAddress,
  signal: AbortSignal,
): Promise<void> {
  const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      method: 'CONNECT',
      path: target,
      headers: {
        Host: target,
        ...(credentials && { 'Proxy-Authorization': basicAuthorization(credentials) }),
      },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const abort = (): void => void request.destroy(signal.reason as Error);
    const release = followSignal(signal, abort);
    request.once('close', release);
    request.on('error', reject);
    // Node.js reports an informational response such as 103 here too. A proxy has no use for it.
    request.on('connect', (response, _socket, head) => {
      const { statusCode = 0 } = response;
      release();
      if (statusCode < 200 || statusCode > 299)
        return reject(new Error(`the proxy answered ${responseStatus(response)}`));
      if (head.length > 0) socket.unshift(head);
      resolve();
    });
    request.end();
    if (signal.aborted) abort();
  });
}
