/** A session's view of simulated datagrams: one peer of a socket. */
import type { AsyncResource } from 'node:async_hooks';
import { gettyError } from '../../../core/errors.js';
import { faultError } from '../../../core/guard.js';
import { Queue } from '../../../core/queue.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import { beginEvent, endEvent } from '../../../transport/session/flush-scheduler.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
} from '../../../transport/types.js';
import type { SimulatedProcess } from '../context.js';

/** Bytes. A paused session keeps datagrams until they take this much memory, with 256 for each. */
const MAX_PAUSED_BYTES = 64 * 1024;
const DATAGRAM_OVERHEAD = 256;

const CAPABILITIES: ConnectionCapabilities = {
  isLossy: true,
  writesEachMessage: true,
  copiesOnWrite: true,
};
/** Milliseconds: a peer does not announce its end. */
const SERVER_CAPABILITIES: ConnectionCapabilities = { ...CAPABILITIES, idleTimeout: 60_000 };

/** The socket of a connection. */
export interface DatagramSocket {
  readonly process: SimulatedProcess;
  readonly resource: AsyncResource;
  readonly maxDatagramBytes: number;
  send(peer: DatagramConnection, datagram: Buffer): void;
  remove(peer: DatagramConnection): void;
}

export class DatagramConnection implements Connection {
  readonly capabilities: ConnectionCapabilities;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly bufferedBytes = 0;
  messagesDropped = 0;
  readonly #socket: DatagramSocket;
  #events: ConnectionEvents | undefined;
  /** The session calls resume() when it is open. */
  #isPaused = true;
  readonly #inbox = new Queue<Buffer>();
  #inboxBytes = 0;
  #isAckRequested = false;
  #isClosed = false;

  constructor(socket: DatagramSocket, local: string, remote: string, isServer: boolean) {
    this.#socket = socket;
    this.localAddress = local;
    this.remoteAddress = remote;
    this.capabilities = isServer ? SERVER_CAPABILITIES : CAPABILITIES;
  }

  attach(events: ConnectionEvents): void {
    this.#events = events;
  }

  /** A datagram arrives, in the process of the socket. */
  arrive(datagram: Buffer): void {
    if (this.#isClosed) return;
    if (this.#isPaused && this.#inboxBytes >= MAX_PAUSED_BYTES) {
      this.messagesDropped++;
      return;
    }
    this.#inbox.push(datagram);
    this.#inboxBytes += datagram.length + DATAGRAM_OVERHEAD;
    beginEvent();
    try {
      this.#deliver();
    } catch (error) {
      this.#close(faultError(this.remoteAddress, error));
    } finally {
      endEvent();
    }
  }

  /** The peer has announced itself; that is not a message. */
  reportAlive(): void {
    this.#events?.onAlive();
  }

  #deliver(): void {
    while (!this.#isPaused && !this.#isClosed) {
      const datagram = this.#inbox.shift();
      if (datagram === undefined) return;
      this.#inboxBytes -= datagram.length + DATAGRAM_OVERHEAD;
      this.#events?.onMessage(datagram);
    }
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliver();
  }

  requestWriteAck(): void {
    this.#isAckRequested = true;
  }

  endMessage(output: ByteWriter, start: number): void {
    const size = output.length - start;
    const { maxDatagramBytes } = this.#socket;
    if (size > maxDatagramBytes) {
      throw gettyError(
        'MESSAGE_TOO_LARGE',
        `a message of ${size} bytes to ${this.remoteAddress} is larger than udp.maxDatagramBytes, ${maxDatagramBytes}`,
      );
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#socket.send(this, Buffer.from(bytes));
    if (!this.#isAckRequested) return;
    this.#isAckRequested = false;
    this.#later(() => {
      if (!this.#isClosed) this.#events?.onTaken();
    });
  }

  /** Senders of simulated datagrams are never forged. */
  trust(): void {}

  end(): void {
    // Later: the session may still call resume() to read the datagrams that are queued here.
    this.#later(() => this.#close());
  }

  destroy(): void {
    this.#close();
  }

  /** Closes with CONNECTION_LOST: no socket is at the port of the peer. */
  disconnect(cause: Error): void {
    this.#close(
      gettyError(
        'CONNECTION_LOST',
        `${this.remoteAddress} cannot be reached: ${cause.message}`,
        cause,
      ),
    );
  }

  #close(error?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#inbox.clear();
    this.#socket.remove(this);
    this.#later(() => this.#events?.onClose(error));
  }

  #later(task: () => void): void {
    const { process, resource } = this.#socket;
    process.world.schedule(0, () => process.dispatch(task, resource));
  }
}
