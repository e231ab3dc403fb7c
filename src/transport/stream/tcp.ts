/** TCP. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { formatAddress } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import type { Peer, Transport } from '../types.js';
import { dialled, guardedOpen, listenWith, SocketConnection } from './socket.js';

/**
 * The addresses of both ends of a socket, with the transport's scheme; made when they are asked
 * for, since most never are.
 */
export class SocketPeer implements Peer {
  readonly #scheme: string;
  readonly #socket: Socket;
  #local: string | undefined;
  #remote: string | undefined;

  constructor(scheme: string, socket: Socket) {
    this.#scheme = scheme;
    this.#socket = socket;
    // Node keeps the peer's name once it was asked for, also when the socket is gone.
    void socket.remotePort;
  }

  get remoteAddress(): string {
    this.#remote ??= formatAddress(
      this.#scheme,
      this.#socket.remoteAddress ?? '',
      this.#socket.remotePort ?? 0,
    );
    return this.#remote;
  }

  /** Not known any more when it is first asked for after the socket is gone: port 0 then. */
  get localAddress(): string {
    this.#local ??= formatAddress(
      this.#scheme,
      this.#socket.localAddress ?? '',
      this.#socket.localPort ?? 0,
    );
    return this.#local;
  }
}

export const tcp: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  listen(address, options, accept) {
    // Half-open, so that what is being handled when the peer ends can still be answered.
    const peerOf = (socket: Socket): Peer => new SocketPeer('tcp', socket);
    const open = guardedOpen<Socket>(
      (socket) => accept(new SocketConnection(socket, peerOf(socket))),
      peerOf,
      options.admission,
    );
    const server = createServer({ allowHalfOpen: true }, open);
    const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
    return listenWith(server, at, address, () =>
      formatAddress('tcp', address.host, (server.address() as AddressInfo).port),
    );
  },

  async dial(address, _options, signal) {
    const socket = connect({
      host: address.host || 'localhost',
      port: address.port,
      allowHalfOpen: true,
    });
    await dialled(socket, 'connect', address, signal);
    return new SocketConnection(socket, new SocketPeer('tcp', socket));
  },
};
