/** A connection over UDP, as a message transport: each message is one datagram. */
import type { Socket } from 'node:dgram';
import { gettyError } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import type { ByteWriter } from '../buffers/byte-writer.js';
import { beginEvent, endEvent } from '../session/flush-scheduler.js';
import type { Connection, ConnectionCapabilities, ConnectionEvents, Peer } from '../types.js';

/**
 * Bytes. A paused session keeps datagrams until they take this much memory. Further ones are
 * dropped.
 */
const MAX_PAUSED_BYTES = 64 * 1024;
/** Bytes that a datagram takes besides its content, so that empty ones count too. */
const DATAGRAM_OVERHEAD = 256;
/** At least one send() of the socket in this many has a callback. */
const CALLBACK_INTERVAL = 32;
/** The first datagram of a client, as in Go getty. It is not a message and gets no answer. */
export const CONNECT_PING = Buffer.from('connect-ping');

/** The callback of the socket's send(). Null: the system has accepted the datagram. */
export type SendCallback = (error: Error | null) => void;

function deliverDatagram(connection: UdpConnection, datagram: Buffer): void {
  connection.deliver(datagram);
}

function deliverFailed(connection: UdpConnection, error: unknown): void {
  connection.fail(error);
}

/** Each datagram is a system call of its own, so writing several messages at once saves nothing. */
export const UDP_CAPABILITIES: ConnectionCapabilities = { isLossy: true, writesEachMessage: true };

export abstract class UdpConnection implements Connection {
  readonly capabilities: ConnectionCapabilities = UDP_CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Datagrams that were dropped while the session did not read. */
  messagesDropped = 0;
  readonly #socket: Socket;
  readonly #maxDatagramBytes: number;
  /**
   * False: the socket has no getSendQueueSize(), as in some versions of Deno and Bun. Then each
   * send() has a callback.
   */
  readonly #reportsQueueSize: boolean;
  #events: ConnectionEvents | undefined;
  /** A connection starts paused. The session calls resume() when it is open. */
  #isPaused = true;
  /** Datagrams that arrived while the session was paused, and the memory that they take. */
  readonly #pausedDatagrams = new Queue<Buffer>();
  #pausedBytes = 0;
  /** Bytes that entered the socket's queue since it was last empty. */
  #queuedBytes = 0;
  /** Callbacks of send() that have not been called. */
  #pendingCallbacks = 0;
  /** Bytes that were written since #pendingCallbacks was last 0. */
  #unconfirmedBytes = 0;
  #writesSinceCallback = 0;
  #isAckRequested = false;
  /** The peer has sent a datagram since our last write. */
  #hasReceivedSinceWrite = false;
  #isEnding = false;
  #isClosed = false;

  constructor(socket: Socket, peer: Peer, maxDatagramBytes: number) {
    this.#socket = socket;
    this.localAddress = peer.localAddress;
    this.remoteAddress = peer.remoteAddress;
    this.#maxDatagramBytes = maxDatagramBytes;
    this.#reportsQueueSize = typeof socket.getSendQueueSize === 'function';
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Sends one datagram. `callback` is never called before this method returns. */
  protected abstract transmit(datagram: Uint8Array, callback: SendCallback | undefined): void;
  /** Closes the socket, or leaves it to the other connections that share it. Called once. */
  protected abstract release(): void;
  /** Throws if a message of `bytes` bytes must not be sent to the peer now. */
  protected checkSendAllowed(_bytes: number): void {}

  // ---- reading ----

  attach(events: ConnectionEvents): void {
    this.#events = events;
  }

  /**
   * Delivers a datagram of the socket, or queues it while the session is paused. Drops it when the
   * queue is full.
   */
  protected deliverOrQueue(datagram: Buffer): void {
    if (this.#isClosed) return;
    this.#hasReceivedSinceWrite = true;
    if (!this.#isPaused) guard(deliverDatagram, deliverFailed, this, datagram);
    else if (this.#pausedBytes < MAX_PAUSED_BYTES) {
      this.#pausedDatagrams.push(datagram);
      this.#pausedBytes += datagram.length + DATAGRAM_OVERHEAD;
    } else this.messagesDropped++;
  }

  /** Passes a datagram to the session. For guard(). */
  deliver(datagram: Buffer): void {
    beginEvent();
    try {
      this.#events?.onMessage(datagram);
    } finally {
      endEvent();
    }
  }

  /** The peer sent a sign of life that is not a message. */
  protected reportAlive(): void {
    this.#events?.onAlive();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    // The session may pause at any message. The rest then stays in this queue, which has a limit.
    while (!this.#isPaused) {
      const datagram = this.#pausedDatagrams.shift();
      if (datagram === undefined) return;
      this.#pausedBytes -= datagram.length + DATAGRAM_OVERHEAD;
      this.#events?.onMessage(datagram);
    }
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#reportsQueueSize ? this.#queuedBytes : this.#unconfirmedBytes;
  }

  requestWriteAck(): void {
    this.#isAckRequested = true;
  }

  endMessage(output: ByteWriter, start: number): void {
    const size = output.length - start;
    if (size > this.#maxDatagramBytes) {
      throw gettyError(
        'MESSAGE_TOO_LARGE',
        `a message of ${size} bytes to ${this.remoteAddress} is larger than udp.maxDatagramBytes, ${this.#maxDatagramBytes}`,
      );
    }
    this.checkSendAllowed(size);
  }

  write(datagram: Uint8Array): void {
    if (this.#isClosed) return;
    // A callback costs a tenth of a send. If the peer has sent something since our last write, one
    // callback per CALLBACK_INTERVAL writes is enough: when sending fails, the peer becomes silent,
    // and then each write has a callback.
    const needsCallback =
      this.#isAckRequested ||
      !this.#hasReceivedSinceWrite ||
      ++this.#writesSinceCallback >= CALLBACK_INTERVAL ||
      !this.#reportsQueueSize;
    this.#hasReceivedSinceWrite = false;
    if (needsCallback) {
      this.#isAckRequested = false;
      this.#writesSinceCallback = 0;
      this.#pendingCallbacks++;
    }
    // An empty datagram counts as one byte, as in the session.
    const size = datagram.length || 1;
    if (this.#pendingCallbacks > 0) this.#unconfirmedBytes += size;
    this.transmit(datagram, needsCallback ? this.#onSent : undefined);
    // The system usually accepts the datagram at once. Bytes that are queued are reported as taken
    // by #checkQueue only, because a caller may wait for that report.
    if (this.#reportsQueueSize && (this.#queuedBytes > 0 || this.#socket.getSendQueueSize() > 0))
      this.#countQueued(size);
  }

  #countQueued(bytes: number): void {
    if (this.#queuedBytes === 0) setImmediate(this.#checkQueue);
    this.#queuedBytes += bytes;
  }

  /** Polls the socket's queue, which has no event. All connections of a server share the queue. */
  readonly #checkQueue = (): void => {
    if (this.#isClosed || this.#queuedBytes === 0) return;
    const before = this.#queuedBytes;
    this.#queuedBytes = Math.min(before, this.#socket.getSendQueueSize());
    if (this.#queuedBytes > 0) setImmediate(this.#checkQueue);
    if (this.#queuedBytes < before) this.#reportTaken();
  };

  readonly #onSent: SendCallback = (error) => {
    if (this.#isClosed) return;
    if (error !== null) {
      // This datagram was not sent, and the outcome of later ones is unknown. Their bytes stay
      // counted, so that send() does not succeed for them. The session ends.
      this.#queuedBytes = this.#unconfirmedBytes;
      this.#events?.onTaken();
      this.disconnect(error);
    } else if (--this.#pendingCallbacks === 0) {
      this.#unconfirmedBytes = 0;
      this.#reportTaken();
    }
  };

  #reportTaken(): void {
    if (this.#pendingCallbacks > 0) return;
    this.#events?.onTaken();
    if (this.#isEnding) this.#closeWhenSent();
  }

  // ---- the end ----

  /** UDP cannot tell the peer of the end, so the connection closes when all bytes are sent. */
  end(): void {
    this.#isEnding = true;
    // Later: the session may still call resume() to read the datagrams that are queued here.
    queueMicrotask(() => this.#closeWhenSent());
  }

  #closeWhenSent(): void {
    if (this.#pendingCallbacks === 0 && this.#queuedBytes === 0) this.#close();
  }

  destroy(): void {
    this.#close();
  }

  /** Closes with CONNECTION_LOST: the system rejected a datagram. */
  protected disconnect(cause: Error): void {
    const hint =
      (cause as NodeJS.ErrnoException).code === 'EACCES'
        ? '; a broadcast address needs the option udp.broadcast'
        : '';
    this.#close(
      gettyError(
        'CONNECTION_LOST',
        `${this.remoteAddress} cannot be reached: ${cause.message}${hint}`,
        cause,
      ),
    );
  }

  /** Closes with CONNECTION_LOST: handling a datagram threw `error`. For guard(). */
  fail(error: unknown): void {
    this.#close(faultError(this.remoteAddress, error));
  }

  #close(error?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pausedDatagrams.clear();
    this.release();
    queueMicrotask(() => this.#events?.onClose(error));
  }
}
