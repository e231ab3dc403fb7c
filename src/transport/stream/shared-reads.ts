/** How the sockets of clients read: all into one buffer, from which each chunk is copied. */
import type { OnReadOpts, Socket } from 'node:net';
import { deliverRead } from './socket-connection.js';

/** Bytes. As many as Node.js reads at once without the option `onread`. */
const READ_SIZE = 64 * 1024;

/** All sockets share it: the bytes of a read are taken before the next read begins. */
let shared: Buffer | undefined;

/**
 * The option `onread` of a client's socket: its SocketConnection gets what is read. Without it,
 * Node.js allocates 64 KiB for each read and then gives back what the bytes do not fill, and passes
 * each chunk through a stream. The sockets that a server accepts have no such option.
 *
 * @param socket returns the socket that has the option
 */
export function sharedReads(socket: () => Socket): OnReadOpts {
  shared ??= Buffer.allocUnsafeSlow(READ_SIZE);
  const buffer = shared;
  return {
    buffer,
    callback(length) {
      const chunk = Buffer.allocUnsafe(length);
      buffer.copy(chunk, 0, 0, length);
      return deliverRead(socket(), chunk);
    },
  };
}
