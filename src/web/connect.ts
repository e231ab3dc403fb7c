/** connect() in a browser. */
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import { connectOn } from '../transport/client.js';
import { CLIENT_OPTION_NAMES } from '../transport/option-names.js';
import type { Platform } from '../transport/platform.js';
import type { Client, ClientOptions, Setup, WebSocketOptions } from '../transport/types.js';
import { webSocket } from './websocket.js';

/** Those of ClientOptions that a browser leaves to the page. */
export interface WebClientOptions extends Pick<ClientOptions, 'connections' | 'connectTimeout' | 'onState' | 'reconnect' | 'signal'> {
  websocket?: Pick<WebSocketOptions, 'protocols' | 'text'>;
}

const NAMES = {
  connections: true,
  connectTimeout: true,
  onState: true,
  reconnect: true,
  signal: true,
  websocket: true,
} satisfies NamesOf<WebClientOptions>;
const WEBSOCKET_NAMES = { protocols: true, text: true } satisfies NamesOf<NonNullable<WebClientOptions['websocket']>>;

const BROWSER: Platform = {
  transports: { ws: webSocket, wss: webSocket },
  compress(connection, compression) {
    // A browser offers permessage-deflate in any case; whether it is used is up to the server.
    if (compression === 'snappy') throw badOption('compression', compression, `'none' or DEFLATE for ${connection.remoteAddress}`);
    return connection;
  },
};

/**
 * As connect() of `getty`, over the browser's own WebSocket, to `ws://` or `wss://`.
 * Rejects with BAD_ADDRESS, BAD_OPTION, CONNECT_FAILED (a browser does not say why) or SESSION_REFUSED.
 */
export async function connect<In, Out = In>(address: string, setup: Setup<In, Out>, options?: WebClientOptions): Promise<Client<In, Out>> {
  checkNames('connect() in a browser', options, NAMES, { 'connect() on Node.js': CLIENT_OPTION_NAMES });
  checkNames('websocket in a browser', options?.websocket, WEBSOCKET_NAMES);
  return connectOn(BROWSER, address, setup, options);
}
