/** The transport for `ws://` and `wss://` in a browser. */
import { gettyError, messageOf } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { followSignal } from '../core/signals.js';
import { type Address, formatAddress } from '../transport/address.js';
import type { ClientOptions, Connection, Transport } from '../transport/types.js';
import { checkWebSocketOptions } from '../transport/websocket/websocket-options.js';
import { BrowserConnection } from './browser-connection.js';
import {
  type BrowserSocket,
  type BrowserSocketClass,
  describeSocketClose,
} from './browser-socket.js';

/** The options of `websocket` that a page cannot set. */
const REFUSED = [
  'headers',
  'allowOrigin',
  'allowHost',
  'health',
  'compression',
  'maxCompressBytes',
] as const;

/**
 * Throws BAD_OPTION for an option that a page cannot set. Call it with the options of the user: to
 * those of dial() the compression of the setup is added.
 */
export function checkPageOptions({
  tls,
  socket,
  udp,
  websocket,
  proxy,
  rate,
}: ClientOptions): void {
  const check = (name: string, given: unknown): void => {
    if (given !== undefined) throw badOption(name, given, 'undefined: a page cannot set it');
  };
  check('tls', tls);
  check('socket', socket);
  check('udp', udp);
  // A password is not shown.
  check('proxy', proxy && 'a URL');
  check('rate', rate);
  for (const name of REFUSED) check(`websocket.${name}`, websocket?.[name]);
}

/** `ws://host:port/path`, without user information and query. The path `/` is left out. */
function publicUrl({ scheme, host, port, path }: Address): string {
  return formatAddress(scheme, host || 'localhost', port) + (path === '/' ? '' : path);
}

/** The URL with its secrets. The browser decides whether it sends the user and the password. */
function fullUrl(address: Address): string {
  const { credentials, query } = address;
  const url = publicUrl(address) + (query === undefined ? '' : `?${query}`);
  if (credentials === undefined) return url;
  return url.replace(
    '://',
    () => `://${encodeURIComponent(credentials.user)}:${encodeURIComponent(credentials.password)}@`,
  );
}

function openSocket(address: Address, protocols: readonly string[]): BrowserSocket {
  const { WebSocket } = globalThis as unknown as { WebSocket?: BrowserSocketClass | undefined };
  if (WebSocket === undefined)
    throw new Error("there is no global WebSocket; in Node.js use connect() of 'getty-ts'");
  return new WebSocket(fullUrl(address), [...protocols]);
}

async function dial(
  address: Address,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { protocols = [], text: sendsText = false } = checkWebSocketOptions(options.websocket);
  const connectError = (cause: unknown): Error =>
    gettyError('CONNECT_FAILED', `cannot connect to ${address.text}: ${messageOf(cause)}`, cause);
  let socket: BrowserSocket;
  try {
    signal.throwIfAborted();
    socket = openSocket(address, protocols);
  } catch (error) {
    const hasSecrets = address.credentials !== undefined || address.query !== undefined;
    // The message of the browser contains the URL.
    throw connectError(
      hasSecrets && !signal.aborted
        ? new Error(`the browser refused the URL: ${(error as Error).name}`)
        : error,
    );
  }
  socket.binaryType = 'arraybuffer';
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      release();
      socket.onopen = socket.onclose = null;
    };
    const fail = (cause: unknown): void => {
      settle();
      socket.close();
      reject(connectError(cause));
    };
    const release = followSignal(signal, () => fail(signal.reason));
    // A close event with the code follows each error event.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) =>
      fail(new Error(`the connection ${describeSocketClose(code, reason)}`));
    socket.onopen = () => {
      const { protocol } = socket;
      if (protocol === '' ? protocols.length > 0 : !protocols.includes(protocol)) {
        return fail(
          new Error(
            `the server chose ${JSON.stringify(protocol)} of the protocols ${protocols.join(', ') || '(none was offered)'}`,
          ),
        );
      }
      settle();
      resolve(new BrowserConnection(socket, publicUrl(address), sendsText));
    };
  });
}

/** The listen() of a browser always rejects with LISTEN_FAILED. */
export const webSocket: Transport = {
  listen: (address) =>
    Promise.reject(
      gettyError('LISTEN_FAILED', `cannot listen at ${address.text}: a page cannot listen`),
    ),
  dial,
};
