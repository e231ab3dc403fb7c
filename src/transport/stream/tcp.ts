/** The transport `tcp://`. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { formatAddress } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import type { Peer, Transport } from '../types.js';
import { sharedReads } from './shared-reads.js';
import { SocketConnection } from './socket-connection.js';
import { untilConnected } from './socket-dial.js';
import { guardedOpen, listenWith } from './socket-listener.js';
import { SocketPeer } from './socket-peer.js';

export const tcp: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  listen(address, options, accept) {
    const peerOf = (socket: Socket): Peer => new SocketPeer('tcp', socket);
    const open = guardedOpen<Socket>(
      (socket) => accept(new SocketConnection(socket, peerOf(socket))),
      peerOf,
      options.admission,
    );
    // Half-open, so that pending handlers can still answer after the peer has ended its side.
    const server = createServer({ allowHalfOpen: true }, open);
    const { port, host } = address;
    return listenWith(
      server,
      { port, host: host || undefined, backlog: options.backlog },
      address,
      () => formatAddress('tcp', host, (server.address() as AddressInfo).port),
    );
  },

  async dial(address, _options, signal) {
    const socket: Socket = connect({
      host: address.host || 'localhost',
      port: address.port,
      allowHalfOpen: true,
      onread: sharedReads(() => socket),
    });
    await untilConnected(socket, 'connect', address, signal);
    return new SocketConnection(socket, new SocketPeer('tcp', socket));
  },
};
