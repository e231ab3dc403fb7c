/** The proxy of datagrams. It opens a socket to the target for each client. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { type Address, formatAddress } from '../../transport/address.js';
import { DatagramPipe } from './datagram-pipe.js';
import type { Relay, RelaySetup } from './relay.js';

/**
 * Milliseconds. With as many clients as are allowed, a new one replaces the client that has been
 * silent longest, if that has been silent for this time.
 */
const MIN_SILENCE = 60_000;

const familyOf = ({ host }: Address): 'udp4' | 'udp6' => (isIPv6(host) ? 'udp6' : 'udp4');

export class DatagramRelay implements Relay {
  readonly #setup: RelaySetup;
  readonly #front: Socket;
  /** By address and port, in the order of their last datagrams. */
  readonly #peers = new Map<string, Peer>();
  #target: Address;

  private constructor(target: Address, setup: RelaySetup, listen: Address) {
    this.#target = target;
    this.#setup = setup;
    this.#front = createSocket(familyOf(listen));
    this.#front.on('message', (bytes, from) => this.#peerOf(from)?.toServer.relay(bytes));
  }

  /** Rejects with LISTEN_FAILED. */
  static async listen(
    target: Address,
    setup: RelaySetup,
    listen: Address | undefined,
  ): Promise<DatagramRelay> {
    const relay = new DatagramRelay(target, setup, listen ?? target);
    const { host, port } = listen ?? { host: target.host, port: 0 };
    try {
      relay.#front.bind(port, host);
      await once(relay.#front, 'listening');
    } catch (error) {
      relay.#front.close();
      throw gettyError('LISTEN_FAILED', `the proxy cannot listen: ${messageOf(error)}`, error);
    }
    // Errors of single datagrams, such as one that no process receives.
    relay.#front.on('error', () => {});
    return relay;
  }

  get boundAddress(): string {
    const { address, port } = this.#front.address();
    return formatAddress('udp', address, port);
  }

  get connections(): number {
    return this.#peers.size;
  }

  set target(target: Address) {
    this.#target = target;
  }

  #peerOf(from: RemoteInfo): Peer | undefined {
    const key = `${from.address} ${from.port}`;
    const known = this.#peers.get(key);
    if (known !== undefined) {
      this.#peers.delete(key);
      this.#peers.set(key, known);
      known.heardAt = performance.now();
      return known;
    }
    const { observer } = this.#setup;
    const number = this.#setup.onConnection();
    const address = formatAddress('udp', from.address, from.port);
    if (this.#setup.isRefusing() || !this.#hasRoom()) {
      observer?.onRefused(number, address);
      return undefined;
    }
    observer?.onOpen(number, address);
    const peer = new Peer(number, this.#front, from, this.#target, this.#setup, () => {
      this.#peers.delete(key);
    });
    this.#peers.set(key, peer);
    return peer;
  }

  /** Whether one more client is allowed. Removes one that is silent, if that is needed. */
  #hasRoom(): boolean {
    if (this.#peers.size < this.#setup.maxConnections) return true;
    const [first] = this.#peers.values();
    if (first === undefined || performance.now() - first.heardAt < MIN_SILENCE) return false;
    first.close();
    return true;
  }

  update(): void {
    for (const peer of this.#peers.values()) peer.startResetTimer();
  }

  /** The target sees the next datagram of each client from another port. */
  reset(): void {
    for (const peer of this.#peers.values()) peer.close();
  }

  async close(): Promise<void> {
    this.reset();
    const closed = once(this.#front, 'close');
    this.#front.close();
    await closed;
  }
}

/** One client, and its socket to the target. */
class Peer {
  /** When the client sent its last datagram: a time of performance.now(). */
  heardAt = performance.now();
  readonly #number: number;
  readonly toServer: DatagramPipe;
  readonly #toClient: DatagramPipe;
  readonly #socket: Socket;
  readonly #setup: RelaySetup;
  readonly #onClosed: () => void;
  readonly #began = performance.now();
  #resetTimer: NodeJS.Timeout | undefined;
  #error: Error | undefined;

  constructor(
    number: number,
    front: Socket,
    { address, port }: RemoteInfo,
    target: Address,
    setup: RelaySetup,
    onClosed: () => void,
  ) {
    this.#number = number;
    this.#setup = setup;
    this.#onClosed = onClosed;
    const socket = createSocket(familyOf(target));
    this.#socket = socket;
    this.toServer = new DatagramPipe(number, 'toServer', setup, (bytes) =>
      socket.send(bytes, target.port, target.host, ignore),
    );
    this.#toClient = new DatagramPipe(number, 'toClient', setup, (bytes) =>
      front.send(bytes, port, address, ignore),
    );
    socket.on('message', (bytes) => this.#toClient.relay(bytes));
    socket.on('error', (error) => {
      this.#error = error;
    });
    this.startResetTimer();
  }

  startResetTimer(): void {
    clearTimeout(this.#resetTimer);
    const { toServer, toClient } = this.#setup.faults();
    const after = Math.min(toServer.resetAfter, toClient.resetAfter);
    if (after === Number.POSITIVE_INFINITY) return;
    this.#resetTimer = startTimer(() => this.close(), this.#began + after - performance.now());
  }

  close(): void {
    clearTimeout(this.#resetTimer);
    this.toServer.stop();
    this.#toClient.stop();
    this.#socket.close();
    this.#onClosed();
    const failed = this.#error === undefined ? undefined : 'toClient';
    this.#setup.observer?.onClose(this.#number, this.#error, failed);
  }
}

const ignore = (): void => {};
