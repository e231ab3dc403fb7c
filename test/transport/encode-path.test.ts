/** The percent-encoding of paths. */
import { expect, it } from 'vitest';
import { encodePath } from '../../src/transport/address.js';
import { fc } from '../fixtures/property.js';

it('encodePath() encodes each character by itself, and keeps what is encoded', () => {
  const unsafe = /%(?![0-9a-fA-F]{2})|[^\x21-\x7e]|["<>\\^`{|}]/gu;
  const part = fc.oneof(
    fc.constantFrom('%', '%25', '25', 'aF', '%5b', '[', ']', '%C3%bc', ' ', '"', '#', '?', '^'),
    fc.string({ unit: 'grapheme', maxLength: 2 }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const path = parts.join('');
      const expected = path
        .replace(unsafe, (char) => encodeURIComponent(char))
        .replace(/%[0-9a-fA-F]{2}/g, (triplet) => triplet.toUpperCase());
      expect(encodePath(path)).toBe(expected);
    }),
  );
});
