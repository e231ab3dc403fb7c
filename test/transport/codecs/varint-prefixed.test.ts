/** varintPrefixed(): the bytes of the length, and its limits. */
import { expect, it } from 'vitest';
import { ByteReader, varintPrefixed } from '../../../src/transport/index.js';
import { codecSession, decode, encode, everySplit } from '../../fixtures/chunks.js';
import { thrown } from '../../fixtures/transports.js';

it.each([
  [0, '00'],
  [1, '01'],
  [127, '7f'],
  [128, '8001'],
  [300, 'ac02'],
  [16_383, 'ff7f'],
  [16_384, '808001'],
  [2_097_152, '80808001'],
])('writes the length %d as %s', (size, hex) => {
  const wire = encode(varintPrefixed(), [Buffer.alloc(size, 5)]);
  expect(wire.subarray(0, hex.length / 2).toString('hex')).toBe(hex);
  expect(wire.length).toBe(size + hex.length / 2);
  const got = decode(varintPrefixed(), [
    Buffer.from(wire.subarray(0, 1)),
    Buffer.from(wire.subarray(1)),
  ]);
  expect(got.map((message) => message.length)).toEqual([size]);
});

it('rejects a length over maxMessageBytes before the message arrives', () => {
  for (const hex of ['ffffffff7f', 'ffffffff0f', '8080808008']) {
    const reader = new ByteReader();
    const wire = Buffer.from(hex, 'hex');
    expect(thrown(() => decode(varintPrefixed(), [wire], codecSession(), reader)).code).toBe(
      'MESSAGE_TOO_LARGE',
    );
    expect(reader.bytes).toBe(wire);
  }
});

it('rejects a length of more than 5 bytes with BAD_FRAME', () => {
  for (const chunks of everySplit(Buffer.alloc(5, 0xff))) {
    expect(thrown(() => decode(varintPrefixed(), chunks))).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('more than 5 bytes'),
    });
  }
  expect(decode(varintPrefixed(), [Buffer.alloc(4, 0xff)])).toEqual([]);
});
