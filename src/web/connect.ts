/** connect() for a page. */
import { connectOn } from '../transport/client/client.js';
import { checkConnectNames } from '../transport/option-names.js';
import type {
  Client,
  ClientOptions,
  PortAddress,
  Setup,
  WebSocketOptions,
} from '../transport/types.js';
import { BROWSER } from './platform.js';
import { checkPageOptions } from './websocket.js';

/** What connect() of a page connects to. */
export type WebAddress = string | PortAddress;

/** The options of connect() in a page: the ClientOptions that a browser lets a page set. */
export interface WebClientOptions
  extends Pick<
    ClientOptions,
    'connections' | 'connectTimeout' | 'onState' | 'reconnect' | 'signal'
  > {
  /** The options of the WebSocket. Default: no subprotocols, binary messages. */
  websocket?: Pick<WebSocketOptions, 'protocols' | 'text'> | undefined;
}

/**
 * Connects to `address`, `ws://host:port/path`, `wss://host:port/path`, or `{ port }` with a Worker
 * or a MessagePort, and keeps `options.connections` sessions open. With an array of addresses it
 * tries them in turn. Resolves when the first session is open.
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
  address: WebAddress | readonly WebAddress[],
  setup: Setup<In, Out>,
  options: WebClientOptions = {},
): Promise<Client<In, Out>> {
  checkConnectNames(options);
  checkPageOptions(options);
  return connectOn(BROWSER, address, setup, options);
}
