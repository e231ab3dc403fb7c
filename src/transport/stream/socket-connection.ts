/** A connection over a stream socket of Node.js: TCP, TLS or a Unix socket. */

import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { allocate } from '../../core/bytes.js';
import { type GettyError, gettyError } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { badOption } from '../../core/options.js';
import { runInTurn } from '../../core/turn.js';
import { warn } from '../../core/warning.js';
import { beginEvent, endEvent } from '../session/flush-scheduler.js';
import { closedError } from '../session/session-errors.js';
import { SOCKET_DEFAULTS } from '../socket-options.js';
import { TlsHandshake } from '../tls/start-tls.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  Peer,
  PeerCertificate,
  SocketSettings,
  StartTlsOptions,
  TlsSide,
} from '../types.js';
import { certificateOf } from './socket-peer.js';

/**
 * The connection of a socket. All sockets share the listeners below and find their connection here;
 * closures for each socket would double the memory of an idle session.
 */
const CONNECTION = Symbol('connection');
type ConnectionSocket = Socket & { [CONNECTION]: SocketConnection };

function onData(this: Socket, chunk: Buffer): void {
  deliverData((this as ConnectionSocket)[CONNECTION], chunk);
}

/** Does what guard() does in one function, because each message passes it. */
function deliverData(connection: SocketConnection, chunk: Buffer): void {
  beginEvent();
  try {
    try {
      connection.events?.onData(chunk);
    } finally {
      // Flushes the sessions that the handlers wrote to, also those of other sockets.
      endEvent();
    }
  } catch (error) {
    eventFailed(connection, error);
  }
}

/**
 * Takes bytes that were read from a client's socket. False: they wait in the socket until
 * there is a session, and the socket must read no more.
 */
export function deliverRead(socket: Socket, chunk: Buffer): boolean {
  const connection = (socket as ConnectionSocket)[CONNECTION];
  if (connection?.events === undefined) {
    socket.push(chunk);
    return false;
  }
  deliverData(connection, chunk);
  return true;
}

// Thousands of connections may end at once. runInTurn() keeps the order of their events.

function onEnd(this: Socket): void {
  const connection = (this as ConnectionSocket)[CONNECTION];
  runInTurn(() => guard(deliverEnd, eventFailed, connection, undefined));
}

function onClose(this: Socket): void {
  const connection = (this as ConnectionSocket)[CONNECTION];
  runInTurn(() => guard(deliverClose, eventFailed, connection, undefined));
}

function onError(this: Socket, error: Error): void {
  (this as ConnectionSocket)[CONNECTION].disconnect(error);
}

function deliverEnd({ events }: SocketConnection): void {
  events?.onEnd();
}

function deliverClose(connection: SocketConnection): void {
  connection.deliverClose();
}

function eventFailed(connection: SocketConnection, error: unknown): void {
  connection.fail(error);
}

const NONE = allocate(0);
const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

/** What the session wants while a TLS handshake is in progress on its connection. */
class PendingTls {
  /** Bytes that are sent after the handshake. Before, the peer is not verified. */
  readonly chunks: Uint8Array[] = [];
  bufferedBytes = 0;
  isPaused: boolean;
  hasEnded = false;
  readonly #reject: (error: Error) => void;

  constructor(isPaused: boolean, reject: (error: Error) => void) {
    this.isPaused = isPaused;
    this.#reject = reject;
  }

  write(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.bufferedBytes += bytes.length;
  }

  fail(error: Error): void {
    this.#reject(error);
  }
}

export class SocketConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  /** Undefined before attach(). */
  events: ConnectionEvents | undefined;
  #socket: Socket;
  #peer: Peer;
  /** `pending`: from the call of startTls() to the end of its handshake. */
  #encryption: 'none' | 'pending' | 'complete';
  /** Undefined unless a handshake of startTls() is in progress, or has failed. */
  #pendingTls: PendingTls | undefined;
  /** The reason of the close, if an event could not be handled, or startTls() has failed. */
  #fault: Error | undefined;
  /** The error of the socket, if the connection was lost. */
  #lossCause: Error | undefined;
  #writtenBytes = 0;
  /** How many of #writtenBytes the system has accepted. */
  #acceptedBytes = 0;
  /** Created by the first write, because many sessions only receive. */
  #onWritten: ((error?: Error | null) => void) | undefined;

  constructor(
    socket: Socket,
    peer: Peer,
    { keepAlive, keepAliveDelay, noDelay }: SocketSettings = SOCKET_DEFAULTS,
  ) {
    this.#socket = socket;
    this.#peer = peer;
    this.#encryption = socket instanceof TLSSocket ? 'complete' : 'none';
    (socket as ConnectionSocket)[CONNECTION] = this;
    socket.setNoDelay(noDelay);
    socket.setKeepAlive(keepAlive, keepAliveDelay);
    if (socket.errored !== null) this.disconnect(socket.errored);
    // An 'error' event without a listener would end the process.
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

  get encrypted(): boolean | undefined {
    return this.#peer.encrypted;
  }

  get socket(): Socket {
    return this.#socket;
  }

  attach(events: ConnectionEvents): void {
    const socket = this.#socket;
    this.events = events;
    socket.on('data', onData).on('end', onEnd).on('close', onClose);
    // A socket that is already closed emits no further event.
    if (socket.closed) queueMicrotask(() => this.deliverClose());
  }

  /** Closes with CONNECTION_LOST: the socket has failed. For the listeners of the socket. */
  disconnect(error: Error): void {
    this.#lossCause = error;
    // After some errors Node.js leaves a TLS socket open, though it reads nothing more.
    this.#socket.destroy();
  }

  /** Closes with CONNECTION_LOST: handling an event of the socket threw `cause`. For guard(). */
  fail(cause: unknown): void {
    const error = faultError(this.remoteAddress, cause);
    this.#fault = error;
    // A closed socket emits no further event that could report the error to the session.
    if (this.#socket.closed) warn(error);
    else this.#socket.destroy();
  }

  /** For the listeners of the socket. */
  deliverClose(): void {
    this.events?.onClose(this.#fault ?? this.#lossError());
  }

  #lossError(): GettyError | undefined {
    const cause = this.#lossCause;
    if (cause === undefined) return undefined;
    return gettyError(
      'CONNECTION_LOST',
      `the connection to ${this.remoteAddress} was lost: ${cause.message}`,
      cause,
    );
  }

  get bufferedBytes(): number {
    if (this.#acceptedBytes === this.#writtenBytes) return 0;
    // A destroyed socket drops its queue and reports a length of 0. Bytes that the system had not
    // accepted before stay counted.
    if (!this.#socket.destroyed && this.#socket.errored === null)
      this.#acceptedBytes =
        this.#writtenBytes - this.#socket.writableLength - (this.#pendingTls?.bufferedBytes ?? 0);
    return this.#writtenBytes - this.#acceptedBytes;
  }

  write(bytes: Uint8Array): void {
    this.#writtenBytes += bytes.length;
    const socket = this.#socket;
    const encryption = this.#encryption;
    // In most cases the system takes all bytes at once, which a callback would only report later:
    // it takes time in each write. A TLS socket never does.
    if (encryption === 'none' && socket.writableLength === 0) {
      socket.write(bytes);
      if (socket.writableLength === 0) return;
      bytes = NONE;
    } else if (encryption === 'pending') return this.#pendingTls?.write(bytes);
    this.#onWritten ??= (error) => {
      if (error == null) this.events?.onTaken();
    };
    // An empty write calls back after those before it.
    socket.write(bytes, this.#onWritten);
  }

  pause(): void {
    if (this.#pendingTls === undefined) this.#socket.pause();
    else this.#pendingTls.isPaused = true;
  }

  resume(): void {
    if (this.#pendingTls === undefined) this.#socket.resume();
    else this.#pendingTls.isPaused = false;
  }

  end(): void {
    if (this.#pendingTls === undefined) this.#socket.end();
    else this.#pendingTls.hasEnded = true;
  }

  destroy(): void {
    this.#pendingTls?.fail(closedError(this.remoteAddress));
    this.#socket.destroy();
  }

  startTls(options: StartTlsOptions, side: TlsSide): Promise<Peer> {
    if (this.#encryption !== 'none')
      throw badOption('startTls', this.remoteAddress, 'a session that is not encrypted');
    const handshake = new TlsHandshake(options, side);
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const pending = new PendingTls(socket.isPaused(), reject);
      this.#pendingTls = pending;
      this.#encryption = 'pending';
      // From now on the TLS socket reads what arrives.
      socket.pause();
      socket.off('data', onData).off('end', onEnd);
      handshake.start(socket, this.remoteAddress, {
        onSecure: (secure) => resolve(this.#continueWith(secure, pending)),
        onFailed: (error) => {
          this.#fault = error;
          pending.fail(error);
          socket.destroy();
        },
      });
    });
  }

  /** Replaces the socket by the TLS socket over it. */
  #continueWith(secure: TLSSocket, pending: PendingTls): Peer {
    // The listener of 'error' stays: without one, the event would end the process.
    this.#socket.off('close', onClose);
    const { localAddress, remoteAddress } = this.#peer;
    const certificate = certificateOf(secure);
    this.#peer = { localAddress, remoteAddress, certificate, encrypted: true };
    this.#socket = secure;
    this.#encryption = 'complete';
    this.#pendingTls = undefined;
    // write() counts them again.
    this.#writtenBytes -= pending.bufferedBytes;
    (secure as Socket as ConnectionSocket)[CONNECTION] = this;
    secure.on('error', onError).on('data', onData).on('end', onEnd).on('close', onClose);
    if (pending.isPaused) secure.pause();
    for (const chunk of pending.chunks) this.write(chunk);
    if (pending.hasEnded) this.end();
    return this.#peer;
  }
}
