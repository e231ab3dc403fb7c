/**
 * UDP. A peer is an address and a port, and its datagrams are messages of one session. What UDP
 * does not have, nothing here invents: datagrams may be lost, doubled or out of order, and nobody
 * is told of an end.
 *
 * Who sent a datagram is not known: the sender's address on it can be forged. So a server sends a
 * peer that is not trusted no more than came from its address (`udp.amplification`), and is no use
 * for flooding a third party. Further datagrams prove nothing, for a forger can send many: only the
 * protocol above can find out who a peer is, for instance by a secret that the peer must repeat,
 * and then says trust(). The limit does not keep a forger from speaking in a peer's name, nor from
 * taking places of `maxSessions` until they are idle; a protocol that cares proves each message.
 *
 * A session whose datagram the system refuses to send (no route, not permitted, nobody at the port)
 * is lost with CONNECTION_LOST, and a client connects again, as it does with other transports.
 * Mostly a peer that is gone shows by its silence alone: give clients an idleTimeout.
 */

import { createSocket, type Socket } from 'node:dgram';
import dns from 'node:dns';
import { type AddressInfo, isIP } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { untilAborted } from '../../core/signals.js';
import { type Address, formatAddress } from '../address.js';
import type { Transport } from '../types.js';
import { UdpConnection } from './udp-connection.js';
import { type ResolvedUdpOptions, resolveUdp, UDP_DEFAULTS } from './udp-options.js';
import { CONNECT_PING, UdpListener } from './udp-server.js';

interface Host {
  readonly ip: string;
  readonly family: number;
}

/**
 * Names are resolved once, before there is a socket; Node would ask for each datagram otherwise,
 * and wait a tick even for an IP address.
 */
const asGiven = (
  ip: string,
  family: unknown,
  done: (error: null, ip: string, family: unknown) => void,
): void => done(null, ip, family);

function makeSocket({ family }: Host): Socket {
  return createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: asGiven as never });
}

/** Every address of a name, in the order of the system; rejects when there is none. */
function resolveHosts(host: string): Promise<readonly Host[]> {
  const family = isIP(host);
  if (family > 0) return Promise.resolve([{ ip: host, family }]);
  return new Promise((resolve, reject) => {
    dns.lookup(host, { all: true }, (error, found) => {
      if (error === null) resolve(found.map(({ address, family }) => ({ ip: address, family })));
      else reject(error);
    });
  });
}

/** Settles when `begin` calls back, and rejects with the error that it or the socket tells. */
function ready(socket: Socket, begin: (done: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    begin((error) => {
      socket.off('error', reject);
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

/** Of a bound socket. */
function configure(socket: Socket, options: ResolvedUdpOptions): void {
  const {
    receiveBufferBytes,
    sendBufferBytes,
    broadcast,
    multicast,
    multicastInterface,
    multicastTtl,
    multicastLoopback,
  } = options;
  if (receiveBufferBytes > 0) socket.setRecvBufferSize(receiveBufferBytes);
  if (sendBufferBytes > 0) socket.setSendBufferSize(sendBufferBytes);
  if (broadcast) socket.setBroadcast(true);
  if (multicastInterface !== '') socket.setMulticastInterface(multicastInterface);
  if (multicastTtl !== UDP_DEFAULTS.multicastTtl) socket.setMulticastTTL(multicastTtl);
  if (!multicastLoopback) socket.setMulticastLoopback(false);
  for (const group of multicast) {
    try {
      socket.addMembership(group, multicastInterface || undefined);
    } catch (error) {
      throw new Error(`the multicast group ${group} cannot be joined: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

async function bound(host: Host, port: number, options: ResolvedUdpOptions): Promise<Socket> {
  const socket = makeSocket(host);
  try {
    await ready(socket, (done) => socket.bind({ port, address: host.ip }, done));
    configure(socket, options);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** All interfaces: IPv6, whose sockets hear IPv4 too, or IPv4 where there is no IPv6. */
async function boundToAll(port: number, options: ResolvedUdpOptions): Promise<Socket> {
  try {
    return await bound({ ip: '::', family: 6 }, port, options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL' && code !== 'EINVAL') throw error;
    return bound({ ip: '0.0.0.0', family: 4 }, port, options);
  }
}

const textOf = ({ address, port }: AddressInfo): string => formatAddress('udp', address, port);

/**
 * The address of a name that a client's last session was lost with: the next attempt begins with
 * the address after it. A datagram socket connects to an address where no server is, so an attempt
 * itself cannot try the next one.
 */
const lostWith = new WeakMap<Address, string>();

/**
 * The client's side: a socket of its own, connected, so that the system drops what others send and
 * tells when no server is there.
 */
class UdpClientConnection extends UdpConnection {
  readonly #socket: Socket;
  readonly #target: Address;
  readonly #ip: string;
  /** The server has sent something. */
  #answered = false;

  constructor(
    socket: Socket,
    target: Address,
    { maxDatagramBytes, connectPing }: ResolvedUdpOptions,
  ) {
    const remote = socket.remoteAddress();
    super(
      socket,
      { localAddress: textOf(socket.address()), remoteAddress: textOf(remote) },
      maxDatagramBytes,
    );
    this.#socket = socket;
    this.#target = target;
    this.#ip = remote.address;
    socket.on('message', (datagram) => {
      this.#answered = true;
      this.deliver(datagram);
    });
    socket.on('error', (error) => this.lose(error));
    if (connectPing) {
      socket.send(CONNECT_PING, (error) => {
        if (error !== null) this.lose(error);
      });
    }
  }

  protected override lose(cause: Error): void {
    this.#answered = false;
    super.lose(cause);
  }

  protected override transmit(
    datagram: Uint8Array,
    sent: ((error: Error | null) => void) | undefined,
  ): void {
    this.#socket.send(datagram, sent);
  }

  protected override release(): void {
    if (!this.#answered) lostWith.set(this.#target, this.#ip);
    this.#socket.close();
  }
}

export const udp: Transport = {
  maxSessions: 10_000,

  async listen(address, options, accept) {
    const settings = resolveUdp(options.udp);
    try {
      const socket = await (address.host === ''
        ? boundToAll(address.port, settings)
        : bound((await resolveHosts(address.host))[0] as Host, address.port, settings));
      return new UdpListener(socket, address, settings, options.admission, accept);
    } catch (error) {
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${address.text}: ${messageOf(error)}`,
        error,
      );
    }
  },

  async dial(address, options, signal) {
    const settings = resolveUdp(options.udp);
    if (settings.multicast.length > 0)
      throw badOption(
        'udp.multicast',
        settings.multicast,
        'none for a client: only a server can join groups',
      );
    let failure: unknown;
    try {
      const hosts = await untilAborted(resolveHosts(address.host || 'localhost'), signal);
      const first = hosts.findIndex(({ ip }) => ip === lostWith.get(address)) + 1;
      for (const host of [...hosts.slice(first), ...hosts.slice(0, first)]) {
        try {
          return new UdpClientConnection(
            await connected(host, address.port, settings),
            address,
            settings,
          );
        } catch (error) {
          // Without IPv6 on this machine, for instance, the system has no route to one of the
          // addresses.
          failure = error;
        }
      }
    } catch (error) {
      failure = error;
    }
    throw gettyError(
      'CONNECT_FAILED',
      `cannot connect to ${address.text}: ${messageOf(failure)}`,
      failure,
    );
  },
};

/** Bound first: some options must be set before the socket is connected. */
async function connected(host: Host, port: number, options: ResolvedUdpOptions): Promise<Socket> {
  const socket = makeSocket(host);
  try {
    await ready(socket, (done) => socket.bind({ port: 0, exclusive: true }, done));
    configure(socket, options);
    await ready(socket, (done) => socket.connect(port, host.ip, done));
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
