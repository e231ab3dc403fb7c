import { afterEach, beforeEach, expect, it, vi } from 'vitest';

function thrower(): never {
  throw new Error('hostile');
}

let clock = 0;
let emitted: string[] = [];
let lastWarning: Error | undefined;
let codes: unknown[] = [];

beforeEach(() => {
  vi.resetModules();
  clock = 1_000_000;
  emitted = [];
  codes = [];
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    lastWarning = warning as Error;
    emitted.push(lastWarning.message);
    codes.push((lastWarning as { code?: unknown }).code);
  });
});
afterEach(() => void vi.restoreAllMocks());

it('warn() emits 1,000 warnings at once, and 10 per second after that', async () => {
  const { warn } = await import('../../src/core/warning.js');
  const { gettyError } = await import('../../src/core/errors.js');
  for (let i = 0; i < 5_000; i++) warn(gettyError('HANDLER_FAILED', `warning ${i}`));
  expect(emitted).toHaveLength(1_000);
  expect(emitted.at(-1)).toBe('warning 999');
  emitted = [];
  clock += 1_000;
  for (let i = 5_000; i < 6_000; i++) warn(gettyError('HANDLER_FAILED', `warning ${i}`));
  expect(emitted.slice(0, 2)).toEqual([
    '4000 warnings of getty-ts were suppressed',
    'warning 5000',
  ]);
  expect(emitted).toHaveLength(11);
  expect(codes.slice(1_000, 1_002)).toEqual(['WARNINGS_SUPPRESSED', 'HANDLER_FAILED']);
});

it.each<[string, PropertyDescriptorMap]>([
  ['a toString() that throws', { toString: { value: thrower } }],
  ['a name that is no string', { name: { value: Symbol('name') } }],
  ['a stack that throws', { stack: { get: thrower } }],
  ['a detail that throws', { detail: { get: thrower } }],
  ['a very long message', { message: { value: 'x'.repeat(1_000_000) } }],
])('warn() emits another error instead of one with %s', async (_, properties) => {
  const { warn } = await import('../../src/core/warning.js');
  const { gettyError } = await import('../../src/core/errors.js');
  const error = Object.defineProperties(gettyError('SEND_TIMEOUT', 'too late'), properties);
  warn(error);
  expect(lastWarning).not.toBe(error);
  expect(lastWarning).toMatchObject({ code: 'SEND_TIMEOUT', name: 'GettyError' });
  expect(emitted[0]).toMatch(/^(too late|x{10000}…)$/);
});
