/** Integers and floats of every width, written and read in both byte orders. */
import { expect, test } from 'vitest';
import { BUILDS } from '../../fixtures/builds.js';
import { fc } from '../../fixtures/property.js';

const WIDTHS = [8, 16, 24, 32] as const;
const ROWS = [
  ...WIDTHS.flatMap((bits) => [
    { name: `uint${bits}`, size: bits / 8, value: fc.integer({ min: 0, max: 2 ** bits - 1 }) },
    {
      name: `int${bits}`,
      size: bits / 8,
      value: fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }),
    },
  ]),
  { name: 'uint64', size: 8, value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
  { name: 'int64', size: 8, value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { name: 'float32', size: 4, value: fc.float() },
  { name: 'float64', size: 8, value: fc.double() },
] as const;

/** A method of a reader or writer by its name. */
type Methods = Record<string, (...args: unknown[]) => unknown>;

/** The bytes of `value`, most significant first, without the code under test. */
function bigEndian(name: string, size: number, value: number | bigint): number[] {
  const view = new DataView(new ArrayBuffer(8));
  if (name === 'float32') view.setFloat32(0, value as number);
  else if (name === 'float64') view.setFloat64(0, value as number);
  else view.setBigInt64(0, BigInt(value) << BigInt(64 - 8 * size));
  return Array.from(new Uint8Array(view.buffer, 0, size));
}

for (const { name: where, build, bytes } of BUILDS) {
  test.each(ROWS)(
    `$name ${where}: is written and read in both byte orders`,
    ({ name, size, value }) => {
      fc.assert(
        fc.property(
          value as fc.Arbitrary<number | bigint>,
          fc.boolean(),
          fc.nat(3),
          (number, littleEndian, before) => {
            const writer = new build.ByteWriter();
            for (let i = 0; i < before; i++) writer.uint8(7);
            (writer as unknown as Methods)[name]?.(number, littleEndian);
            const expected = bigEndian(name, size, number);
            if (littleEndian) expected.reverse();
            expect(Array.from(writer.bytes.subarray(before, writer.length))).toEqual(expected);
            const reader = new build.ByteReader();
            reader.feed(bytes(writer.bytes.subarray(0, writer.length)));
            reader.skip(before);
            expect((reader as unknown as Methods)[name]?.(littleEndian)).toEqual(number);
            expect(reader.length).toBe(0);
            expect(() => (reader as unknown as Methods)[name]?.(littleEndian)).toThrow(RangeError);
          },
        ),
      );
    },
  );

  test(`numbers are big-endian by default ${where}`, () => {
    const writer = new build.ByteWriter();
    writer.uint16(0x0102);
    writer.int24(-2);
    writer.uint64(3n);
    const reader = new build.ByteReader();
    reader.feed(bytes(writer.bytes.subarray(0, writer.length)));
    expect([reader.uint16(), reader.int24(), reader.uint64()]).toEqual([0x0102, -2, 3n]);
    expect(writer.bytes[0]).toBe(1);
  });
}
