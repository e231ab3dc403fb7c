/** serve() and connect() with the transports of Node.js. */
import { addScheme } from './address.js';
import { connectOn } from './client/client.js';
import { compress } from './compression/compress.js';
import type { Platform } from './platform.js';
import { RATE_SUPPORT } from './rate/rate-support.js';
import { serveOn } from './server.js';
import { memory } from './stream/memory.js';
import { tcp } from './stream/tcp.js';
import { tls } from './stream/tls.js';
import { unix } from './stream/unix.js';
import type {
  Client,
  ClientOptions,
  HttpServerAddress,
  Server,
  ServerOptions,
  Setup,
  Transport,
} from './types.js';
import { udp } from './udp/udp.js';
import { ws, wss } from './websocket/websocket.js';

const transports: Record<string, Transport> = { tcp, tls, unix, udp, ws, wss, memory };
const NODE: Platform = { transports, compress, rates: RATE_SUPPORT };

/**
 * Adds a transport to serve() and connect(). `form`: the form of its addresses for error messages,
 * such as `scheme://host:port`.
 */
export function addTransport(scheme: string, form: string, transport: Transport): void {
  addScheme(scheme, form);
  transports[scheme] = transport;
}

/** Replaces a transport of serve() and connect() by what `wrap` makes of it. */
export function wrapTransport(scheme: string, wrap: (transport: Transport) => Transport): void {
  transports[scheme] = wrap(transports[scheme] as Transport);
}

/**
 * Listen at `address` and create a session for each connection. `address` is one of
 * `tcp://host:port`, `tls://host:port`, `udp://host:port`, `ws://host:port/path`,
 * `wss://host:port/path`, `unix:///path` and `memory://name`. Port 0 selects a free port;
 * Server.address has it. With `{ server, path }` the sessions are WebSockets at a path of an HTTP
 * server of yours, which continues to answer other requests.
 *
 * Settles when the server listens; on an HTTP server at once, because that may listen later.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED, whose cause is the error of the system.
 * Without a cause another server of this package has the path of the HTTP server.
 *
 * ```ts
 * const server = await serve('tcp://127.0.0.1:0', {
 *   codec: lines(),
 *   listener: { onMessage: (session, line) => session.write(line) },
 * });
 * ```
 */
export function serve<In, Out = In>(
  address: string | HttpServerAddress,
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  return serveOn(NODE, address, setup, options);
}

/**
 * Connect to `address` and keep ClientOptions.connections sessions open (default 1). A lost session
 * is replaced; see ClientOptions.reconnect.
 *
 * Settles when the first session is open. Rejects with BAD_ADDRESS, BAD_OPTION, SESSION_REFUSED
 * (onOpen or the setup function threw), CONNECTION_LOST (the session ended before it was open),
 * ABORTED_BY_CALLER (see ClientOptions.signal), or CONNECT_FAILED, whose cause is the reason, such
 * as a refused connection, an unknown host name or the end of connectTimeout.
 */
export function connect<In, Out = In>(
  address: string,
  setup: Setup<In, Out>,
  options?: ClientOptions,
): Promise<Client<In, Out>> {
  return connectOn(NODE, address, setup, options);
}
