/** matches(): which entries a query selects. */
import { describe, expect, it } from 'vitest';
import { attributesOf, matches, parseAttributes } from '../../src/micro/entry-attributes.js';
import { node } from '../fixtures/registries.js';

describe('matches()', () => {
  const provider = parseAttributes(attributesOf(node('a')));

  it.each([
    [true, {}],
    [true, { group: '', version: '', protocol: undefined }],
    [true, { group: 'bj', version: 'v1.0', protocol: 'json' as const }],
    [false, { service: 'Other' }],
    [false, { group: 'b' }],
    [false, { version: 'v1' }],
    [false, { protocol: 'protobuf' as const }],
  ])('is %s for %j', (expected, query) => {
    const whole = { service: 'TestService', ...query };
    expect(matches(provider, whole)).toBe(expected);
    expect(matches(node('a'), whole)).toBe(expected);
    expect(matches({ ...provider, role: 'SRT_Consumer' }, whole)).toBe(false);
  });

  it('is false for a node without a group when the query has one', () => {
    expect(matches(node('a', { group: '' }), { service: 'TestService', group: 'bj' })).toBe(false);
  });
});
