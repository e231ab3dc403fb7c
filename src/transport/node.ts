/** serve() and connect() with the transports of Node.js. */
import { type Address, addScheme, parseAddress } from './address.js';
import { connectOn } from './client/client.js';
import { compress } from './compression/compress.js';
import { hasName, type Platform } from './platform.js';
import { port } from './port/port.js';
import { parsePortAddress } from './port/port-address.js';
import { readBehindProxy, readPeerList } from './proxies/behind-proxy.js';
import { RATE_SUPPORT } from './rate/rate-support.js';
import { serveOn } from './server.js';
import { SOCKET_SUPPORT } from './socket-options.js';
import { stdio } from './stdio/stdio.js';
import { parseStdioAddress } from './stdio/stdio-address.js';
import { memory } from './stream/memory.js';
import { tcp } from './stream/tcp.js';
import { tls } from './stream/tls.js';
import { unix } from './stream/unix.js';
import type {
  Client,
  ClientAddress,
  ClientOptions,
  HttpServerAddress,
  PortAddress,
  Server,
  ServerAddress,
  ServerOptions,
  Setup,
  StdioAddress,
  Transport,
} from './types.js';
import { udp } from './udp/udp.js';
import { parseHttpServerAddress } from './websocket/http-server/http-server-address.js';
import { ws, wss } from './websocket/websocket.js';

const transports: Record<string, Transport> = {
  tcp,
  tls,
  unix,
  udp,
  ws,
  wss,
  memory,
  port,
  stdio,
};
const NODE: Platform = {
  transports,
  parseObject,
  compress,
  proxies: { readPeerList, readBehindProxy },
  sockets: SOCKET_SUPPORT,
  rates: RATE_SUPPORT,
};

function parseObject(given: object, of: 'serve()' | 'connect()'): Address {
  if (hasName(given, 'port')) return parsePortAddress(given as PortAddress, of);
  if (hasName(given, 'stdio')) return parseStdioAddress(given as StdioAddress, of);
  if (of === 'serve()') return parseHttpServerAddress(given as HttpServerAddress);
  return parseAddress(given as never, Object.keys(transports));
}

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
 * server of yours, which continues to answer other requests. With `{ port }` they are those of the
 * clients at the other end of a MessagePort or a Worker, and with `{ stdio }` there is one session
 * over the standard input and output of a child process. With an array one server listens at all
 * its addresses, with one set of sessions, limits and counters. `tls` is for the addresses that use
 * it; every address must permit the other options, except those of one transport.
 *
 * Settles when the server listens; on an HTTP server at once, because that may listen later.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED, whose cause is the error of the system;
 * then no address of the array is in use, and its sessions are destroyed. Without a cause another
 * server of this package has the path of the HTTP server.
 *
 * ```ts
 * const server = await serve('tcp://127.0.0.1:0', {
 *   codec: lines(),
 *   listener: { onMessage: (session, line) => session.write(line) },
 * });
 * ```
 */
export function serve<In, Out = In>(
  address: ServerAddress | readonly ServerAddress[],
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  return serveOn(NODE, address, setup, options);
}

/**
 * Connect to `address`, a text as for serve(), `{ port }` or `{ stdio }`, and keep
 * ClientOptions.connections sessions open (default 1). A lost session is replaced; see
 * ClientOptions.reconnect. With an array of addresses, each attempt to connect tries them in turn
 * until one has a session. The next attempt begins with the address of the lost session. If that
 * session was open for less than 1 s or has received nothing, or if its rpc server is closing, it
 * begins with the address after it.
 *
 * Settles when the first session is open. Rejects with BAD_ADDRESS, BAD_OPTION, SESSION_REFUSED
 * (onOpen or the setup function threw), CONNECTION_LOST (the session ended before it was open),
 * ABORTED_BY_CALLER (see ClientOptions.signal), or CONNECT_FAILED, whose cause is the reason, such
 * as a refused connection, an unknown host name or the end of connectTimeout. With several
 * addresses it is CONNECT_FAILED with an AggregateError as the cause.
 */
export function connect<In, Out = In>(
  address: ClientAddress | readonly ClientAddress[],
  setup: Setup<In, Out>,
  options?: ClientOptions,
): Promise<Client<In, Out>> {
  return connectOn(NODE, address, setup, options);
}
