import { compress, uncompress } from 'snappyjs';
import { describe, expect, it } from 'vitest';
import { inflateBlock } from '../../../src/transport/compression/snappy-block.js';
import { fc } from '../../fixtures/property.js';
import { WORDS } from './compressed-pair.js';
import { hex } from './snappy-chunks.js';

describe('inflateBlock', () => {
  it.each([
    ['no bytes', '00', ''],
    ['a literal', '03 08616263', 'abc'],
    ['two literals', '03 0461620063', 'abc'],
    ['a copy with an offset of one byte', '07 08616263 0103', 'abcabca'],
    ['a copy with an offset of two bytes', '06 08616263 0a0300', 'abcabc'],
    ['a copy with an offset of four bytes', '06 08616263 0b03000000', 'abcabc'],
    ['a copy that overlaps its own output', '64 0061 fe0100 8a0100', 'a'.repeat(100)],
    ['a literal with a length of one byte', `3d f03c ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with a length of two bytes', `3d f43c00 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with a length of three bytes', `3d f83c0000 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with a length of four bytes', `3d fc3c000000 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a size in more bytes than necessary', '838000 08616263', 'abc'],
  ])('inflates %s', (_, block, text) => {
    expect(inflateBlock(hex(block)).toString()).toBe(text);
  });

  it.each([
    ['an empty block', ''],
    ['an incomplete size', '80'],
    ['a size of more than three bytes', '808080808080'],
    ['a size over 65,536', '818004 00'],
    ['a size of 256 MiB', 'ffffff7f'],
    ['more bytes than announced', '02 08616263'],
    ['fewer bytes than announced', '04 08616263'],
    ['a size without data', '04'],
    ['an incomplete literal', '03 086162'],
    ['an incomplete length of a literal', '03 f4ff'],
    ['a literal with a negative length', '0a fcf0ffffff 6162636465666768'],
    ['a literal with the longest length', '0a fcffffffff 6162636465666768'],
    ['a copy at the beginning', '04 0101'],
    ['a copy from before the beginning', '08 0461620103'],
    ['a copy with the offset 0', '08 0461620900'],
    ['a long copy with the offset 0', '08 0461620a0000'],
    ['a copy with a negative offset', '08 0461620bffffffff'],
    ['an incomplete copy', '08 04616201'],
    ['an incomplete copy with an offset of two bytes', '08 0461620a01'],
    ['an incomplete copy with an offset of four bytes', '08 0461620b010000'],
    ['a copy past the end', '04 046162fe0100'],
  ])('rejects %s', (_, block) => {
    expect(() => inflateBlock(hex(block))).toThrow(/block/);
  });

  const data = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 300 }),
        fc.constant(WORDS),
      ),
      { maxLength: 12 },
    )
    .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part as string))));

  it('inflates what snappyjs compresses', () => {
    fc.assert(
      fc.property(data, (bytes) => {
        const block = compress(bytes);
        expect(inflateBlock(block).equals(bytes)).toBe(true);
        expect(uncompress(block).equals(bytes)).toBe(true);
      }),
    );
  });

  it('inflates random tags to the announced size, or rejects them', () => {
    const tag = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 6 }),
      fc.constantFrom(hex('0061'), hex('0101'), hex('fe0100'), hex('fcfeffffff')),
    );
    fc.assert(
      fc.property(fc.nat(200), fc.array(tag, { maxLength: 20 }), (size, tags) => {
        try {
          expect(
            inflateBlock(
              Buffer.concat([Buffer.from(size < 128 ? [size] : [(size & 127) | 128, 1]), ...tags]),
            ).length,
          ).toBe(size);
        } catch (error) {
          expect((error as Error).message).toMatch(/block/);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
