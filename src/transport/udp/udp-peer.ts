/** The connection of a UDP server to one of its peers. */
import type { Socket } from 'node:dgram';
import { gettyError } from '../../core/errors.js';
import { formatAddress } from '../address.js';
import type { ConnectionCapabilities } from '../types.js';
import {
  CONNECT_PING,
  type SendCallback,
  UDP_CAPABILITIES,
  UdpConnection,
} from './udp-connection.js';
import type { ResolvedUdpOptions } from './udp-options.js';

/** Milliseconds: the default of SessionOptions.idleTimeout. A peer does not announce its end. */
const IDLE_TIMEOUT = 60_000;

const PEER_CAPABILITIES: ConnectionCapabilities = {
  ...UDP_CAPABILITIES,
  idleTimeout: IDLE_TIMEOUT,
};

/** The listener of a peer. All its peers share its socket. */
export interface PeerOwner {
  readonly socket: Socket;
  readonly options: ResolvedUdpOptions;
  readonly localAddress: string;
  /** The peer's connection is closed. */
  remove(peer: UdpPeer): void;
}

export class UdpPeer extends UdpConnection {
  override readonly capabilities = PEER_CAPABILITIES;
  readonly host: string;
  readonly port: number;
  readonly #owner: PeerOwner;
  readonly #amplification: number;
  readonly #connectPing: boolean;
  #isTrusted: boolean;
  /** What may still be sent to the peer while it is not trusted. */
  #bytesLeft = 0;
  #datagramsLeft = 0;

  constructor(owner: PeerOwner, host: string, port: number, isTrusted: boolean) {
    const { socket, options, localAddress } = owner;
    super(
      socket,
      { localAddress, remoteAddress: formatAddress('udp', host, port) },
      options.maxDatagramBytes,
    );
    this.host = host;
    this.port = port;
    this.#owner = owner;
    this.#amplification = options.amplification;
    this.#connectPing = options.connectPing;
    this.#isTrusted = isTrusted || options.amplification === Number.POSITIVE_INFINITY;
  }

  /** Raises the limits of an untrusted peer: a datagram of `bytes` bytes arrived from it. */
  raiseSendLimits(bytes: number): void {
    this.#bytesLeft += bytes * this.#amplification;
    this.#datagramsLeft += this.#amplification;
  }

  /** Handles a datagram that arrived from the peer. */
  onDatagram(datagram: Buffer): void {
    if (
      datagram.length === CONNECT_PING.length &&
      this.#connectPing &&
      datagram.equals(CONNECT_PING)
    )
      this.reportAlive();
    else this.deliverOrQueue(datagram);
  }

  trust(): void {
    this.#isTrusted = true;
  }

  /**
   * Throws PEER_NOT_TRUSTED. The sender's address of a datagram can be forged, and the answers go
   * to that address. So they must not be more than what arrived.
   */
  protected override checkSendAllowed(bytes: number): void {
    if (this.#isTrusted) return;
    if (bytes > this.#bytesLeft || this.#datagramsLeft < 1) {
      throw gettyError(
        'PEER_NOT_TRUSTED',
        `cannot send ${bytes} bytes to ${this.remoteAddress}: the peer is not trusted, and may get ${Math.floor(this.#bytesLeft)} bytes in ` +
          `${Math.floor(this.#datagramsLeft)} datagrams for what it has sent; call trust() when the peer is verified, or raise udp.amplification`,
      );
    }
    this.#bytesLeft -= bytes;
    this.#datagramsLeft--;
  }

  protected override transmit(datagram: Uint8Array, callback: SendCallback | undefined): void {
    this.#owner.socket.send(datagram, this.port, this.host, callback);
  }

  protected override release(): void {
    this.#owner.remove(this);
  }
}
