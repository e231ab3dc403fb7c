import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MessageInflater } from '../../../../src/transport/websocket/deflate/message-inflater.js';
import { FrameError } from '../../../../src/transport/websocket/frames/frame-error.js';
import { thrown } from '../../../fixtures/transports.js';
import { hex } from '../frames/parsed-events.js';
import { compress, deflater, inflater } from './inflaters.js';

it('does not keep the large buffer of zlib for a small message', () => {
  const message = inflater.inflate(compress(Buffer.from('a')));
  expect(message.toString()).toBe('a');
  expect(message.buffer.byteLength).toBe(1);
});

it.each([0, 1, 6, 9])('rejects a message that is truncated at any byte, at level %i', (level) => {
  const messages = [
    Buffer.from('Hello world, hello world'),
    randomBytes(300),
    Buffer.from(JSON.stringify(Array.from({ length: 200 }, (_, i) => i * i))),
  ];
  for (const message of messages) {
    const whole = compress(message, { level });
    expect(inflater.inflate(whole)).toEqual(message);
    // The first byte of a stored block is an empty message if it is 0.
    for (let end = whole[0] === 0 ? 2 : 0; end < whole.length; end++)
      expect(thrown<FrameError>(() => inflater.inflate(whole.subarray(0, end)))).toMatchObject({
        code: 'BAD_FRAME',
        closeCode: 1007,
      });
  }
});

it('inflates any message, and rejects it when it is truncated', () => {
  const content = fc.array(fc.constantFrom('a', 'b', 'hello ', '00', '\0', 'é', '{"key":'), {
    maxLength: 400,
  });
  const property = fc.property(
    content,
    fc.integer({ min: 0, max: 9 }),
    fc.nat(),
    (words, level, at) => {
      const message = Buffer.from(words.join(''));
      const whole = compress(message, { level });
      expect(inflater.inflate(whole).equals(message)).toBe(true);
      const end = at % whole.length;
      // A single 0 is an empty message.
      if (end === 1 && whole[0] === 0) return;
      expect(() => inflater.inflate(whole.subarray(0, end))).toThrow(FrameError);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

it.each(['1000efff', '0f00f0ff', '0000ffff', '010000ffff'])(
  'inflates a message that ends in %s, the bytes of an end of DEFLATE',
  (end) => {
    for (const level of [0, 6]) {
      const message = Buffer.concat([randomBytes(50), hex(end)]);
      expect(inflater.inflate(compress(message, { level }))).toEqual(message);
    }
  },
);

it('inflates messages that refer to the last 32 KiB before them, with context takeover', () => {
  const withContext = new MessageInflater(100_000, 100_000, true);
  const noise = randomBytes(20_000);
  const messages = [
    Buffer.from('one'),
    noise,
    noise,
    Buffer.from('two'),
    randomBytes(40_000),
    noise,
    noise.subarray(0, 10_000),
    noise,
  ];
  let before = Buffer.alloc(0);
  for (const message of messages) {
    const bytes =
      before.length === 0
        ? compress(message)
        : compress(message, { dictionary: before.subarray(-32_768) });
    expect(withContext.inflate(bytes).equals(message)).toBe(true);
    before = Buffer.concat([before, message]);
  }
  const referring = compress(noise, { dictionary: before.subarray(-32_768) });
  expect(() => inflater.inflate(referring)).toThrow(FrameError);
});

it('stops a bomb at the lower one of maxMessageBytes and maxInflatedBytes', () => {
  const bomb = compress(Buffer.alloc(50_000_000));
  expect(bomb.length).toBeLessThan(50_000);
  const before = process.memoryUsage().arrayBuffers;
  const smallMessages = new MessageInflater(100_000, 1_000_000, false);
  expect(thrown<FrameError>(() => smallMessages.inflate(bomb))).toMatchObject({
    code: 'MESSAGE_TOO_LARGE',
    closeCode: 1009,
  });
  const smallInflated = new MessageInflater(1_000_000, 100_000, false);
  expect(thrown<FrameError>(() => smallInflated.inflate(bomb))).toMatchObject({
    code: 'INFLATE_LIMIT',
    closeCode: 1009,
  });
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3_000_000);
  const atLimit = deflater.deflate(Buffer.alloc(100_000)) as Buffer;
  expect(inflater.inflate(atLimit).length).toBe(100_000);
});
