/** Utf8Validator accepts the same bytes as the decoder of Node.js. */
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Utf8Validator } from '../../../../src/transport/websocket/frames/utf8-validator.js';
import { cut, cuts, everySplit } from '../../../fixtures/chunks.js';
import { mostlyText } from './mostly-text.js';

/** The index of the first invalid byte, as the decoder finds it; the length if all are valid. */
function firstInvalid(bytes: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let at = 0; at < bytes.length; at++) {
    try {
      decoder.decode(bytes.subarray(at, at + 1), { stream: true });
    } catch {
      return at;
    }
  }
  return bytes.length;
}

/** The start of the chunk that the validator rejects; the length if it accepts all chunks. */
function rejectedChunk(chunks: readonly Buffer[]): { at: number; isComplete: boolean } {
  const validator = new Utf8Validator();
  let at = 0;
  for (const chunk of chunks) {
    if (!validator.push(chunk, 0, chunk.length)) return { at, isComplete: false };
    at += chunk.length;
  }
  return { at, isComplete: validator.isComplete };
}

/** The edges of the ranges of RFC 3629, section 4. */
const EDGES = [
  '00',
  '7f',
  'c0af',
  'c280',
  'dfbf',
  'e08080',
  'e0a080',
  'ed9fbf',
  'eda080',
  'ee8080',
  'efbfbf',
  'f0808080',
  'f0908080',
  'f48fbfbf',
  'f4908080',
  'f5808080',
  'ff',
];

test.each(EDGES)('finds the first invalid byte of %s in any text and any chunks', (edge) => {
  for (const before of ['', 'a', 'ü', '€', '😀']) {
    for (const after of ['', 'a', '€']) {
      const bytes = Buffer.concat([
        Buffer.from(before),
        Buffer.from(edge, 'hex'),
        Buffer.from(after),
      ]);
      const invalid = firstInvalid(bytes);
      for (const chunks of everySplit(bytes)) {
        const { at, isComplete } = rejectedChunk(chunks);
        if (invalid === bytes.length)
          expect([at, isComplete]).toEqual([bytes.length, isUtf8(bytes)]);
        else expect(at).toBeLessThanOrEqual(invalid);
      }
      const singleBytes = Array.from(bytes, (byte) => Buffer.of(byte));
      expect(rejectedChunk(singleBytes).at).toBe(invalid);
    }
  }
});

test('accepts any bytes in any chunks exactly if the decoder of Node.js accepts them', () => {
  fc.assert(
    fc.property(mostlyText, cuts, (bytes, places) => {
      const { at, isComplete } = rejectedChunk(cut(bytes, places));
      expect(isComplete).toBe(isUtf8(bytes));
      expect(at === bytes.length).toBe(firstInvalid(bytes) === bytes.length);
    }),
    { numRuns: 1_000 },
  );
});
