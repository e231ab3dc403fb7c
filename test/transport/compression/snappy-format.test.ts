import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { chunksOf } from '../../../src/transport/compression/snappy-format.js';
import { A_HUNDRED_AS, HELLO, hex, readAll, stream } from './snappy-chunks.js';

describe('chunksOf', () => {
  it('compresses a block only if that saves more than an eighth', () => {
    expect(Buffer.concat([...chunksOf(Buffer.from('hello\n'))])).toEqual(hex(HELLO));
    expect(Buffer.concat([...chunksOf(Buffer.alloc(100, 'a'))])).toEqual(hex(A_HUNDRED_AS));
    expect([...chunksOf(randomBytes(65_536))].map((part) => [part.length, part[0]])).toEqual([
      [8, 1],
      [65_536, expect.any(Number)],
    ]);
    expect([...chunksOf(Buffer.alloc(0))]).toEqual([]);
  });

  it('puts at most 65,536 bytes into one chunk', () => {
    for (const [size, count] of [
      [65_536, 1],
      [65_537, 2],
      [200_000, 4],
    ] as const) {
      const parts = [...chunksOf(Buffer.alloc(size, 7))];
      expect(parts.length).toBe(2 * count);
      expect(
        readAll([stream(...parts.map((part) => Buffer.from(part)))]).equals(Buffer.alloc(size, 7)),
      ).toBe(true);
    }
  });
});
