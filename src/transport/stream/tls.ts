/** The transport `tls://`: TLS over TCP. */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { defaultMaxSessions } from '../descriptors.js';
import { dialTunnel } from '../proxies/http-tunnel.js';
import { tlsClientOptions } from '../tls/tls-options.js';
import type { Transport } from '../types.js';
import { SocketConnection } from './socket-connection.js';
import { untilConnected } from './socket-dial.js';
import { SocketPeer, TlsPeer } from './socket-peer.js';
import { StreamServer } from './stream-server.js';

export const tls: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  async listen(address, options, accept) {
    const server = new StreamServer(
      { scheme: 'tls', plainScheme: 'tcp', hasTls: true, options },
      (socket, handshake) => {
        server.handshakes.remove(handshake);
        const { scheme, client } = handshake;
        const peer =
          scheme === 'tls'
            ? new TlsPeer(scheme, socket as TLSSocket, client)
            : new SocketPeer(scheme, socket, client);
        accept(new SocketConnection(socket, peer, options.socket));
      },
    );
    return server.listen(address);
  },

  async dial(address, options, signal) {
    const tlsOptions = tlsClientOptions(options.tls, address);
    const tunnel = await dialTunnel(options.proxy, address, signal);
    const socketOptions: ConnectionOptions & { allowHalfOpen: boolean } = {
      ...tlsOptions,
      ...(tunnel === undefined
        ? { host: address.host || 'localhost', port: address.port }
        : { socket: tunnel.socket }),
      allowHalfOpen: true,
    };
    const socket = connect(socketOptions);
    await untilConnected(socket, 'secureConnect', address, signal);
    const peer = new TlsPeer('tls', socket, tunnel?.remote);
    return new SocketConnection(socket, peer, options.socket);
  },
};
