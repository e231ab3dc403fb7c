/**
 * Tracks the handshakes of a server, of proxies, TLS and WebSockets: their deadlines, limits and
 * refusals.
 */
import type { Socket } from 'node:net';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import { messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { inTurns, runInTurn } from '../../core/turn.js';
import { destroyAfterLinger } from '../linger.js';
import type { HostAddress } from '../proxies/ip-address.js';
import { RefusedError } from '../refused-error.js';
import type { Admission, Peer, ProxySettings } from '../types.js';
import { hasReset, SocketPeer } from './socket-peer.js';

/** The handshake of one connection. */
export interface Handshake {
  /** The TCP socket, also with TLS. */
  readonly socket: Socket;
  /** What is known of the peer now. */
  peer: Peer;
  /** The client that a proxy has named. Undefined: the other end of the socket is the client. */
  client: HostAddress | undefined;
  /** The peer is a proxy that has not named its client yet. */
  isClientPending: boolean;
  /** Of the addresses of the peer. */
  scheme: string;
  /** See TrackerOptions.keyOf. */
  readonly key: unknown;
  /** The listener of the socket's 'close' event. */
  readonly onClose: () => void;
  /** The TLS handshake is not complete. */
  isTlsPending: boolean;
  /** The refusal is counted. The connection stays until the peer has read the answer. */
  isRefused: boolean;
  /** See HandshakeTracker.whenDecided(). */
  decision: Decision | undefined;
}

/** What a promise of the program holds of a handshake. */
interface Decision {
  /** Undefined: the handshake has ended. */
  next: ((outcome: never) => void) | undefined;
}

interface TrackerOptions {
  readonly scheme: string;
  readonly handshakeTimeout: number;
  readonly admission: Admission;
  readonly behindProxy: ProxySettings | undefined;
  /** Whether the sockets have no addresses, as those of a Unix socket. Default: they have. */
  readonly mayLackAddress?: () => boolean;
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

  /** Follows the TLS handshakes of `server`. Each connection of it needs a begin(). */
  trackTls(server: TlsServer): void {
    server.on('secureConnection', (socket) => this.#onSecureConnection(socket));
    server.on('tlsClientError', (error, socket) => this.#onTlsError(error, socket));
  }

  /**
   * Begins a handshake. If a list or a limit refuses the peer, or it should be a proxy and is none
   * or has disconnected, `socket` is destroyed, and the result is undefined.
   */
  begin(socket: Socket): Handshake | undefined {
    const { admission, handshakeTimeout, scheme, behindProxy } = this.#options;
    // A program may pass on an upgrade request after its peer has left.
    if (socket.destroyed) return undefined;
    if (!this.#options.mayLackAddress?.() && hasReset(socket)) return void socket.destroy();
    const readsProxyHeader = behindProxy?.header === 'proxy-protocol';
    const peer = new SocketPeer(scheme, socket);
    const isProxy = behindProxy?.isTrusted(socket.remoteAddress ?? '') === true;
    const refusal =
      readsProxyHeader && !isProxy
        ? new RefusedError('behindProxy.trusted does not have this address', {
            status: 400,
            reason: 'proxy',
          })
        : admission.refusalBeforeHandshake(isProxy ? undefined : peer);
    if (refusal !== undefined) {
      socket.destroy();
      admission.reportRefusal(peer, refusal);
      return undefined;
    }
    const handshake: Handshake = {
      socket,
      peer,
      client: undefined,
      isClientPending: isProxy,
      scheme,
      key: this.#keyOf(socket),
      // Thousands of connections may close at once.
      onClose: () => runInTurn(() => this.#onClose(handshake)),
      isTlsPending: false,
      isRefused: false,
      decision: undefined,
    };
    admission.countHandshake(isProxy ? undefined : peer, 1);
    this.#byKey.set(handshake.key, handshake);
    this.#timers.set(
      handshake,
      startTimer(() => runInTurn(() => this.#expire(handshake)), handshakeTimeout),
    );
    socket.once('close', handshake.onClose);
    return handshake;
  }

  /**
   * The proxy has named its client; undefined: it is the client itself. Returns the error of a list
   * or a limit that refuses the client. Throws what check() of a list throws.
   */
  setClient(handshake: Handshake, client: HostAddress | undefined): RefusedError | undefined {
    if (!handshake.isClientPending || !this.#timers.has(handshake)) return undefined;
    const { admission } = this.#options;
    admission.countHandshake(undefined, -1);
    handshake.isClientPending = false;
    handshake.client = client;
    handshake.peer = new SocketPeer(handshake.scheme, handshake.socket, client);
    try {
      return admission.refusalBeforeHandshake(handshake.peer);
    } finally {
      admission.countHandshake(handshake.peer, 1);
    }
  }

  /** The connection has no TLS: changes the scheme of its addresses. */
  setScheme(handshake: Handshake, scheme: string): void {
    handshake.scheme = scheme;
    handshake.peer = new SocketPeer(scheme, handshake.socket, handshake.client);
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
    if (handshake !== undefined) runInTurn(() => this.refuseTls(handshake, error));
  }

  /** The TLS handshake has failed with `cause`. */
  refuseTls(handshake: Handshake, cause: Error): void {
    handshake.socket.destroy();
    this.reportRefusal(handshake, tlsError(cause));
  }

  /** Handling bytes of the peer threw `error`. */
  failWith(handshake: Handshake, error: unknown): void {
    handshake.isRefused = true;
    handshake.socket.destroy();
    this.#options.admission.reportFault(handshake.peer, error);
  }

  #expire(handshake: Handshake): void {
    // It may have ended while it waited for its turn.
    if (!this.#timers.has(handshake)) return;
    const { handshakeTimeout } = this.#options;
    this.reportRefusal(handshake, handshakeTimeoutError(handshakeTimeout));
    handshake.socket.destroy();
  }

  #onClose(handshake: Handshake): void {
    if (!this.#timers.has(handshake)) return;
    if (handshake.isTlsPending && !handshake.isRefused)
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
    if (handshake.decision !== undefined) handshake.decision.next = undefined;
    const { peer, isClientPending } = handshake;
    this.#options.admission.countHandshake(isClientPending ? undefined : peer, -1);
  }

  /**
   * Calls `next` with what a function of the program decides, unless the handshake ends first: the
   * promise then keeps nothing of the connection in memory. `decided` must not reject.
   */
  whenDecided<T>(handshake: Handshake, decided: Promise<T>, next: (outcome: T) => void): void {
    const decision: { next: ((outcome: T) => void) | undefined } = { next };
    handshake.decision = decision;
    // Many handshakes may wait for one promise.
    void decided.then((outcome) => runInTurn(() => decision.next?.(outcome)));
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
    inTurns([...this.#timers.keys()], (handshake) => {
      // It may have become a session meanwhile.
      if (!this.#timers.has(handshake)) return;
      this.remove(handshake);
      handshake.socket.destroy();
    });
  }
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
