import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type BytesPart, HeldMessages } from '../../../src/transport/rate/held-messages.js';

const bytesOf = (parts: readonly BytesPart[]): Buffer =>
  Buffer.concat(parts.map(({ buffer, start, end }) => buffer.subarray(start, end)));

it('returns all messages in order, whatever their sizes', () => {
  const step = fc.oneof(
    fc.integer({ min: 1, max: 100_000 }).map((size) => ({ size })),
    fc.constant({ size: 0 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const held = new HeldMessages();
      const expected: Buffer[] = [];
      let next = 0;
      for (const { size } of steps) {
        if (size > 0) {
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
      const rest: BytesPart[] = [];
      while (held.first !== undefined) held.moveFirstTo(rest);
      expect(bytesOf(rest).equals(Buffer.concat(expected.slice(next)))).toBe(true);
      expect(held.bytes).toBe(0);
    }),
    { numRuns: 100 },
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

it('takes about the memory of its messages', () => {
  const held = new HeldMessages();
  const buffers = new Set<ArrayBufferLike>();
  for (let i = 0; i < 100_000; i++) held.push(Buffer.alloc(10));
  const parts: BytesPart[] = [];
  while (held.first !== undefined) held.moveFirstTo(parts);
  for (const { buffer } of parts) buffers.add(buffer.buffer);
  const total = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(total).toBeLessThan(1_000_000 + 2 * 64 * 1024);
});
