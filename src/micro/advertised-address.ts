/** The address at which consumers reach a provider, and the default id of its nodes. */
import { hostname, networkInterfaces } from 'node:os';
import { badOption, checkNumber } from '../core/options.js';
import { redactUrl } from '../core/redact.js';
import { type Address, ALL_SCHEMES, parseAddress } from '../transport/address.js';

/** The schemes whose host is not an IP address or a DNS name, and cannot be replaced by one. */
const SCHEMES_WITHOUT_IP_HOST: readonly string[] = ['unix', 'memory'];
/** A host, or host:port. */
const HOST_AND_PORT = /^(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s:/[\]@?#]+)(:\d+)?$/;
/** The parts of an address before its path: `scheme://`, user information, host, port. */
const BEFORE_PATH = /^([a-z]+:\/\/)([^/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(:\d+)?/;

/** How well other machines can reach the address: 0 is best; undefined: not at all. */
function reachabilityRank(address: string, family: string): number | undefined {
  if (family === 'IPv4') return address.startsWith('169.254.') ? 2 : 0;
  // A link-local IPv6 address needs a zone, which has a meaning on this machine only.
  return /^fe[89ab]/i.test(address) ? undefined : 1;
}

/**
 * The address of this machine that others can best reach: IPv4, then IPv6, then link-local IPv4; a
 * loopback address if there is none of these. Link-local IPv6 is never used. `canIPv6`: the
 * listener accepts IPv6.
 */
function ownHost(canIPv6: boolean): string {
  let best: { readonly rank: number; readonly host: string } | undefined;
  let loopback: string | undefined;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === 'IPv6' && !canIPv6) continue;
      const host = family === 'IPv6' ? `[${address}]` : address;
      if (internal) {
        if (loopback === undefined || family === 'IPv4') loopback = host;
        continue;
      }
      const rank = reachabilityRank(address, family);
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { rank, host };
    }
  }
  return best?.host ?? loopback ?? '127.0.0.1';
}

/**
 * Where a provider listens by default: at a free port of all interfaces, with IPv4. If other
 * machines can reach this one by IPv6 only, with IPv6 and IPv4.
 */
export function defaultAddress(): string {
  return ownHost(true).startsWith('[') ? 'tcp://[::]:0' : 'tcp://0.0.0.0:0';
}

function parse(address: string): Address {
  return parseAddress(address, ALL_SCHEMES);
}

/**
 * The address for consumers: that of the listener, with the host, or host and port, of `advertise`.
 * The path stays. Throws BAD_OPTION.
 */
export function advertisedAddress(listening: string, advertise: string | undefined): string {
  const { scheme, host } = parse(listening);
  const hasIpHost = !SCHEMES_WITHOUT_IP_HOST.includes(scheme);
  if (advertise !== undefined) {
    if (typeof advertise !== 'string')
      throw badOption('advertise', advertise, 'a host, or host:port');
    if (!hasIpHost)
      throw badOption(
        'advertise',
        redactUrl(advertise),
        `nothing: the host of ${scheme}:// cannot be replaced`,
      );
    const [, givenHost, givenPort] = HOST_AND_PORT.exec(advertise) ?? [];
    if (givenHost === undefined)
      throw badOption('advertise', redactUrl(advertise), 'a host, or host:port');
    if (givenPort !== undefined)
      checkNumber('port of advertise', Number(givenPort.slice(1)), 1, 65535);
    return listening.replace(
      BEFORE_PATH,
      (_, prefix, user = '', _host, port = '') =>
        `${prefix}${user}${givenHost}${givenPort ?? port}`,
    );
  }
  const isAllInterfaces = hasIpHost && (host === '' || host === '0.0.0.0' || host === '::');
  if (!isAllInterfaces) return listening;
  return listening.replace(
    BEFORE_PATH,
    (_, prefix, user = '', _host, port = '') =>
      `${prefix}${user}${ownHost(host !== '0.0.0.0')}${port}`,
  );
}

/**
 * The `host:port` of an address and its path, percent-encoded: the id must not contain a slash. For
 * a Unix socket the name of this machine and the path.
 */
export function defaultId(advertised: string): string {
  const { scheme, path } = parse(advertised);
  if (scheme === 'unix') return `${hostname()}:${encodeURIComponent(path)}`;
  const [authority = ''] = BEFORE_PATH.exec(advertised) ?? [];
  const hostAndPort = authority.replace(/^[a-z]+:\/\//, '').replace(/^.*@/, '');
  return path.length > 1 ? `${hostAndPort}${encodeURIComponent(path)}` : hostAndPort;
}
