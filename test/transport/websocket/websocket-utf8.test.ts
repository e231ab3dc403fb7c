/**
 * UTF-8 in pieces, against the decoder of the platform; and text messages in any fragments and
 * chunks.
 */
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../../src/transport/index.js';
import { FIN, OPCODE } from '../../../src/transport/websocket/frames/frame-header.js';
import { FrameParser } from '../../../src/transport/websocket/frames/frame-parser.js';
import {
  completeFrame,
  minHeaderBytes,
} from '../../../src/transport/websocket/frames/frame-writer.js';
import { Utf8Validator } from '../../../src/transport/websocket/frames/utf8-validator.js';
import { cut, cuts, everySplit } from '../../fixtures/chunks.js';

/** How many bytes can come before the first that cannot follow; all of them when each can. */
function goodBytes(bytes: Buffer): number {
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

/** The same, as the validator finds it in chunks: the start of the chunk that it refuses. */
function refusedChunk(chunks: readonly Buffer[]): { at: number; isComplete: boolean } {
  const validator = new Utf8Validator();
  let at = 0;
  for (const chunk of chunks) {
    if (!validator.push(chunk, 0, chunk.length)) return { at, isComplete: false };
    at += chunk.length;
  }
  return { at, isComplete: validator.isComplete };
}

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

test.each(EDGES)(
  'finds the first bad byte of %s, whatever is before it and wherever it is cut',
  (edge) => {
    for (const before of ['', 'a', 'ü', '€', '😀']) {
      for (const after of ['', 'a', '€']) {
        const bytes = Buffer.concat([
          Buffer.from(before),
          Buffer.from(edge, 'hex'),
          Buffer.from(after),
        ]);
        const good = goodBytes(bytes);
        for (const chunks of everySplit(bytes)) {
          const { at, isComplete } = refusedChunk(chunks);
          if (good === bytes.length)
            expect([at, isComplete]).toEqual([bytes.length, isUtf8(bytes)]);
          else expect(at).toBeLessThanOrEqual(good);
        }
        // Byte by byte it is exact.
        expect(refusedChunk(Array.from(bytes, (byte) => Buffer.of(byte))).at).toBe(good);
      }
    }
  },
);

const mostlyText = fc
  .tuple(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.option(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
      nil: undefined,
    }),
  )
  .map(([words, spoiled]) => {
    const bytes = Buffer.from(words);
    if (spoiled !== undefined && bytes.length > 0)
      bytes[Math.floor(spoiled[0] * bytes.length)] = spoiled[1];
    return bytes;
  });

test('any bytes in any chunks are judged as the decoder of the platform does', () => {
  fc.assert(
    fc.property(mostlyText, cuts, (bytes, places) => {
      const { at, isComplete } = refusedChunk(cut(bytes, places));
      expect(isComplete).toBe(isUtf8(bytes));
      expect(at === bytes.length).toBe(goodBytes(bytes) === bytes.length);
    }),
    { numRuns: 1_000 },
  );
});

test('a text message in any fragments and chunks arrives, or is refused with the bytes that make it bad', () => {
  fc.assert(
    fc.property(mostlyText, cuts, cuts, fc.boolean(), (bytes, fragments, chunks, masked) => {
      const output = new ByteWriter();
      const parts = cut(bytes, fragments);
      parts.forEach((part, i) => {
        const start = output.reserve(minHeaderBytes(masked));
        output.append(part);
        completeFrame(
          output,
          start,
          (i === 0 ? OPCODE.text : OPCODE.continuation) | (i === parts.length - 1 ? FIN : 0),
          masked,
        );
      });
      const parser = new FrameParser({ isMasked: masked, maxMessageBytes: 10_000 });
      const read = (): unknown => {
        for (const chunk of cut(Buffer.from(output.written), chunks)) {
          parser.feed(chunk);
          const event = parser.next();
          if (event?.type === 'message')
            return { text: event.isText, bytes: event.bytes.subarray(event.start, event.end) };
        }
        return undefined;
      };
      if (isUtf8(bytes)) expect(read()).toEqual({ text: true, bytes });
      else expect(read).toThrow(expect.objectContaining({ closeCode: 1007 }));
    }),
    { numRuns: 500 },
  );
});
