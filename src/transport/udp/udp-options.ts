/** The defaults and the checks of the option `udp`. */
import { isIP, isIPv4 } from 'node:net';
import { badOption, type Ranges, withDefaults } from '../../core/options.js';
import { SERVER_SOCKET_DEFAULTS } from '../socket-options.js';
import type { ServerSocketSettings, SocketSettings, UdpOptions } from '../types.js';

/**
 * Bytes. An IPv4 packet has at most 65,535 bytes, of which 28 are the headers of IP and UDP.
 */
const LARGEST_DATAGRAM = 65_507;

/** Sizes in bytes. */
export const UDP_DEFAULTS: Required<UdpOptions> = {
  maxDatagramBytes: LARGEST_DATAGRAM,
  amplification: 1,
  connectPing: true,
  broadcast: false,
  multicast: [],
  multicastInterface: '',
  multicastTtl: 1,
  multicastLoopback: true,
};

export type ResolvedUdpOptions = Required<UdpOptions> & ServerSocketSettings;

const RANGES: Ranges<Required<UdpOptions>> = {
  maxDatagramBytes: [1, LARGEST_DATAGRAM, 'integer'],
  amplification: [0, Number.POSITIVE_INFINITY],
  multicastTtl: [0, 255, 'integer'],
};

/** `given` with the defaults for the rest, and the options of the socket. Throws BAD_OPTION. */
export function resolveUdpOptions(
  given: UdpOptions | undefined,
  socket: SocketSettings | undefined,
): ResolvedUdpOptions {
  const options = withDefaults(UDP_DEFAULTS, given, RANGES, 'udp');
  const { multicast, multicastInterface } = options;
  if (!Array.isArray(multicast) || !multicast.every(isMulticast)) {
    throw badOption(
      'udp.multicast',
      multicast,
      'a list of multicast addresses, such as 239.1.2.3 or ff02::1234',
    );
  }
  if (multicastInterface !== '' && isIP(multicastInterface) === 0) {
    throw badOption(
      'udp.multicastInterface',
      multicastInterface,
      'the IPv4 address of an interface, or ::%eth0 for IPv6',
    );
  }
  return { ...options, ...SERVER_SOCKET_DEFAULTS, ...socket };
}

function isMulticast(ip: unknown): boolean {
  if (typeof ip !== 'string' || isIP(ip) === 0) return false;
  const firstByte = Number.parseInt(ip, 10);
  return isIPv4(ip) ? firstByte >= 224 && firstByte <= 239 : /^ff/i.test(ip);
}
