/** The server's side of UDP: one socket, and a connection for each peer that it has heard. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';
import { gettyError, messageOf } from '../../core/errors.js';
import { guard } from '../../core/guard.js';
import { type Address, formatAddress, withoutZone } from '../address.js';
import type { Admission, Connection, ConnectionCapabilities, Listener } from '../types.js';
import { UDP_CAPABILITIES, UdpConnection } from './udp-connection.js';
import type { ResolvedUdpOptions } from './udp-options.js';

/** What a Go client opens with. It is no message, and expects no answer. */
export const CONNECT_PING = Buffer.from('connect-ping');
/**
 * Milliseconds after which a silent peer is forgotten, unless the setup has an idleTimeout: a peer
 * does not say that it goes.
 */
const IDLE_TIMEOUT = 60_000;

/** Milliseconds for which the list of this machine's addresses counts. */
const OWN_ADDRESSES_MS = 1_000;

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
}

const PEER_CAPABILITIES: ConnectionCapabilities = {
  ...UDP_CAPABILITIES,
  idleTimeout: IDLE_TIMEOUT,
};

/** One peer of a server. */
class UdpPeer extends UdpConnection {
  override readonly capabilities = PEER_CAPABILITIES;
  readonly host: string;
  readonly port: number;
  readonly #server: UdpListener;
  readonly #amplification: number;
  readonly #connectPing: boolean;
  #trusted: boolean;
  /** What may still be sent to a peer that is not trusted. */
  #bytesLeft = 0;
  #datagramsLeft = 0;

  constructor(server: UdpListener, host: string, port: number, trusted: boolean) {
    const { socket, options, localAddress } = server;
    super(
      socket,
      { localAddress, remoteAddress: formatAddress('udp', host, port) },
      options.maxDatagramBytes,
    );
    this.host = host;
    this.port = port;
    this.#server = server;
    this.#amplification = options.amplification;
    this.#connectPing = options.connectPing;
    this.#trusted = trusted || options.amplification === Number.POSITIVE_INFINITY;
  }

  /** It has sent a datagram of `bytes`. */
  credit(bytes: number): void {
    this.#bytesLeft += bytes * this.#amplification;
    this.#datagramsLeft += this.#amplification;
  }

  receive(datagram: Buffer): void {
    if (
      datagram.length === CONNECT_PING.length &&
      this.#connectPing &&
      datagram.equals(CONNECT_PING)
    )
      this.alive();
    else this.deliver(datagram);
  }

  trust(): void {
    this.#trusted = true;
  }

  /**
   * Anybody can write a stranger's address on a datagram; then the stranger gets our answers. So
   * they are never more than what came.
   */
  protected override admit(bytes: number): void {
    if (this.#trusted) return;
    if (bytes > this.#bytesLeft || this.#datagramsLeft < 1) {
      throw gettyError(
        'PEER_NOT_TRUSTED',
        `a datagram of ${bytes} bytes is for ${this.remoteAddress}, which is not trusted and may get ${Math.floor(this.#bytesLeft)} bytes in ` +
          `${Math.floor(this.#datagramsLeft)} datagrams for what it has sent; call trust() when it has shown who it is, or raise udp.amplification`,
      );
    }
    this.#bytesLeft -= bytes;
    this.#datagramsLeft--;
  }

  protected override transmit(
    datagram: Uint8Array,
    sent: ((error: Error | null) => void) | undefined,
  ): void {
    this.#server.socket.send(datagram, this.port, this.host, sent);
  }

  protected override release(): void {
    this.#server.forget(this);
  }
}

export class UdpListener implements Listener {
  readonly address: string;
  readonly localAddress: string;
  readonly socket: Socket;
  readonly options: ResolvedUdpOptions;
  readonly #admission: Admission;
  readonly #accept: (connection: Connection) => void;
  readonly #host: string;
  readonly #port: number;
  /** By host, then by port: no key has to be built for each datagram. */
  readonly #peers = new Map<string, Map<number, UdpPeer>>();
  /** Whom we heard last; mostly it is the one who comes next. */
  #last: UdpPeer | undefined;
  #own: ReadonlySet<string> = new Set();
  #ownAt = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | undefined;
  #done: (() => void) | undefined;

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
    socket.on('message', this.#receive);
    socket.on('error', (error) =>
      process.emitWarning(
        gettyError('LISTEN_FAILED', `at ${this.address}: ${messageOf(error)}`, error),
      ),
    );
  }

  readonly #acceptFailed = (peer: Connection, error: unknown): void => {
    peer.destroy();
    this.#admission.fault(peer, error);
  };

  readonly #receive = (datagram: Buffer, { address, port }: RemoteInfo): void => {
    let peer = this.#last;
    if (peer === undefined || peer.port !== port || peer.host !== address)
      peer = this.#peers.get(address)?.get(port);
    this.#last = peer;
    if (peer !== undefined) peer.credit(datagram.length);
    else {
      // Nothing can be sent to port 0. To answer ourselves would never end; such a datagram is
      // forged, or ours to a multicast group.
      if (this.#closed !== undefined || port === 0 || (port === this.#port && this.#isOwn(address)))
        return;
      peer = this.#add(address, port, false);
      // Before onOpen, which may answer already.
      peer.credit(datagram.length);
      guard(this.#accept, this.#acceptFailed, peer, undefined);
    }
    peer.receive(datagram);
  };

  /** Whether a datagram from this address, with our port, may come from this socket. */
  #isOwn(address: string): boolean {
    if (address === this.#host) return true;
    if (this.#host !== '::' && this.#host !== '0.0.0.0') return false;
    const now = performance.now();
    // The system takes some 50 µs to list its interfaces: too long for each datagram of a flood.
    if (now - this.#ownAt > OWN_ADDRESSES_MS) {
      this.#own = ownAddresses();
      this.#ownAt = now;
    }
    const ip = address.replace(/^::ffff:/, '');
    return ip.startsWith('127.') || this.#own.has(withoutZone(ip));
  }

  #add(host: string, port: number, trusted: boolean): UdpPeer {
    const peer = new UdpPeer(this, host, port, trusted);
    let ports = this.#peers.get(host);
    if (ports === undefined) {
      ports = new Map();
      this.#peers.set(host, ports);
    }
    ports.set(port, peer);
    return peer;
  }

  /** A peer that is made here is trusted: it is the program that named it, and not a datagram. */
  reach(address: Address): Connection {
    const host = this.#hostOf(address);
    const known = this.#peers.get(host)?.get(address.port);
    if (known !== undefined) return known;
    if (this.#closed !== undefined)
      throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} takes no new peers`);
    const peer = this.#add(host, address.port, true);
    this.#accept(peer);
    return peer;
  }

  /** As the system writes it when a datagram comes from there. */
  #hostOf({ host, port, text }: Address): string {
    const ours = isIPv6(this.#host) ? 6 : 4;
    if (port > 0 && isIPv4(host)) {
      if (ours === 4) return host;
      // A socket for all interfaces has both kinds.
      if (this.#host === '::') return `::ffff:${host}`;
    } else if (port > 0 && isIPv6(host) && ours === 6) {
      const address = withoutZone(host);
      return new SocketAddress({ address, family: 'ipv6' }).address + host.slice(address.length);
    }
    throw gettyError(
      'BAD_ADDRESS',
      `peer: given ${JSON.stringify(text)}, expected udp://, an IPv${ours} address, and a port from 1 to 65535`,
    );
  }

  forget(peer: UdpPeer): void {
    if (this.#last === peer) this.#last = undefined;
    const ports = this.#peers.get(peer.host);
    if (ports?.get(peer.port) !== peer) return;
    ports.delete(peer.port);
    if (ports.size === 0) this.#peers.delete(peer.host);
    this.#closeWhenAlone();
  }

  /**
   * The socket belongs to those that are still there, so the port is free when the last of them is
   * gone.
   */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = new Promise((resolve) => {
        this.#done = resolve;
      });
      this.#closeWhenAlone();
    }
    return this.#closed;
  }

  #closeWhenAlone(): void {
    if (this.#done === undefined || this.#peers.size > 0) return;
    this.socket.close(this.#done);
    this.#done = undefined;
  }
}
