/** The transport `tcp://`. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Address, formatAddress } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import { dialTunnel } from '../proxies/http-tunnel.js';
import type { Connection, Listener, ListenOptions, Peer, Transport } from '../types.js';
import { sharedReads } from './shared-reads.js';
import { SocketConnection } from './socket-connection.js';
import { untilConnected } from './socket-dial.js';
import { guardedOpen, listenWith, portOptions } from './socket-listener.js';
import { hasReset, SocketPeer } from './socket-peer.js';
import { StreamServer } from './stream-server.js';

/** Each connection begins with a header of the PROXY protocol. */
function listenBehindProxy(
  address: Address,
  options: ListenOptions,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const server = new StreamServer(
    { scheme: 'tcp', plainScheme: 'tcp', hasTls: false, options },
    (socket, handshake) => {
      server.handshakes.remove(handshake);
      const peer = new SocketPeer('tcp', socket, handshake.client);
      accept(new SocketConnection(socket, peer, options.socket));
    },
  );
  return server.listen(address);
}

export const tcp: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  listen(address, options, accept) {
    if (options.behindProxy !== undefined) return listenBehindProxy(address, options, accept);
    const peerOf = (socket: Socket): Peer => new SocketPeer('tcp', socket);
    const open = guardedOpen<Socket>(
      (socket) => {
        if (hasReset(socket)) socket.destroy();
        else accept(new SocketConnection(socket, peerOf(socket), options.socket));
      },
      peerOf,
      options.admission,
    );
    // Half-open, so that pending handlers can still answer after the peer has ended its side.
    const server = createServer({ allowHalfOpen: true }, open);
    return listenWith(server, portOptions(address, options), address, () =>
      formatAddress('tcp', address.host, (server.address() as AddressInfo).port),
    );
  },

  async dial(address, { proxy, socket: settings }, signal) {
    const tunnel = await dialTunnel(proxy, address, signal);
    if (tunnel !== undefined) {
      const { socket, remote } = tunnel;
      return new SocketConnection(socket, new SocketPeer('tcp', socket, remote), settings);
    }
    const socket: Socket = connect({
      host: address.host || 'localhost',
      port: address.port,
      allowHalfOpen: true,
      onread: sharedReads(() => socket),
    });
    await untilConnected(socket, 'connect', address, signal);
    return new SocketConnection(socket, new SocketPeer('tcp', socket), settings);
  },
};
