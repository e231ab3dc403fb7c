/** The transport `simudp://host:port`: datagrams of a simulated network, in virtual time. */
import type { AsyncResource } from 'node:async_hooks';
import { gettyError } from '../../../core/errors.js';
import type { Address } from '../../../transport/address.js';
import type { Connection, Listener, Transport, UdpOptions } from '../../../transport/types.js';
import type { SimulatedProcess } from '../context.js';
import type { Payload } from '../trace.js';
import { DatagramConnection, type DatagramSocket } from './datagram-connection.js';
import type { NetworkHost, SimulatedNetwork } from './network.js';
import { systemError } from './stream-connection.js';
import { isOwnHost, listenError, outsideError, ownPlace } from './streams.js';

/** Bytes; see udp.maxDatagramBytes. */
const LARGEST_DATAGRAM = 65_507;
/** The first datagram of a client, as on UDP. It is not a message. */
const CONNECT_PING = Buffer.from('connect-ping');

const payloadOf = (datagram: Buffer): Payload => ({
  written: datagram,
  start: 0,
  end: datagram.length,
});

interface Place {
  readonly process: SimulatedProcess;
  readonly network: SimulatedNetwork;
  readonly host: NetworkHost;
}

abstract class Socket implements DatagramSocket {
  readonly process: SimulatedProcess;
  readonly resource: AsyncResource;
  readonly maxDatagramBytes: number;
  protected readonly network: SimulatedNetwork;
  protected readonly host: NetworkHost;
  port = 0;

  constructor({ process, network, host }: Place, maxDatagramBytes = LARGEST_DATAGRAM) {
    this.process = process;
    this.network = network;
    this.host = host;
    this.maxDatagramBytes = maxDatagramBytes;
    this.resource = process.resource('SIMDATAGRAMS');
  }

  get address(): string {
    return `simudp://${this.host.name}:${this.port}`;
  }

  /** Returns false if the port is in use. */
  open(port: number): boolean {
    const opened = this.network.openPort(this.host, 'simudp', port, this);
    this.port = opened ?? 0;
    return opened !== undefined;
  }

  protected closePort(): void {
    this.network.closePort(this.host, 'simudp', this.port, this);
  }

  /** A datagram arrives, in the process of this socket. `from`: as `host:port`. */
  abstract receive(datagram: Buffer, from: string): void;
  abstract remove(peer: DatagramConnection): void;

  send(peer: DatagramConnection, datagram: Buffer): void {
    if (this.process.isDead) return;
    const { world } = this.network;
    const [, host = '', port = ''] = /^simudp:\/\/(.*):(\d+)$/.exec(peer.remoteAddress) ?? [];
    const label = `${this.host.name}:${this.port} ~> ${host}:${port}`;
    const link = this.network.link(this.host.name, host);
    const arrivals = link.datagramArrivals(world.now, datagram.length);
    if (arrivals.length === 0)
      world.trace.addLinkEvent(label, `loses ${datagram.length} bytes`, payloadOf(datagram));
    for (const at of arrivals)
      world.schedule(at - world.now, () => this.#arrive(peer, datagram, { host, port, label }));
  }

  #arrive(
    peer: DatagramConnection,
    datagram: Buffer,
    to: { readonly host: string; readonly port: string; readonly label: string },
  ): void {
    const { network, host } = this;
    const target = network.findHost(to.host);
    if (!target?.isUp || !network.isOpen(host.name, to.host)) return;
    const socket = target.ports.get(`simudp ${to.port}`);
    if (socket instanceof Socket) {
      network.world.trace.addLinkEvent(to.label, `${datagram.length} bytes`, payloadOf(datagram));
      const from = `${host.name}:${this.port}`;
      socket.process.dispatch(() => socket.receive(datagram, from), socket.resource);
      return;
    }
    network.world.trace.addLinkEvent(to.label, 'unreachable');
    if (!network.isOpen(to.host, host.name)) return;
    const delay = Math.round(network.link(to.host, host.name).delay());
    network.world.schedule(delay, () =>
      this.process.dispatch(() => this.unreachable(peer), this.resource),
    );
  }

  /** The system of a peer has no socket at the port. */
  protected unreachable(_peer: DatagramConnection): void {}
}

class ClientSocket extends Socket {
  connection: DatagramConnection | undefined;

  receive(datagram: Buffer, from: string): void {
    if (this.connection?.remoteAddress === `simudp://${from}`) this.connection.arrive(datagram);
  }

  remove(): void {
    this.closePort();
  }

  protected override unreachable(peer: DatagramConnection): void {
    peer.disconnect(systemError('recv', 'ECONNREFUSED'));
  }
}

class ServerSocket extends Socket implements Listener {
  readonly #accept: (connection: Connection) => void;
  readonly #connectPing: boolean;
  readonly #peers = new Map<string, DatagramConnection>();
  #closed: Promise<void> | undefined;
  #onClosed: (() => void) | undefined;

  constructor(
    place: Place,
    options: UdpOptions | undefined,
    accept: (connection: Connection) => void,
  ) {
    super(place, options?.maxDatagramBytes);
    this.#connectPing = options?.connectPing ?? true;
    this.#accept = accept;
  }

  receive(datagram: Buffer, from: string): void {
    let peer = this.#peers.get(from);
    if (peer === undefined) {
      if (this.#closed !== undefined) return;
      peer = this.#add(from);
      this.#accept(peer);
    }
    if (this.#connectPing && datagram.equals(CONNECT_PING)) peer.reportAlive();
    else peer.arrive(datagram);
  }

  #add(from: string): DatagramConnection {
    const peer = new DatagramConnection(this, this.address, `simudp://${from}`, true);
    this.#peers.set(from, peer);
    return peer;
  }

  connectionTo({ scheme, host, port, text }: Address): Connection {
    if (scheme !== 'simudp' || host === '' || port === 0) {
      throw gettyError(
        'BAD_ADDRESS',
        `peer: given ${JSON.stringify(text)}, expected simudp://host:port with a port from 1 to 65535`,
      );
    }
    const known = this.#peers.get(`${host}:${port}`);
    if (known !== undefined) return known;
    if (this.#closed !== undefined)
      throw gettyError('ENDPOINT_CLOSED', `the server at ${this.address} accepts no new peers`);
    const peer = this.#add(`${host}:${port}`);
    this.#accept(peer);
    return peer;
  }

  remove(peer: DatagramConnection): void {
    const key = peer.remoteAddress.replace('simudp://', '');
    if (this.#peers.get(key) === peer) this.#peers.delete(key);
    this.#closeWithoutPeers();
  }

  /** The peers use the socket until they are closed. So the port is free after the last one. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#onClosed = resolve;
    });
    this.#closeWithoutPeers();
    return this.#closed;
  }

  #closeWithoutPeers(): void {
    if (this.#onClosed === undefined || this.#peers.size > 0) return;
    if (!this.process.isDead) this.closePort();
    this.#onClosed();
    this.#onClosed = undefined;
  }
}

export const simudp: Transport = {
  maxSessions: 10_000,

  async listen(address, options, accept) {
    const place = ownPlace(address);
    if (place === undefined) throw outsideError('LISTEN_FAILED', address);
    if (!isOwnHost(address, place.host.name)) throw listenError(address, 'EADDRNOTAVAIL');
    const socket = new ServerSocket(place, options.udp, accept);
    if (!socket.open(address.port)) throw listenError(address, 'EADDRINUSE');
    return socket;
  },

  async dial(address, options) {
    const place = ownPlace(address);
    if (place === undefined) throw outsideError('CONNECT_FAILED', address);
    const host = address.host === '' ? place.host.name : address.host;
    if (place.network.findHost(host) === undefined) {
      const cause = systemError('getaddrinfo', 'ENOTFOUND');
      throw gettyError(
        'CONNECT_FAILED',
        `cannot connect to ${address.text}: ${cause.message}`,
        cause,
      );
    }
    const socket = new ClientSocket(place, options.udp?.maxDatagramBytes);
    socket.open(0);
    const connection = new DatagramConnection(
      socket,
      socket.address,
      `simudp://${host}:${address.port}`,
      false,
    );
    socket.connection = connection;
    if (options.udp?.connectPing ?? true) socket.send(connection, CONNECT_PING);
    return connection;
  },
};
