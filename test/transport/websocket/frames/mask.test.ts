import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { applyMask, newMask } from '../../../../src/transport/websocket/frames/mask.js';

it('masks every size at every alignment', () => {
  for (let start = 0; start < 9; start++) {
    for (const size of [0, 1, 2, 3, 4, 5, 6, 7, 8, 66, 127, 128, 129, 130, 131, 132, 133, 1_000]) {
      const plain = randomBytes(start + size + 5);
      const masked = Buffer.from(plain);
      const key = newMask();
      const view = new DataView(masked.buffer, masked.byteOffset, masked.length);
      applyMask(view, start, start + size, key);
      const expected = Buffer.from(plain);
      const keyBytes = Buffer.alloc(4);
      keyBytes.writeInt32BE(key);
      for (let i = 0; i < size; i++)
        expected[start + i] = (plain[start + i] as number) ^ (keyBytes[i % 4] as number);
      expect(masked.equals(expected)).toBe(true);
    }
  }
});

it('makes a new key for each frame', () => {
  expect(new Set(Array.from({ length: 5_000 }, newMask)).size).toBeGreaterThan(4_990);
});
