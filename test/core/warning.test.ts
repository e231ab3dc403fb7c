import { afterEach, beforeEach, expect, it, vi } from 'vitest';

let clock = 0;
let emitted: string[] = [];

beforeEach(() => {
  vi.resetModules();
  clock = 1_000_000;
  emitted = [];
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  vi.spyOn(process, 'emitWarning').mockImplementation(
    (warning) => void emitted.push((warning as Error).message),
  );
});
afterEach(() => void vi.restoreAllMocks());

it('warn() emits 1,000 warnings at once, and 10 per second after that', async () => {
  const { warn } = await import('../../src/core/warning.js');
  for (let i = 0; i < 5_000; i++) warn(new Error(`warning ${i}`));
  expect(emitted).toHaveLength(1_000);
  expect(emitted.at(-1)).toBe('warning 999');
  emitted = [];
  clock += 1_000;
  for (let i = 5_000; i < 6_000; i++) warn(new Error(`warning ${i}`));
  expect(emitted.slice(0, 2)).toEqual([
    '4000 warnings of getty-ts were suppressed',
    'warning 5000',
  ]);
  expect(emitted).toHaveLength(11);
});
