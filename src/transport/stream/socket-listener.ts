/** Listening with a server of Node.js, for the transports over stream sockets. */
import type { Server, Socket } from 'node:net';
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';
import { guard } from '../../core/guard.js';
import { runInTurn } from '../../core/turn.js';
import type { Address } from '../address.js';
import { SERVER_SOCKET_DEFAULTS } from '../socket-options.js';
import type { Admission, Listener, ListenOptions, Peer } from '../types.js';

function ignore(): void {}

/**
 * A listener for the event with which a server of Node.js reports a socket. `open` makes a
 * connection of the socket. If `open` throws, the socket is destroyed and counted as refused.
 */
export function guardedOpen<S extends Socket>(
  open: (socket: S) => void,
  peerOf: (socket: S) => Peer,
  admission: Admission,
): (socket: S) => void {
  const openFailed = (socket: S, error: unknown): void => {
    // An 'error' event without a listener would end the process.
    socket.on('error', ignore);
    socket.destroy();
    admission.reportFault(peerOf(socket), error);
  };
  return (socket) => guard(open, openFailed, socket, undefined);
}

/**
 * A listener of 'secureConnection' that calls guardedOpen() with its arguments, in a later turn if
 * the budget is used up: many handshakes can be completed at once.
 */
export function openInTurn<S extends Socket>(
  open: (socket: S) => void,
  peerOf: (socket: S) => Peer,
  admission: Admission,
): (socket: S) => void {
  const openNow = guardedOpen(open, peerOf, admission);
  return (socket) => openUnlessDestroyed(socket, openNow);
}

/**
 * Calls `open`, which must not throw, with the socket: at once, or in a later turn if the budget is
 * used up. If the socket is destroyed meanwhile, `open` is not called.
 */
export function openUnlessDestroyed<S extends Socket>(socket: S, open: (socket: S) => void): void {
  // An 'error' event without a listener would end the process.
  socket.on('error', ignore);
  runInTurn(() => {
    if (socket.destroyed) return;
    open(socket);
    socket.off('error', ignore);
  });
}

export function listenFailed({ text }: Address, error: unknown): GettyError {
  return gettyError('LISTEN_FAILED', `cannot listen at ${text}: ${messageOf(error)}`, error);
}

/** The options of listen() for a port. Node.js tries IPv4 too if there is no host. */
export function portOptions(
  { port, host }: Address,
  { socket = SERVER_SOCKET_DEFAULTS }: Pick<ListenOptions, 'socket'>,
): object {
  const { backlog, ipv6Only, reusePort } = socket;
  return { port, host: host || (ipv6Only ? '::' : undefined), backlog, ipv6Only, reusePort };
}

/**
 * Listens with `server`. `options` are those of its listen(). `addressOf` returns the address of
 * the listener; it is called when the server listens. Rejects with LISTEN_FAILED.
 */
export function listenWith(
  server: Server,
  options: object,
  address: Address,
  addressOf: (server: Server) => string,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenFailed(address, error)));
    server.listen(options, () => {
      server.removeAllListeners('error');
      // An 'error' event without a listener would end the process. Node.js emits none for a
      // connection that it closes because no file descriptor is left.
      server.on('error', (error) =>
        process.emitWarning(
          gettyError(
            'LISTEN_FAILED',
            `the server socket at ${address.text} failed: ${messageOf(error)}`,
            error,
          ),
        ),
      );
      resolve({ address: addressOf(server), close: () => stopListening(server) });
    });
  });
}

/**
 * Stops listening; settles when the address is free. Node.js calls the callback of close() later,
 * after the last connection has ended.
 */
function stopListening(server: Server): Promise<void> {
  server.close();
  // close() closes the descriptor at once. The rest of its work takes until the end of this turn.
  return new Promise((resolve) => setImmediate(resolve));
}
