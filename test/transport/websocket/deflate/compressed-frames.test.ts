/** Frames of compressed messages (RFC 7692, section 7.2) as tables: hex in, events out. */
import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync } from 'node:zlib';
import { expect, it, test } from 'vitest';
import { MessageInflater } from '../../../../src/transport/websocket/deflate/message-inflater.js';
import type { FrameError } from '../../../../src/transport/websocket/frames/frame-error.js';
import { FIN } from '../../../../src/transport/websocket/frames/frame-header.js';
import {
  FrameParser,
  type FrameRules,
} from '../../../../src/transport/websocket/frames/frame-parser.js';
import { thrown } from '../../../fixtures/transports.js';
import { Inbox } from '../../../fixtures/waiting.js';
import {
  type ErrorRow,
  expectEvents,
  FROM_SERVER,
  hex,
  INCOMPLETE,
  INVALID_DATA,
  PROTOCOL_ERROR,
  parse,
  payloadOf,
  type Row,
  TOO_LARGE,
} from '../frames/parsed-events.js';
import { COMPRESSED_FROM_SERVER, compress, inflater, inflaterWith } from './inflaters.js';

const HELLO = 'f248cdc9c90700';

test.each<Row>([
  ['the example of RFC 7692', `c1 07 ${HELLO}`, ['text Hello']],
  [
    'two fragments, of which the first has the bit of compression',
    '41 03 f248cd 89 00 80 04 c9c90700',
    ['ping', 'text Hello'],
  ],
  ['a stored block', 'c1 0b 000500faff48656c6c6f00', ['text Hello']],
  ['a last block', 'c1 08 f348cdc9c9070000', ['text Hello']],
  ['a last block without the empty block after it', 'c1 07 f348cdc9c90700', ['text Hello']],
  ['two blocks', 'c1 0d f248050000 00ffffcac9c90700', ['text Hello']],
  ['an empty message', 'c1 01 00', ['text']],
  [
    'an uncompressed message before a compressed one',
    `81 05 48656c6c6f c1 07 ${HELLO}`,
    ['text Hello', 'text Hello'],
  ],
])('inflates %s', (_name, bytes, events) => expectEvents(bytes, events, COMPRESSED_FROM_SERVER));

test.each<ErrorRow>([
  ['text that is not UTF-8', 'c1 03 fa0700'],
  ['bytes that are not DEFLATE', 'c2 03 ffffff'],
  ['a truncated message', 'c1 06 f248cdc9c907'],
  ['a truncated last block', 'c1 04 f348cdc9'],
  ['blocks after a last block', 'c1 0e f348cdc9c90700f348cdc9c90700'],
  ['a byte after a last block', 'c1 08 f348cdc9c9070001'],
  ['a message without a block', 'c1 00'],
])('rejects %s', (_name, bytes) => expectEvents(bytes, [INVALID_DATA], COMPRESSED_FROM_SERVER));

test.each<ErrorRow>([
  ['a continuation frame', '41 03 f248cd c0 04 c9c90700'],
  ['a ping', 'c9 00'],
  ['a close frame', 'c8 00'],
])('rejects the bit of compression in %s', (_name, bytes) =>
  expectEvents(bytes, [PROTOCOL_ERROR], COMPRESSED_FROM_SERVER),
);

it('validates compressed text in fragments before it is complete, and in few steps', () => {
  let steps = 0;
  const rules: FrameRules = {
    ...FROM_SERVER,
    inflater: inflaterWith({
      inflateStart(bytes) {
        steps++;
        return inflater.inflateStart(bytes);
      },
    }),
  };
  const text = 'ü€😀'.repeat(30) + randomBytes(3_000).toString('hex');
  /** A fragment for each byte. */
  const fragmentsOf = (message: Buffer): Buffer[] => {
    const bytes = compress(message);
    return Array.from(bytes, (byte, i) =>
      Buffer.of((i === 0 ? 0x41 : 0) | (i === bytes.length - 1 ? FIN : 0), 1, byte),
    );
  };
  const valid = fragmentsOf(Buffer.from(text));
  expect(parse(valid, rules)).toEqual([`text ${text}`]);
  expect(valid.length).toBeGreaterThan(3_000);
  expect(steps).toBeLessThan(15);
  const invalid = fragmentsOf(Buffer.concat([hex('ff'), Buffer.from(text)]));
  expect(parse(invalid.slice(0, invalid.length / 2), rules)).toEqual([INVALID_DATA]);
  const bomb = fragmentsOf(Buffer.alloc(10_000_000));
  expect(parse(bomb.slice(0, (bomb.length * 3) / 4), rules)).toEqual([TOO_LARGE]);
});

it('inflates at most 2 × the received bytes + maxMessageBytes to validate text early', () => {
  const limit = 4_000_000;
  const base = new MessageInflater(limit, limit, false);
  let inflated = 0;
  const rules: FrameRules = {
    isMasked: false,
    maxMessageBytes: limit,
    inflater: inflaterWith(
      {
        inflateStart(bytes) {
          const start = base.inflateStart(bytes);
          inflated += start.length;
          return start;
        },
      },
      base,
    ),
  };
  // The first fragment has all of the text. The others have empty blocks.
  const start = deflateRawSync(Buffer.alloc(limit, 'a'), { finishFlush: constants.Z_SYNC_FLUSH });
  const emptyBlock = hex('000000ffff');
  const fragment = (first: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.of(first, 126, bytes.length >>> 8, bytes.length & 0xff), bytes]);
  const fragments = [fragment(0x41, start)];
  let received = start.length;
  for (; received < 60_000; received += 1_000)
    fragments.push(fragment(0, Buffer.alloc(1_000, emptyBlock)));
  expect(parse(fragments, rules)).toEqual([INCOMPLETE]);
  expect(inflated).toBeGreaterThanOrEqual(limit);
  expect(inflated).toBeLessThanOrEqual(2 * received + limit);
});

it.each<[name: string, bytes: () => Buffer, outcome: string]>([
  ['bytes that are not DEFLATE', () => Buffer.alloc(70_000, 0xff), INVALID_DATA],
  ['random bytes', () => compress(randomBytes(90_000)), 'binary of 90000 bytes'],
  ['truncated random bytes', () => compress(randomBytes(90_000)).subarray(0, -1), INVALID_DATA],
  ['more than maxMessageBytes', () => compress(randomBytes(100_001)), TOO_LARGE],
])(
  'inflates a message of more than 64 KiB on another thread, and then reads on: %s',
  async (_name, bytes, outcome) => {
    const calls = new Inbox<string>('onInflated()');
    const rules: FrameRules = {
      ...FROM_SERVER,
      inflater: inflaterWith({ inflate: () => expect.fail('it was inflated on this thread') }),
      onInflated: () => calls.push(parser.isInflating ? 'inflating' : 'inflated'),
    };
    const parser = new FrameParser(rules);
    const payload = bytes();
    const header = Buffer.concat([hex('c2 7f 00000000'), Buffer.alloc(4)]);
    header.writeUInt32BE(payload.length, 6);
    parser.feed(Buffer.concat([header, payload, hex('8900 8201 61')]));
    expect(parser.next()).toBeUndefined();
    expect(parser.isInflating && parser.isInMessage).toBe(true);
    expect(parser.next()).toBeUndefined();
    expect(await calls.next()).toBe('inflated');
    if (outcome.startsWith('binary')) {
      expect(parser.next()).toMatchObject({
        type: 'message',
        isText: false,
        bytes: { length: 90_000 },
      });
      expect(parser.next()).toMatchObject({ type: 'ping' });
      const next = parser.next();
      expect(next?.type === 'message' && payloadOf(next)).toEqual(Buffer.from('a'));
      expect(parser.isInMessage).toBe(false);
    } else {
      const error = thrown<FrameError>(() => parser.next());
      expect(`${error.code} ${error.closeCode}`).toBe(outcome);
    }
  },
);
