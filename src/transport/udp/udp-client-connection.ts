/** The connection of a UDP client. */
import type { Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { type Address, formatAddress } from '../address.js';
import { CONNECT_PING, type SendCallback, UdpConnection } from './udp-connection.js';
import type { ResolvedUdpOptions } from './udp-options.js';

/**
 * The IP address of the last session that ended without an answer, or with a datagram that the
 * system rejected. The key is the target of one client. Its next attempt begins with the IP address
 * after that one: a UDP socket connects to an address without a server too, so the attempt itself
 * cannot find a server that works.
 */
const lastFailedIp = new WeakMap<Address, string>();

/** `hosts`, beginning after the one of lastFailedIp. */
export function rotateAfterFailed<Host extends { readonly ip: string }>(
  target: Address,
  hosts: readonly Host[],
): Host[] {
  const first = hosts.findIndex(({ ip }) => ip === lastFailedIp.get(target)) + 1;
  return [...hosts.slice(first), ...hosts.slice(0, first)];
}

function formatUdp({ address, port }: AddressInfo): string {
  return formatAddress('udp', address, port);
}

/**
 * A connection with a socket of its own, which is connected. So the system drops the datagrams of
 * other senders and reports a port without a server.
 */
export class UdpClientConnection extends UdpConnection {
  readonly #socket: Socket;
  readonly #target: Address;
  readonly #ip: string;
  /** The server has sent a datagram, and the system has rejected none of ours. */
  #hasAnswered = false;

  /** `socket` is connected. */
  constructor(
    socket: Socket,
    target: Address,
    { maxDatagramBytes, connectPing }: ResolvedUdpOptions,
  ) {
    const remote = socket.remoteAddress();
    super(
      socket,
      { localAddress: formatUdp(socket.address()), remoteAddress: formatUdp(remote) },
      maxDatagramBytes,
    );
    this.#socket = socket;
    this.#target = target;
    this.#ip = remote.address;
    socket.on('message', (datagram) => {
      this.#hasAnswered = true;
      this.deliverOrQueue(datagram);
    });
    socket.on('error', (error) => this.disconnect(error));
    if (connectPing) {
      socket.send(CONNECT_PING, (error) => {
        if (error !== null) this.disconnect(error);
      });
    }
  }

  protected override disconnect(cause: Error): void {
    this.#hasAnswered = false;
    super.disconnect(cause);
  }

  protected override transmit(datagram: Uint8Array, callback: SendCallback | undefined): void {
    this.#socket.send(datagram, callback);
  }

  protected override release(): void {
    if (!this.#hasAnswered) lastFailedIp.set(this.#target, this.#ip);
    this.#socket.close();
  }
}
