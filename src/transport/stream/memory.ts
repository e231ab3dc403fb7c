/**
 * The transport `memory://`: connections within this process. They behave like those of sockets:
 * bytes are copied, a slow reader slows the writer, and each side ends on its own.
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

/** What the connections of one process share. */
class MemoryState {
  /** The `accept` function of each listener, by the name in its address. */
  readonly listeners = new Map<string, (connection: Connection) => void>();
  lastName = 0;
  lastClient = 0;
}

let state = new MemoryState();

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next = new MemoryState()): MemoryState {
  const former = state;
  state = next;
  return former;
}

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
  /** The connection of the other side. */
  peer: MemoryConnection | undefined;
  #events: ConnectionEvents | undefined;
  /** Received bytes that are not delivered. They are the unsent bytes of the other side. */
  readonly #inbox = new Queue<Buffer>();
  #inboxBytes = 0;
  #isPaused = false;
  #isScheduled = false;
  #hasPeerEnded = false;
  #isEndDelivered = false;
  #hasEnded = false;
  #isDestroyed = false;
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
    if (!this.#isDestroyed) this.peer?.receive(Buffer.from(bytes));
  }

  receive(bytes: Buffer): void {
    this.#inboxBytes += bytes.length;
    if (this.#isDestroyed) return;
    this.#inbox.push(bytes);
    this.#schedule();
  }

  receiveEnd(): void {
    this.#hasPeerEnded = true;
    this.#schedule();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#schedule();
  }

  end(): void {
    if (this.#hasEnded || this.#isDestroyed) return;
    this.#hasEnded = true;
    this.peer?.receiveEnd();
    this.#closeWhenBothEnded();
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    // #inboxBytes stays: the other side must not see these bytes as sent.
    this.#inbox.clear();
    const { peer } = this;
    setImmediate(() => {
      this.#events?.onClose(this.#error);
      peer?.onPeerDestroyed();
    });
  }

  /** The other side was destroyed. As with a socket, the bytes that it had sent are delivered. */
  onPeerDestroyed(): void {
    if (this.#isDestroyed) return;
    this.#hasEnded = true;
    this.receiveEnd();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#events === undefined) return;
    this.#isScheduled = true;
    setImmediate(guard<MemoryConnection, undefined>, deliver, deliverFailed, this, undefined);
  }

  /** Closes with CONNECTION_LOST: handling an event threw `error`. For guard(). */
  fail(error: unknown): void {
    this.#error = faultError(this.remoteAddress, error);
    this.destroy();
  }

  /** Delivers the inbox, then the end. For guard(). */
  deliver(): void {
    this.#isScheduled = false;
    while (this.#inbox.length > 0 && !this.#isPaused && !this.#isDestroyed) {
      const bytes = this.#inbox.shift() as Buffer;
      this.#inboxBytes -= bytes.length;
      this.#events?.onData(bytes);
      this.peer?.reportTaken();
    }
    if (this.#hasPeerEnded && this.#inbox.length === 0 && !this.#isDestroyed && !this.#isPaused) {
      if (!this.#isEndDelivered) {
        this.#isEndDelivered = true;
        this.#events?.onEnd();
      }
      this.#closeWhenBothEnded();
    }
  }

  reportTaken(): void {
    if (!this.#isDestroyed) this.#events?.onTaken();
  }

  #closeWhenBothEnded(): void {
    // Only after the peer's end is delivered, because bytes before it may still be in the inbox.
    if (this.#hasEnded && this.#isEndDelivered) this.destroy();
  }
}

export const memory: Transport = {
  async listen(address, _options, accept) {
    const { listeners } = state;
    const name = address.host || `unnamed-${++state.lastName}`;
    if (listeners.has(name))
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${address.text}: another server in this process has the name`,
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
    const accept = state.listeners.get(address.host);
    if (accept === undefined)
      throw gettyError(
        'CONNECT_FAILED',
        `cannot connect to ${address.text}: no server in this process has the name`,
      );
    const serverAddress = `memory://${address.host}`;
    const clientAddress = `${serverAddress}/${++state.lastClient}`;
    const client = new MemoryConnection(clientAddress, serverAddress);
    const server = new MemoryConnection(serverAddress, clientAddress);
    client.peer = server;
    server.peer = client;
    accept(server);
    return client;
  },
};
