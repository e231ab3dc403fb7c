/** Tracks the TLS and WebSocket handshakes of a server: their deadlines, limits and refusals. */
import type { Server as NodeServer, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { destroyAfterLinger } from '../linger.js';
import { RefusedError } from '../refused-error.js';
import type { Admission, Listener, Peer } from '../types.js';
import { guardedOpen } from './socket-listener.js';
import { SocketPeer } from './socket-peer.js';

/** The handshake of one connection. */
export interface Handshake {
  /** The TCP socket, also with TLS. */
  readonly socket: Socket;
  readonly peer: Peer;
  /** See TrackerOptions.keyOf. */
  readonly key: unknown;
  /** The listener of the socket's 'close' event. */
  readonly onClose: () => void;
  /** The TLS handshake is not complete. */
  isTlsPending: boolean;
  /** The refusal is counted. The connection stays until the peer has read the answer. */
  isRefused: boolean;
}

interface TrackerOptions {
  readonly scheme: string;
  readonly handshakeTimeout: number;
  readonly admission: Admission;
  /** Equal for the sockets that find() finds with each other. Default: addressesOf(). */
  readonly keyOf?: (socket: Socket) => unknown;
}

export class HandshakeTracker {
  readonly #options: TrackerOptions;
  readonly #timers = new Map<Handshake, NodeJS.Timeout>();
  readonly #byKey = new Map<unknown, Handshake>();
  readonly #keyOf: (socket: Socket) => unknown;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#keyOf = options.keyOf ?? addressesOf;
  }

  /** Begins a handshake for each connection of `server`, a TLS server if `isSecure`. */
  track(server: NodeServer, isSecure: boolean): void {
    const { scheme, admission } = this.#options;
    const peerOf = (socket: Socket): Peer => new SocketPeer(scheme, socket);
    server.on(
      'connection',
      guardedOpen<Socket>((socket) => this.begin(socket, isSecure), peerOf, admission),
    );
    if (isSecure) {
      server.on('secureConnection', (socket: TLSSocket) => this.#onSecureConnection(socket));
      server.on('tlsClientError', (error: Error, socket: TLSSocket) =>
        this.#onTlsError(error, socket),
      );
    }
  }

  /** Begins a handshake. If a limit refuses it, `socket` is destroyed, and find() has none. */
  begin(socket: Socket, isTlsPending: boolean): void {
    const { admission, handshakeTimeout, scheme } = this.#options;
    const peer = new SocketPeer(scheme, socket);
    const limitError = admission.refusalBeforeHandshake(peer);
    if (limitError !== undefined) {
      socket.destroy();
      admission.reportRefusal(peer, limitError);
      return;
    }
    const handshake: Handshake = {
      socket,
      peer,
      key: this.#keyOf(socket),
      onClose: () => this.#onClose(handshake),
      isTlsPending,
      isRefused: false,
    };
    admission.countHandshake(peer, 1);
    this.#byKey.set(handshake.key, handshake);
    this.#timers.set(
      handshake,
      startTimer(() => this.#expire(handshake), handshakeTimeout),
    );
    socket.once('close', handshake.onClose);
  }

  #onSecureConnection(socket: TLSSocket): void {
    // Not earlier: if the peer ends its side within the handshake, the socket must close at once.
    socket.allowHalfOpen = true;
    const handshake = this.find(socket);
    if (handshake !== undefined) handshake.isTlsPending = false;
  }

  #onTlsError(error: Error, socket: TLSSocket): void {
    // Node.js leaves some of these sockets open.
    socket.destroy();
    const handshake = this.find(socket);
    if (handshake !== undefined) this.reportRefusal(handshake, tlsError(error));
  }

  #expire(handshake: Handshake): void {
    const { handshakeTimeout } = this.#options;
    this.reportRefusal(handshake, handshakeTimeoutError(handshakeTimeout));
    handshake.socket.destroy();
  }

  #onClose(handshake: Handshake): void {
    if (!this.#timers.has(handshake)) return;
    if (handshake.isTlsPending)
      this.reportRefusal(handshake, tlsError(new Error('the peer closed the connection')));
    this.remove(handshake);
  }

  /** The handshake of a TCP socket, or of the TLS socket over it. */
  find(socket: Socket): Handshake | undefined {
    return this.#byKey.get(this.#keyOf(socket));
  }

  /** Call it when the handshake is complete, or when its connection is closed. */
  remove(handshake: Handshake): void {
    const timer = this.#timers.get(handshake);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(handshake);
    // The socket may live long, and the listener would keep the handshake in memory.
    handshake.socket.off('close', handshake.onClose);
    if (this.#byKey.get(handshake.key) === handshake) this.#byKey.delete(handshake.key);
    this.#options.admission.countHandshake(handshake.peer, -1);
  }

  /**
   * Counts a refusal and reports it to the server, once per handshake. `peer`: what is known of the
   * peer now.
   */
  reportRefusal(handshake: Handshake, error: RefusedError, peer: Peer = handshake.peer): void {
    if (handshake.isRefused || !this.#timers.has(handshake)) return;
    handshake.isRefused = true;
    this.#options.admission.reportRefusal(peer, error);
  }

  /**
   * Sends the response to a refused peer and ends our side. Further bytes of the peer are dropped.
   * The connection closes after 1 s at the latest.
   */
  answer(handshake: Handshake, socket: Socket, response: string): void {
    const timer = this.#timers.get(handshake);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.set(handshake, destroyAfterLinger(handshake.socket));
    socket.end(response);
    // Unread bytes make the system reset the connection, and the peer could lose the response.
    socket.resume();
  }

  /** Destroys all connections whose handshake is not complete. */
  stop(): void {
    for (const handshake of [...this.#timers.keys()]) {
      this.remove(handshake);
      handshake.socket.destroy();
    }
  }
}

/** `listener`, whose close() also destroys the connections whose handshake is not complete. */
export function stopHandshakesOnClose(listener: Listener, handshakes: HandshakeTracker): Listener {
  return {
    ...listener,
    close() {
      const closed = listener.close();
      handshakes.stop();
      return closed;
    },
  };
}

/** `handshakeTimeout`: milliseconds. */
export function handshakeTimeoutError(handshakeTimeout: number): RefusedError {
  const message = `the handshake took longer than handshakeTimeout, ${handshakeTimeout} ms`;
  return new RefusedError(message, { status: 408, reason: 'timeout' });
}

/** For a server. `cause`: why the TLS handshake of its peer failed. */
export function tlsError(cause: Error): RefusedError {
  return new RefusedError(`the TLS handshake failed: ${messageOf(cause).trim()}`, {
    reason: 'tls',
    cause,
  });
}

/** The addresses of both ends. A TCP socket and the TLS socket over it have the same key. */
function addressesOf(socket: Socket): string {
  return `${socket.localAddress} ${socket.remoteAddress} ${socket.remotePort}`;
}
