/** Text messages must be UTF-8. An invalid byte is reported when it arrives. */
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../../../src/transport/index.js';
import { FIN, OPCODE } from '../../../../src/transport/websocket/frames/frame-header.js';
import { FrameParser } from '../../../../src/transport/websocket/frames/frame-parser.js';
import { cut, cuts } from '../../../fixtures/chunks.js';
import { mostlyText } from './mostly-text.js';
import {
  type ErrorRow,
  expectEvents,
  FROM_CLIENT,
  INCOMPLETE,
  INVALID_DATA,
  payloadOf,
  type Row,
} from './parsed-events.js';
import { writeFrame } from './write-frame.js';

test.each<Row>([
  ['characters of two, three and four bytes', '81 09 c3bc e282ac f09f9880', ['text ü€😀']],
  ['a character in two fragments', '01 01 c3 80 01 bc', ['text ü']],
  [
    'a character in three fragments, with a ping between them',
    '01 01 e2 89 00 00 01 82 80 01 ac',
    ['ping', 'text €'],
  ],
  ['the last character', '81 04 f48fbfbf', ['text \u{10ffff}']],
  ['a noncharacter', '81 03 efbfbf', ['text \uffff']],
  ['a zero', '81 01 00', ['text \0']],
  ['a binary message that is not UTF-8', '82 02 c0af', ['binary c0af']],
  ['a binary message in fragments that is not UTF-8', '02 01 61 00 01 ff 80 00', ['binary 61ff']],
  [
    'a text after a binary message in fragments',
    '02 01 ff 80 01 ff 81 01 61',
    ['binary ffff', 'text a'],
  ],
  ['half a character in an incomplete frame', '81 7e 1000 61e282', [INCOMPLETE]],
  ['an incomplete binary frame that is not UTF-8', '82 7e 1000 61ff', [INCOMPLETE]],
])('accepts %s', (_name, bytes, events) => expectEvents(bytes, events));

test.each<ErrorRow>([
  ['half a character', '81 01 c3'],
  ['half a character in the last fragment with content', '01 01 c3 80 00'],
  ['a byte that begins no character', '81 02 61ff'],
  ['an overlong slash', '81 02 c0af'],
  ['an overlong zero', '81 03 e08080'],
  ['a surrogate', '81 03 eda080'],
  ['a pair of surrogates', '81 06 eda0bdedb880'],
  ['a code point after the last one', '81 04 f4908080'],
  ['an invalid byte in the first fragment', '01 02 61ff'],
  ['a code point after the last one in the second of three fragments', '01 01 61 00 02 f490'],
  ['an invalid byte in an incomplete frame', '81 7e 1000 61ff'],
  ['an invalid byte in an incomplete masked frame', '81 fe 1000 37fa213d 569b9dc1', FROM_CLIENT],
  ['the second byte of a surrogate', '01 02 eda0'],
])('rejects %s', (_name, bytes, rules) => expectEvents(bytes, [INVALID_DATA], rules));

test('accepts a text in any fragments and chunks exactly if it is UTF-8', () => {
  fc.assert(
    fc.property(mostlyText, cuts, cuts, fc.boolean(), (bytes, fragments, chunks, isMasked) => {
      const output = new ByteWriter();
      const parts = cut(bytes, fragments);
      parts.forEach((part, i) => {
        const opcode = i === 0 ? OPCODE.text : OPCODE.continuation;
        writeFrame(output, part, opcode | (i === parts.length - 1 ? FIN : 0), isMasked);
      });
      const parser = new FrameParser({ isMasked, maxMessageBytes: 10_000 });
      const read = (): unknown => {
        for (const chunk of cut(Buffer.from(output.written), chunks)) {
          parser.feed(chunk);
          const event = parser.next();
          if (event?.type === 'message') return { isText: event.isText, bytes: payloadOf(event) };
        }
        return undefined;
      };
      if (isUtf8(bytes)) expect(read()).toEqual({ isText: true, bytes });
      else expect(read).toThrow(expect.objectContaining({ closeCode: 1007 }));
    }),
    { numRuns: 500 },
  );
});
