/** What TCP, TLS and Unix sockets share: a stream socket of Node as a connection. */

import type { Server, Socket } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { followSignal } from '../../core/signals.js';
import { warn } from '../../core/warning.js';
import type { Address } from '../address.js';
import { beginEvent, endEvent } from '../session/flush-scheduler.js';
import type {
  Admission,
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  Listener,
  Peer,
  PeerCertificate,
} from '../types.js';

const KEEP_ALIVE_DELAY = 60_000;
/** An error that nobody listens to would end the process. The socket remembers it. */
function unheard(this: Socket, error: Error): void {
  this.destroy(error);
}

/**
 * The connection of a socket, for listeners that all sockets share: a closure for each would double
 * what an idle session costs.
 */
const CONNECTION = Symbol('connection');
type Owned = Socket & { [CONNECTION]: SocketConnection };

/** As guard() does, in one function: it is the first of those that each message passes. */
function onData(this: Socket, chunk: Buffer): void {
  const connection = (this as Owned)[CONNECTION];
  beginEvent();
  try {
    try {
      connection.events?.onData(chunk);
    } finally {
      // Writes to the sockets of other sessions too.
      endEvent();
    }
  } catch (error) {
    failed(connection, error);
  }
}

function onEnd(this: Socket): void {
  guard(handEnd, failed, (this as Owned)[CONNECTION], undefined);
}

function onClose(this: Socket): void {
  guard(handClose, failed, (this as Owned)[CONNECTION], undefined);
}

function onError(this: Socket, error: Error): void {
  (this as Owned)[CONNECTION].broke(error);
}

function handEnd({ events }: SocketConnection): void {
  events?.onEnd();
}

function handClose(connection: SocketConnection): void {
  connection.closed();
}

function failed(connection: SocketConnection, error: unknown): void {
  connection.fail(error);
}

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

export class SocketConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  /** Set once it is attached. */
  events: ConnectionEvents | undefined;
  readonly #socket: Socket;
  readonly #peer: Peer;
  #error: Error | undefined;
  #written = 0;
  #takenBytes = 0;
  /** Made by the first write: many sessions only listen. */
  #taken: ((error?: Error | null) => void) | undefined;

  constructor(socket: Socket, peer: Peer) {
    this.#socket = socket;
    this.#peer = peer;
    (socket as Owned)[CONNECTION] = this;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY);
    if (socket.errored !== null) this.broke(socket.errored);
    // An error that nobody listens to would end the process.
    socket.on('error', onError);
  }

  get localAddress(): string {
    return this.#peer.localAddress;
  }

  get remoteAddress(): string {
    return this.#peer.remoteAddress;
  }

  get certificate(): PeerCertificate | undefined {
    return this.#peer.certificate;
  }

  attach(events: ConnectionEvents): void {
    const socket = this.#socket;
    this.events = events;
    socket.on('data', onData).on('end', onEnd).on('close', onClose);
    // A socket that died before anybody listened will not say so again.
    if (socket.closed) queueMicrotask(() => this.closed());
  }

  /** For the socket's listeners. */
  broke(error: Error): void {
    this.#error = gettyError(
      'CONNECTION_LOST',
      `the connection with ${this.remoteAddress} broke: ${error.message}`,
      error,
    );
    // After some errors Node leaves a TLS socket open, and deaf.
    this.#socket.destroy();
  }

  /** Handling an event of the socket threw: that is the end of this connection alone. */
  fail(cause: unknown): void {
    const error = faultError(this.remoteAddress, cause);
    this.#error = error;
    // After its close a socket has no further event that could tell the session.
    if (this.#socket.closed) warn(error);
    else this.#socket.destroy();
  }

  /** For the socket's listeners. */
  closed(): void {
    this.events?.onClose(this.#error);
  }

  get bufferedBytes(): number {
    // A broken socket drops its queue and then says that nothing is left of it; what was not taken
    // before never is.
    if (!this.#socket.destroyed && this.#socket.errored === null)
      this.#takenBytes = this.#written - this.#socket.writableLength;
    return this.#written - this.#takenBytes;
  }

  write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.#taken ??= (error) => {
      if (error == null) this.events?.onTaken();
    };
    this.#socket.write(bytes, this.#taken);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/**
 * Stops listening; settles when the address is free. Node.js calls the callback of close() only
 * when the last connection has ended.
 */
function stopListening(server: Server): Promise<void> {
  server.close();
  // close() has closed the descriptor; what it does besides takes until the end of this turn.
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * A listener for the event by which a server of Node hands over a socket. `open` makes a connection
 * of it. If that throws, the socket is destroyed and counted as refused.
 */
export function guardedOpen<S extends Socket>(
  open: (socket: S) => void,
  peerOf: (socket: S) => Peer,
  admission: Admission,
): (socket: S) => void {
  const openFailed = (socket: S, error: unknown): void => {
    // A socket whose error has no listener would end the process.
    socket.on('error', () => {});
    socket.destroy();
    admission.fault(peerOf(socket), error);
  };
  return (socket) => guard(open, openFailed, socket, undefined);
}

/**
 * Listen with a server of Node. `addressOf` says the listener's address once it is bound. Rejects
 * with LISTEN_FAILED.
 */
export function listenWith(
  server: Server,
  at: object,
  address: Address,
  addressOf: (server: Server) => string,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        gettyError('LISTEN_FAILED', `cannot listen at ${address.text}: ${error.message}`, error),
      ),
    );
    server.listen(at, () => {
      server.removeAllListeners('error');
      // Without a listener an error would end the process. Node.js does not tell that a connection
      // was dropped for want of descriptors.
      server.on('error', (error) =>
        process.emitWarning(
          gettyError('LISTEN_FAILED', `at ${address.text}: ${messageOf(error)}`, error),
        ),
      );
      resolve({ address: addressOf(server), close: () => stopListening(server) });
    });
  });
}

/**
 * Both ends of a TCP connection are the same socket: the simultaneous open of RFC 9293, section
 * 3.5. It happens on loopback when a client redials a port from the range out of which the system
 * takes the ports of clients.
 */
function isOwnPeer(socket: Socket): boolean {
  const { remotePort } = socket;
  return (
    remotePort !== undefined &&
    socket.localPort === remotePort &&
    socket.localAddress === socket.remoteAddress
  );
}

/**
 * Settles when the socket is `ready`, the name of the event that says so; until a SocketConnection
 * is attached to it, its errors are kept for that. Rejects with CONNECT_FAILED; the socket is
 * destroyed then.
 */
export function dialled(
  socket: Socket,
  ready: 'connect' | 'secureConnect',
  address: Address,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      socket.destroy();
      release();
      reject(
        gettyError(
          'CONNECT_FAILED',
          `cannot connect to ${address.text}: ${messageOf(error)}`,
          error,
        ),
      );
    };
    const abort = (): void => fail(signal.reason);
    const release = followSignal(signal, abort);
    socket.once('error', fail);
    socket.once('connect', () => {
      if (isOwnPeer(socket))
        fail(
          new Error(
            'the connection leads back to itself: no server listens at the port, and the system chose it for our own end',
          ),
        );
    });
    socket.once(ready, () => {
      if (socket.destroyed) return;
      // The peer may break the connection in the same breath, before whoever waits for us can
      // listen.
      socket.on('error', unheard);
      socket.off('error', fail);
      release();
      resolve();
    });
    if (signal.aborted) abort();
  });
}
