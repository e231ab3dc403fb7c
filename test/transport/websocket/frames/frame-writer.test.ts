/** Frames are written with the specified bytes, and a parser reads them. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { ByteWriter } from '../../../../src/transport/index.js';
import {
  COMPRESSED,
  FIN,
  OPCODE,
} from '../../../../src/transport/websocket/frames/frame-header.js';
import {
  closePayload,
  controlFrame,
} from '../../../../src/transport/websocket/frames/frame-writer.js';
import { cut, cuts } from '../../../fixtures/chunks.js';
import { COMPRESSED_FROM_SERVER, deflater } from '../deflate/inflaters.js';
import { FROM_CLIENT, parse } from './parsed-events.js';
import { writeFrame } from './write-frame.js';

test.each([
  [0, '8200'],
  [1, '8201'],
  [125, '827d'],
  [126, '827e007e'],
  [65_535, '827effff'],
  [65_536, '827f0000000000010000'],
  [1_000_000, '827f00000000000f4240'],
])('writes the header of %i bytes as %s', (size, header) => {
  const output = new ByteWriter(16);
  output.append(Buffer.from('before'));
  const payload = randomBytes(size);
  writeFrame(output, payload, FIN | OPCODE.binary, false);
  const frame = output.bytes.subarray(6, output.length);
  expect(frame.subarray(0, header.length / 2).toString('hex')).toBe(header);
  expect(frame.subarray(header.length / 2).equals(payload)).toBe(true);
  expect(output.bytes.toString('latin1', 0, 6)).toBe('before');
});

it('writes control frames that a parser reads', () => {
  const frames = [
    controlFrame(OPCODE.ping, Buffer.from('p'), true),
    controlFrame(OPCODE.pong, Buffer.alloc(125, 'x'), true),
    controlFrame(OPCODE.close, closePayload(1001), true),
    controlFrame(OPCODE.close, closePayload(undefined), true),
  ];
  expect(parse(frames, FROM_CLIENT)).toEqual([
    'ping p',
    `pong ${'x'.repeat(125)}`,
    'close 1001',
    'close undefined',
  ]);
});

const message = fc.record({
  fragments: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 }),
  hasPings: fc.boolean(),
  isCompressed: fc.boolean(),
});

test('writes any messages in any fragments so that a parser reads them from any chunks', () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 8 }),
      fc.boolean(),
      cuts,
      (messages, isMasked, places) => {
        const output = new ByteWriter();
        const expected: string[] = [];
        for (const { fragments, hasPings, isCompressed } of messages) {
          let parts: Uint8Array[] = fragments;
          let content = Buffer.concat(fragments);
          let first: number = OPCODE.binary;
          if (isCompressed) {
            content = Buffer.concat([content, Buffer.alloc(2_000)]);
            const deflated = deflater.deflate(content) as Buffer;
            parts = [deflated.subarray(0, 1), deflated.subarray(1)];
            first |= COMPRESSED;
          }
          parts.forEach((part, i) => {
            if (hasPings) {
              writeFrame(output, Buffer.from('p'), FIN | OPCODE.ping, isMasked);
              expected.push('ping p');
            }
            const opcode = i === 0 ? first : OPCODE.continuation;
            writeFrame(output, part, opcode | (i === parts.length - 1 ? FIN : 0), isMasked);
          });
          expected.push(`binary ${content.toString('hex')}`.trim());
        }
        const bytes = Buffer.from(output.bytes.subarray(0, output.length));
        const rules = { ...COMPRESSED_FROM_SERVER, isMasked };
        expect(parse(cut(bytes, places), rules)).toEqual(expected);
      },
    ),
  );
});

test('reads any bytes as events or as one error, whatever their chunks are', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.boolean(),
      cuts,
      (garbage, isMasked, places) => {
        const rules = { ...COMPRESSED_FROM_SERVER, isMasked };
        const events = parse(cut(Buffer.from(garbage), places), rules);
        for (const event of events)
          expect(event).toMatch(
            /^(text|binary|ping|pong|close|\.\.\.|BAD_FRAME 100[27]|MESSAGE_TOO_LARGE 1009)/,
          );
        expect(events).toEqual(parse([Buffer.from(garbage)], rules));
      },
    ),
  );
});
