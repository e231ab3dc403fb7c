/** Close frames (RFC 6455, sections 5.5.1 and 7.4). */
import { expect, it, test } from 'vitest';
import { everySplit } from '../../../fixtures/chunks.js';
import {
  expectEvents,
  FROM_CLIENT,
  FROM_SERVER,
  hex,
  INVALID_DATA,
  PROTOCOL_ERROR,
  parse,
  type Row,
} from './parsed-events.js';

const VALID_CODES = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];
const INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];

const closeFrame = (code: number): string => `8802${code.toString(16).padStart(4, '0')}`;

test.each<Row>([
  ['no code', '88 00', ['close undefined']],
  ['a code', '88 02 03e8', ['close 1000']],
  ['a code and a reason', '88 07 03e9 67c3b66e65', ['close 1001 göne']],
  ['a mask', '88 82 01020304 02ea', ['close 1000'], FROM_CLIENT],
  ['a reason of 123 bytes', `88 7d 03e8 ${'61'.repeat(123)}`, [`close 1000 ${'a'.repeat(123)}`]],
])('parses a close frame with %s', (_name, bytes, events, rules) =>
  expectEvents(bytes, events, rules),
);

test.each<Row>([
  ['one byte', '88 01 03', [PROTOCOL_ERROR]],
  ['a reason that is not UTF-8', '88 04 03e8 c0af', [INVALID_DATA]],
  ['a reason that ends in half a character', '88 03 03e8 c3', [INVALID_DATA]],
])('rejects a close frame with %s', (_name, bytes, events) => expectEvents(bytes, events));

test.each(VALID_CODES)('accepts the close code %i', (code) => {
  expect(parse([hex(closeFrame(code))], FROM_SERVER)).toEqual([`close ${code}`]);
});

test.each(INVALID_CODES)('rejects the close code %i', (code) => {
  expect(parse([hex(closeFrame(code))], FROM_SERVER)).toEqual([PROTOCOL_ERROR]);
});

it("reads the payload bye-bye!!!! of Go's getty as code 1000, and rejects others that begin alike", () => {
  const close = Buffer.concat([hex('880b'), Buffer.from('bye-bye!!!!')]);
  for (const chunks of everySplit(close))
    expect(parse(chunks, FROM_SERVER)).toEqual(['close 1000']);
  const other = Buffer.concat([hex('880b'), Buffer.from('bye-bye!!!?')]);
  expect(parse([other], FROM_SERVER)).toEqual([PROTOCOL_ERROR]);
});
