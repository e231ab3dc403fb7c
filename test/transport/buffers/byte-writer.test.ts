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

function model(doing: Step): Buffer {
  if ('text' in doing) return Buffer.from(doing.text, 'utf8');
  if ('append' in doing) return Buffer.from(doing.append);
  if ('uint8' in doing) return Buffer.of(doing.uint8);
  const bytes = Buffer.alloc('uint16' in doing ? 2 : 4);
  if ('uint16' in doing)
    doing.little ? bytes.writeUInt16LE(doing.uint16) : bytes.writeUInt16BE(doing.uint16);
  else doing.little ? bytes.writeUInt32LE(doing.uint32) : bytes.writeUInt32BE(doing.uint32);
  return bytes;
}

function apply(writer: ByteWriter, doing: Step): void {
  if ('text' in doing) expect(writer.text(doing.text)).toBe(Buffer.byteLength(doing.text));
  else if ('append' in doing) writer.append(doing.append);
  else if ('uint8' in doing) writer.uint8(doing.uint8);
  else if ('uint16' in doing) writer.uint16(doing.uint16, doing.little);
  else writer.uint32(doing.uint32, doing.little);
}

const written = (writer: ByteWriter): Buffer => asBuffer(writer.bytes.subarray(0, writer.length));

describe('ByteWriter', () => {
  it.each(BUILDS)('$name it writes what one would expect, from any capacity', ({ build }) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat({ max: 300 }), (steps, capacity) => {
        const writer = new build.ByteWriter(capacity);
        for (const doing of steps) apply(writer, doing);
        expect(written(writer).equals(Buffer.concat(steps.map(model)))).toBe(true);
      }),
    );
  });

  it('grows past its capacity and keeps what was written; bytes, view and length stay in step', () => {
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

  it('a shorter length drops what was written last, after growth too', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 20 }),
        fc.array(step, { maxLength: 20 }),
        fc.array(step, { maxLength: 20 }),
        (kept, dropped, after) => {
          const writer = new ByteWriter(8);
          for (const doing of kept) apply(writer, doing);
          const start = writer.length;
          for (const doing of dropped) apply(writer, doing);
          writer.length = start;
          for (const doing of after) apply(writer, doing);
          expect(written(writer).equals(Buffer.concat([...kept, ...after].map(model)))).toBe(true);
        },
      ),
    );
  });

  it('reserve answers where to write', () => {
    const writer = new ByteWriter(4);
    writer.uint8(1);
    const at = writer.reserve(6);
    writer.view.setUint32(at, 0x02030405);
    writer.view.setUint16(at + 4, 0x0607);
    expect([...written(writer)]).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it.each(BUILDS)(
    '$name: text at the border of the short loop, and for every width of character',
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

  it('renew leaves the written bytes to their holder', () => {
    const writer = new ByteWriter();
    writer.text('in the hands of the connection');
    const held = written(writer);
    const copy = Buffer.from(held);
    writer.detach();
    expect(writer.length).toBe(0);
    writer.append(Buffer.alloc(LARGE, 0xff));
    expect(held.equals(copy)).toBe(true);
    expect(writer.bytes.buffer).not.toBe(held.buffer);
  });

  it.each([
    [0, SMALL, 1024],
    [SMALL, SMALL, 1024],
    [SMALL + 1, MIDDLE, 16],
    [MIDDLE + 1, LARGE, 16],
    [LARGE + 1, LARGE, 16],
  ])(
    'for %d bytes a writer of %d is lent, none twice, none that was renewed or has grown; %d at most are kept',
    (bytes, size, limit) => {
      const borrow = (): ByteWriter[] =>
        Array.from({ length: limit + 24 }, () => ByteWriter.borrow(bytes));
      const many = borrow();
      expect(new Set(many).size).toBe(many.length);
      expect(new Set(many.map((writer) => writer.bytes.buffer)).size).toBe(many.length);

      const renewed = many.pop() as ByteWriter;
      renewed.uint8(1);
      renewed.detach();
      const grown = many.pop() as ByteWriter;
      grown.append(Buffer.alloc(LARGE + 1));
      for (const writer of [renewed, grown, ...many]) {
        if (writer !== renewed && writer !== grown) writer.uint32(7);
        ByteWriter.giveBack(writer);
      }

      const again = borrow();
      expect(again).not.toContain(renewed);
      expect(again).not.toContain(grown);
      expect(new Set(again.map((writer) => writer.bytes.buffer)).size).toBe(again.length);
      expect(again.filter((writer) => many.includes(writer)).length).toBe(limit);
      for (const writer of again) expect([writer.length, writer.bytes.length]).toEqual([0, size]);
    },
  );

  it.each([
    [MIDDLE, MIDDLE],
    [MIDDLE + 1, LARGE],
  ])('a writer that has grown for %d bytes is lent as one of %d', (bytes, size) => {
    const writer = ByteWriter.borrow();
    writer.append(Buffer.alloc(bytes));
    expect(writer.bytes.length).toBe(size);
    const others = Array.from({ length: 20 }, () => ByteWriter.borrow(bytes));
    ByteWriter.giveBack(writer);
    expect(ByteWriter.borrow(bytes)).toBe(writer);
    expect(others).not.toContain(writer);
  });
});
