/** Which values of metadata are shown. */
import { describe, expect, test } from 'vitest';
import { shownMetadata } from '../../../src/cli/proxy/secrets.js';

describe('shownMetadata()', () => {
  test.each([
    ['authorization', 'Bearer SECRET'],
    ['x-goog-iap-jwt', 'SECRET'],
    ['pin', 'SECRET'],
    ['DPoP', 'SECRET'],
    ['note', 'Bearer SECRET'],
    ['url', 'https://user:SECRET@host/?token=SECRET'],
    ['getty-token', 'SECRET'],
    ['__proto__', 'SECRET'],
  ])('hides the value of %j', (key, value) => {
    const shown = shownMetadata(Object.fromEntries([[key, value]]), false);
    expect(Object.entries(shown ?? {})).toEqual([[key, `*** (${value.length} characters)`]]);
  });

  test.each(['content-type', 'traceparent', 'tracestate', 'user-agent', 'X-Request-ID'])(
    'shows the value of %j',
    (key) => {
      expect(shownMetadata({ [key]: 'value' }, false)).toEqual({ [key]: 'value' });
    },
  );

  test('shows everything that is asked for', () => {
    const metadata = { authorization: 'Bearer SECRET' };
    expect(shownMetadata(metadata, true)).toEqual(metadata);
  });

  test('tells an empty value from a missing one, and is undefined without keys', () => {
    expect(shownMetadata({ pin: '', otp: '1' }, false)).toEqual({
      pin: '*** (0 characters)',
      otp: '*** (1 character)',
    });
    expect(shownMetadata({}, false)).toBeUndefined();
    expect(shownMetadata(undefined, false)).toBeUndefined();
  });
});
