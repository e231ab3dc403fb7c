import { AssertionError } from 'node:assert';
import { describe, expect, test } from 'vitest';
import { type CodecCasesOptions, codecCases } from '../../src/testing/index.js';
import {
  type ByteReader,
  type Codec,
  delimiter,
  fixedLength,
  jsonLines,
  lengthPrefixed,
  lines,
  mapCodec,
  raw,
  varintPrefixed,
} from '../../src/transport/index.js';

const bytes = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 37 + 11) & 0xff);
const BYTES = [bytes(0), bytes(1), bytes(90), bytes(300)];
const TEXTS = ['', 'a', 'grüße', 'x'.repeat(200)];

describe.each<[string, Codec<never, never>, readonly unknown[], CodecCasesOptions?]>([
  ['lines()', lines() as never, TEXTS],
  ['jsonLines()', jsonLines() as never, [null, 1, 'text', { a: [1, { b: 2 }] }, [[]]]],
  ['delimiter()', delimiter('--') as never, BYTES],
  ['fixedLength()', fixedLength(12) as never, [bytes(12)]],
  ['lengthPrefixed()', lengthPrefixed() as never, [...BYTES, bytes(5000)]],
  ['varintPrefixed()', varintPrefixed() as never, BYTES],
  ['mapCodec()', mapCodec(lines(), Number, String) as never, [1, 2.5, -3] as const],
  ['raw(), which finds no boundaries,', raw() as never, BYTES.slice(1), { framing: false }],
])('%s passes the case', (_, codec, messages, options) => {
  for (const { name, run } of codecCases(codec, messages as never[], options as never))
    test(name, run);
});

/** A correct codec: the length in a byte, then the bytes. */
const correct: Codec<Uint8Array> = {
  read(input) {
    const length = input.peek(0);
    if (length === undefined || input.length <= length) return undefined;
    return input.take(length, 1);
  },
  write(output, message) {
    output.uint8(message.length);
    output.append(message);
  },
};
const SMALL = [bytes(1), bytes(5).reverse(), bytes(20)];
const scratch = Buffer.alloc(256);
const HEAD = 'message 2: ';
let count = 0;

/** Codecs with one fault each, and the cases that find it. */
const FAULTY: Record<string, [codec: Partial<Codec<Uint8Array>>, found: string]> = {
  'reads beyond the bytes that have arrived': [
    { read: (input) => input.take(input.uint8()) },
    'is awaited while it is incomplete',
  ],
  'takes the length of an incomplete message': [
    {
      read(input: ByteReader) {
        const length = input.uint8();
        return input.length < length ? undefined : input.take(length);
      },
    },
    'arrives in two chunks, for each boundary',
  ],
  'returns an incomplete message': [
    {
      read(input) {
        const length = input.uint8();
        return input.take(Math.min(length, input.length));
      },
    },
    'is awaited while it is incomplete',
  ],
  'returns all bytes that have arrived': [
    { read: (input) => input.take(input.length, 0) },
    'arrives as it was sent',
  ],
  'returns a message without taking its bytes': [
    { read: (input) => input.bytes.subarray(0, 1) },
    'arrives as it was sent',
  ],
  'is asynchronous': [
    { read: async () => undefined } as unknown as Codec<Uint8Array>,
    'arrives as it was sent',
  ],
  'encodes a time': [
    {
      write(output, message) {
        output.uint8(message.length + 1);
        output.append(message);
        output.uint8(++count);
      },
      read(input) {
        const whole = correct.read(input, undefined as never);
        return whole?.subarray(0, -1);
      },
    },
    'has the same bytes each time',
  ],
  'changes the message': [
    {
      write(output, message) {
        message[0] = (message[0] as number) ^ 1;
        correct.write(output, message, undefined as never);
      },
    },
    'is not changed by write()',
  ],
  'throws a RangeError for a message above the limit': [
    {
      read(input, session) {
        const length = input.peek(0);
        if (length !== undefined && length >= session.maxMessageBytes)
          throw new RangeError('too large');
        return correct.read(input, session);
      },
    },
    'is an error above maxMessageBytes',
  ],
};

function failures(codec: Codec<Uint8Array>, options?: CodecCasesOptions<Uint8Array>): string[] {
  return codecCases(
    codec,
    SMALL.map((message) => Uint8Array.from(message)),
    options,
  ).flatMap(({ name, run }) => {
    try {
      run();
      return [];
    } catch {
      return [name];
    }
  });
}

test('a correct codec of a program passes each case', () => {
  expect(failures(correct)).toEqual([]);
});

test.each(Object.entries(FAULTY))('a codec that %s fails the case', (_, [fault, found]) => {
  expect(failures({ ...correct, ...fault })).toContain(`${HEAD}${found}`);
});

test('a codec that reuses the bytes of the last message fails the case with one chunk', () => {
  const read: Codec<Uint8Array>['read'] = (input, session) => {
    const message = correct.read(input, session);
    if (message === undefined) return undefined;
    scratch.set(message, 0);
    return scratch.subarray(0, message.length);
  };
  expect(failures({ ...correct, read })).toEqual(['all messages arrive from one chunk']);
});

test('a codec that fails with a TypeError for invalid bytes fails the case with random bytes', () => {
  const json: Codec<string> = {
    read(input) {
      const length = input.indexOf(0x0a);
      if (length < 0) return undefined;
      // JSON.parse('1') has no name.
      return JSON.parse(input.takeText(length + 1)).name.trim();
    },
    write: (output, name) => output.text(`${JSON.stringify({ name })}\n`),
  };
  const garbage = codecCases(json, ['a'], { garbageInputs: 5000 }).at(-1);
  expect(() => garbage?.run()).toThrow(
    /^read\(\) threw TypeError: .* for the bytes [0-9a-f]+ \(seed 1\)$/,
  );
});

test('isProtocolError decides which errors are allowed for invalid bytes', () => {
  const strict: Codec<Uint8Array> = {
    ...correct,
    read(input, session) {
      if ((input.peek(0) as number) > 100) throw new RangeError('too long');
      return correct.read(input, session);
    },
  };
  const last = 'random and damaged bytes end with messages, an error or a wait';
  expect(failures(strict)).toEqual([last]);
  const isProtocolError = (error: unknown): boolean => error instanceof RangeError;
  expect(failures(strict, { isProtocolError })).toEqual([]);
});

test('a failed case has the messages as expected and actual, and the error as its cause', () => {
  const codec = { ...correct, read: () => expect.fail('no') } as unknown as Codec<Uint8Array>;
  const [first] = codecCases(codec, [bytes(3)]);
  let thrown: unknown;
  try {
    first?.run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(AssertionError);
  expect(thrown).toMatchObject({
    message: 'in one chunk: read() failed with AssertionError: no',
    expected: [bytes(3)],
    actual: [],
    cause: { message: 'no' },
  });
});

test('equal seeds give equal random bytes, and other seeds give others', () => {
  const inputsOf = (seed: number): string => {
    const read: string[] = [];
    const recording: Codec<Uint8Array> = {
      ...correct,
      read(input, session) {
        read.push(Buffer.from(input.bytes.subarray(input.position, input.end)).toString('hex'));
        return correct.read(input, session);
      },
    };
    codecCases(recording, SMALL, { seed, garbageInputs: 20 }).at(-1)?.run();
    return read.join();
  };
  expect(inputsOf(5)).toBe(inputsOf(5));
  expect(inputsOf(5)).not.toBe(inputsOf(6));
});

test('a codec may write to its session and use its attributes while it reads', () => {
  const counting: Codec<Uint8Array> = {
    ...correct,
    read(input, session) {
      const message = correct.read(input, session);
      if (message === undefined) return undefined;
      session.attributes.set('count', 1 + ((session.attributes.get('count') as number) ?? 0));
      session.writeBytes(Uint8Array.of(1));
      return message;
    },
  };
  expect(failures(counting)).toEqual([]);
});

test.each<[string, () => unknown, RegExp]>([
  ['no codec', () => codecCases({} as never, [1]), /^codec: got an object/],
  ['no messages', () => codecCases(lines(), []), /^messages: got an array/],
  ['a seed', () => codecCases(lines(), ['a'], { seed: 'x' as never }), /^seed: got "x"/],
  ['a limit', () => codecCases(lines(), ['a'], { maxMessageBytes: 0 }), /^maxMessageBytes: got 0/],
])('refuses %s', (_, attempt, message) => {
  expect(attempt).toThrow(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) }),
  );
});

test('an Error without a code is accepted above maxMessageBytes, as in a session', () => {
  const read: Codec<Uint8Array>['read'] = (input, session) => {
    const total = 1 + (input.peek(0) ?? 0);
    if (total > session.maxMessageBytes) throw new Error(`a frame of ${total} bytes is announced`);
    return correct.read(input, session);
  };
  expect(failures({ ...correct, read })).toEqual([]);
});
