/** sequenceKey(): the keys of sequences in a Map. */
import { expect, test } from 'vitest';
import { sequenceKey } from '../../../src/rpc/wire/sequence.js';

/** V8's hash of an integer as a key of a Map (ComputeUnseededHash in its source). */
function hashOf(key: number): number {
  let hash = ~key + (key << 15);
  hash ^= hash >>> 12;
  hash = (hash + (hash << 2)) | 0;
  hash ^= hash >>> 4;
  hash = Math.imul(hash, 2057);
  hash ^= hash >>> 16;
  return hash & 0x3fffffff;
}

/** The buckets of the Map in these tests. */
const BUCKETS = 4096;

test('gives different sequences different keys', () => {
  const sequences = [
    0,
    1,
    -1,
    2 ** 31 - 1,
    -(2 ** 31),
    ...Array.from({ length: 100_000 }, (_, i) => 2 * i + 3),
  ];
  expect(new Set(sequences.map(sequenceKey)).size).toBe(sequences.length);
});

test('spreads sequences that a peer chose for one bucket of a Map over many', () => {
  const chosen: number[] = [];
  for (let low = 1; chosen.length < BUCKETS; low += 2)
    if (hashOf(low) % BUCKETS === 0) chosen.push(low);
  const sizes = new Map<number, number>();
  for (const low of chosen) {
    const bucket = hashOf(sequenceKey(low)) % BUCKETS;
    sizes.set(bucket, (sizes.get(bucket) ?? 0) + 1);
  }
  expect(Math.max(...sizes.values())).toBeLessThan(BUCKETS / 16);
});
