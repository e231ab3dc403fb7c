/** The values of options. */
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../src/cli/failure.js';
import { addPair, parseChoice, parseDuration, parseInteger } from '../../src/cli/option-values.js';

describe('parseDuration()', () => {
  test.each([
    ['500ms', 500],
    ['5s', 5_000],
    ['1.5s', 1_500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['596h', 2_145_600_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration('--for', text)).toBe(ms);
  });

  test.each(['', '0', '3', '500', '0ms', '0.1ms', '-1s', '1d', 's', '1e3', 'NaN', '597h'])(
    'refuses %j',
    (text) => {
      expect(() => parseDuration('--for', text)).toThrow(UsageError);
    },
  );
});

describe('parseInteger()', () => {
  test('takes whole numbers of its range', () => {
    expect(parseInteger('--limit', '7', 1, 10)).toBe(7);
    for (const text of ['0', '11', '1.5', '', '-1', '0x5'])
      expect(() => parseInteger('--limit', text, 1, 10)).toThrow(UsageError);
  });
});

describe('parseChoice()', () => {
  test('takes one of the words', () => {
    expect(parseChoice('--codec', 'json', ['json', 'protobuf'])).toBe('json');
    expect(() => parseChoice('--codec', 'toString', ['json'])).toThrow(UsageError);
  });
});

describe('addPair()', () => {
  test('keeps the pairs before it, and takes any key', () => {
    const pairs = addPair('--meta', '__proto__=x', addPair('--meta', 'a=b=c', {}));
    expect(Object.entries(pairs)).toEqual([
      ['a', 'b=c'],
      ['__proto__', 'x'],
    ]);
    for (const text of ['a', '=b', ''])
      expect(() => addPair('--meta', text, {})).toThrow(UsageError);
  });
});
