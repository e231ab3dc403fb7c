import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import {
  ByteReader,
  delimiter,
  fixedLength,
  jsonLines,
  type LengthPrefixedOptions,
  lengthPrefixed,
  lines,
  raw,
  varintPrefixed,
} from '../../src/transport/index.js';
import { codecSession, cut, cuts, decode, encode, everySplit } from '../fixtures/chunks.js';
import { CODECS } from '../fixtures/codecs.js';
import { noLeaks } from '../fixtures/leaks.js';
import { fc } from '../fixtures/property.js';
import { thrown } from '../fixtures/transports.js';

noLeaks();

const bytes = (max: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));

describe.each(CODECS)('$name', ({ codec, message, bytes: chunk, newReader, newWriter }) => {
  const reading = (
    chunks: readonly Buffer[],
    reader: ByteReader,
    session = codecSession(),
  ): unknown[] => decode(codec, chunks.map(chunk), session, reader);
  const writing = (messages: readonly unknown[]): Buffer =>
    encode(codec, messages, codecSession(), newWriter());
  it('random messages over random chunks come back as they were', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), cuts, (messages, places) => {
        const reader = newReader();
        const wire = writing(messages);
        expect(reading(cut(wire, places), reader)).toEqual(messages);
        expect(reader.length).toBe(0);
      }),
    );
  });

  it('1: every two-way split, and byte by byte', () => {
    const messages = fc.sample(message, { numRuns: 8, seed: 7 });
    const wire = writing(messages);
    for (const chunks of everySplit(wire.subarray(0, 600))) {
      const reader = newReader();
      const got = reading(chunks, reader);
      expect(got).toEqual(messages.slice(0, got.length));
      expect(writing(got).length + reader.length).toBe(Math.min(wire.length, 600));
    }
  });

  it('what is cut off at the end is no message, and is not taken', () => {
    const wire = writing(fc.sample(message, { numRuns: 3, seed: 11 }));
    for (let end = 0; end < wire.length; end++) {
      const reader = newReader();
      const before = reading([Buffer.from(wire.subarray(0, end))], reader);
      expect(writing(before).length + reader.length).toBe(end);
    }
  });

  it('garbage is messages or an error, never a hang or a crash', () => {
    fc.assert(
      fc.property(bytes(400), cuts, (garbage, places) => {
        const reader = newReader();
        try {
          reading(cut(garbage, places), reader, codecSession(1_000));
        } catch (error) {
          expect(['MESSAGE_TOO_LARGE', 'BAD_FRAME']).toContain((error as { code: string }).code);
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
    for (const chunks of everySplit(Buffer.from(wire)))
      expect(decode(lines(), chunks)).toEqual(expected);
  });

  it('refuses to write a text that would arrive as two', () => {
    expect(thrown(() => encode(lines(), ['one\ntwo']))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining('newline'),
    });
  });
});

describe('lengthPrefixed', () => {
  it.each([
    [{}, '00000003616263'],
    [{ width: 2 }, '0003616263'],
    [{ width: 2, littleEndian: true }, '0300616263'],
    [{ width: 1 }, '03616263'],
    [{ width: 3 }, '000003616263'],
    [{ width: 3, littleEndian: true }, '030000616263'],
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
    expect(
      decode(lengthPrefixed({ width }), [
        encode(lengthPrefixed({ width }), [Buffer.alloc(size - 1, 5)]),
      ]),
    ).toEqual([Buffer.alloc(size - 1, 5)]);
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

  it('maxMessageBytes counts the prefix, exactly', () => {
    const wire = encode(lengthPrefixed(), [Buffer.alloc(96)]);
    expect(decode(lengthPrefixed(), [wire], codecSession(100)).length).toBe(1);
    expect(thrown(() => decode(lengthPrefixed(), [wire], codecSession(99))).code).toBe(
      'MESSAGE_TOO_LARGE',
    );
  });

  it('a message in one chunk is a view of it', () => {
    const wire = Buffer.from(encode(lengthPrefixed(), [Buffer.from('abc')]));
    expect(decode(lengthPrefixed(), [wire])[0]?.buffer).toBe(wire.buffer);
  });
});

describe('lengthPrefixed, all of its options', () => {
  it.each([
    [{ width: 8 }, '0000000000000003616263'],
    [{ width: 8, littleEndian: true }, '0300000000000000616263'],
    [{ width: 2, offset: 3 }, '0000000003616263'],
    [{ width: 2, adjustment: -2 }, '0005616263'],
    [{ width: 2, offset: 2, adjustment: -4 }, '00000007616263'],
    [{ width: 1, adjustment: 2 }, '01616263'],
    // The message is the frame, and what stands where the length belongs is not looked at.
    [{ width: 1, strip: 0 }, '026263'],
    [{ width: 1, offset: 1, strip: 0 }, '610163'],
    [{ width: 1, offset: 1, strip: 1 }, '00026263'],
    [{ width: 2, strip: 1, littleEndian: true }, '02006263'],
  ] as const)('%j writes abc as %s, and reads that', (options, hex) => {
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
  ] as const)('2: %j: a negative length is BAD_FRAME', (options, hex, text) => {
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
  ] as const)('2: %j %s: too large, before anything is allocated', (options, hex) => {
    const reader = new ByteReader();
    const head = Buffer.concat([
      Buffer.alloc('offset' in options ? options.offset + 2 : 0),
      Buffer.from(hex, 'hex'),
    ]);
    const wire = head;
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
  ] as const)(
    '3: %j refuses to write %d bytes: a length that does not fit never wraps',
    (options, size) => {
      expect(thrown(() => encode(lengthPrefixed(options), [Buffer.alloc(size)]))).toMatchObject({
        code: 'ENCODE_FAILED',
        message: expect.stringContaining(`${size} bytes does not fit`),
      });
    },
  );

  it('nothing of what lay in the buffer before gets onto the wire', () => {
    const codec = lengthPrefixed({ width: 2, offset: 6 });
    const before = encode(raw(), [Buffer.alloc(70_000, 0xaa)]);
    expect(before.length).toBe(70_000);
    expect(encode(codec, [Buffer.from('abc')]).toString('hex')).toBe('0000000000000003616263');
  });

  it.each([
    [null, 'options: given null'],
    [7, 'options: given 7'],
    [{ width: 5 }, 'width: given 5'],
    [{ width: '4' }, 'width: given "4"'],
    [{ offset: -1 }, 'offset: given -1'],
    [{ offset: 1.5 }, 'offset: given 1.5'],
    [{ adjustment: 0.5 }, 'adjustment: given 0.5'],
    [{ adjustment: Number.NaN }, 'adjustment: given NaN'],
    [{ strip: -1 }, 'strip: given -1'],
    [{ strip: 5 }, 'strip: given 5, expected a whole number of bytes from 0 to 4'],
    [{ width: 2, offset: 1, strip: 4 }, 'from 0 to 3'],
    [{ littleEndian: 'yes' }, 'littleEndian: given "yes"'],
  ])('BAD_OPTION: %j', (given, text) => {
    expect(thrown(() => lengthPrefixed(given as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(text),
    });
  });
});

describe('delimiter', () => {
  it.each([
    ['\r\n', 'a\r\nb\r\n', ['a', 'b']],
    ['\r\n', 'a\rb\nc\r\n', ['a\rb\nc']],
    ['\r\n', '\r\r\n\n\r\n', ['\r', '\n']],
    ['\r\n', '\r\n\r\n', ['', '']],
    ['aab', 'aaabaab', ['a', '']],
    ['--', 'a-b--c---', ['a-b', 'c']],
    ['ü', 'süß üü', ['s', 'ß ', '']],
    [Uint8Array.of(0), 'a\0b', ['a']],
  ])('%j: %j is read as %j, however it is split', (mark, wire, expected) => {
    for (const chunks of everySplit(Buffer.from(wire)))
      expect(decode(delimiter(mark), chunks).map(String)).toEqual(expected);
  });

  it.each([
    ['\n', 'one\ntwo'],
    ['\r\n', '\r\n'],
    // Read from the left, these would end too soon.
    ['aa', 'xa'],
    ['--', 'one-'],
    ['abab', 'xab'],
  ])('%j: refuses to write %j, which would arrive as something else', (mark, text) => {
    expect(thrown(() => encode(delimiter(mark), [Buffer.from(text)]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining('delimiter'),
    });
  });

  it('what it writes is read again as it was, or refused', () => {
    const unit = fc.constantFrom('a', 'b', '-');
    fc.assert(
      fc.property(
        fc.string({ unit, minLength: 1, maxLength: 4 }),
        fc.array(fc.string({ unit, maxLength: 8 }), { maxLength: 5 }),
        cuts,
        (mark, texts, places) => {
          const codec = delimiter(mark);
          const written: string[] = [];
          const wire: Buffer[] = [];
          for (const text of texts) {
            try {
              wire.push(encode(codec, [Buffer.from(text)]));
              written.push(text);
            } catch (error) {
              expect((error as { code: string }).code).toBe('ENCODE_FAILED');
            }
          }
          expect(decode(codec, cut(Buffer.concat(wire), places)).map(String)).toEqual(written);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a mark that is changed by its owner is still the old one', () => {
    const mark = Buffer.from('||');
    const codec = delimiter(mark);
    mark.fill('!');
    expect(encode(codec, [Buffer.from('a')]).toString()).toBe('a||');
  });

  it('a message in one chunk is a view of it', () => {
    const wire = Buffer.from('abc\r\n');
    expect(decode(delimiter('\r\n'), [wire])[0]?.buffer).toBe(wire.buffer);
  });

  it.each(['\n', '\r\n', '--a-long-delimiter--'])(
    '%j: bytes that were searched are not searched again',
    (mark) => {
      const size = 200_000;
      const step = 50;
      const wire = Buffer.concat([
        Buffer.alloc(size, mark[0] === '-' ? '-' : 'x'),
        Buffer.from(mark),
      ]);
      let searched = 0;
      const { indexOf } = Buffer.prototype;
      const spy = vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function (
        this: Buffer,
        ...given: unknown[]
      ) {
        searched += this.length - Number(given[1] ?? 0);
        return (indexOf as (...given: unknown[]) => number).apply(this, given);
      });
      try {
        const chunks: Buffer[] = [];
        for (let at = 0; at < wire.length; at += step)
          chunks.push(Buffer.from(wire.subarray(at, at + step)));
        expect(decode(delimiter(mark), chunks).map((message) => message.length)).toEqual([size]);
        expect(searched).toBeGreaterThanOrEqual(size);
        expect(searched).toBeLessThanOrEqual(wire.length + chunks.length * (mark.length - 1));
      } finally {
        spy.mockRestore();
      }
    },
  );

  it.each([
    ['', 'given ""'],
    [new Uint8Array(0), 'given an object'],
    [undefined, 'given undefined'],
    [null, 'given null'],
    [7, 'given 7'],
    [{}, 'given an object'],
  ])('BAD_OPTION: %o', (given, text) => {
    expect(thrown(() => delimiter(given as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(`delimiter: ${text}`),
    });
  });
});

describe('fixedLength', () => {
  it('is the bytes and nothing else', () => {
    const wire = encode(fixedLength(3), [Buffer.from('abc'), Buffer.from('def')]);
    expect(wire.toString()).toBe('abcdef');
    for (const chunks of everySplit(wire))
      expect(decode(fixedLength(3), chunks).map(String)).toEqual(['abc', 'def']);
  });

  it.each([0, 2, 4])('refuses to write %d bytes of 3', (size) => {
    const error = thrown(() => encode(fixedLength(3), [Buffer.alloc(size)]));
    expect(error).toMatchObject({
      code: 'ENCODE_FAILED',
      message: `a message has ${size} bytes, expected 3`,
    });
  });

  it.each([0, -1, 1.5, '4', undefined, null, Number.POSITIVE_INFINITY, Number.NaN])(
    'BAD_OPTION: %o',
    (given) => {
      expect(thrown(() => fixedLength(given as never))).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('length: given'),
      });
    },
  );
});

describe('varintPrefixed', () => {
  it.each([
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [16_383, 'ff7f'],
    [16_384, '808001'],
    [2_097_152, '80808001'],
  ])('a message of %d bytes begins with %s', (size, hex) => {
    const wire = encode(varintPrefixed(), [Buffer.alloc(size, 5)]);
    expect(wire.subarray(0, hex.length / 2).toString('hex')).toBe(hex);
    expect(wire.length).toBe(size + hex.length / 2);
    const got = decode(varintPrefixed(), [
      Buffer.from(wire.subarray(0, 1)),
      Buffer.from(wire.subarray(1)),
    ]);
    expect(got.map((message) => message.length)).toEqual([size]);
  });

  it('2: a length over maxMessageBytes is refused as soon as it is seen', () => {
    for (const hex of ['ffffffff7f', 'ffffffff0f', '8080808008']) {
      const reader = new ByteReader();
      const wire = Buffer.from(hex, 'hex');
      expect(thrown(() => decode(varintPrefixed(), [wire], codecSession(), reader)).code).toBe(
        'MESSAGE_TOO_LARGE',
      );
      expect(reader.bytes).toBe(wire);
    }
  });

  it('a length that never ends is BAD_FRAME', () => {
    for (const chunks of everySplit(Buffer.alloc(5, 0xff))) {
      expect(thrown(() => decode(varintPrefixed(), chunks))).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('more than 5 bytes'),
      });
    }
    expect(decode(varintPrefixed(), [Buffer.alloc(4, 0xff)])).toEqual([]);
  });
});

describe('jsonLines', () => {
  const read = (text: string): unknown[] => decode(jsonLines(), [Buffer.from(text)]);

  it('one value a line; empty lines are passed over', () => {
    const wire = Buffer.from('{"a":1}\r\n\n  \n[]\nnull\n"grün\\n"\n  7 \n\n');
    for (const chunks of everySplit(wire))
      expect(decode(jsonLines(), chunks)).toEqual([{ a: 1 }, [], null, 'grün\n', 7]);
    expect(encode(jsonLines(), [{ a: 'x\ny' }, null, 7]).toString()).toBe(
      '{"a":"x\\ny"}\nnull\n7\n',
    );
  });

  it('quotes nothing of a line that is no JSON', () => {
    expect(inspect(thrown(() => read('{"password":secret-1}\n')))).not.toContain('secret');
  });

  it.each(['{', 'hello', "{'a':1}", '{"a":1}{"b":2}', '[1,]', 'NaN', '\u{feff}1', '\0'])(
    '%j is BAD_FRAME, with its cause',
    (text) => {
      expect(thrown(() => read(`${text}\n`))).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining(`a line of ${Buffer.byteLength(text)} bytes is no JSON`),
        cause: expect.any(SyntaxError),
      });
    },
  );

  it('keys of a prototype are keys like any other, and change nobody else', () => {
    const [message] = read(
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"mine"}\n',
    ) as [Record<string, unknown>];
    expect(Object.keys(message)).toEqual(['__proto__', 'constructor', 'toString']);
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect((message as { polluted?: number }).polluted).toBeUndefined();
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(encode(jsonLines(), [message]).toString()).toContain('"__proto__":{"polluted":1}');
  });

  it('reads 100 levels of nesting and refuses more, whether the brackets are closed or not', () => {
    const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}\n`;
    expect(read(nested(100))).toHaveLength(1);
    for (const text of [
      nested(101),
      nested(1_000_000),
      `${'['.repeat(1_000_000)}\n`,
      `${'{"a":'.repeat(500_000)}\n`,
    ])
      expect(thrown(() => read(text))).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('nested in more than 100 levels'),
      });
  });

  it('refuses a line of more values and names than maxDecodedObjects, and reads the next one', () => {
    const codec = jsonLines({ maxDecodedObjects: 4 });
    expect(decode(codec, [Buffer.from('[1,2,3,4]\n{"a":1,"b":2}\n')])).toEqual([
      [1, 2, 3, 4],
      { a: 1, b: 2 },
    ]);
    for (const text of ['[1,2,3,4,5]\n', '{"a":1,"b":2,"c":3}\n', '[[],[],[]]\n'])
      expect(thrown(() => decode(codec, [Buffer.from(text)]))).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining(
          'more than 4 objects would be made of it, which is maxDecodedObjects',
        ),
        cause: expect.any(RangeError),
      });
    expect(decode(codec, [Buffer.from('"[,,,,,,,]"\n')])).toEqual(['[,,,,,,,]']);
  });

  it.each([
    ['numbers', '1,'],
    ['texts', '"",'],
    ['arrays', '[],'],
    ['objects', '{"a":1},'],
  ])('refuses 4 MiB of %s with the defaults, and reads 30,000 and a text of 4 MB', (_, part) => {
    const array = (count: number): string => `[${part.repeat(count)}0]\n`;
    expect(thrown(() => read(array(Math.floor(2 ** 22 / part.length))))).toMatchObject({
      code: 'BAD_FRAME',
      cause: expect.any(RangeError),
    });
    expect(read(array(30_000))).toHaveLength(1);
    expect(read(`"${part.replaceAll('"', "'").repeat(4_000_000 / part.length)}"\n`)).toHaveLength(
      1,
    );
  });

  it('passes over a million empty lines without a search for each', () => {
    const input = new ByteReader();
    input.feed(Buffer.from(`${' \r\n'.repeat(1_000_000)}7\n`));
    const search = vi.spyOn(input, 'indexOf');
    expect(jsonLines().read(input, undefined as never)).toBe(7);
    expect(search).toHaveBeenCalledTimes(1);
  });

  it('rejects options that are none with BAD_OPTION', () => {
    for (const options of [
      { maxDecodedObjects: 0 },
      { maxDecodedObjects: '9' },
      { maxDecodedObject: 9 },
      null,
      5,
    ])
      expect(thrown(() => jsonLines(options as never))).toMatchObject({ code: 'BAD_OPTION' });
    expect(thrown(() => jsonLines({ maxDecodedObject: 9 } as never)).message).toContain(
      'did you mean maxDecodedObjects?',
    );
  });

  it.each([
    ['undefined', undefined],
    ['function', () => {}],
    ['symbol', Symbol('x')],
  ])('a %s has no JSON form: ENCODE_FAILED', (what, value) => {
    expect(thrown(() => encode(jsonLines(), [value]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: `a ${what} has no JSON form`,
    });
  });

  it('what cannot be written throws to the writer', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const value of [circle, 7n]) {
      expect(thrown(() => encode(jsonLines(), [value]))).toMatchObject({
        code: 'ENCODE_FAILED',
        cause: expect.any(TypeError),
      });
    }
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
