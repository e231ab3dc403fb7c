/** connect() for a page. */
import { badOption } from '../core/options.js';
import { connectOn } from '../transport/client/client.js';
import { checkConnectNames } from '../transport/option-names.js';
import type { Platform } from '../transport/platform.js';
import type { Client, ClientOptions, Setup, WebSocketOptions } from '../transport/types.js';
import { checkPageOptions, webSocket } from './websocket.js';

/** The options of connect() in a page: the ClientOptions that a browser lets a page set. */
export interface WebClientOptions
  extends Pick<
    ClientOptions,
    'connections' | 'connectTimeout' | 'onState' | 'reconnect' | 'signal'
  > {
  /** The options of the WebSocket. Default: no subprotocols, binary messages. */
  websocket?: Pick<WebSocketOptions, 'protocols' | 'text'> | undefined;
}

const BROWSER: Platform = {
  transports: { ws: webSocket, wss: webSocket },
  compress(connection, compression) {
    if (compression === 'snappy')
      throw badOption(
        'compression',
        compression,
        `'none' or DEFLATE for ${connection.remoteAddress}`,
      );
    // The same for `deflate`: the browser negotiates permessage-deflate with the server by itself.
    return connection;
  },
};

/**
 * Connects to `address`, `ws://host:port/path` or `wss://host:port/path`, and keeps
 * `options.connections` sessions open. With an array of addresses it tries them in turn. Resolves
 * when the first session is open.
 *
 * Rejects with BAD_ADDRESS, BAD_OPTION, CONNECT_FAILED, SESSION_REFUSED or ABORTED_BY_CALLER. A
 * browser does not report why a connection failed.
 *
 * ```ts
 * const listener = { onMessage: (session, line) => console.log(line) };
 * const client = await connect('wss://example.org/live', { codec: lines(), listener });
 * ```
 */
export async function connect<In, Out = In>(
  address: string | readonly string[],
  setup: Setup<In, Out>,
  options: WebClientOptions = {},
): Promise<Client<In, Out>> {
  checkConnectNames(options);
  checkPageOptions(options);
  return connectOn(BROWSER, address, setup, options);
}
