/** serve() for a page and its workers. */
import { badOption } from '../core/options.js';
import { serveOn } from '../transport/server.js';
import type { PortAddress, Server, ServerOptions, Setup } from '../transport/types.js';
import { BROWSER } from './platform.js';

/** The options of serve() in a page: the ServerOptions that have a meaning at a message port. */
export type WebServerOptions = Pick<
  ServerOptions,
  'handshakeTimeout' | 'maxSessions' | 'onRefused'
>;

/** Options of servers with sockets. */
const REFUSED = [
  'allow',
  'deny',
  'behindProxy',
  'maxSessionsPerAddress',
  'socket',
  'rate',
  'tls',
  'udp',
  'unix',
  'websocket',
] as const;

/** Throws BAD_OPTION for an option that has no meaning in a page. */
function checkPageServerOptions(options: ServerOptions): void {
  for (const name of REFUSED) {
    const given = options?.[name];
    if (given !== undefined) throw badOption(name, given, 'undefined: a page cannot set it');
  }
}

/**
 * Accepts sessions at a message port: in a worker at `{ port: self }`, in a page at `{ port: worker
 * }`, in a frame at a MessagePort that the page has transferred to it. Settles when it listens.
 *
 * Rejects with BAD_OPTION, LISTEN_FAILED (a page cannot listen at a text address, and a port has
 * one server), or BAD_ADDRESS.
 *
 * ```ts
 * const listener = { onMessage: (session, line) => session.write(line) };
 * await serve({ port: self }, { codec: lines(), listener });
 * ```
 */
export async function serve<In, Out = In>(
  address: PortAddress,
  setup: Setup<In, Out>,
  options: WebServerOptions = {},
): Promise<Server<In, Out>> {
  checkPageServerOptions(options);
  return serveOn(BROWSER, address, setup, options);
}
