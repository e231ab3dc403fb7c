/** lengthPrefixed(): the bytes of each form of the length field, and their limits. */
import { describe, expect, it } from 'vitest';
import {
  ByteReader,
  type LengthPrefixedOptions,
  lengthPrefixed,
  raw,
} from '../../../src/transport/index.js';
import { codecSession, decode, encode, everySplit } from '../../fixtures/chunks.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { thrown } from '../../fixtures/transports.js';

noLeaks();

describe('the length field', () => {
  it.each([
    [{}, '00000003616263'],
    [{ width: 2 }, '0003616263'],
    [{ width: 2, littleEndian: true }, '0300616263'],
    [{ width: 1 }, '03616263'],
    [{ width: 3 }, '000003616263'],
    [{ width: 3, littleEndian: true }, '030000616263'],
    [{ width: 4, littleEndian: true }, '03000000616263'],
  ] as const)('with %j writes abc as %s', (options, hex) => {
    expect(encode(lengthPrefixed(options), [Buffer.from('abc')]).toString('hex')).toBe(hex);
  });

  it.each([
    [1, 256],
    [2, 65_536],
  ] as const)('of width %d does not wrap: writing %d bytes throws ENCODE_FAILED', (width, size) => {
    expect(thrown(() => encode(lengthPrefixed({ width }), [Buffer.alloc(size)]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining(`${size} bytes`),
    });
    expect(
      decode(lengthPrefixed({ width }), [
        encode(lengthPrefixed({ width }), [Buffer.alloc(size - 1, 5)]),
      ]),
    ).toEqual([Buffer.alloc(size - 1, 5)]);
  });

  it('with a length over maxMessageBytes is rejected before anything is allocated', () => {
    const reader = new ByteReader();
    const wire = Buffer.from('ffffffff', 'hex');
    expect(thrown(() => decode(lengthPrefixed(), [wire], codecSession(), reader))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: 'test://peer announces a message of 4294967299 bytes; maxMessageBytes is 4194304',
    });
    expect(reader.bytes).toBe(wire);
  });

  it('allocates no more than a few times what has arrived', () => {
    const reader = new ByteReader();
    const head = Buffer.alloc(4);
    head.writeUInt32BE(4 * 1024 * 1024 - 4);
    expect(
      decode(
        lengthPrefixed(),
        [head, ...Array.from({ length: 1_000 }, () => Buffer.of(1))],
        codecSession(),
        reader,
      ),
    ).toEqual([]);
    expect(reader.length).toBe(1_004);
    expect(reader.bytes.length).toBeLessThanOrEqual(16 * 1024);
  });

  it('counts toward maxMessageBytes', () => {
    const wire = encode(lengthPrefixed(), [Buffer.alloc(96)]);
    expect(decode(lengthPrefixed(), [wire], codecSession(100)).length).toBe(1);
    expect(thrown(() => decode(lengthPrefixed(), [wire], codecSession(99))).code).toBe(
      'MESSAGE_TOO_LARGE',
    );
  });

  it('is not copied: a message in one chunk is a view of the chunk', () => {
    const wire = Buffer.from(encode(lengthPrefixed(), [Buffer.from('abc')]));
    expect(decode(lengthPrefixed(), [wire])[0]?.buffer).toBe(wire.buffer);
  });
});

describe('the options', () => {
  it.each([
    [{ width: 8 }, '0000000000000003616263'],
    [{ width: 8, littleEndian: true }, '0300000000000000616263'],
    [{ width: 2, offset: 3 }, '0000000003616263'],
    [{ width: 2, adjustment: -2 }, '0005616263'],
    [{ width: 2, offset: 2, adjustment: -4 }, '00000007616263'],
    [{ width: 1, adjustment: 2 }, '01616263'],
    // The message is the frame; its bytes at the place of the length field are overwritten.
    [{ width: 1, strip: 0 }, '026263'],
    [{ width: 1, offset: 1, strip: 0 }, '610163'],
    [{ width: 1, offset: 1, strip: 1 }, '00026263'],
    [{ width: 2, strip: 1, littleEndian: true }, '02006263'],
  ] as const)('%j write abc as %s, and read it again', (options, hex) => {
    const wire = encode(lengthPrefixed(options), [Buffer.from('abc')]);
    expect(wire.toString('hex')).toBe(hex);
    const {
      width,
      offset = 0,
      strip = width + offset,
    } = { offset: 0, ...options } as Required<LengthPrefixedOptions>;
    for (const chunks of everySplit(wire))
      expect(decode(lengthPrefixed(options), chunks)).toEqual([wire.subarray(strip)]);
  });

  it.each([
    [
      { width: 4, adjustment: -4 },
      '00000003616263',
      'a length of 3, which with the adjustment of -4 is negative',
    ],
    [{ width: 4, adjustment: -4 }, '00000000', 'a length of 0'],
    [{ width: 2, offset: 2, adjustment: -4 }, '000000030000', 'a length of 3'],
  ] as const)('%j reject a negative length with BAD_FRAME: %s', (options, hex, text) => {
    const error = thrown(() => decode(lengthPrefixed(options), [Buffer.from(hex, 'hex')]));
    expect(error).toMatchObject({ code: 'BAD_FRAME', message: expect.stringContaining(text) });
  });

  it.each([
    [{ width: 8 }, 'ffffffffffffffff'],
    [{ width: 8 }, '8000000000000000'],
    [{ width: 8 }, '0020000000000001'],
    [{ width: 8, littleEndian: true }, '0000000001000000'],
    [{ width: 4 }, '80000000'],
    [{ width: 4, adjustment: 2 ** 40 }, '00000000'],
    [{ width: 2, offset: 100_000 }, ''],
  ] as const)('%j reject the length %s before anything is allocated', (options, hex) => {
    const reader = new ByteReader();
    const wire = Buffer.concat([
      Buffer.alloc('offset' in options ? options.offset + 2 : 0),
      Buffer.from(hex, 'hex'),
    ]);
    expect(
      thrown(() => decode(lengthPrefixed(options), [wire], codecSession(65_536), reader)).code,
    ).toBe('MESSAGE_TOO_LARGE');
    expect(reader.bytes).toBe(wire);
  });

  it.each([
    [{ width: 1 }, 256],
    [{ width: 2 }, 65_536],
    [{ width: 1, adjustment: -1 }, 255],
    [{ width: 1, adjustment: 2 }, 1],
    [{ width: 2, strip: 0 }, 1],
    [{ width: 2, offset: 2, strip: 2 }, 1],
  ] as const)('%j do not wrap a length: writing %d bytes throws ENCODE_FAILED', (options, size) => {
    expect(thrown(() => encode(lengthPrefixed(options), [Buffer.alloc(size)]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining(`${size} bytes does not fit`),
    });
  });

  it('write zeros before the length field, and no earlier content of the buffer', () => {
    const codec = lengthPrefixed({ width: 2, offset: 6 });
    const before = encode(raw(), [Buffer.alloc(70_000, 0xaa)]);
    expect(before.length).toBe(70_000);
    expect(encode(codec, [Buffer.from('abc')]).toString('hex')).toBe('0000000000000003616263');
  });

  it.each([
    [null, 'options of lengthPrefixed(): got null'],
    [7, 'options of lengthPrefixed(): got 7'],
    [{ width: 5 }, 'width: got 5'],
    [{ width: '4' }, 'width: got "4"'],
    [{ offset: -1 }, 'offset: got -1'],
    [{ offset: 1.5 }, 'offset: got 1.5'],
    [{ adjustment: 0.5 }, 'adjustment: got 0.5'],
    [{ adjustment: Number.NaN }, 'adjustment: got NaN'],
    [{ strip: -1 }, 'strip: got -1'],
    [{ strip: 5 }, 'strip: got 5, expected a whole number of bytes from 0 to 4'],
    [{ width: 2, offset: 1, strip: 4 }, 'from 0 to 3'],
    [{ littleEndian: 'yes' }, 'littleEndian: got "yes"'],
  ])('%j are rejected with BAD_OPTION', (given, text) => {
    expect(thrown(() => lengthPrefixed(given as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(text),
    });
  });
});
