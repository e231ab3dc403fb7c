/** The address at which others reach a provider, and the default id of its entries. */
import { hostname, networkInterfaces } from 'node:os';
import { badOption } from '../core/options.js';
import { redactUrl } from '../core/redact.js';
import { type Address, ALL_SCHEMES, parseAddress } from '../transport/address.js';

/** A host, or host:port. */
const ADVERTISED = /^(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s:/[\]@?#]+)(:\d+)?$/;
/** Up to the path: the scheme, the user information, the host, the port. */
const PARTS = /^([a-z]+:\/\/)([^/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(:\d+)?/;

/** How well an address of an interface serves other machines; 0 is best, undefined: not at all. */
function rankOf(address: string, family: string): number | undefined {
  if (family === 'IPv4') return address.startsWith('169.254.') ? 2 : 0;
  // A link-local address of IPv6 needs a zone, which has a meaning on this machine alone.
  return /^fe[89ab]/i.test(address) ? undefined : 1;
}

/**
 * The address of this machine that others can best reach: IPv4 before IPv6, link-local ones last.
 * `canIPv6`: the listener takes IPv6.
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
      const rank = rankOf(address, family);
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { rank, host };
    }
  }
  return best?.host ?? loopback ?? '127.0.0.1';
}

/**
 * Where a provider listens by default: a free port of all interfaces, those of IPv6 where the
 * machine has no address of IPv4 for others.
 */
export function defaultAddress(): string {
  return ownHost(true).startsWith('[') ? 'tcp://[::]:0' : 'tcp://0.0.0.0:0';
}

function parse(listening: string): Address {
  return parseAddress(listening, ALL_SCHEMES);
}

/**
 * The address for others: `listening` with the host, or host and port, of `advertise`. Its path
 * stays. Throws BAD_OPTION.
 */
export function advertisedAddress(listening: string, advertise: string | undefined): string {
  const { scheme, host } = parse(listening);
  const hasHost = scheme !== 'unix' && scheme !== 'memory';
  if (advertise !== undefined) {
    if (!hasHost)
      throw badOption('advertise', redactUrl(advertise), `nothing: ${scheme}:// has no host`);
    const [, given, port] = ADVERTISED.exec(advertise) ?? [];
    if (given === undefined)
      throw badOption('advertise', redactUrl(advertise), 'a host, or host:port');
    return listening.replace(
      PARTS,
      (_, start, user = '', _host, own = '') => `${start}${user}${given}${port ?? own}`,
    );
  }
  const everywhere = hasHost && (host === '' || host === '0.0.0.0' || host === '::');
  if (!everywhere) return listening;
  return listening.replace(
    PARTS,
    (_, start, user = '', _host, port = '') =>
      `${start}${user}${ownHost(host !== '0.0.0.0')}${port}`,
  );
}

/**
 * `host:port` and the path of an address, as it can stand in the path of an entry; of a Unix socket
 * the machine's name and the path.
 */
export function defaultId(advertised: string): string {
  const { scheme, path } = parse(advertised);
  if (scheme === 'unix') return `${hostname()}:${encodeURIComponent(path)}`;
  const [start = ''] = PARTS.exec(advertised) ?? [];
  const hostAndPort = start.replace(/^[a-z]+:\/\//, '').replace(/^.*@/, '');
  return path.length > 1 ? `${hostAndPort}${encodeURIComponent(path)}` : hostAndPort;
}
