import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type BytesPart, HeldMessages } from '../../../src/transport/rate/held-messages.js';

const bytesOf = (parts: readonly BytesPart[]): Buffer =>
  Buffer.concat(parts.map(({ buffer, start, end }) => buffer.subarray(start, end)));

it('returns all messages in order, whatever their sizes', () => {
  const step = fc.oneof(
    fc.integer({ min: 0, max: 100_000 }).map((size) => ({ size })),
    fc.integer({ min: 0, max: 3 }).map((size) => ({ size })),
    fc.constant({ size: -1 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, movesAll) => {
      const held = new HeldMessages();
      const expected: Buffer[] = [];
      let next = 0;
      for (const { size } of steps) {
        if (size >= 0) {
          const message = Buffer.alloc(size, expected.length);
          expected.push(message);
          held.push(message);
        } else if (held.first !== undefined) {
          const parts: BytesPart[] = [];
          expect(held.first).toBe(expected[next]?.length);
          held.moveFirstTo(parts);
          expect(bytesOf(parts).equals(expected[next++] as Buffer)).toBe(true);
        }
      }
      const left = expected.slice(next);
      const size = left.reduce((sum, { length }) => sum + Math.max(1, length), 0);
      expect([held.count, held.bytes]).toEqual([left.length, size]);
      const rest: BytesPart[] = [];
      if (movesAll) held.moveAllTo(rest);
      else while (held.first !== undefined) held.moveFirstTo(rest);
      expect(bytesOf(rest).equals(Buffer.concat(left))).toBe(true);
      expect([held.first, held.count, held.bytes, held.overhead]).toEqual([undefined, 0, 0, 0]);
    }),
    { numRuns: 200 },
  );
});

it('joins messages of one buffer, and does not overwrite bytes that were moved', () => {
  const held = new HeldMessages();
  for (const text of ['one', 'two', 'three']) held.push(Buffer.from(text));
  const parts: BytesPart[] = [];
  held.moveFirstTo(parts);
  held.moveFirstTo(parts);
  held.push(Buffer.from('four'));
  held.moveFirstTo(parts);
  expect(parts).toHaveLength(1);
  expect(String(bytesOf(parts))).toBe('onetwothree');
  held.moveFirstTo(parts);
  expect(String(bytesOf(parts))).toBe('onetwothreefour');
});

it.each([0, 1, 10, 200, 20_000])(
  'takes the memory that it counts, for messages of %d bytes',
  (size) => {
    const held = new HeldMessages();
    const count = Math.ceil(1_000_000 / (size + 1));
    const message = Buffer.alloc(size);
    for (let i = 0; i < count; i++) held.push(message);
    const counted = held.bytes + held.overhead;
    expect(counted).toBeGreaterThanOrEqual(count * (size + 1));
    const parts: BytesPart[] = [];
    while (held.first !== undefined) held.moveFirstTo(parts);
    const buffers = new Set(parts.map(({ buffer }) => buffer.buffer));
    const total = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(total).toBeLessThan(counted * 1.2 + 2 * 64 * 1024);
  },
);
