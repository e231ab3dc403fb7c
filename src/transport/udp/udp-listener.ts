/** The listener of a UDP server: one socket, and a connection for each peer. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';
import { gettyError, messageOf } from '../../core/errors.js';
import { guard } from '../../core/guard.js';
import { type Address, formatAddress, withoutZone } from '../address.js';
import type { Admission, Connection, Listener } from '../types.js';
import type { ResolvedUdpOptions } from './udp-options.js';
import { type PeerOwner, UdpPeer } from './udp-peer.js';

/** Milliseconds for which the list of this machine's addresses is used. */
const LOCAL_IPS_MAX_AGE = 1_000;

function listLocalIps(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
}

export class UdpListener implements Listener, PeerOwner {
  readonly address: string;
  readonly localAddress: string;
  readonly socket: Socket;
  readonly options: ResolvedUdpOptions;
  readonly #admission: Admission;
  readonly #accept: (connection: Connection) => void;
  readonly #host: string;
  readonly #port: number;
  /** By host, then by port, so that a datagram needs no combined key. */
  readonly #peers = new Map<string, Map<number, UdpPeer>>();
  /** The sender of the last datagram. It usually sends the next one too. */
  #lastSender: UdpPeer | undefined;
  #localIps: ReadonlySet<string> = new Set();
  /** When #localIps was read, on the clock of performance.now(). */
  #localIpsReadAt = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | undefined;
  /** Settles #closed. Undefined before close(), and after the socket was told to close. */
  #onSocketClosed: (() => void) | undefined;

  /** `socket` is bound. */
  constructor(
    socket: Socket,
    address: Address,
    options: ResolvedUdpOptions,
    admission: Admission,
    accept: (connection: Connection) => void,
  ) {
    const bound = socket.address();
    this.socket = socket;
    this.options = options;
    this.#admission = admission;
    this.#accept = accept;
    this.#host = bound.address;
    this.#port = bound.port;
    this.address = formatAddress('udp', address.host, bound.port);
    this.localAddress = formatAddress('udp', bound.address, bound.port);
    socket.on('message', this.#onDatagram);
    socket.on('error', (error) =>
      process.emitWarning(
        gettyError(
          'LISTEN_FAILED',
          `the server socket at ${this.address} failed: ${messageOf(error)}`,
          error,
        ),
      ),
    );
  }

  readonly #acceptFailed = (peer: Connection, error: unknown): void => {
    peer.destroy();
    this.#admission.reportFault(peer, error);
  };

  readonly #onDatagram = (datagram: Buffer, { address, port }: RemoteInfo): void => {
    let peer = this.#lastSender;
    if (peer === undefined || peer.port !== port || peer.host !== address)
      peer = this.#peers.get(address)?.get(port);
    this.#lastSender = peer;
    if (peer !== undefined) peer.raiseSendLimits(datagram.length);
    else {
      // No datagram can be sent to port 0. A datagram from our own address is forged, or was sent
      // by this socket to a multicast group; answers to it would form an endless loop.
      if (this.#closed !== undefined || port === 0 || (port === this.#port && this.#isOwn(address)))
        return;
      peer = this.#add(address, port, false);
      // Before #accept, because onOpen may already send an answer.
      peer.raiseSendLimits(datagram.length);
      guard(this.#accept, this.#acceptFailed, peer, undefined);
    }
    peer.onDatagram(datagram);
  };

  /** Whether this socket may be the sender of a datagram from `address` and our own port. */
  #isOwn(address: string): boolean {
    if (address === this.#host) return true;
    if (this.#host !== '::' && this.#host !== '0.0.0.0') return false;
    const now = performance.now();
    // The system needs about 50 µs to list its interfaces: too long for each datagram of a flood.
    if (now - this.#localIpsReadAt > LOCAL_IPS_MAX_AGE) {
      this.#localIps = listLocalIps();
      this.#localIpsReadAt = now;
    }
    const ip = address.replace(/^::ffff:/, '');
    return ip.startsWith('127.') || this.#localIps.has(withoutZone(ip));
  }

  #add(host: string, port: number, isTrusted: boolean): UdpPeer {
    const peer = new UdpPeer(this, host, port, isTrusted);
    let ports = this.#peers.get(host);
    if (ports === undefined) {
      ports = new Map();
      this.#peers.set(host, ports);
    }
    ports.set(port, peer);
    return peer;
  }

  /** A peer that is created here is trusted: the program gave its address, not a datagram. */
  connectionTo(address: Address): Connection {
    const host = this.#systemHost(address);
    const existing = this.#peers.get(host)?.get(address.port);
    if (existing !== undefined) return existing;
    if (this.#closed !== undefined)
      throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} accepts no new peers`);
    const peer = this.#add(host, address.port, true);
    guard(this.#accept, this.#acceptFailed, peer, undefined);
    return peer;
  }

  /** The host as the system writes it in datagrams of this address. Throws BAD_ADDRESS. */
  #systemHost({ host, port, text }: Address): string {
    const family = isIPv6(this.#host) ? 6 : 4;
    if (port > 0 && isIPv4(host)) {
      if (family === 4) return host;
      // A socket for all interfaces of IPv6 receives IPv4 too.
      if (this.#host === '::') return `::ffff:${host}`;
    } else if (port > 0 && isIPv6(host) && family === 6) {
      const address = withoutZone(host);
      return new SocketAddress({ address, family: 'ipv6' }).address + host.slice(address.length);
    }
    throw gettyError(
      'BAD_ADDRESS',
      `peer: got ${JSON.stringify(text)}, expected udp://, an IPv${family} address, and a port from 1 to 65535`,
    );
  }

  remove(peer: UdpPeer): void {
    if (this.#lastSender === peer) this.#lastSender = undefined;
    const ports = this.#peers.get(peer.host);
    if (ports?.get(peer.port) !== peer) return;
    ports.delete(peer.port);
    if (ports.size === 0) this.#peers.delete(peer.host);
    this.#closeWithoutPeers();
  }

  /** The peers use the socket until they are closed. So the port is free after the last one. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = new Promise((resolve) => {
        this.#onSocketClosed = resolve;
      });
      this.#closeWithoutPeers();
    }
    return this.#closed;
  }

  #closeWithoutPeers(): void {
    if (this.#onSocketClosed === undefined || this.#peers.size > 0) return;
    this.socket.close(this.#onSocketClosed);
    this.#onSocketClosed = undefined;
  }
}
