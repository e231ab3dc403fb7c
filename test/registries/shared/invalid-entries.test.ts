/** Reports of invalid entries are bounded, and come once. */
import { expect, it, vi } from 'vitest';
import { InvalidEntries, MAX_INVALID } from '../../../src/registries/shared/invalid-entries.js';
import { RecordingLogger } from '../../fixtures/registries.js';

it('reports each reason of an entry once, until the entry is forgotten', () => {
  const logger = new RecordingLogger();
  const invalid = new InvalidEntries(logger);
  for (const reason of ['a', 'a', new Error('a'), new Error('b')]) invalid.report('/x', reason);
  expect(logger.lines).toHaveLength(2);
  invalid.forget('/x');
  invalid.report('/x', 'b');
  expect(logger.lines).toHaveLength(3);
  invalid.report('/y', 'b');
  invalid.keepOnly((path) => path === '/x');
  invalid.report('/x', 'b');
  invalid.report('/y', 'b');
  expect(logger.linesWith('/y')).toHaveLength(2);
  expect(logger.lines).toHaveLength(5);
});

it('reports a thousand entries, and that there are more', () => {
  const logger = new RecordingLogger();
  const invalid = new InvalidEntries(logger);
  for (let i = 0; i < 3 * MAX_INVALID; i++) invalid.report(`/${i}`, 'no');
  expect(logger.lines).toHaveLength(MAX_INVALID + 1);
  expect(logger.lines.at(-1)?.message).toContain('no more are logged');
});

it('warns of the process without a logger', () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    const cause = new Error('its role is "?"');
    new InvalidEntries(undefined).report('/x', cause);
    expect(emitted).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({
        code: 'REGISTRY_FAILED',
        message: 'registry entry "/x": skipped: its role is "?"',
        cause,
      }),
    );
  } finally {
    emitted.mockRestore();
  }
});
