import { describe, expect, it } from 'vitest';
import { ByteReader, type ByteWriter, lengthPrefixed, lines, raw } from '../../src/index.js';
import { codecSession, cut, cuts, decode, encode, everySplit } from '../fixtures/chunks.js';
import { noLeaks } from '../fixtures/leaks.js';
import { fc } from '../fixtures/property.js';
import { thrown } from '../fixtures/transports.js';

noLeaks();

const bytes = (max: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
// Well-formed text without a newline; a trailing \r would be taken for the end of the line.
const line = fc.string({ unit: 'binary', maxLength: 60 }).map((text) => text.replaceAll('\n', '').replace(/\r+$/, ''));

interface AnyCodec {
  read(input: ByteReader, session: never): unknown;
  write(output: ByteWriter, message: unknown, session: never): void;
}

/** Each framing codec with messages that it can carry. raw is no framing: its messages are whatever a read brought. */
const CODECS: readonly { name: string; codec: AnyCodec; message: fc.Arbitrary<unknown> }[] = [
  { name: 'lines', codec: lines() as AnyCodec, message: line },
  ...[1, 2, 4].flatMap((width) =>
    [false, true].map((littleEndian) => ({
      name: `lengthPrefixed ${width} ${littleEndian ? 'little' : 'big'}-endian`,
      codec: lengthPrefixed({ width: width as 1 | 2 | 4, littleEndian }) as AnyCodec,
      message: bytes(width === 1 ? 255 : 700),
    })),
  ),
];

describe.each(CODECS)('$name', ({ codec, message }) => {
  it('random messages over random chunks come back as they were', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), cuts, (messages, places) => {
        const reader = new ByteReader();
        const wire = encode(codec, messages);
        expect(decode(codec, cut(wire, places), codecSession(), reader)).toEqual(messages);
        expect(reader.length).toBe(0);
      }),
    );
  });

  it('1: every two-way split, and byte by byte', () => {
    const messages = fc.sample(message, { numRuns: 8, seed: 7 });
    const wire = encode(codec, messages);
    for (const chunks of everySplit(wire.subarray(0, 600))) {
      const reader = new ByteReader();
      const got = decode(codec, chunks, codecSession(), reader);
      expect(got).toEqual(messages.slice(0, got.length));
      expect(encode(codec, got).length + reader.length).toBe(Math.min(wire.length, 600));
    }
  });

  it('what is cut off at the end is no message, and is not taken', () => {
    const wire = encode(codec, fc.sample(message, { numRuns: 3, seed: 11 }));
    for (let end = 0; end < wire.length; end++) {
      const reader = new ByteReader();
      const before = decode(codec, [Buffer.from(wire.subarray(0, end))], codecSession(), reader);
      expect(encode(codec, before).length + reader.length).toBe(end);
    }
  });

  it('garbage is messages or an error, never a hang or a crash', () => {
    fc.assert(
      fc.property(bytes(400), cuts, (garbage, places) => {
        const reader = new ByteReader();
        try {
          decode(codec, cut(garbage, places), codecSession(1_000), reader);
        } catch (error) {
          expect((error as { code: string }).code).toBe('MESSAGE_TOO_LARGE');
        }
        expect(reader.length).toBeLessThanOrEqual(garbage.length);
      }),
    );
  });
});

describe('lines', () => {
  it.each([
    ['a\nb\n', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\r\n\n', ['', '', '']],
    ['\r\r\n', ['\r']],
    ['a\rb\n', ['a\rb']],
    ['grün 😀\n', ['grün 😀']],
    ['a\nrest', ['a']],
  ])('%j is read as %j, however it is split', (wire, expected) => {
    for (const chunks of everySplit(Buffer.from(wire))) expect(decode(lines(), chunks)).toEqual(expected);
  });

  it('refuses to write a text that would arrive as two', () => {
    expect(thrown(() => encode(lines(), ['one\ntwo']))).toMatchObject({ code: 'ENCODE_FAILED', message: expect.stringContaining('newline') });
  });
});

describe('lengthPrefixed', () => {
  it.each([
    [{}, '00000003616263'],
    [{ width: 2 }, '0003616263'],
    [{ width: 2, littleEndian: true }, '0300616263'],
    [{ width: 1 }, '03616263'],
    [{ width: 4, littleEndian: true }, '03000000616263'],
  ] as const)('%j writes abc as %s', (options, hex) => {
    expect(encode(lengthPrefixed(options), [Buffer.from('abc')]).toString('hex')).toBe(hex);
  });

  it.each([
    [1, 256],
    [2, 65_536],
  ] as const)('width %d refuses a message of %d bytes: 3: it never wraps', (width, size) => {
    expect(thrown(() => encode(lengthPrefixed({ width }), [Buffer.alloc(size)]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining(`${size} bytes`),
    });
    expect(decode(lengthPrefixed({ width }), [encode(lengthPrefixed({ width }), [Buffer.alloc(size - 1, 5)])])).toEqual([Buffer.alloc(size - 1, 5)]);
  });

  it('2: a length over maxMessageBytes is refused as soon as it is seen, before anything is allocated', () => {
    const reader = new ByteReader();
    const wire = Buffer.from('ffffffff', 'hex');
    expect(thrown(() => decode(lengthPrefixed(), [wire], codecSession(), reader))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: 'test://peer announces a message of 4294967299 bytes; maxMessageBytes is 4194304',
    });
    expect(reader.bytes).toBe(wire);
  });

  it('2: a length just below maxMessageBytes with few bytes sent keeps the buffer small', () => {
    const reader = new ByteReader();
    const head = Buffer.alloc(4);
    head.writeUInt32BE(4 * 1024 * 1024 - 4);
    expect(decode(lengthPrefixed(), [head, ...Array.from({ length: 1_000 }, () => Buffer.of(1))], codecSession(), reader)).toEqual([]);
    expect(reader.length).toBe(1_004);
    expect(reader.bytes.length).toBeLessThanOrEqual(16 * 1024);
  });

  it('maxMessageBytes counts the prefix, exactly', () => {
    const wire = encode(lengthPrefixed(), [Buffer.alloc(96)]);
    expect(decode(lengthPrefixed(), [wire], codecSession(100)).length).toBe(1);
    expect(thrown(() => decode(lengthPrefixed(), [wire], codecSession(99))).code).toBe('MESSAGE_TOO_LARGE');
  });

  it('a message in one chunk is a view of it', () => {
    const wire = Buffer.from(encode(lengthPrefixed(), [Buffer.from('abc')]));
    expect(decode(lengthPrefixed(), [wire])[0]?.buffer).toBe(wire.buffer);
  });
});

describe('raw', () => {
  it('hands on what came, in pieces of at most maxMessageBytes', () => {
    fc.assert(
      fc.property(bytes(2_000), cuts, fc.integer({ min: 1, max: 300 }), (wire, places, limit) => {
        const got = decode(raw(), cut(wire, places), codecSession(limit));
        expect(Buffer.concat(got).equals(wire)).toBe(true);
        for (const piece of got) expect(piece.length).toBeLessThanOrEqual(limit);
      }),
    );
  });
});
