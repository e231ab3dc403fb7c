/** Text of other programs that is safe for a terminal. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonText, printable } from '../../../src/cli/output/printable.js';

/** Characters that control a terminal, or the direction of text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to find
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

describe('printable()', () => {
  test.each([
    ['hello, world', 'hello, world'],
    ['naïve 日本 🦀', 'naïve 日本 🦀'],
    ['a\nb\tc', 'a\\u000ab\\u0009c'],
    ['\u001b]0;title\u0007', '\\u001b]0;title\\u0007'],
    ['\u009b31m', '\\u009b31m'],
    ['abc\u202edef', 'abc\\u202edef'],
    ['\ud800', '\\ud800'],
    ['a\u3164\u2800b', 'a\\u3164\\u2800b'],
    ['\u{e0041}', '\\udb40\\udc41'],
  ])('%j is %j', (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  test('is at most as long as the limit', () => {
    expect(printable('x'.repeat(20), 10)).toBe(`${'x'.repeat(9)}…`);
    expect(printable('\u0000'.repeat(20), 10)).toBe('\\u0000\\u0…');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (text) => {
        const shown = printable(text, 20);
        expect(shown.length).toBeLessThanOrEqual(20);
        expect(shown).not.toMatch(CONTROL);
      }),
    );
  });
});

describe('jsonText()', () => {
  test('is the same value, without control characters', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        expect(JSON.parse(jsonText(value))).toEqual(JSON.parse(JSON.stringify(value)));
        expect(jsonText(value)).not.toMatch(CONTROL);
        expect(JSON.parse(jsonText(value, 2))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('is null for undefined', () => {
    expect(jsonText(undefined)).toBe('null');
  });
});
