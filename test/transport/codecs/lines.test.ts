/** lines(): where a line ends, and which texts it does not write. */
import { expect, it } from 'vitest';
import { lines } from '../../../src/transport/index.js';
import { decode, encode, everySplit } from '../../fixtures/chunks.js';
import { thrown } from '../../fixtures/transports.js';

it.each([
  ['a\nb\n', ['a', 'b']],
  ['a\r\nb\r\n', ['a', 'b']],
  ['\n\r\n\n', ['', '', '']],
  ['\r\r\n', ['\r']],
  ['a\rb\n', ['a\rb']],
  ['grün 😀\n', ['grün 😀']],
  ['a\nrest', ['a']],
])('reads %j as %j at every split', (wire, expected) => {
  for (const chunks of everySplit(Buffer.from(wire)))
    expect(decode(lines(), chunks)).toEqual(expected);
});

it('throws ENCODE_FAILED for a text that contains a newline', () => {
  expect(thrown(() => encode(lines(), ['one\ntwo']))).toMatchObject({
    code: 'ENCODE_FAILED',
    message: expect.stringContaining('newline'),
  });
});
