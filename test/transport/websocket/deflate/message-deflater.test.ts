import { randomBytes } from 'node:crypto';
import { constants, inflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { MessageDeflater } from '../../../../src/transport/websocket/deflate/message-deflater.js';
import { compress, deflater, inflater } from './inflaters.js';

const KIB = 1024;

it.each([8, 9, 15])('refers only to bytes inside a window of %i bits', (bits) => {
  // Each block repeats the bytes 300 bytes before it. A window of 256 bytes does not have them.
  const block = randomBytes(300);
  const message = Buffer.concat([block, block, Buffer.alloc(2_000, 7), block]);
  const bytes = new MessageDeflater('deflate', bits).deflate(message) as Buffer;
  expect(inflater.inflate(bytes).equals(message)).toBe(true);
  // The smallest window of zlib is 512 bytes, so it cannot check one of 256 bytes. But the size
  // shows that no block referred to the one before it.
  if (bits === 8) expect(bytes.length).toBeGreaterThan(900);
  else
    expect(
      inflateRawSync(bytes, { windowBits: bits, finishFlush: constants.Z_SYNC_FLUSH }).equals(
        message,
      ),
    ).toBe(true);
});

it('compresses messages that an inflater reads, at each level and window', () => {
  const noise = randomBytes(5_000);
  for (const message of [
    Buffer.alloc(50_000, 'compress me '),
    noise,
    Buffer.concat([noise, Buffer.alloc(5_000)]),
  ]) {
    for (const level of [-1, 0, 1, 6, 9]) {
      for (const bits of [9, 12, 15]) {
        const bytes = new MessageDeflater({ deflate: level }, bits).deflate(message);
        if (bytes !== undefined) expect(inflater.inflate(bytes).equals(message)).toBe(true);
      }
    }
  }
});

it('leaves messages uncompressed that are small or would not get smaller', () => {
  expect(deflater.deflate(Buffer.alloc(1_023))).toBeUndefined();
  expect(deflater.deflate(Buffer.alloc(1_024))?.length).toBeLessThan(30);
  expect(deflater.deflate(randomBytes(5_000))).toBeUndefined();
});

/** Four letters in random order. At level 6 zlib takes ten times as long for them as for JSON. */
const slowContent = (size: number): Buffer =>
  randomBytes(size).map((byte) => 97 + (byte & 3)) as Buffer;

it.each([
  [9, 16 * KIB, 9],
  [9, 16 * KIB + 1, 6],
  [7, 64 * KIB, 6],
  [-1, 64 * KIB, 6],
  [3, 64 * KIB, 3],
  [-1, 64 * KIB + 1, 1],
  [9, 512 * KIB, 1],
  [0, 512 * KIB, 0],
])(
  'with the option %i compresses a message of %i bytes at level %i, to limit the time',
  (option, size, level) => {
    const message = Buffer.concat([slowContent(size - 100), Buffer.alloc(100)]);
    const expected = compress(message, { level });
    const bytes = new MessageDeflater({ deflate: option }).deflate(message);
    if (level === 0) expect(bytes).toBeUndefined();
    else expect(bytes?.equals(expected)).toBe(true);
  },
);

it('leaves a message of more than maxCompressBytes uncompressed', () => {
  expect(deflater.deflate(Buffer.alloc(512 * KIB))?.length).toBeLessThan(10_000);
  expect(deflater.deflate(Buffer.alloc(512 * KIB + 1))).toBeUndefined();
  const small = new MessageDeflater('deflate', 15, 2_000);
  expect(small.deflate(Buffer.alloc(2_000))?.length).toBeLessThan(30);
  expect(small.deflate(Buffer.alloc(2_001))).toBeUndefined();
  const unlimited = new MessageDeflater('deflate', 15, Number.POSITIVE_INFINITY);
  expect(unlimited.deflate(Buffer.alloc(2_000_000))?.length).toBeLessThan(20_000);
});
