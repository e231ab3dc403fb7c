/** The transport on Node.js: all that it can speak, and serve() and connect() over that. */
import { connectOn } from './client.js';
import { compress } from './compression/compress.js';
import type { Platform } from './platform.js';
import { serveOn } from './server.js';
import { memory } from './stream/memory.js';
import { tcp } from './stream/tcp.js';
import { tls } from './stream/tls.js';
import { unix } from './stream/unix.js';
import type { Client, ClientOptions, Server, ServerOptions, Setup } from './types.js';
import { udp } from './udp/udp.js';
import { ws, wss } from './websocket/websocket.js';

const NODE: Platform = { transports: { tcp, tls, unix, udp, ws, wss, memory }, compress };

/**
 * Listen at `address` (`tcp://host:port`, `ws://host:port/path`, `unix:///path` …; port 0 asks for
 * a free one). Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED and its cause.
 */
export function serve<In, Out = In>(
  address: string,
  setup: Setup<In, Out>,
  options?: ServerOptions,
): Promise<Server<In, Out>> {
  return serveOn(NODE, address, setup, options);
}

/**
 * Connect to `address` and keep `connections` sessions alive. Settles when the first session is
 * open. Rejects with BAD_ADDRESS, BAD_OPTION, CONNECT_FAILED (refused, unknown name, timed out: see
 * its cause) or SESSION_REFUSED.
 */
export function connect<In, Out = In>(
  address: string,
  setup: Setup<In, Out>,
  options?: ClientOptions,
): Promise<Client<In, Out>> {
  return connectOn(NODE, address, setup, options);
}
