/** The defaults of UDP, and the check of what a user gives. */
import { type Ranges, withDefaults } from '../core/options.js';
import type { UdpOptions } from './types.js';

/** The most that fits in a packet of IPv4. */
const LARGEST_DATAGRAM = 65_507;

/** Bytes. */
export const UDP_DEFAULTS: Required<UdpOptions> = {
  maxDatagramBytes: LARGEST_DATAGRAM,
  amplification: 1,
  connectPing: true,
  receiveBufferBytes: 0,
  sendBufferBytes: 0,
};

export type ResolvedUdpOptions = Required<UdpOptions>;

const RANGES: Ranges<ResolvedUdpOptions> = {
  maxDatagramBytes: [1, LARGEST_DATAGRAM],
  amplification: [0, Number.POSITIVE_INFINITY],
  receiveBufferBytes: [0, 2 ** 30],
  sendBufferBytes: [0, 2 ** 30],
};

/** Throws BAD_OPTION. */
export function resolveUdp(given: UdpOptions | undefined): ResolvedUdpOptions {
  return withDefaults(UDP_DEFAULTS, given, RANGES);
}
