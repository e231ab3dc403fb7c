/** Waits until a client's stream socket is connected. */
import type { Socket } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import type { Address } from '../address.js';

/**
 * Listener of 'error': without one, the event would end the process. Destroys the socket, whose
 * property `errored` keeps the error for SocketConnection.
 */
function destroyWithError(this: Socket, error: Error): void {
  this.destroy(error);
}

/**
 * True if both ends of a TCP connection are the same socket: the simultaneous open of RFC 9293,
 * section 3.5. It happens on loopback when a client dials a port from the range of the ports that
 * the system gives to clients.
 */
function isOwnPeer(socket: Socket): boolean {
  const { remotePort } = socket;
  return (
    remotePort !== undefined &&
    socket.localPort === remotePort &&
    socket.localAddress === socket.remoteAddress
  );
}

/**
 * Settles when the socket emits `event`, which says that it is connected. Rejects with
 * CONNECT_FAILED and destroys the socket if the socket fails or `signal` aborts first. For a later
 * error see destroyWithError().
 */
export function untilConnected(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  address: Address,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      socket.destroy();
      release();
      reject(
        gettyError(
          'CONNECT_FAILED',
          `cannot connect to ${address.text}: ${messageOf(error)}`,
          error,
        ),
      );
    };
    const abort = (): void => fail(signal.reason);
    const release = followSignal(signal, abort);
    // A TLS socket in a tunnel passes on the errors of the socket below it, so there may be two.
    socket.on('error', fail);
    socket.once('connect', () => {
      if (isOwnPeer(socket))
        fail(
          new Error(
            'the socket is connected to itself: no server listens at the port, and the system chose the same port for the client',
          ),
        );
    });
    socket.once(event, () => {
      if (socket.destroyed) return;
      // The peer may break the connection before the caller of this function can add a listener.
      socket.on('error', destroyWithError);
      socket.off('error', fail);
      release();
      resolve();
    });
    if (signal.aborted) abort();
  });
}
