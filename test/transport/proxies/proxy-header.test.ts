/** The header of the PROXY protocol as bytes. */
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/transport/compression/snappy-checksum.js';
import {
  MAX_PROXY_HEADER_BYTES,
  readProxyHeader,
} from '../../../src/transport/proxies/proxy-header.js';
import {
  binaryHeader,
  checkedHeader,
  extension,
  ipv4Pair,
  ipv6Pair,
  textHeader,
} from '../../fixtures/proxy-headers.js';
import { thrown } from '../../fixtures/transports.js';

const CLIENT = { host: '203.0.113.7', port: 50_100 };
const line = (text: string): Buffer => Buffer.from(`${text}\r\n`);

describe('a header names its client', () => {
  it.each<[string, Buffer, unknown]>([
    ['version 1, IPv4', textHeader(), CLIENT],
    ['version 1, IPv6', textHeader('2001:DB8:0:0::7', 0), { host: '2001:db8::7', port: 0 }],
    ['version 1, an IPv4 address in IPv6', textHeader('::ffff:203.0.113.7'), CLIENT],
    ['version 1, UNKNOWN', line('PROXY UNKNOWN'), undefined],
    ['version 1, UNKNOWN with anything', line('PROXY UNKNOWN ffff:f x 1 2 3'), undefined],
    ['version 2, IPv4', binaryHeader(), CLIENT],
    ['version 2, IPv4 over UDP', binaryHeader({ family: 0x12 }), CLIENT],
    [
      'version 2, IPv6',
      binaryHeader({ family: 0x21, rest: ipv6Pair('20010db8000000000000000000000007') }),
      { host: '2001:db8::7', port: 50_100 },
    ],
    [
      'version 2, an IPv4 address in IPv6',
      binaryHeader({ family: 0x21, rest: ipv6Pair('00000000000000000000ffffcb007107') }),
      CLIENT,
    ],
    [
      'version 2, a Unix socket',
      binaryHeader({ family: 0x31, rest: Buffer.alloc(216) }),
      undefined,
    ],
    ['version 2, no address', binaryHeader({ family: 0, rest: Buffer.alloc(0) }), undefined],
    ['version 2, LOCAL', binaryHeader({ command: 0, family: 0x11 }), undefined],
    [
      'version 2, LOCAL with other bytes',
      binaryHeader({ command: 0, family: 0xff, rest: Buffer.alloc(9, 0xff) }),
      undefined,
    ],
    [
      'version 2 with extensions',
      binaryHeader({ rest: Buffer.concat([ipv4Pair(), extension(1, Buffer.from('h2'))]) }),
      CLIENT,
    ],
    ['version 2 with a checksum', checkedHeader(), CLIENT],
  ])('%s', (_, header, client) => {
    expect(readProxyHeader(header)).toEqual({ length: header.length, client });
    const more = Buffer.concat([header, Buffer.from('PROXY TCP4 and more\r\n')]);
    expect(readProxyHeader(more)).toEqual({ length: header.length, client });
    for (let length = 0; length < header.length; length++) {
      const needed = readProxyHeader(header.subarray(0, length));
      expect(needed).toBeGreaterThan(length);
      expect(needed).toBeLessThanOrEqual(header.length);
    }
  });
});

describe('other bytes are an error', () => {
  it.each<[string, Buffer]>([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a TLS record', Buffer.from([0x16, 3, 1])],
    ['lower case', Buffer.from('proxy TCP4 ')],
    ['another signature', Buffer.from('0d0a0d0a000d0a515549550a', 'hex')],
    ['a line that is too long', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`)],
    ['an unknown protocol', line('PROXY UDP4 203.0.113.7 192.0.2.1 1 2')],
    ['a name in the place of an address', line('PROXY TCP4 localhost 192.0.2.1 1 2')],
    ['an address of another family', line('PROXY TCP4 2001:db8::7 192.0.2.1 1 2')],
    ['leading zeros of an address', line('PROXY TCP4 203.0.113.07 192.0.2.1 1 2')],
    ['an address with a zone', line('PROXY TCP6 fe80::1%lo fe80::2 1 2')],
    ['leading zeros of a port', line('PROXY TCP4 203.0.113.7 192.0.2.1 01 2')],
    ['a port out of range', line('PROXY TCP4 203.0.113.7 192.0.2.1 65536 2')],
    ['a missing port', line('PROXY TCP4 203.0.113.7 192.0.2.1 1')],
    ['another field', line('PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3')],
    ['two spaces', line('PROXY TCP4  203.0.113.7 192.0.2.1 1 2')],
    ['a line feed alone within', line('PROXY TCP4 203.0.113.7 192.0.2.1 1 2\nx')],
    ['version 3', binaryHeader({ version: 3 })],
    ['an unknown command', binaryHeader({ command: 2 })],
    ['an unknown family', binaryHeader({ family: 0x41 })],
    ['an unknown protocol of version 2', binaryHeader({ family: 0x13 })],
    ['too few bytes for the addresses', binaryHeader({ rest: Buffer.alloc(11) })],
    [
      'an incomplete extension',
      binaryHeader({ rest: Buffer.concat([ipv4Pair(), Buffer.of(1, 0)]) }),
    ],
    [
      'an extension that is too short',
      binaryHeader({ rest: Buffer.concat([ipv4Pair(), Buffer.of(1, 0, 2, 0)]) }),
    ],
    ['a wrong checksum', checkedHeader(1)],
    [
      'a checksum of another length',
      binaryHeader({ rest: Buffer.concat([ipv4Pair(), extension(3, Buffer.alloc(5))]) }),
    ],
  ])('%s', (_, bytes) => {
    expect(thrown(() => readProxyHeader(bytes)).message).toMatch(/PROXY/);
  });

  it('refuses a second checksum, also if both are right', () => {
    // With a checksum of 0 in its place, the checksum of the header is a right one for both.
    const valid = checkedHeader();
    const both = Buffer.concat([valid, extension(3, Buffer.alloc(4))]);
    both.writeUInt16BE(both.length - 16, 14);
    both.fill(0, valid.length - 4, valid.length);
    both.writeUInt32BE(crc32c(both), valid.length - 4);
    expect(thrown(() => readProxyHeader(both)).message).toContain('two checksums');
  });

  it('refuses a length above the limit before its bytes arrive', () => {
    const header = binaryHeader({ length: MAX_PROXY_HEADER_BYTES });
    expect(thrown(() => readProxyHeader(header.subarray(0, 16))).message).toContain('longer than');
    const longest = binaryHeader({ length: MAX_PROXY_HEADER_BYTES - 16 });
    expect(readProxyHeader(longest)).toBe(MAX_PROXY_HEADER_BYTES);
  });

  it('refuses a line without an end as soon as it is too long', () => {
    const endless = Buffer.from(`PROXY TCP4 ${'1'.repeat(1_000)}`);
    expect(readProxyHeader(endless.subarray(0, 106))).toBe(107);
    expect(thrown(() => readProxyHeader(endless.subarray(0, 107))).message).toContain('107 bytes');
  });
});
