/**
 * A peer over UDP as a message transport: each message is one datagram, each datagram one message.
 */
import type { Socket } from 'node:dgram';
import { gettyError } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import type { ByteWriter } from '../buffers/byte-writer.js';
import { beginEvent, endEvent } from '../session/flush-scheduler.js';
import type { Connection, ConnectionCapabilities, ConnectionEvents, Peer } from '../types.js';

/**
 * While a session is paused it keeps datagrams as long as those that are kept take less than this;
 * the rest are lost.
 */
const HELD_BYTES = 64 * 1024;
/** What a datagram costs in memory besides its bytes: empty ones must not be free. */
const HELD_OVERHEAD = 256;
/** The outcome of at least one datagram in so many is asked for. */
const ASK_EACH = 32;
const EMPTY = Buffer.alloc(0);

type Sent = (error: Error | null) => void;

function handDatagram(connection: UdpConnection, datagram: Buffer): void {
  connection.hand(datagram);
}

function datagramFailed(connection: UdpConnection, error: unknown): void {
  connection.fail(error);
}

/** Each datagram takes a system call, so messages gain nothing by leaving together. */
export const UDP_CAPABILITIES: ConnectionCapabilities = { isLossy: true, writesEachMessage: true };

export abstract class UdpConnection implements Connection {
  readonly capabilities: ConnectionCapabilities = UDP_CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly #socket: Socket;
  readonly #maxDatagramBytes: number;
  /**
   * False: the socket does not tell what it has queued, so the outcome of every datagram is asked
   * for. Some versions of Deno and Bun are so.
   */
  readonly #tellsQueue: boolean;
  #events: ConnectionEvents | undefined;
  /** Until the session resumes it for the first time, which says that it is open. */
  #paused = true;
  readonly #held = new Queue<Buffer>();
  #heldBytes = 0;
  /** Bytes that went into the socket's queue since it was last seen empty. */
  #queuedBytes = 0;
  /**
   * Datagrams whose outcome we asked for and do not know yet, and the bytes written since the
   * oldest of them.
   */
  #asked = 0;
  #askedBytes = 0;
  #unasked = 0;
  #askNext = false;
  /** The peer sent something since we last did. */
  #heard = false;
  #ending = false;
  #closed = false;

  constructor(socket: Socket, peer: Peer, maxDatagramBytes: number) {
    this.#socket = socket;
    this.localAddress = peer.localAddress;
    this.remoteAddress = peer.remoteAddress;
    this.#maxDatagramBytes = maxDatagramBytes;
    this.#tellsQueue = typeof socket.getSendQueueSize === 'function';
  }

  /**
   * Give one datagram to the socket, which tells `sent` what came of it, but never before this
   * returns.
   */
  protected abstract transmit(datagram: Uint8Array, sent: Sent | undefined): void;
  /** It is over: let go of the socket, or of the share of it. Called once. */
  protected abstract release(): void;
  /** May a message of `bytes` go to the peer now? Throw: it is not sent. */
  protected admit(_bytes: number): void {}

  // ---- reading ----

  attach(events: ConnectionEvents): void {
    this.#events = events;
  }

  protected deliver(datagram: Buffer): void {
    if (this.#closed) return;
    this.#heard = true;
    if (!this.#paused) guard(handDatagram, datagramFailed, this, datagram);
    else if (this.#heldBytes < HELD_BYTES) {
      this.#held.push(datagram);
      this.#heldBytes += datagram.length + HELD_OVERHEAD;
    }
  }

  /** Hands a datagram to the session. For guard(). */
  hand(datagram: Buffer): void {
    beginEvent();
    try {
      this.#events?.onMessage(datagram);
    } finally {
      endEvent();
    }
  }

  /** The peer gave a sign of life that is no message. */
  protected alive(): void {
    this.#events?.onAlive();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    // One by one: the session may pause at any of them, and what it has not taken stays bounded
    // here.
    while (!this.#paused) {
      const datagram = this.#held.shift();
      if (datagram === undefined) return;
      this.#heldBytes -= datagram.length + HELD_OVERHEAD;
      this.#events?.onMessage(datagram);
    }
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#tellsQueue ? this.#queuedBytes : this.#askedBytes;
  }

  requestWriteAck(): void {
    this.#askNext = true;
  }

  endMessage(output: ByteWriter, start: number): void {
    const size = output.length - start;
    if (size > this.#maxDatagramBytes) {
      throw gettyError(
        'MESSAGE_TOO_LARGE',
        `a message of ${size} bytes is for ${this.remoteAddress}; a datagram takes udp.maxDatagramBytes, ${this.#maxDatagramBytes}`,
      );
    }
    this.admit(size);
    // A session does not pass on nothing; yet an empty datagram is a message.
    if (size === 0) this.write(EMPTY);
  }

  write(datagram: Uint8Array): void {
    if (this.#closed) return;
    // To be told what came of a datagram costs a tenth of sending it. While the peer is heard
    // between one and the next, asking for one in ASK_EACH is enough: when sending fails the peer
    // falls silent, and then we ask for each.
    const ask = this.#askNext || !this.#heard || ++this.#unasked >= ASK_EACH || !this.#tellsQueue;
    this.#heard = false;
    if (ask) {
      this.#askNext = false;
      this.#unasked = 0;
      this.#asked++;
    }
    if (this.#asked > 0) this.#askedBytes += datagram.length;
    this.transmit(datagram, ask ? this.#told : undefined);
    // Mostly the system takes it at once. What is queued is told as taken by #watchQueue alone, for
    // somebody may wait for that.
    if (this.#tellsQueue && (this.#queuedBytes > 0 || this.#socket.getSendQueueSize() > 0))
      this.#queue(datagram.length);
  }

  #queue(bytes: number): void {
    if (this.#queuedBytes === 0) setImmediate(this.#watchQueue);
    this.#queuedBytes += bytes;
  }

  /**
   * The queue is the socket's, which a server's connections share, and nothing tells when it is
   * empty.
   */
  readonly #watchQueue = (): void => {
    if (this.#closed || this.#queuedBytes === 0) return;
    const before = this.#queuedBytes;
    this.#queuedBytes = Math.min(before, this.#socket.getSendQueueSize());
    if (this.#queuedBytes > 0) setImmediate(this.#watchQueue);
    if (this.#queuedBytes < before) this.#taken();
  };

  readonly #told: Sent = (error) => {
    if (this.#closed) return;
    if (error !== null) {
      // This datagram did not leave, and of those after it nobody knows: send() must not succeed
      // for them, so the session ends.
      this.#queuedBytes = this.#askedBytes;
      this.#events?.onTaken();
      this.lose(error);
    } else if (--this.#asked === 0) {
      this.#askedBytes = 0;
      this.#taken();
    }
  };

  #taken(): void {
    if (this.#asked > 0) return;
    this.#events?.onTaken();
    if (this.#ending) this.#finishWhenSent();
  }

  // ---- the end ----

  /** There is no word for the end in UDP: when all is sent, it is over. */
  end(): void {
    this.#ending = true;
    // Not at once: the session may still resume, to read what was held.
    queueMicrotask(() => this.#finishWhenSent());
  }

  #finishWhenSent(): void {
    if (this.#asked === 0 && this.#queuedBytes === 0) this.#finish();
  }

  destroy(): void {
    this.#finish();
  }

  protected lose(cause: Error): void {
    const hint =
      (cause as NodeJS.ErrnoException).code === 'EACCES'
        ? '; a broadcast address needs the option udp.broadcast'
        : '';
    this.#finish(
      gettyError(
        'CONNECTION_LOST',
        `${this.remoteAddress} cannot be reached: ${cause.message}${hint}`,
        cause,
      ),
    );
  }

  /** Handling a datagram threw: that is the end of this session alone. For guard(). */
  fail(error: unknown): void {
    this.#finish(faultError(this.remoteAddress, error));
  }

  #finish(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held.clear();
    this.release();
    queueMicrotask(() => this.#events?.onClose(error));
  }
}
