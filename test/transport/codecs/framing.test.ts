/** What every framing codec does with bytes that arrive in any chunks. */
import { describe, expect, it } from 'vitest';
import type { ByteReader } from '../../../src/transport/index.js';
import { codecSession, cut, cuts, decode, encode, everySplit } from '../../fixtures/chunks.js';
import { CODECS } from '../../fixtures/codecs.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';

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

  it('reads what it has written, however it is cut into chunks', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), cuts, (messages, places) => {
        const reader = newReader();
        const wire = writing(messages);
        expect(reading(cut(wire, places), reader)).toEqual(messages);
        expect(reader.length).toBe(0);
      }),
    );
  });

  it('reads the same messages at every split in two, and byte by byte', () => {
    const messages = fc.sample(message, { numRuns: 8, seed: 7 });
    const wire = writing(messages);
    for (const chunks of everySplit(wire.subarray(0, 600))) {
      const reader = newReader();
      const got = reading(chunks, reader);
      expect(got).toEqual(messages.slice(0, got.length));
      expect(writing(got).length + reader.length).toBe(Math.min(wire.length, 600));
    }
  });

  it('leaves an incomplete message in the reader', () => {
    const wire = writing(fc.sample(message, { numRuns: 3, seed: 11 }));
    for (let end = 0; end < wire.length; end++) {
      const reader = newReader();
      const before = reading([Buffer.from(wire.subarray(0, end))], reader);
      expect(writing(before).length + reader.length).toBe(end);
    }
  });

  it('reads garbage as messages or rejects it with MESSAGE_TOO_LARGE or BAD_FRAME', () => {
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
