/** The transport `tls://`: TLS over TCP. */
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect, createServer, type TLSSocket } from 'node:tls';
import { formatAddress } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import type { Peer, Transport } from '../types.js';
import { HandshakeTracker, stopHandshakesOnClose } from './handshake-tracker.js';
import { SocketConnection } from './socket-connection.js';
import { untilConnected } from './socket-dial.js';
import { listenWith } from './socket-listener.js';
import { TlsPeer } from './socket-peer.js';
import { createTlsAcceptor, openInTurn } from './tls-acceptor.js';
import { tlsClientOptions, tlsServerOptions } from '../tls/tls-options.js';
import { withTlsReload } from '../tls/tls-reload.js';

export const tls: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  async listen(address, options, accept) {
    const { admission, backlog, handshakeTimeout } = options;
    const secureServer = createServer(tlsServerOptions(options.tls));
    const handshakes = new HandshakeTracker({ scheme: 'tls', handshakeTimeout, admission });
    const server = createTlsAcceptor(secureServer, handshakes);
    const peerOf = (socket: TLSSocket): Peer => new TlsPeer('tls', socket);
    const open = (socket: TLSSocket): void => {
      const handshake = handshakes.find(socket);
      // The peer has left: the addresses of its socket are unknown.
      if (handshake === undefined) return void socket.destroy();
      handshakes.remove(handshake);
      accept(new SocketConnection(socket, peerOf(socket)));
    };
    secureServer.on('secureConnection', openInTurn(open, peerOf, admission));
    const { port, host } = address;
    const listener = await listenWith(
      server,
      { port, host: host || undefined, backlog },
      address,
      () => formatAddress('tls', host, (server.address() as AddressInfo).port),
    );
    return withTlsReload(stopHandshakesOnClose(listener, handshakes), secureServer, options.tls);
  },

  async dial(address, options, signal) {
    const socketOptions: ConnectionOptions & { allowHalfOpen: boolean } = {
      ...tlsClientOptions(options.tls, address),
      host: address.host || 'localhost',
      port: address.port,
      allowHalfOpen: true,
    };
    const socket = connect(socketOptions);
    await untilConnected(socket, 'secureConnect', address, signal);
    return new SocketConnection(socket, new TlsPeer('tls', socket));
  },
};
