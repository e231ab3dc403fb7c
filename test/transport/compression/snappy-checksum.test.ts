import { describe, expect, it } from 'vitest';
import { crc32c, maskedChecksum } from '../../../src/transport/compression/snappy-checksum.js';
import { hex } from './snappy-chunks.js';

describe('crc32c', () => {
  const ascending = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  it.each([
    // RFC 3720, section B.4.
    ['32 bytes of 0', Buffer.alloc(32), 0x8a9136aa],
    ['32 bytes of 255', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['32 ascending bytes', ascending, 0x46dd794e],
    ['32 descending bytes', Buffer.from(ascending).reverse(), 0x113fdb5c],
    [
      'an iSCSI read command',
      hex(
        '01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000',
      ),
      0xd9963a56,
    ],
    ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
    ['no bytes', Buffer.alloc(0), 0],
  ])('is the CRC-32C of %s', (_, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc);
  });
});

describe('maskedChecksum', () => {
  it('is the rotated CRC plus the constant of the format', () => {
    expect(maskedChecksum(Buffer.from('123456789'))).toBe(0xc78ab0e5);
    expect(maskedChecksum(Buffer.alloc(0))).toBe(0xa282ead8);
  });
});
