import { expect, test } from 'vitest';
import { setKey } from '../../src/core/records.js';

/** Dense indices, then pairs of sparse indices. At each pair V8 would convert all elements. */
function sparseKeys(): string[] {
  const keys = Array.from({ length: 49_000 }, (_, i) => String(i));
  for (let key = 75_000; key < 700_000; key += 1_100) keys.push(String(key), String(key + 1));
  return keys;
}

test('setKey() sets array indices in linear time', () => {
  const keys = sparseKeys();
  const record: Record<string, string> = {};
  const before = process.cpuUsage();
  for (const key of keys) setKey(record, key, key);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(800);
  expect(Object.keys(record)).toEqual(keys);
});

test('setKey() keeps the largest array index like other keys', () => {
  const record: Record<string, string> = {};
  for (const key of ['4294967294', '1', 'a', '4294967295', '']) setKey(record, key, key);
  expect(record).toEqual({
    '4294967294': '4294967294',
    1: '1',
    a: 'a',
    '4294967295': '4294967295',
    '': '',
  });
});
