/** The proxy of datagrams: each client has a socket to the target. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { type Address, formatAddress } from '../../transport/address.js';
import { type Direction, delayOf } from './faults.js';
import type { Relay, RelaySetup } from './relay.js';

/** Milliseconds after which a datagram arrives that no other one has overtaken. */
const OVERTAKING_TIME = 20;

const familyOf = ({ host }: Address): 'udp4' | 'udp6' => (isIPv6(host) ? 'udp6' : 'udp4');

export class DatagramRelay implements Relay {
  readonly #setup: RelaySetup;
  readonly #front: Socket;
  readonly #peers = new Map<string, Peer>();
  #target: Address;

  private constructor(target: Address, setup: RelaySetup) {
    this.#target = target;
    this.#setup = setup;
    this.#front = createSocket(familyOf(target));
    this.#front.on('message', (bytes, from) => this.#peerOf(from)?.toServer.relay(bytes));
  }

  /** Rejects with LISTEN_FAILED. */
  static async listen(
    target: Address,
    setup: RelaySetup,
    listen: Address | undefined,
  ): Promise<DatagramRelay> {
    const relay = new DatagramRelay(target, setup);
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
    if (known !== undefined) return known;
    this.#setup.onConnection();
    if (this.#setup.isRefusing()) return undefined;
    const peer = new Peer(this.#front, from, this.#target, this.#setup, () =>
      this.#peers.delete(key),
    );
    this.#peers.set(key, peer);
    return peer;
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

/** One client. */
class Peer {
  readonly toServer: DatagramPipe;
  readonly #toClient: DatagramPipe;
  readonly #socket: Socket;
  readonly #setup: RelaySetup;
  readonly #onClosed: () => void;
  readonly #began = performance.now();
  #resetTimer: NodeJS.Timeout | undefined;

  constructor(
    front: Socket,
    { address, port }: RemoteInfo,
    target: Address,
    setup: RelaySetup,
    onClosed: () => void,
  ) {
    this.#setup = setup;
    this.#onClosed = onClosed;
    const socket = createSocket(familyOf(target));
    this.#socket = socket;
    this.toServer = new DatagramPipe('toServer', setup, (bytes) =>
      socket.send(bytes, target.port, target.host, ignore),
    );
    this.#toClient = new DatagramPipe('toClient', setup, (bytes) =>
      front.send(bytes, port, address, ignore),
    );
    socket.on('message', (bytes) => this.#toClient.relay(bytes));
    socket.on('error', ignore);
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
  }
}

const ignore = (): void => {};

/** One direction of one client. */
class DatagramPipe {
  readonly #direction: Direction;
  readonly #setup: RelaySetup;
  readonly #send: (bytes: Buffer) => void;
  readonly #timers = new Set<NodeJS.Timeout>();
  #passed = 0;
  /** When the last datagram has passed a limited bandwidth: a time of performance.now(). */
  #freeAt = 0;
  /** Delivers the datagram that the next one overtakes. */
  #overtaken: (() => void) | undefined;

  constructor(direction: Direction, setup: RelaySetup, send: (bytes: Buffer) => void) {
    this.#direction = direction;
    this.#setup = setup;
    this.#send = send;
  }

  relay(bytes: Buffer): void {
    const faults = this.#setup.faults()[this.#direction];
    const { random } = this.#setup;
    if (faults.blocked || this.#passed + bytes.length > faults.limit) return;
    if (isChosen(faults.loss, random)) return;
    const copies = isChosen(faults.duplication, random) ? 2 : 1;
    const isOvertaken = isChosen(faults.reordering, random);
    this.#passed += bytes.length;
    const sending = (bytes.length / faults.bandwidth) * 1_000;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + sending;
    for (let copy = 0; copy < copies; copy++) {
      const delay = delayOf(faults, random) + this.#freeAt - now;
      this.#after(delay, () => this.#deliver(bytes, isOvertaken));
    }
  }

  #deliver(bytes: Buffer, isOvertaken: boolean): void {
    if (isOvertaken && this.#overtaken === undefined) {
      const deliver = (): void => {
        if (this.#overtaken !== deliver) return;
        this.#overtaken = undefined;
        this.#sendNow(bytes);
      };
      this.#overtaken = deliver;
      this.#after(OVERTAKING_TIME, deliver);
      return;
    }
    this.#sendNow(bytes);
    this.#overtaken?.();
  }

  #sendNow(bytes: Buffer): void {
    this.#setup.onBytes(this.#direction, bytes.length);
    this.#send(bytes);
  }

  #after(ms: number, task: () => void): void {
    if (ms <= 0) return task();
    const timer = startTimer(() => {
      this.#timers.delete(timer);
      task();
    }, ms);
    this.#timers.add(timer);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#overtaken = undefined;
  }
}

function isChosen(part: number, random: () => number): boolean {
  return part > 0 && random() < part;
}
