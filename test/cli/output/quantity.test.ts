/** Times and sizes, for people. */
import { expect, test } from 'vitest';
import { ageText, bytesText } from '../../../src/cli/output/quantity.js';

test.each([
  [0, '0s'],
  [-5, '0s'],
  [59_999, '59s'],
  [60_000, '1m'],
  [7_200_000, '2h'],
  [259_200_000, '3d'],
])('%d ms are %s', (ms, text) => {
  expect(ageText(ms)).toBe(text);
});

test.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_536, '1.5 KiB'],
  [20 * 2 ** 20, '20 MiB'],
  [2 ** 40, '1.0 TiB'],
  [2 ** 60, '1048576 TiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});
