/**
 * Connections within this process: `memory://name`. No sockets, the same rules: copied bytes,
 * back-pressure, an orderly end.
 */
import { gettyError } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  Listener,
  Transport,
} from '../types.js';

const listeners = new Map<string, (connection: Connection) => void>();
let lastName = 0;
let lastPeer = 0;

function deliver(connection: MemoryConnection): void {
  connection.deliver();
}

function deliverFailed(connection: MemoryConnection, error: unknown): void {
  connection.fail(error);
}

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

class MemoryConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  peer: MemoryConnection | undefined;
  #events: ConnectionEvents | undefined;
  readonly #inbox = new Queue<Buffer>();
  /** Bytes in the inbox: to the peer they are sent and not taken yet. */
  #inboxBytes = 0;
  #paused = false;
  #scheduled = false;
  #peerEnded = false;
  #endDelivered = false;
  #ended = false;
  #destroyed = false;
  #error: Error | undefined;

  constructor(localAddress: string, remoteAddress: string) {
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
  }

  attach(events: ConnectionEvents): void {
    this.#events = events;
    this.#schedule();
  }

  get bufferedBytes(): number {
    return this.peer?.inboxBytes ?? 0;
  }

  get inboxBytes(): number {
    return this.#inboxBytes;
  }

  write(bytes: Uint8Array): void {
    if (!this.#destroyed) this.peer?.receive(Buffer.from(bytes));
  }

  receive(bytes: Buffer): void {
    this.#inboxBytes += bytes.length;
    if (this.#destroyed) return;
    this.#inbox.push(bytes);
    this.#schedule();
  }

  receiveEnd(): void {
    this.#peerEnded = true;
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  end(): void {
    if (this.#ended || this.#destroyed) return;
    this.#ended = true;
    this.peer?.receiveEnd();
    this.#closeWhenBothEnded();
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    // The bytes still count: to the peer they were never taken.
    this.#inbox.clear();
    const { peer } = this;
    setImmediate(() => {
      this.#events?.onClose(this.#error);
      peer?.lose();
    });
  }

  /**
   * The other side was destroyed: what it had sent is still read, as from a socket that was closed.
   */
  lose(): void {
    if (this.#destroyed) return;
    this.#ended = true;
    this.receiveEnd();
  }

  #schedule(): void {
    if (this.#scheduled || this.#events === undefined) return;
    this.#scheduled = true;
    setImmediate(guard<MemoryConnection, undefined>, deliver, deliverFailed, this, undefined);
  }

  /** Handling what the peer sent threw: that is the end of this connection alone. */
  fail(error: unknown): void {
    this.#error = faultError(this.remoteAddress, error);
    this.destroy();
  }

  deliver(): void {
    this.#scheduled = false;
    while (this.#inbox.length > 0 && !this.#paused && !this.#destroyed) {
      const bytes = this.#inbox.shift() as Buffer;
      this.#inboxBytes -= bytes.length;
      this.#events?.onData(bytes);
      this.peer?.taken();
    }
    if (this.#peerEnded && this.#inbox.length === 0 && !this.#destroyed && !this.#paused) {
      if (!this.#endDelivered) {
        this.#endDelivered = true;
        this.#events?.onEnd();
      }
      this.#closeWhenBothEnded();
    }
  }

  taken(): void {
    if (!this.#destroyed) this.#events?.onTaken();
  }

  #closeWhenBothEnded(): void {
    // Not before our side has heard of the end: it may still be busy with what came before.
    if (this.#ended && this.#endDelivered) this.destroy();
  }
}

export const memory: Transport = {
  async listen(address, _options, accept) {
    const name = address.host || `unnamed-${++lastName}`;
    if (listeners.has(name))
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${address.text}: the name is taken in this process`,
      );
    listeners.set(name, accept);
    const listener: Listener = {
      address: `memory://${name}`,
      async close() {
        listeners.delete(name);
      },
    };
    return listener;
  },

  async dial(address) {
    const accept = listeners.get(address.host);
    if (accept === undefined)
      throw gettyError(
        'CONNECT_FAILED',
        `cannot connect to ${address.text}: nobody in this process listens at that name`,
      );
    const server = `memory://${address.host}`;
    const client = `${server}/${++lastPeer}`;
    const near = new MemoryConnection(client, server);
    const far = new MemoryConnection(server, client);
    near.peer = far;
    far.peer = near;
    accept(far);
    return near;
  },
};
