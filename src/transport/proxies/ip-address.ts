/** IP addresses as numbers, for comparisons with ranges. */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** The address of a host, as a header of a proxy has it. */
export interface HostAddress {
  /** An IP address without brackets. */
  readonly host: string;
  /** 0: the header has no port. */
  readonly port: number;
}

export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** The first 96 bits of an IPv6 address that stands for an IPv4 address (RFC 4291, 2.5.5.2). */
const MAPPED_PREFIX = 0xffffn;

/**
 * Parses an IP address without brackets. Its zone is ignored. An IPv6 address that stands for an
 * IPv4 address, such as `::ffff:10.0.0.7`, is that IPv4 address. Undefined: no IP address.
 */
export function parseIp(text: string): IpAddress | undefined {
  if (isIPv4(text)) return { family: 4, value: ipv4Value(text) };
  if (!isIPv6(text)) return undefined;
  const value = ipv6Value(text.replace(/%.*$/, ''));
  return value >> 32n === MAPPED_PREFIX
    ? { family: 4, value: value & 0xffff_ffffn }
    : { family: 6, value };
}

function ipv4Value(text: string): bigint {
  return BigInt(text.split('.').reduce((value, part) => value * 256 + Number(part), 0));
}

function ipv6Value(text: string): bigint {
  const dotted = /[^:]+\.[^:]+$/.exec(text)?.[0];
  const tail = dotted === undefined ? '' : ipv4Value(dotted).toString(16).padStart(8, '0');
  const groups = (
    dotted === undefined ? text : text.replace(dotted, `${tail.slice(0, 4)}:${tail.slice(4)}`)
  )
    .split('::')
    .map((side) => side.split(':').filter((group) => group !== ''));
  const [left = [], right = []] = groups;
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  const hex = [...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join('');
  return BigInt(`0x${hex}`);
}

/**
 * An IP address as the system writes it, so that equal addresses have equal texts. An IPv6 address
 * that stands for an IPv4 address becomes that one. Undefined: no IP address, or one with a zone.
 */
export function canonicalIp(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}
