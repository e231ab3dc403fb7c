/** Varints and the fields of Protobuf headers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FieldReader, writeVarint } from '../../../src/rpc/wire/varint.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';

function written(write: (output: ByteWriter) => void): Buffer {
  const output = new ByteWriter(16);
  write(output);
  return Buffer.from(output.bytes.subarray(0, output.length));
}

describe('FieldReader', () => {
  test('reads every uint32 that writeVarint() wrote', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
        const bytes = written((output) => writeVarint(output, value));
        expect(bytes.length).toBeLessThanOrEqual(5);
        expect(new FieldReader(bytes, 0, bytes.length).varint()).toBe(value);
      }),
      { seed: 4 },
    );
    for (const value of [0, 0x7f, 0x80, 0x3fff, 0x4000, 0xffff_ffff])
      expect(
        new FieldReader(
          written((output) => writeVarint(output, value)),
          0,
          5,
        ).varint(),
      ).toBe(value);
  });

  test('reads the low 32 bits of a negative int32 of ten bytes', () => {
    const minusOne = Buffer.from('ffffffffffffffffff01', 'hex');
    expect(new FieldReader(minusOne, 0, 10).varint()).toBe(0xffff_ffff);
  });

  test('refuses truncated and endless values', () => {
    expect(() => new FieldReader(Buffer.from([0x80]), 0, 1).varint()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.alloc(11, 0x80), 0, 11).varint()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.from([5, 1]), 0, 2).bytes()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.from([1, 2]), 0, 2).skip(1)).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.alloc(8), 0, 8).skip(3)).toThrow(RangeError);
  });

  test('refuses a field that ends after the given end', () => {
    const bytes = Buffer.from([3, 1, 2, 3]);
    expect([...new FieldReader(bytes, 0, 4).bytes()]).toEqual([1, 2, 3]);
    expect(() => new FieldReader(bytes, 0, 3).bytes()).toThrow(RangeError);
  });
});
