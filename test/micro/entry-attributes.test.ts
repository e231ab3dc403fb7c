/** ATTRIBUTES: which entries a query selects, and what is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  attributesOf,
  matches,
  parseAttributes,
  readAttributes,
} from '../../src/micro/entry-attributes.js';
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

describe('readAttributes()', () => {
  it.each([
    ['junk', 'name no service'],
    ['%', 'cannot be parsed: URI malformed'],
    ['service%3Da%26service%3Db', '"service" occurs twice'],
    ['service%3Da%26role%3DX', 'its role is "X"'],
    ['service%3D%2500%26role%3DSRT_Provider', 'its attributes contain one of these'],
  ])('says why %s is refused, and parseAttributes() throws that', (text, why) => {
    expect(readAttributes(text)).toMatchObject({ why: expect.stringContaining(why) });
    expect(() => parseAttributes(text)).toThrow(
      expect.objectContaining({
        code: 'REGISTRY_FAILED',
        message: expect.stringContaining(why),
      }),
    );
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void readAttributes(text)));
  });
});
