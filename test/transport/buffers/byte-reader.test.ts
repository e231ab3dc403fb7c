/** ByteReader: what it returns, which bytes it copies, and how much memory it takes. */
import { describe, expect, it, vi } from 'vitest';
import { ByteReader } from '../../../src/transport/index.js';
import { BUILDS } from '../../fixtures/builds.js';
import { asBuffer, cut, cuts } from '../../fixtures/chunks.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';

noLeaks();

/** The number of bytes that Buffer.allocUnsafeSlow() allocates during `action`. */
function allocatedBy(action: () => void): number {
  const spy = vi.spyOn(Buffer, 'allocUnsafeSlow');
  try {
    action();
    return spy.mock.calls.reduce((sum, [size]) => sum + size, 0);
  } finally {
    spy.mockRestore();
  }
}

type Step =
  | { feed: Buffer }
  | { take: number }
  | { text: number }
  | { skip: number }
  | { indexOf: number | Buffer }
  | { peek: number }
  | { want: number };
const PATTERNS = ['0001', '000001', '01020100'].map((hex) => Buffer.from(hex, 'hex'));
const amount = fc.nat({ max: 60 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .uint8Array({ minLength: 1, maxLength: 50, max: 3 })
      .map((bytes) => ({ feed: Buffer.from(bytes) })),
  },
  { weight: 3, arbitrary: amount.map((take) => ({ take })) },
  amount.map((text) => ({ text })),
  amount.map((skip) => ({ skip })),
  fc.nat({ max: 3 }).map((indexOf) => ({ indexOf })),
  fc.constantFrom(...PATTERNS).map((indexOf) => ({ indexOf })),
  amount.map((peek) => ({ peek })),
  fc.nat({ max: 100_000 }).map((want) => ({ want })),
);

describe('release()', () => {
  const chunkOf = (size: number): Buffer => Buffer.allocUnsafeSlow(size).fill(7);

  it.each([65_536, 10])('drops a chunk of %i bytes that is read', (size) => {
    const reader = new ByteReader();
    reader.feed(chunkOf(size));
    reader.skip(size);
    reader.release();
    expect([reader.length, reader.bytes.buffer.byteLength]).toEqual([0, 0]);
    reader.feed(Buffer.from('more'));
    expect([reader.view.byteLength, reader.takeText(4)]).toEqual([4, 'more']);
  });

  it('copies a small rest of a chunk, and keeps the state of a search', () => {
    const reader = new ByteReader();
    const chunk = chunkOf(65_536);
    chunk.write('half', 65_532);
    reader.feed(chunk);
    const taken = reader.take(65_532);
    expect(reader.indexOf(0x0a)).toBe(-1);
    reader.release();
    expect([reader.length, reader.bytes.buffer.byteLength, reader.view.byteLength]).toEqual([
      4, 4, 4,
    ]);
    reader.feed(Buffer.from(' and half\n'));
    expect([reader.indexOf(0x0a), reader.takeText(13)]).toEqual([13, 'half and half']);
    expect(taken.every((byte) => byte === 7)).toBe(true);
  });

  it.each([
    ['that is mostly unread', 65_536, 30_000],
    ['that is not read', 65_536, 0],
    ['that is small', 4_095, 4_094],
  ])('keeps a chunk %s', (_, size, read) => {
    const reader = new ByteReader();
    reader.feed(chunkOf(size));
    reader.skip(read);
    const { bytes } = reader;
    reader.release();
    expect([reader.bytes === bytes, reader.length]).toEqual([true, size - read]);
  });
});

describe('ByteReader', () => {
  it.each(BUILDS)(
    '$name: behaves as one long buffer for any sequence of calls, and keeps all views valid',
    ({ build, bytes }) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
          const reader = new build.ByteReader();
          let rest = Buffer.alloc(0);
          const views: { view: Buffer; copy: Buffer }[] = [];
          for (const call of steps) {
            if ('feed' in call) {
              rest = Buffer.concat([rest, call.feed]);
              reader.feed(bytes(call.feed));
            } else if ('indexOf' in call) {
              expect(reader.indexOf(call.indexOf)).toBe(rest.indexOf(call.indexOf));
            } else if ('peek' in call) {
              expect(reader.peek(call.peek)).toBe(rest[call.peek]);
            } else if ('want' in call) {
              reader.want(call.want);
            } else {
              const [kind, count] = Object.entries(call)[0] as [string, number];
              const taking = (): unknown =>
                kind === 'take'
                  ? reader.take(count)
                  : kind === 'text'
                    ? reader.takeText(count, 'latin1')
                    : reader.skip(count);
              if (count > rest.length) {
                expect(taking).toThrow(RangeError);
              } else {
                const taken = taking();
                const expected = rest.subarray(0, count);
                if (kind === 'take')
                  views.push({ view: asBuffer(taken as Buffer), copy: Buffer.from(expected) });
                if (kind === 'text') expect(taken).toBe(expected.toString('latin1'));
                rest = rest.subarray(count);
              }
            }
            expect(reader.length).toBe(rest.length);
            expect(asBuffer(reader.bytes.subarray(reader.position, reader.end)).equals(rest)).toBe(
              true,
            );
            if (rest.length > 0) expect(reader.view.getUint8(reader.position)).toBe(rest[0]);
          }
          for (const { view, copy } of views) expect(view.equals(copy)).toBe(true);
        }),
        { numRuns: 300 },
      );
    },
  );

  it('takes a message in one chunk as a view of the chunk', () => {
    const chunk = Buffer.from('abcdef');
    const reader = new ByteReader();
    reader.feed(chunk);
    const view = reader.take(3);
    expect(view.buffer).toBe(chunk.buffer);
    expect(view.toString()).toBe('abc');
    const second = reader.take(2, 1);
    expect([second.buffer === chunk.buffer, second.toString()]).toEqual([true, 'ef']);
    expect(Object.getPrototypeOf(second)).toBe(Buffer.prototype);
    reader.feed(Buffer.from('ghi'));
    expect([reader.take(1).toString(), reader.take(1).toString()]).toEqual(['g', 'h']);
  });

  it('keeps views valid after later chunks, also views of a gathering buffer', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
        cuts,
        fc.integer({ min: 1, max: 50 }),
        fc.nat({ max: 500 }),
        (bytes, places, size, want) => {
          const reader = new ByteReader();
          const whole = Buffer.from(bytes);
          const views: Buffer[] = [];
          for (const chunk of cut(whole, places)) {
            reader.want(want);
            if (chunk.length > 0) reader.feed(chunk);
            while (reader.length >= size) views.push(reader.take(size));
          }
          views.push(reader.take(reader.length));
          expect(Buffer.concat(views).equals(whole)).toBe(true);
        },
      ),
    );
  });

  it.each([-1, Number.NaN, 0.5, 4, Number.POSITIVE_INFINITY, 2 ** 32, -(2 ** 32)])(
    'throws RangeError and takes nothing for the count %d',
    (count) => {
      const reader = new ByteReader();
      reader.feed(Buffer.from('abc'));
      for (const taking of [
        () => reader.take(count),
        () => reader.takeText(count),
        () => reader.skip(count),
      ])
        expect(taking).toThrow(RangeError);
      expect(reader.take(3).toString()).toBe('abc');
    },
  );

  it('does not search bytes twice', () => {
    for (const want of [0, 1_000_000]) {
      const reader = new ByteReader();
      let searched = 0;
      const spy = vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function (
        this: Buffer,
        byte: unknown,
        from?: unknown,
      ) {
        searched += this.length - Number(from ?? 0);
        return Uint8Array.prototype.indexOf.call(this, byte as number, from as number);
      });
      try {
        for (let i = 0; i < 2_000; i++) {
          reader.feed(Buffer.alloc(50, 'x'));
          reader.want(want);
          expect(reader.indexOf(0x0a)).toBe(-1);
        }
        reader.feed(Buffer.from('\nrest'));
        expect(reader.indexOf(0x0a)).toBe(100_000);
      } finally {
        spy.mockRestore();
      }
      expect(searched).toBeLessThanOrEqual(100_005);
    }
  });

  it('searches from the front after a skip, and for another byte', () => {
    const reader = new ByteReader();
    reader.feed(Buffer.from('ab\ncd\n'));
    expect(reader.indexOf(0x78)).toBe(-1);
    expect(reader.indexOf(0x0a)).toBe(2);
    reader.skip(3);
    expect(reader.indexOf(0x0a)).toBe(2);
  });

  it('does not allocate what is only announced', () => {
    const reader = new ByteReader();
    const allocated = allocatedBy(() => {
      reader.feed(Buffer.alloc(4));
      reader.want(4 * 1024 ** 3);
      for (let i = 0; i < 100; i++) {
        reader.feed(Buffer.alloc(1));
        reader.want(4 * 1024 ** 3);
      }
    });
    expect(allocated).toBeLessThanOrEqual(32 * 1024);
    expect(reader.bytes.length).toBeLessThanOrEqual(16 * 1024);
  });

  it('gathers in at most 16 times the bytes that have arrived', () => {
    const reader = new ByteReader();
    reader.feed(Buffer.alloc(100_000));
    for (let i = 0; i < 30; i++) {
      reader.want(2 ** 31);
      reader.feed(Buffer.alloc(10_000));
      expect(reader.bytes.length).toBeLessThanOrEqual(16 * reader.length);
    }
  });

  it('has space for a chunk that contains the end of an announced message', () => {
    const reader = new ByteReader();
    const chunk = 64 * 1024;
    reader.feed(Buffer.alloc(chunk));
    // A message of 1 MiB with its header, which the socket delivers in chunks of 64 KiB.
    reader.want(16 * chunk + 20);
    reader.feed(Buffer.alloc(chunk));
    const allocated = allocatedBy(() => {
      for (let i = 0; i < 15; i++) reader.feed(Buffer.alloc(chunk));
    });
    expect(reader.length).toBe(17 * chunk);
    expect(allocated).toBe(0);
  });

  it('copies rarely when the bytes of a message arrive one by one', () => {
    const reader = new ByteReader();
    const allocated = allocatedBy(() => {
      for (let i = 0; i < 100_000; i++) reader.feed(Buffer.from('x'));
    });
    expect(reader.length).toBe(100_000);
    expect(allocated).toBeLessThan(600_000);
  });

  it('gathers a large message that is announced with few copies', () => {
    const reader = new ByteReader();
    const total = 4 * 1024 * 1024;
    const allocated = allocatedBy(() => {
      for (let received = 0; received < total; received += 65_536) {
        reader.feed(Buffer.alloc(65_536, 1));
        reader.want(total);
      }
    });
    expect(reader.take(total).every((byte) => byte === 1)).toBe(true);
    expect(allocated).toBeLessThan(2 * total);
  });
});
