/** Passes the connections of a TCP server to a TLS server, a few in each turn of the event loop. */
import { createServer, type Server as NodeServer } from 'node:net';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import { guarded } from '../../core/guard.js';
import { runInTurn, spend, unitsOf } from '../../core/turn.js';
import type { Admission, Peer } from '../types.js';
import { ClientHelloScanner, MAX_HELLO_BYTES } from '../tls/client-hello.js';
import type { Handshake, HandshakeTracker } from './handshake-tracker.js';
import { guardedOpen } from './socket-listener.js';

/**
 * Units of spend() for a TLS handshake. So many that the clock is read for each: with a key of
 * RSA 4096 a handshake takes some milliseconds.
 */
const HANDSHAKE_UNITS = 64;
const EMPTY = Buffer.alloc(0);

function ignore(): void {}

/**
 * A TCP server to listen with. `secureServer` never listens; it gets each connection when its
 * ClientHello is complete and the turn has budget, and emits 'secureConnection'. Until then the
 * connection is a handshake of `handshakes`.
 */
export function createTlsAcceptor(
  secureServer: TlsServer,
  handshakes: HandshakeTracker,
): NodeServer {
  // Not half-open: a peer that ends its side within the handshake is disconnected.
  const server = createServer();
  handshakes.track(server, {
    secureServer,
    begin(handshake) {
      new HelloReader(handshake, handshakes, () =>
        secureServer.emit('connection', handshake.socket),
      );
    },
  });
  return server;
}

/** Keeps the bytes of one connection until its ClientHello is complete. */
class HelloReader {
  readonly #handshake: Handshake;
  readonly #handshakes: HandshakeTracker;
  readonly #begin: () => void;
  readonly #scanner = new ClientHelloScanner();
  /** What has arrived is in the first `#length` bytes. */
  #received: Buffer = EMPTY;
  #length = 0;

  /** `begin` begins TLS over the socket of `handshake`. */
  constructor(handshake: Handshake, handshakes: HandshakeTracker, begin: () => void) {
    this.#handshake = handshake;
    this.#handshakes = handshakes;
    const onFault = (error: unknown): void => handshakes.failWith(handshake, error);
    this.#begin = guarded(begin, onFault);
    this.#onReadable = guarded(() => this.#read(), onFault);
    // An 'error' event without a listener would end the process. The 'close' event follows it.
    handshake.socket.on('error', this.#onError).on('readable', this.#onReadable);
  }

  readonly #onReadable: () => void;

  readonly #onError = (error: Error): void =>
    runInTurn(() => this.#handshakes.refuseTls(this.#handshake, error));

  #read(): void {
    const { socket } = this.#handshake;
    const chunk = socket.read() as Buffer | null;
    // Null at the end of the peer's side; Node.js closes the socket then.
    if (chunk === null) return;
    this.#append(chunk);
    spend(unitsOf(chunk.length));
    const state = this.#scanner.scan(chunk);
    if (state === 'incomplete') return;
    socket.off('readable', this.#onReadable);
    if (state === 'complete') {
      // TLS reads the bytes that the socket has.
      socket.unshift(this.#received.subarray(0, this.#length));
      spend(HANDSHAKE_UNITS);
    }
    this.#received = EMPTY;
    runInTurn(() => {
      // The peer may have left meanwhile.
      if (socket.destroyed) return;
      if (state !== 'complete') return this.#refuse(state);
      socket.off('error', this.#onError).on('error', ignore);
      this.#begin();
    });
  }

  /** A peer may send one byte at a time, so the buffer grows to twice its size. */
  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0) this.#received = chunk;
    else {
      if (length > this.#received.length)
        this.#received = Buffer.concat([this.#received], length * 2);
      this.#received.set(chunk, this.#length);
    }
    this.#length = length;
  }

  #refuse(state: 'not TLS' | 'too large'): void {
    const message =
      state === 'not TLS'
        ? 'the peer does not use TLS: its first bytes are no ClientHello'
        : `the ClientHello of the peer has more than ${MAX_HELLO_BYTES} bytes`;
    this.#handshakes.refuseTls(this.#handshake, new Error(message));
  }
}

/**
 * A listener of 'secureConnection' that calls guardedOpen() with its arguments, in a later turn if
 * the budget is used up: many handshakes can be completed at once.
 */
export function openInTurn(
  open: (socket: TLSSocket) => void,
  peerOf: (socket: TLSSocket) => Peer,
  admission: Admission,
): (socket: TLSSocket) => void {
  const openNow = guardedOpen(open, peerOf, admission);
  return (socket) => {
    socket.on('error', ignore);
    runInTurn(() => {
      // The peer may have left meanwhile.
      if (socket.destroyed) return;
      openNow(socket);
      socket.off('error', ignore);
    });
  };
}
