import { expect, test } from 'vitest';
import { badOption, badSecret, checkNames, nearestTo } from '../../src/core/options.js';

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

test('badOption() shows a long text in part, and a revoked proxy', () => {
  const { message } = badOption('name', 'x'.repeat(1_000), 'a name');
  expect(message).toBe(`name: got "${'x'.repeat(200)}"… (1000 characters), expected a name`);
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  expect(badOption('name', proxy, 'a name').message).toBe('name: got an object, expected a name');
});

test.each([
  ['helo', 'hello'],
  ['ehllo', 'hello'],
  ['HELLO', 'hello'],
  ['hellx', 'hello'],
  ['xhellx', 'hello'],
  ['lehol', undefined],
  ['getAccuontsOf', 'getAccountOf'],
  ['customerAccounts', 'customersAccount'],
  ['ad', 'add'],
])('nearestTo() finds for %s the name %s', (name, nearest) => {
  const known = ['hello', 'add', 'getAccountOf', 'customersAccount', 'x'.repeat(300)];
  expect(nearestTo(name, known)).toBe(nearest);
});

test('nearestTo() takes little time for long and for many names of a peer', () => {
  const name = 'getCustomerAccounts';
  const { user } = process.cpuUsage();
  const long = Array.from({ length: 5 }, (_, n) => 'x'.repeat(1_000_000 + n));
  expect(nearestTo(name, long)).toBeUndefined();
  expect(nearestTo('x'.repeat(3_000), [long[0] as string, 'x'.repeat(2_999)])).toBeUndefined();
  const many = Array.from({ length: 10_000 }, (_, n) => `${n}`.padStart(name.length, 'x'));
  expect(nearestTo(name, [...many, 'getCustomersAccount'])).toBe('getCustomersAccount');
  // Without limits the long names take more than ten times as long.
  expect(process.cpuUsage().user - user).toBeLessThan(1_000_000);
});
