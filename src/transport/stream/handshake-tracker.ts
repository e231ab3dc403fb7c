/**
 * The connections of a TLS or WebSocket server whose handshake is under way: each has a deadline
 * and counts toward the limits.
 */
import type { Server as NodeServer, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { RefusedError } from '../refused-error.js';
import type { Admission, Peer } from '../types.js';
import { guardedOpen } from './socket.js';
import { SocketPeer } from './tcp.js';

/** How long a refused peer may take to read the answer, in ms. */
const LINGER = 1_000;

/** The handshake of one connection. */
export interface Handshake {
  /** The TCP socket, also where there is TLS. */
  readonly socket: Socket;
  readonly peer: Peer;
  /** The addresses of both ends. */
  readonly ends: string;
  /** The listener of the socket's close. */
  readonly onClose: () => void;
  /** TLS is under way. */
  isSecuring: boolean;
  /** The refusal is counted; the connection only waits for its end. */
  isRefused: boolean;
}

interface TrackerOptions {
  readonly scheme: string;
  readonly handshakeTimeout: number;
  readonly admission: Admission;
}

export class HandshakeTracker {
  readonly #options: TrackerOptions;
  readonly #timers = new Map<Handshake, NodeJS.Timeout>();
  /**
   * By both ends' addresses, which are the same for a TCP socket and for the TLS socket over it.
   */
  readonly #byEnds = new Map<string, Handshake>();

  /** `server` is a TLS or HTTPS server if `isSecure`. */
  constructor(server: NodeServer, isSecure: boolean, options: TrackerOptions) {
    const peerOf = (socket: Socket): Peer => new SocketPeer(options.scheme, socket);
    this.#options = options;
    server.on(
      'connection',
      guardedOpen<Socket>((socket) => this.#begin(socket, isSecure), peerOf, options.admission),
    );
    if (isSecure) {
      server.on('secureConnection', (secure: TLSSocket) => this.#secured(secure));
      server.on(
        'tlsClientError',
        (error: Error & { code?: string | undefined }, secure: TLSSocket) =>
          this.#tlsFailed(error, secure),
      );
    }
  }

  #begin(socket: Socket, isSecuring: boolean): void {
    const { admission, handshakeTimeout, scheme } = this.#options;
    const peer = new SocketPeer(scheme, socket);
    const limit = admission.refusalBeforeHandshake(peer);
    if (limit !== undefined) {
      socket.destroy();
      admission.refused(peer, limit);
      return;
    }
    const handshake: Handshake = {
      socket,
      peer,
      ends: endsOf(socket),
      onClose: () => this.#closed(handshake),
      isSecuring,
      isRefused: false,
    };
    admission.countHandshake(peer, 1);
    this.#byEnds.set(handshake.ends, handshake);
    this.#timers.set(
      handshake,
      startTimer(() => this.#expire(handshake), handshakeTimeout),
    );
    socket.once('close', handshake.onClose);
  }

  #secured(secure: TLSSocket): void {
    // Not sooner: a peer that ends within the handshake is gone, and is not waited for until the
    // deadline.
    secure.allowHalfOpen = true;
    const handshake = this.find(secure);
    if (handshake !== undefined) handshake.isSecuring = false;
  }

  #tlsFailed(error: Error & { code?: string | undefined }, secure: TLSSocket): void {
    // Node.js leaves some of these sockets open.
    secure.destroy();
    const handshake = this.find(secure);
    if (handshake !== undefined) this.refused(handshake, tlsRefused(error));
  }

  #expire(handshake: Handshake): void {
    const { handshakeTimeout } = this.#options;
    const what = `the handshake did not end within handshakeTimeout, ${handshakeTimeout} ms`;
    this.refused(handshake, new RefusedError(what, { status: 408, reason: 'timeout' }));
    handshake.socket.destroy();
  }

  #closed(handshake: Handshake): void {
    if (!this.#timers.has(handshake)) return;
    if (handshake.isSecuring)
      this.refused(handshake, tlsRefused(new Error('the peer closed the connection')));
    this.end(handshake);
  }

  /** The handshake under way at a socket, or at the TLS socket over it. */
  find(socket: Socket): Handshake | undefined {
    return this.#byEnds.get(endsOf(socket));
  }

  /** The handshake is complete, or its connection is gone. */
  end(handshake: Handshake): void {
    const timer = this.#timers.get(handshake);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(handshake);
    // A session keeps its socket for long, and nothing of the handshake.
    handshake.socket.off('close', handshake.onClose);
    if (this.#byEnds.get(handshake.ends) === handshake) this.#byEnds.delete(handshake.ends);
    this.#options.admission.countHandshake(handshake.peer, -1);
  }

  /**
   * Counts and tells a refusal, once for each handshake. `peer`: what is known of the peer by now.
   */
  refused(handshake: Handshake, error: RefusedError, peer: Peer = handshake.peer): void {
    if (handshake.isRefused || !this.#timers.has(handshake)) return;
    handshake.isRefused = true;
    this.#options.admission.refused(peer, error);
  }

  /**
   * Sends the last bytes to a refused peer. What it still sends is dropped, and the connection is
   * closed soon.
   */
  answer(handshake: Handshake, socket: Socket, response: string): void {
    const timer = this.#timers.get(handshake);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.set(
      handshake,
      startTimer(() => handshake.socket.destroy(), LINGER),
    );
    socket.end(response);
    // Unread bytes would make the system reset the connection, and the peer might lose the answer.
    socket.resume();
  }

  /** The server closes: it waits for no handshake. */
  stop(): void {
    for (const handshake of [...this.#timers.keys()]) {
      this.end(handshake);
      handshake.socket.destroy();
    }
  }
}

function tlsRefused(cause: Error & { code?: string | undefined }): RefusedError {
  return new RefusedError(`the TLS handshake failed: ${messageOf(cause).trim()}`, {
    reason: 'tls',
    cause,
  });
}

function endsOf(socket: Socket): string {
  return `${socket.localAddress} ${socket.remoteAddress} ${socket.remotePort}`;
}
