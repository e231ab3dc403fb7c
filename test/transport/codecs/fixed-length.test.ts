/** fixedLength(): messages of one length. */
import { expect, it } from 'vitest';
import { fixedLength } from '../../../src/transport/index.js';
import { decode, encode, everySplit } from '../../fixtures/chunks.js';
import { thrown } from '../../fixtures/transports.js';

it('writes the bytes alone, and reads them at every split', () => {
  const wire = encode(fixedLength(3), [Buffer.from('abc'), Buffer.from('def')]);
  expect(wire.toString()).toBe('abcdef');
  for (const chunks of everySplit(wire))
    expect(decode(fixedLength(3), chunks).map(String)).toEqual(['abc', 'def']);
});

it.each([0, 2, 4])('throws ENCODE_FAILED for %d bytes instead of 3', (size) => {
  const error = thrown(() => encode(fixedLength(3), [Buffer.alloc(size)]));
  expect(error).toMatchObject({
    code: 'ENCODE_FAILED',
    message: `a message has ${size} bytes, expected 3`,
  });
});

it.each([0, -1, 1.5, '4', undefined, null, Number.POSITIVE_INFINITY, Number.NaN])(
  'rejects %o with BAD_OPTION',
  (given) => {
    expect(thrown(() => fixedLength(given as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('length: got'),
    });
  },
);
