/** The cache of parsed headers. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HeaderCache } from '../../../src/rpc/wire/header-cache.js';

/** A view of bytes that lie in the middle of a larger buffer, at an odd position. */
function placed(bytes: Uint8Array): { view: DataView; start: number; end: number } {
  const start = 3;
  const buffer = new Uint8Array(start + bytes.length + 5).fill(0xff);
  buffer.set(bytes, start);
  return { view: new DataView(buffer.buffer), start, end: start + bytes.length };
}

const get = (cache: HeaderCache<string>, bytes: Uint8Array): string | undefined => {
  const { view, start, end } = placed(bytes);
  return cache.get(view, start, end);
};

const set = (cache: HeaderCache<string>, bytes: Uint8Array, value: string): void => {
  const { view, start, end } = placed(bytes);
  cache.set(view, start, end, value);
};

it('returns the value of equal bytes, wherever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const cache = new HeaderCache<string>();
      set(cache, bytes, 'value');
      expect(get(cache, bytes)).toBe('value');
      expect(get(cache, bytes)).toBe('value');
    }),
  );
});

it('returns nothing for bytes that differ in one byte, or in their length', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (bytes, position, change) => {
        const cache = new HeaderCache<string>();
        set(cache, bytes, 'value');
        get(cache, bytes);
        const other = new Uint8Array(bytes);
        const at = position % bytes.length;
        other[at] = (other[at] as number) ^ change;
        expect(get(cache, other)).toBeUndefined();
        expect(get(cache, bytes.subarray(1))).toBeUndefined();
        expect(get(cache, new Uint8Array([...bytes, 0]))).toBeUndefined();
        expect(get(cache, bytes)).toBe('value');
      },
    ),
  );
});

it('keeps several headers', () => {
  const cache = new HeaderCache<string>();
  const headers = Array.from({ length: 20 }, (_, i) => Uint8Array.of(1, 2, 3, 4, 5, i));
  for (const [i, header] of headers.entries()) set(cache, header, `value ${i}`);
  expect(headers.map((header) => get(cache, header))).toEqual(headers.map((_, i) => `value ${i}`));
});
