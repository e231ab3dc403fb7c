/** ByteWriter: what it writes, how it grows, and the pool of writers. */
import { describe, expect, it } from 'vitest';
import { WRITER_SIZES } from '../../../src/transport/buffers/byte-writer.js';
import { ByteWriter } from '../../../src/transport/index.js';
import { BUILDS } from '../../fixtures/builds.js';
import { asBuffer } from '../../fixtures/chunks.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';

const [SMALL, MIDDLE, LARGE] = WRITER_SIZES;

noLeaks();

type Step =
  | { uint8: number }
  | { uint16: number; little: boolean }
  | { uint32: number; little: boolean }
  | { text: string }
  | { append: Uint8Array };
const little = fc.boolean();
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.nat({ max: 255 }).map((uint8) => ({ uint8 })),
  fc.record({ uint16: fc.nat({ max: 65_535 }), little }),
  fc.record({ uint32: fc.nat({ max: 2 ** 32 - 1 }), little }),
  fc.string({ unit: 'binary', maxLength: 120 }).map((text) => ({ text })),
  fc.string({ maxLength: 60 }).map((text) => ({ text })),
  fc.uint8Array({ maxLength: 200 }).map((append) => ({ append })),
);

/** The bytes that a step appends. */
function bytesOf(step: Step): Buffer {
  if ('text' in step) return Buffer.from(step.text, 'utf8');
  if ('append' in step) return Buffer.from(step.append);
  if ('uint8' in step) return Buffer.of(step.uint8);
  const bytes = Buffer.alloc('uint16' in step ? 2 : 4);
  if ('uint16' in step)
    step.little ? bytes.writeUInt16LE(step.uint16) : bytes.writeUInt16BE(step.uint16);
  else step.little ? bytes.writeUInt32LE(step.uint32) : bytes.writeUInt32BE(step.uint32);
  return bytes;
}

function apply(writer: ByteWriter, step: Step): void {
  if ('text' in step) expect(writer.text(step.text)).toBe(Buffer.byteLength(step.text));
  else if ('append' in step) writer.append(step.append);
  else if ('uint8' in step) writer.uint8(step.uint8);
  else if ('uint16' in step) writer.uint16(step.uint16, step.little);
  else writer.uint32(step.uint32, step.little);
}

const written = (writer: ByteWriter): Buffer => asBuffer(writer.bytes.subarray(0, writer.length));

describe('ByteWriter', () => {
  it.each(BUILDS)(
    '$name: writes numbers, texts and bytes with any initial capacity',
    ({ build }) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), fc.nat({ max: 300 }), (steps, capacity) => {
          const writer = new build.ByteWriter(capacity);
          for (const step of steps) apply(writer, step);
          expect(written(writer).equals(Buffer.concat(steps.map(bytesOf)))).toBe(true);
        }),
      );
    },
  );

  it('keeps the written bytes when it grows, and its view shows the new buffer', () => {
    const writer = new ByteWriter();
    const parts: Buffer[] = [];
    for (let i = 0; i < 40; i++) {
      const part = Buffer.alloc(7_919, i);
      parts.push(part);
      writer.append(part);
      writer.uint32(i);
      parts.push(Buffer.of(0, 0, 0, i));
      expect(writer.view.buffer).toBe(writer.bytes.buffer);
    }
    expect(writer.length).toBeGreaterThan(3 * LARGE);
    expect(written(writer).equals(Buffer.concat(parts))).toBe(true);
    expect(writer.bytes.length).toBeLessThan(2 * writer.length + LARGE);
  });

  it('drops the last bytes when length is set to a smaller value, also after growth', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 20 }),
        fc.array(step, { maxLength: 20 }),
        fc.array(step, { maxLength: 20 }),
        (kept, dropped, after) => {
          const writer = new ByteWriter(8);
          for (const step of kept) apply(writer, step);
          const start = writer.length;
          for (const step of dropped) apply(writer, step);
          writer.length = start;
          for (const step of after) apply(writer, step);
          expect(written(writer).equals(Buffer.concat([...kept, ...after].map(bytesOf)))).toBe(
            true,
          );
        },
      ),
    );
  });

  it('reserve() returns the index of the reserved bytes', () => {
    const writer = new ByteWriter(4);
    writer.uint8(1);
    const at = writer.reserve(6);
    writer.view.setUint32(at, 0x02030405);
    writer.view.setUint16(at + 4, 0x0607);
    expect([...written(writer)]).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it.each(BUILDS)(
    '$name: writes short and long texts of characters of every width',
    ({ build }) => {
      for (const unit of ['a', 'ü', '€', '😀', '\u0000', '\ud800']) {
        for (const length of [0, 1, 13, 20, 39, 40, 41, 100]) {
          const text = unit.repeat(length);
          const writer = new build.ByteWriter(1);
          writer.uint8(9);
          expect(writer.text(text)).toBe(Buffer.byteLength(text));
          expect(written(writer).equals(Buffer.concat([Buffer.of(9), Buffer.from(text)]))).toBe(
            true,
          );
        }
      }
    },
  );

  it('detach() leaves the written bytes to their owner', () => {
    const writer = new ByteWriter();
    writer.text('owned by the connection');
    const owned = written(writer);
    const copy = Buffer.from(owned);
    writer.detach();
    expect(writer.length).toBe(0);
    writer.append(Buffer.alloc(LARGE, 0xff));
    expect(owned.equals(copy)).toBe(true);
    expect(writer.bytes.buffer).not.toBe(owned.buffer);
  });

  it.each([
    [0, SMALL, 1024],
    [SMALL, SMALL, 1024],
    [SMALL + 1, MIDDLE, 16],
    [MIDDLE + 1, LARGE, 16],
    [LARGE + 1, LARGE, 16],
  ])(
    'borrow(%d) returns a pooled writer of %d bytes once, and no detached or grown writer; the pool keeps %d',
    (bytes, size, limit) => {
      const borrow = (): ByteWriter[] =>
        Array.from({ length: limit + 24 }, () => ByteWriter.borrow(bytes));
      const many = borrow();
      expect(new Set(many).size).toBe(many.length);
      expect(new Set(many.map((writer) => writer.bytes.buffer)).size).toBe(many.length);

      const detached = many.pop() as ByteWriter;
      detached.uint8(1);
      detached.detach();
      const grown = many.pop() as ByteWriter;
      grown.append(Buffer.alloc(LARGE + 1));
      for (const writer of [detached, grown, ...many]) {
        if (writer !== detached && writer !== grown) writer.uint32(7);
        ByteWriter.release(writer);
      }

      const again = borrow();
      expect(again).not.toContain(detached);
      expect(again).not.toContain(grown);
      expect(new Set(again.map((writer) => writer.bytes.buffer)).size).toBe(again.length);
      expect(again.filter((writer) => many.includes(writer)).length).toBe(limit);
      for (const writer of again) expect([writer.length, writer.bytes.length]).toEqual([0, size]);
    },
  );

  it.each([
    [MIDDLE, MIDDLE],
    [MIDDLE + 1, LARGE],
  ])('a writer that has grown to hold %d bytes returns to the pool of %d bytes', (bytes, size) => {
    const writer = ByteWriter.borrow();
    writer.append(Buffer.alloc(bytes));
    expect(writer.bytes.length).toBe(size);
    const others = Array.from({ length: 20 }, () => ByteWriter.borrow(bytes));
    ByteWriter.release(writer);
    expect(ByteWriter.borrow(bytes)).toBe(writer);
    expect(others).not.toContain(writer);
  });
});
