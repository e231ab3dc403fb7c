/** Warnings of the process: a peer may cause very many, and few are told. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

let clock = 0;
let told: string[] = [];

beforeEach(() => {
  vi.resetModules();
  clock = 1_000_000;
  told = [];
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  vi.spyOn(process, 'emitWarning').mockImplementation(
    (warning) => void told.push((warning as Error).message),
  );
});
afterEach(() => void vi.restoreAllMocks());

it('tells 1,000 at once, and 10 a second after that', async () => {
  const { warn } = await import('../../src/core/warning.js');
  for (let i = 0; i < 5_000; i++) warn(new Error(`warning ${i}`));
  expect(told).toHaveLength(1_000);
  expect(told.at(-1)).toBe('warning 999');
  told = [];
  clock += 1_000;
  for (let i = 5_000; i < 6_000; i++) warn(new Error(`warning ${i}`));
  expect(told.slice(0, 2)).toEqual(['4000 warnings of getty-ts were suppressed', 'warning 5000']);
  expect(told).toHaveLength(11);
});
