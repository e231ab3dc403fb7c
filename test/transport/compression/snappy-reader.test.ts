import { compress } from 'snappyjs';
import { describe, expect, it } from 'vitest';
import { chunksOf, STREAM_IDENTIFIER } from '../../../src/transport/compression/snappy-format.js';
import { SnappyReader } from '../../../src/transport/compression/snappy-reader.js';
import { cut, cuts, everySplit } from '../../fixtures/chunks.js';
import { fc } from '../../fixtures/property.js';
import { chunk, compressed, hex, padding, readAll, stream, uncompressed } from './snappy-chunks.js';

describe('SnappyReader', () => {
  it('reads a stream that is split at any place', () => {
    const wire = stream(
      uncompressed(Buffer.from('one ')),
      padding(5),
      compressed(Buffer.alloc(80, 'x')),
      chunk(0x80, Buffer.from('ignored')),
      STREAM_IDENTIFIER,
      chunk(0xfd, Buffer.alloc(0)),
      uncompressed(Buffer.alloc(0)),
      compressed(Buffer.alloc(0)),
      uncompressed(Buffer.from(' two')),
    );
    for (const chunks of everySplit(wire))
      expect(readAll(chunks).toString()).toBe(`one ${'x'.repeat(80)} two`);
  });

  it('reads what chunksOf() writes, split at random places', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }),
      fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.alloc(70_000, byte)),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), cuts, (parts, places) => {
        const wire = stream(
          ...parts.flatMap((bytes) => [...chunksOf(bytes)].map((piece) => Buffer.from(piece))),
        );
        expect(readAll(cut(wire, places)).equals(Buffer.concat(parts))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('rejects random bytes with a plain Error, or waits for more', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.uint8Array({ maxLength: 200 }),
        cuts,
        (hasIdentifier, bytes, places) => {
          const wire = hasIdentifier ? stream(Buffer.from(bytes)) : Buffer.from(bytes);
          try {
            readAll(cut(wire, places));
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect(error).not.toBeInstanceOf(RangeError);
            expect(error).not.toBeInstanceOf(TypeError);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  const data = Buffer.from('data');
  const INVALID: readonly [name: string, wire: Buffer, message: RegExp][] = [
    ['no identifier', uncompressed(data), /does not begin with/],
    ['padding before the identifier', chunk(0xfe, data), /does not begin with/],
    ['text', Buffer.from('GET / HTTP/1.1\r\n'), /does not begin with/],
    ['an identifier with other content', hex('ff060000 734e61507058'), /another stream identifier/],
    [
      'an identifier with another length',
      hex('ff070000 734e6150705900'),
      /type 255 has the invalid length 7$/,
    ],
    [
      'a second identifier with other content',
      stream(hex('ff060000 000000000000')),
      /another stream identifier/,
    ],
    ['a reserved type', stream(chunk(0x02, data)), /unknown type 2/],
    ['the last reserved type', stream(chunk(0x7f, data)), /unknown type 127/],
    ['no checksum', stream(chunk(1, Buffer.alloc(3))), /type 1 has the invalid length 3$/],
    [
      'no checksum of a compressed chunk',
      stream(chunk(0, Buffer.alloc(0))),
      /type 0 has the invalid length 0$/,
    ],
    [
      'a checksum without a block',
      stream(chunk(0, Buffer.alloc(0), Buffer.alloc(0))),
      /announces no size/,
    ],
    [
      'an uncompressed chunk that is too long',
      stream(hex('01 050001')),
      /type 1 has the invalid length 65541$/,
    ],
    [
      'a compressed chunk that is too long',
      stream(hex('00 ffffff')),
      /type 0 has the invalid length 16777215$/,
    ],
    ['a wrong checksum', stream(chunk(1, data, Buffer.from('else'))), /checksum/],
    [
      'a wrong checksum of a compressed chunk',
      stream(chunk(0, compress(data), Buffer.from('else'))),
      /checksum/,
    ],
    [
      'a checksum that is not masked',
      stream(Buffer.concat([hex('01 0d0000 839206e3'), Buffer.from('123456789')])),
      /checksum/,
    ],
    [
      'a block that announces too much',
      stream(chunk(0, hex('818004'), data)),
      /more than 65536 bytes/,
    ],
    [
      'an invalid block',
      stream(chunk(0, hex('0a fcf0ffffff 6162636465666768'), data)),
      /longer than its block/,
    ],
  ];
  it.each(INVALID)('rejects %s, split at any place', (_, wire, message) => {
    for (const chunks of everySplit(wire)) expect(() => readAll(chunks)).toThrow(message);
  });

  it('rejects a chunk by its first bytes', () => {
    for (const beginning of ['02', '7f', '00 ffffff', '01 050001'])
      expect(() => readAll([stream(hex(beginning))])).toThrow(/chunk/);
  });

  it('keeps no bytes of ignored chunks', () => {
    const reader = new SnappyReader();
    readAll([stream(), ...cut(padding(1_000_000), [0.1, 0.5, 0.7])], undefined, reader);
    expect(reader.incompleteSince).toBe(0);
    expect(readAll([uncompressed(data)], undefined, reader)).toEqual(data);
  });

  it('calls beforeInflate with the size before it inflates', () => {
    const sizes: number[] = [];
    const fail = (): never => {
      throw new Error('over the limit');
    };
    readAll([stream(uncompressed(data), compressed(Buffer.alloc(60_000)))], (size) =>
      sizes.push(size),
    );
    expect(sizes).toEqual([4, 60_000]);
    expect(() => readAll([stream(chunk(0, hex('e0d403'), data))], fail)).toThrow('over the limit');
  });
});
