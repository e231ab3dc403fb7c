import { expect, test } from 'vitest';
import { badSecret, checkNames } from '../../src/core/options.js';

const KNOWN = {
  maxSessions: true,
  maxSessionsPerAddress: true,
  allowOrigin: true,
  tls: true,
} as const;

test.each([
  ['maxSesions', 'maxSesions is not an option of serve(); did you mean maxSessions?'],
  ['allowOrigins', 'allowOrigins is not an option of serve(); did you mean allowOrigin?'],
  ['TLS', 'TLS is not an option of serve(); did you mean tls?'],
  [
    'colour',
    'colour is not an option of serve(); the options are maxSessions, maxSessionsPerAddress, allowOrigin, tls',
  ],
])('checkNames() rejects the name %s', (name, message) => {
  expect(() => checkNames('serve()', { [name]: 1 }, KNOWN)).toThrow(
    expect.objectContaining({ code: 'BAD_OPTION', message }),
  );
});

test('checkNames() accepts known names, and undefined', () => {
  checkNames('serve()', { tls: undefined, maxSessions: 1 }, KNOWN);
  checkNames('serve()', undefined, KNOWN);
});

test.each([
  ['swordfish', 'a string'],
  [5, 'a number'],
  [{}, 'object'],
  [null, 'null'],
  [undefined, 'undefined'],
])('badSecret() shows the type of %o only', (secret, shown) => {
  expect(badSecret('password', secret, 'x').message).toBe(`password: got ${shown}, expected x`);
});
