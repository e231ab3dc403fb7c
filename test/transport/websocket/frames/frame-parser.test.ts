/** Frames (RFC 6455, section 5) as tables: hex in, events out. */
import { describe, expect, it, test } from 'vitest';
import { FIN } from '../../../../src/transport/websocket/frames/frame-header.js';
import { FrameParser } from '../../../../src/transport/websocket/frames/frame-parser.js';
import { COMPRESSED_FROM_SERVER } from '../deflate/inflaters.js';
import {
  type ErrorRow,
  expectEvents,
  FROM_CLIENT,
  FROM_SERVER,
  hex,
  INCOMPLETE,
  PROTOCOL_ERROR,
  payloadOf,
  type Row,
  TOO_LARGE,
} from './parsed-events.js';

const BYTES_126 = 'ab'.repeat(126);
const AT_MOST_10 = { ...FROM_SERVER, maxMessageBytes: 10 };

describe('messages', () => {
  test.each<Row>([
    // The examples of section 5.7.
    ['an unmasked text', '81 05 48656c6c6f', ['text Hello']],
    ['a masked text', '81 85 37fa213d 7f9f4d5158', ['text Hello'], FROM_CLIENT],
    ['a text in two fragments', '01 03 48656c 80 02 6c6f', ['text Hello']],
    ['an unmasked ping', '89 05 48656c6c6f', ['ping Hello']],
    ['a masked pong', '8a 85 37fa213d 7f9f4d5158', ['pong Hello'], FROM_CLIENT],
    [
      '256 bytes with a length of 16 bits',
      `82 7e 0100 ${'5a'.repeat(256)}`,
      [`binary ${'5a'.repeat(256)}`],
    ],
    [
      '64 KiB with a length of 64 bits',
      `82 7f 0000000000010000 ${'5a'.repeat(65536)}`,
      [`binary ${'5a'.repeat(65536)}`],
    ],

    ['several frames in a row', '81 01 61 82 01 ff 89 00', ['text a', 'binary ff', 'ping']],
    [
      '125 bytes with a length of 7 bits',
      `82 7d ${'ab'.repeat(125)}`,
      [`binary ${'ab'.repeat(125)}`],
    ],
    ['126 bytes with a length of 16 bits', `82 7e 007e ${BYTES_126}`, [`binary ${BYTES_126}`]],
    [
      '126 masked bytes with a length of 16 bits',
      `82 fe 007e 00000000 ${BYTES_126}`,
      [`binary ${BYTES_126}`],
      FROM_CLIENT,
    ],

    ['an empty text', '81 00', ['text']],
    ['an empty masked binary message', '82 80 01020304', ['binary'], FROM_CLIENT],
    ['a message of empty fragments', '02 00 00 00 80 00', ['binary']],
    ['a message that begins and ends with empty fragments', '01 00 00 01 61 80 00', ['text a']],
    ['an empty ping and an empty pong', '89 00 8a 00', ['ping', 'pong']],
    ['a ping of 125 bytes', `89 7d ${'61'.repeat(125)}`, [`ping ${'a'.repeat(125)}`]],

    ['three fragments', '02 01 01 00 01 02 80 01 03', ['binary 010203']],
    [
      'fragments with different masks',
      '01 81 01010101 60 80 81 02020202 60',
      ['text ab'],
      FROM_CLIENT,
    ],
    [
      'control frames between fragments',
      '01 01 61 89 01 70 00 01 62 8a 00 80 01 63',
      ['ping p', 'pong', 'text abc'],
    ],
    ['a close frame between fragments', '01 01 61 88 02 03e8', ['close 1000', INCOMPLETE]],
    [
      'fragments of exactly maxMessageBytes',
      '02 05 0102030405 80 05 0607080900',
      ['binary 01020304050607080900'],
      AT_MOST_10,
    ],
    [
      'control frames besides a message of maxMessageBytes',
      '02 05 0102030405 89 05 0102030405 80 00',
      ['ping \x01\x02\x03\x04\x05', 'binary 0102030405'],
      { ...FROM_SERVER, maxMessageBytes: 5 },
    ],
  ])('parses %s', (_name, bytes, events, rules) => expectEvents(bytes, events, rules));

  test.each<ErrorRow>([
    ['a frame that is not complete', '81 05 4865'],
    ['half a header', '81'],
    ['a message without its last fragment', '01 01 61'],
    ['a frame of exactly maxMessageBytes', '82 7f 00000000000186a0'],
  ])('waits for the rest of %s', (_name, bytes) => expectEvents(bytes, [INCOMPLETE]));
});

describe('violations', () => {
  test.each<ErrorRow>([
    ['a continuation frame without a message', '80 01 61'],
    ['a continuation frame without a message that is not the last one', '00 01 61'],
    ['a message inside another', '01 01 61 81 01 62'],
    ['a binary message inside a text', '01 01 61 02 01 62'],

    ['a client that does not mask', '81 05 48656c6c6f', FROM_CLIENT],
    ['a client that does not mask a ping', '89 00', FROM_CLIENT],
    ['a server that masks', '81 85 37fa213d 7f9f4d5158'],

    ['the first reserved bit', 'c1 00'],
    ['the second reserved bit', 'a1 00'],
    ['the third reserved bit', '91 00'],
    ['the second reserved bit beside the bit of compression', 'e1 00', COMPRESSED_FROM_SERVER],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
      (opcode): ErrorRow => [`opcode ${opcode}`, `${(FIN | opcode).toString(16)}00`],
    ),

    ['a ping of 126 bytes', `89 7e 007e ${'61'.repeat(126)}`],
    ['a ping in fragments', '09 01 61'],
    ['a close frame in fragments', '08 00'],
    ['a pong with a length of 64 bits', '8a 7f 0000000000000001 61'],

    ['a length of 125 in 16 bits', '82 7e 007d'],
    ['a length of 0 in 16 bits', '82 7e 0000'],
    ['a length of 65,535 in 64 bits', '82 7f 000000000000ffff'],
    ['a length of 0 in 64 bits', '82 7f 0000000000000000'],
    ['a length of 64 bits with the highest bit', '82 7f 8000000000000000'],
    ['a length of 64 bits with all bits', '82 7f ffffffffffffffff'],
  ])('rejects %s', (_name, bytes, rules) => expectEvents(bytes, [PROTOCOL_ERROR], rules));

  it('rejects a continuation frame after a complete message', () =>
    expectEvents('81 01 61 80 01 62', ['text a', PROTOCOL_ERROR]));

  test.each<ErrorRow>([
    ['63 bits', '82 7f 7fffffffffffffff'],
    ['4 GiB', '82 7f 0000000100000000'],
    ['one byte more than maxMessageBytes', '82 7f 00000000000186a1'],
    [
      'a fragment with which the message is too large',
      '02 05 0102030405 00 04 06070809 80 02',
      AT_MOST_10,
    ],
  ])('rejects a length of %s as too large', (_name, bytes, rules) =>
    expectEvents(bytes, [TOO_LARGE], rules),
  );
});

describe('memory', () => {
  it('allocates no buffer for an announced length', () => {
    const parser = new FrameParser({ isMasked: false, maxMessageBytes: 2 ** 31 - 1 });
    const before = process.memoryUsage().arrayBuffers;
    parser.feed(hex('82 7f 000000007fffffff 01'));
    expect(parser.next()).toBeUndefined();
    parser.feed(hex('02'));
    expect(parser.next()).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it('returns the chunk itself for a message that lies inside it', () => {
    const parser = new FrameParser(FROM_CLIENT);
    const chunk = hex('82 83 01010101 000302 82 81 00000000 07');
    parser.feed(chunk);
    const event = parser.next();
    if (event?.type !== 'message') throw new Error('no message');
    expect(event.bytes).toBe(chunk);
    expect(event.start).toBe(6);
    expect(payloadOf(event)).toEqual(hex('010203'));
  });
});
