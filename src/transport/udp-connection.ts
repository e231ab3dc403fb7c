/** A peer over UDP as a message transport: each message is one datagram, each datagram one message. */
import type { Socket } from 'node:dgram';
import { gettyError } from '../errors.js';
import type { ByteWriter } from './byte-writer.js';
import type { Connection, ConnectionEvents, Peer } from './types.js';

/** While a session is paused it keeps datagrams as long as those that are kept take less than this; the rest are lost. */
const HELD_BYTES = 64 * 1024;
/** What a datagram costs in memory besides its bytes: empty ones must not be free. */
const HELD_OVERHEAD = 256;
const EMPTY = Buffer.alloc(0);

type Sent = (error: Error | null, bytes: number) => void;

export abstract class UdpConnection implements Connection {
  readonly lossy = true;
  readonly confirmsLater = true;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly #socket: Socket;
  readonly #maxDatagramBytes: number;
  #events: ConnectionEvents | undefined;
  /** Until the session resumes it for the first time, which says that it is open. */
  #paused = true;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The sizes of the messages that the session has appended to its output since the last write(). */
  #sizes: number[] = [];
  /** Datagrams, and the bytes of them, that the socket has not reported as sent or failed. */
  #sending = 0;
  #sendingBytes = 0;
  #bufferedBytes = 0;
  #ending = false;
  #closed = false;

  constructor(socket: Socket, peer: Peer, maxDatagramBytes: number) {
    this.#socket = socket;
    this.localAddress = peer.localAddress;
    this.remoteAddress = peer.remoteAddress;
    this.#maxDatagramBytes = maxDatagramBytes;
  }

  /** Give one datagram to the socket, which calls `sent` in any case, but never before this returns. */
  protected abstract transmit(datagram: Uint8Array, sent: Sent): void;
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
    if (!this.#paused) this.#events?.onMessage(datagram);
    else if (this.#heldBytes < HELD_BYTES) {
      this.#held.push(datagram);
      this.#heldBytes += datagram.length + HELD_OVERHEAD;
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
    // One by one: the session may pause at any of them, and what it has not taken stays bounded here.
    while (!this.#paused) {
      const datagram = this.#held.shift();
      if (datagram === undefined) return;
      this.#heldBytes -= datagram.length + HELD_OVERHEAD;
      this.#events?.onMessage(datagram);
    }
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#bufferedBytes;
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
    if (size === 0) this.#transmit(EMPTY);
    else this.#sizes.push(size);
  }

  write(bytes: Uint8Array): void {
    const sizes = this.#sizes;
    if (sizes.length === 1) this.#transmit(bytes);
    else {
      let from = 0;
      for (const size of sizes) {
        this.#transmit(bytes.subarray(from, from + size));
        from += size;
      }
    }
    sizes.length = 0;
    // An empty queue of the socket means that the system took each at once, though its callback is yet to come.
    if (!this.#closed) this.#bufferedBytes = this.#socket.getSendQueueSize() === 0 ? 0 : this.#sendingBytes;
  }

  #transmit(datagram: Uint8Array): void {
    if (this.#closed) return;
    this.#sending++;
    this.#sendingBytes += datagram.length;
    this.transmit(datagram, this.#sent);
  }

  readonly #sent: Sent = (error, bytes) => {
    if (this.#closed) return;
    if (error !== null) {
      // This datagram and those after it did not leave, or nobody knows: send() must not succeed for them, so the session ends.
      this.#bufferedBytes = this.#sendingBytes;
      this.#events?.onTaken();
      this.lose(error);
      return;
    }
    this.#sending--;
    this.#sendingBytes -= bytes;
    if (this.#bufferedBytes > 0) this.#bufferedBytes = this.#sendingBytes;
    else if (this.#sending > 0) return;
    this.#events?.onTaken();
    if (this.#ending && this.#sending === 0) this.#finish();
  };

  // ---- the end ----

  /** There is no word for the end in UDP: when all is sent, it is over. */
  end(): void {
    this.#ending = true;
    // Not at once: the session may still resume, to read what was held.
    queueMicrotask(() => {
      if (this.#sending === 0) this.#finish();
    });
  }

  destroy(): void {
    this.#finish();
  }

  protected lose(cause: Error): void {
    this.#finish(gettyError('CONNECTION_LOST', `${this.remoteAddress} cannot be reached: ${cause.message}`, cause));
  }

  #finish(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held = [];
    this.release();
    queueMicrotask(() => this.#events?.onClose(error));
  }
}
