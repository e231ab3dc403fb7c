/** connect() in a browser. */
import { badOption } from '../core/options.js';
import { connectOn } from '../transport/client.js';
import type { Platform } from '../transport/platform.js';
import type { Client, ClientOptions, Setup, WebSocketOptions } from '../transport/types.js';
import { webSocket } from './websocket.js';

/** Those of ClientOptions that a browser leaves to the page. */
export interface WebClientOptions
  extends Pick<
    ClientOptions,
    'connections' | 'connectTimeout' | 'onState' | 'reconnect' | 'signal'
  > {
  websocket?: Pick<WebSocketOptions, 'protocols' | 'text'> | undefined;
}

const BROWSER: Platform = {
  transports: { ws: webSocket, wss: webSocket },
  compress(connection, compression) {
    // A browser offers permessage-deflate in any case; whether it is used is up to the server.
    if (compression === 'snappy')
      throw badOption(
        'compression',
        compression,
        `'none' or DEFLATE for ${connection.remoteAddress}`,
      );
    return connection;
  },
};

/**
 * As connect() of `getty`, over the browser's own WebSocket, to `ws://` or `wss://`. Rejects with
 * BAD_ADDRESS, BAD_OPTION, CONNECT_FAILED (a browser does not say why) or SESSION_REFUSED.
 */
export function connect<In, Out = In>(
  address: string,
  setup: Setup<In, Out>,
  options?: WebClientOptions,
): Promise<Client<In, Out>> {
  return connectOn(BROWSER, address, setup, options);
}
