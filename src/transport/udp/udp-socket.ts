/** Makes UDP sockets: bound for a server, connected for a client. */
import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import dns from 'node:dns';
import { isIP } from 'node:net';
import { messageOf } from '../../core/errors.js';
import { type ResolvedUdpOptions, UDP_DEFAULTS } from './udp-options.js';

/** An IP address and its family, 4 or 6. */
export interface Host {
  readonly ip: string;
  readonly family: number;
}

/** All addresses of a name, in the order of the system. Rejects if there is none. */
export function resolveHosts(name: string): Promise<readonly Host[]> {
  const family = isIP(name);
  if (family > 0) return Promise.resolve([{ ip: name, family }]);
  return new Promise((resolve, reject) => {
    dns.lookup(name, { all: true }, (error, found) => {
      if (error === null) resolve(found.map(({ address, family }) => ({ ip: address, family })));
      else reject(error);
    });
  });
}

/**
 * Names are resolved before there is a socket. Node.js would call dns.lookup() for each datagram,
 * whose callback comes by process.nextTick() even for an IP address.
 */
const noLookup = (
  ip: string,
  family: unknown,
  done: (error: null, ip: string, family: unknown) => void,
): void => done(null, ip, family);

function makeSocket({ family }: Host, { ipv6Only, reusePort }: ResolvedUdpOptions): Socket {
  // The types of Node.js 20 do not have reusePort.
  const options: SocketOptions & { reusePort: boolean } = {
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: noLookup as never,
    ipv6Only,
    reusePort,
  };
  return createSocket(options);
}

/**
 * Settles when `start` calls its callback. Rejects with the error of the callback or of the socket.
 */
function untilReady(socket: Socket, start: (done: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    start((error) => {
      socket.off('error', reject);
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

/** Sets the options of a bound socket. */
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
      throw new Error(`cannot join the multicast group ${group}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** A socket for `host` after `prepare`. The socket is closed if `prepare` rejects. */
async function openSocket(
  host: Host,
  options: ResolvedUdpOptions,
  prepare: (socket: Socket) => Promise<void>,
): Promise<Socket> {
  const socket = makeSocket(host, options);
  try {
    await prepare(socket);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** A socket that is bound to `host`. */
export function bindSocket(host: Host, port: number, options: ResolvedUdpOptions): Promise<Socket> {
  return openSocket(host, options, async (socket) => {
    await untilReady(socket, (done) => socket.bind({ port, address: host.ip }, done));
    configure(socket, options);
  });
}

/**
 * A socket that is bound to all interfaces: of IPv6, which receives IPv4 too, or of IPv4 if the
 * system has no IPv6. With ipv6Only of IPv6.
 */
export async function bindToAllInterfaces(
  port: number,
  options: ResolvedUdpOptions,
): Promise<Socket> {
  try {
    return await bindSocket({ ip: '::', family: 6 }, port, options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (options.ipv6Only) throw error;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL' && code !== 'EINVAL') throw error;
    return bindSocket({ ip: '0.0.0.0', family: 4 }, port, options);
  }
}

/** A socket that is connected to `host`. */
export function connectSocket(
  host: Host,
  port: number,
  options: ResolvedUdpOptions,
): Promise<Socket> {
  return openSocket(host, options, async (socket) => {
    // Some options must be set before the socket is connected, and only a bound socket has options.
    await untilReady(socket, (done) => socket.bind({ port: 0, exclusive: true }, done));
    configure(socket, options);
    await untilReady(socket, (done) => socket.connect(port, host.ip, done));
  });
}
