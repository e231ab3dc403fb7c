/** TCP. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { formatAddress } from './address.js';
import { dialled, listenWith, SocketConnection } from './socket.js';
import type { Peer, Transport } from './types.js';

/** The addresses of both ends of a socket, with the transport's scheme. */
export function peerOf(scheme: string, socket: Socket): Peer {
  return {
    localAddress: formatAddress(scheme, socket.localAddress ?? '', socket.localPort ?? 0),
    remoteAddress: formatAddress(scheme, socket.remoteAddress ?? '', socket.remotePort ?? 0),
  };
}

export const tcp: Transport = {
  listen(address, options, accept) {
    // Half-open, so that what is being handled when the peer ends can still be answered.
    const server = createServer({ allowHalfOpen: true }, (socket) => accept(new SocketConnection(socket, peerOf('tcp', socket))));
    const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
    return listenWith(server, at, address, () => formatAddress('tcp', address.host, (server.address() as AddressInfo).port));
  },

  async dial(address, _options, signal) {
    const socket = connect({ host: address.host || 'localhost', port: address.port, allowHalfOpen: true });
    await dialled(socket, 'connect', address, signal);
    return new SocketConnection(socket, peerOf('tcp', socket));
  },
};
