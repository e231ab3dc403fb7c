/** raw(): bytes without frames. */
import { expect, it } from 'vitest';
import { raw } from '../../../src/transport/index.js';
import { codecSession, cut, cuts, decode } from '../../fixtures/chunks.js';
import { fc } from '../../fixtures/property.js';

it('reads what has arrived, in messages of at most maxMessageBytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array)),
      cuts,
      fc.integer({ min: 1, max: 300 }),
      (wire, places, limit) => {
        const messages = decode(raw(), cut(wire, places), codecSession(limit));
        expect(Buffer.concat(messages).equals(wire)).toBe(true);
        for (const message of messages) expect(message.length).toBeLessThanOrEqual(limit);
      },
    ),
  );
});
