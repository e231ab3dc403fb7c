/**
 * The header of the PROXY protocol, versions 1 (text) and 2 (binary), as a function of bytes.
 * Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 */
import { isIPv4, isIPv6 } from 'node:net';
import { crc32c } from '../compression/snappy-checksum.js';
import { canonicalIp, type HostAddress } from './ip-address.js';

/** Bytes of the longest header of version 1, with its line end (section 2.1). */
const MAX_TEXT_BYTES = 107;
/** Bytes of the longest header of version 2 that is read. The format permits 65,551. */
export const MAX_PROXY_HEADER_BYTES = 16 * 1024;

const TEXT_BEGIN = Buffer.from('PROXY ');
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** Bytes of version 2 before the addresses: signature, version and command, family, length. */
const FIXED_BYTES = 16;

/** Bytes of both addresses and ports, by the address family of version 2. */
const ADDRESS_BYTES = [0, 12, 36, 216] as const;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const TLV_CRC32C = 3;

export interface ProxyHeader {
  /** Bytes of the header. Those after it belong to the protocol of the connection. */
  readonly length: number;
  /**
   * Undefined: the proxy itself is the client, for example in a health check, or the header has no
   * IP address.
   */
  readonly client: HostAddress | undefined;
}

/**
 * Reads the header at the front of `bytes`. Returns the number of bytes that it needs if there are
 * fewer. Throws an Error for any other bytes.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | number {
  if (bytes.length === 0) return 1;
  if (beginsWith(bytes, SIGNATURE))
    return bytes.length < FIXED_BYTES ? FIXED_BYTES : readBinary(bytes);
  if (beginsWith(bytes, TEXT_BEGIN)) return readText(bytes);
  throw new Error('the connection does not begin with a header of the PROXY protocol');
}

/** Whether `bytes` begin with `start`, or are its first bytes. */
function beginsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readText(bytes: Buffer): ProxyHeader | number {
  const end = bytes.subarray(0, MAX_TEXT_BYTES).indexOf('\r\n');
  if (end < 0) {
    if (bytes.length >= MAX_TEXT_BYTES)
      throw new Error(`the PROXY line is longer than ${MAX_TEXT_BYTES} bytes`);
    return bytes.length + 1;
  }
  const length = end + 2;
  const line = bytes.toString('latin1', TEXT_BEGIN.length, end);
  if (/^UNKNOWN(?: |$)/.test(line)) return { length, client: undefined };
  const [protocol, source = '', destination = '', ...ports] = line.split(' ');
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : undefined;
  if (isAddress === undefined || !isAddress(source) || !isAddress(destination))
    throw new Error('the PROXY line has no addresses of its protocol');
  const host = canonicalIp(source);
  const [sourcePort = -1, destinationPort = -1, ...more] = ports.map(portOf);
  if (host === undefined || sourcePort < 0 || destinationPort < 0 || more.length > 0)
    throw new Error('the PROXY line has no valid ports');
  return { length, client: { host, port: sourcePort } };
}

/** -1: not a port without leading zeros. */
function portOf(text: string): number {
  const port = /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : -1;
  return port > 65535 ? -1 : port;
}

function readBinary(bytes: Buffer): ProxyHeader | number {
  const version = (bytes[12] as number) >> 4;
  const command = (bytes[12] as number) & 15;
  const family = (bytes[13] as number) >> 4;
  const addressBytes = ADDRESS_BYTES[family];
  const length = FIXED_BYTES + bytes.readUInt16BE(14);
  if (version !== 2 || (command !== COMMAND_LOCAL && command !== COMMAND_PROXY))
    throw new Error('the PROXY header has an unknown version or command');
  if (length > MAX_PROXY_HEADER_BYTES)
    throw new Error(`the PROXY header is longer than ${MAX_PROXY_HEADER_BYTES} bytes`);
  if (bytes.length < length) return length;
  // The receiver must ignore the rest (section 2.2).
  if (command === COMMAND_LOCAL) return { length, client: undefined };
  if (addressBytes === undefined || ((bytes[13] as number) & 15) > 2)
    throw new Error('the PROXY header has an unknown address family or protocol');
  const extensions = FIXED_BYTES + addressBytes;
  if (length < extensions) throw new Error('the PROXY header is too short for its addresses');
  checkExtensions(bytes.subarray(0, length), extensions);
  return { length, client: clientOf(bytes, family) };
}

/** The source address of the families AF_INET and AF_INET6. */
function clientOf(bytes: Buffer, family: number): HostAddress | undefined {
  const at = FIXED_BYTES;
  if (family === 1)
    return { host: bytes.subarray(at, at + 4).join('.'), port: bytes.readUInt16BE(at + 8) };
  if (family !== 2) return undefined;
  const hex = bytes.toString('hex', at, at + 16);
  const host = canonicalIp((hex.match(/.{4}/g) as string[]).join(':')) as string;
  return { host, port: bytes.readUInt16BE(at + 32) };
}

/** Checks the lengths of the extensions (TLV), and the checksum if there is one. Throws. */
function checkExtensions(header: Buffer, begin: number): void {
  let hasChecksum = false;
  for (let at = begin; at < header.length; ) {
    const value = at + 3;
    const end = value <= header.length ? value + header.readUInt16BE(at + 1) : value;
    if (end > header.length) throw new Error('an extension of the PROXY header is incomplete');
    if (header[at] === TLV_CRC32C) {
      // Each takes the time of the whole header.
      if (hasChecksum) throw new Error('the PROXY header has two checksums');
      hasChecksum = true;
      if (!isChecksumValid(header, value, end))
        throw new Error('the checksum of the PROXY header is wrong');
    }
    at = end;
  }
}

/** The checksum is that of the header with zeros in its place. */
function isChecksumValid(header: Buffer, begin: number, end: number): boolean {
  if (end - begin !== 4) return false;
  const copy = Buffer.from(header).fill(0, begin, end);
  return crc32c(copy) === header.readUInt32BE(begin);
}
