/**
 * What a server answers to the frames of a client, byte for byte. The cases follow the sections of
 * the Autobahn test suite; a number is that of its case.
 */
import { describe, expect, it, test } from 'vitest';
import { COMPRESSED, FIN, OPCODE } from '../../../src/transport/websocket/frames/frame-header.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns } from '../../fixtures/waiting.js';
import { rawWebSocket } from '../../fixtures/websocket.js';
import {
  close,
  closed,
  closeWith,
  ECHO_A,
  ECHO_ABC,
  echoServer,
  firstFragment,
  fragment,
  frame,
  hex,
  INVALID_TEXT,
  lastFragment,
  PONG,
  PROTOCOL_ERROR,
  ping,
  TOO_LARGE,
  text,
} from './echo-server.js';

noLeaks();

const KOSME = Buffer.from('κόσμε');
/** A code point after the last one. */
const TOO_LARGE_CODE_POINT = hex('f4908080');

type Row = [name: string, sent: Buffer[], answer: string];

/** Expects the same answer to frames in one chunk and to a chunk for each frame. */
async function expectAnswer(_name: string, sent: Buffer[], answer: string): Promise<void> {
  await using server = await echoServer();
  for (const chunks of [[Buffer.concat(sent)], sent]) {
    using peer = await rawWebSocket(server.address);
    for (const chunk of chunks) {
      peer.socket.write(chunk);
      await turns(1);
    }
    expect(await peer.frames(answer.length / 2)).toBe(answer);
    if (!/88(02....|00)$/.test(answer)) continue;
    await peer.ended;
    peer.socket.end();
    await server.events.closed.next();
  }
}

describe('pings and pongs', () => {
  const digits = Array.from({ length: 10 }, (_, i) => String(i));
  test.each<Row>([
    [
      'ten pings with ten pongs',
      digits.map(ping),
      digits.map((digit) => `8a01${Buffer.from(digit).toString('hex')}`).join(''),
    ],
    ['only the ping after an unsolicited pong', [frame(FIN | OPCODE.pong, 'x'), ping()], PONG],
    ['a ping of 125 bytes', [ping('x'.repeat(125))], `8a7d${'78'.repeat(125)}`],
    ['a ping of 126 bytes with a protocol error', [ping('x'.repeat(126))], PROTOCOL_ERROR],
    ['a ping before a close frame', [ping(), closeWith(1000)], PONG + closed(1000)],
  ])('answers %s', expectAnswer);
});

describe('violations', () => {
  test.each<Row>([
    [
      'a reserved bit',
      [text('a'), frame(FIN | OPCODE.text | 0x20, 'b'), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'compression that was not negotiated',
      [text('a'), frame(FIN | COMPRESSED | OPCODE.text, 'b')],
      ECHO_A + PROTOCOL_ERROR,
    ],
    ['a reserved opcode of data', [text('a'), frame(FIN | 5), ping()], ECHO_A + PROTOCOL_ERROR],
    [
      'a reserved opcode with a payload',
      [text('a'), frame(FIN | 6, 'b'), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'a reserved opcode of control frames',
      [text('a'), frame(FIN | 0xd), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'a reserved opcode after a ping',
      [text('a'), ping(), frame(FIN | 0xe, 'b')],
      PONG + ECHO_A + PROTOCOL_ERROR,
    ],
    ['text that is not UTF-8', [text('a'), text(hex('ff'))], ECHO_A + INVALID_TEXT],
    [
      'a message that is too large',
      [text('a'), hex('82 ff 7fffffffffffffff 00000000')],
      ECHO_A + TOO_LARGE,
    ],
  ])('answers the frames before %s', async (_name, sent, answer) => {
    await using server = await echoServer();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(Buffer.concat(sent));
    // The pongs of one read may be written before or after the answers to its messages.
    const answered = await peer.frames(answer.length / 2);
    expect(answered.replace(PONG, '')).toBe(answer.replace(PONG, ''));
    expect(answered.includes(PONG)).toBe(answer.includes(PONG));
    await peer.ended;
  });

  it('answers 5,000 messages before a reserved opcode', async () => {
    await using server = await echoServer();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(
      Buffer.concat([...Array.from({ length: 5_000 }, () => text('a')), frame(FIN | 3)]),
    );
    const expected = ECHO_A.repeat(5_000) + PROTOCOL_ERROR;
    expect(await peer.frames(expected.length / 2)).toBe(expected);
  });
});

describe('fragments', () => {
  test.each<Row>([
    ['two fragments', [firstFragment('ab'), lastFragment('c')], ECHO_ABC],
    ['a ping between fragments', [firstFragment('ab'), ping(), lastFragment('c')], PONG + ECHO_ABC],
    ['empty fragments', [firstFragment(''), fragment(''), lastFragment('abc')], ECHO_ABC],
    ['only empty fragments', [firstFragment(''), fragment(''), lastFragment('')], '8100'],
    ['a continuation frame without a message', [lastFragment('a'), text('a')], PROTOCOL_ERROR],
    [
      'a continuation frame after a complete message',
      [text('a'), fragment('b'), text('a')],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'continuation frames after a complete message in fragments',
      [firstFragment('ab'), lastFragment('c'), fragment('d'), lastFragment('e')],
      ECHO_ABC + PROTOCOL_ERROR,
    ],
    ['a message inside another', [firstFragment('ab'), text('c')], PROTOCOL_ERROR],
    ['a ping in fragments', [frame(OPCODE.ping, 'a'), lastFragment('b')], PROTOCOL_ERROR],
  ])('answers %s', expectAnswer);
});

describe('text', () => {
  const withInvalidEnd = text(Buffer.concat([KOSME, TOO_LARGE_CODE_POINT, Buffer.from('edited')]));
  test.each<Row>([
    [
      'fragments that begin with a character',
      [firstFragment(KOSME.subarray(0, 2)), lastFragment(KOSME.subarray(2))],
      `810a${KOSME.toString('hex')}`,
    ],
    [
      'fragments of one byte',
      [
        firstFragment(KOSME.subarray(0, 1)),
        ...Array.from(KOSME.subarray(1, -1), (byte) => fragment(Buffer.of(byte))),
        lastFragment(KOSME.subarray(-1)),
      ],
      `810a${KOSME.toString('hex')}`,
    ],
    [
      'an invalid fragment before the next one (6.4.1)',
      [firstFragment(KOSME), fragment(TOO_LARGE_CODE_POINT)],
      INVALID_TEXT,
    ],
    [
      'the first invalid byte of a fragment (6.4.2)',
      [firstFragment(KOSME), fragment(TOO_LARGE_CODE_POINT.subarray(0, 2))],
      INVALID_TEXT,
    ],
    ['invalid text in an incomplete frame (6.4.3)', [withInvalidEnd.subarray(0, -7)], INVALID_TEXT],
    [
      'the first invalid byte in an incomplete frame (6.4.4)',
      [withInvalidEnd.subarray(0, -8)],
      INVALID_TEXT,
    ],
  ])('answers %s', expectAnswer);
});

describe('close frames', () => {
  const INVALID_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535];
  const VALID_CODES = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
  ];
  test.each<Row>([
    ['a message before a close frame', [text('a'), closeWith(1000)], ECHO_A + closed(1000)],
    ['only the first close frame', [closeWith(1000), closeWith(1001)], closed(1000)],
    ['no ping after a close frame', [closeWith(1000), ping()], closed(1000)],
    ['no message after a close frame', [closeWith(1000), text('a')], closed(1000)],
    [
      'no fragment after a close frame',
      [firstFragment('a'), closeWith(1000), lastFragment('b')],
      closed(1000),
    ],
    ['a close frame without a code', [close()], '8800'],
    ['a close frame of one byte', [close('x')], PROTOCOL_ERROR],
    ['a close frame with a reason', [closeWith(1000, 'Hello World!')], closed(1000)],
    ['a reason of 123 bytes', [closeWith(1000, '*'.repeat(123))], closed(1000)],
    ['a reason of 124 bytes', [closeWith(1000, '*'.repeat(124))], PROTOCOL_ERROR],
    [
      'a reason that is not UTF-8',
      [closeWith(1000, Buffer.concat([KOSME, TOO_LARGE_CODE_POINT]))],
      INVALID_TEXT,
    ],
    ...VALID_CODES.map((code): Row => [`the code ${code}`, [closeWith(code)], closed(code)]),
    ...INVALID_CODES.map(
      (code): Row => [`the invalid code ${code}`, [closeWith(code)], PROTOCOL_ERROR],
    ),
  ])('answers %s', expectAnswer);
});

describe('limits', () => {
  test.each([
    ['text of 4 MiB (9.3.1)', OPCODE.text],
    ['a binary message of 4 MiB (9.4.1)', OPCODE.binary],
  ])('answers %s in fragments of 64 bytes', async (_name, opcode) => {
    const size = 4 * 1024 * 1024;
    await using server = await echoServer({ messageTimeout: 0, maxMessageBytes: size });
    using peer = await rawWebSocket(server.address);
    const part = '*'.repeat(64);
    const count = size / 64;
    const middle = Array.from({ length: 64 }, () => fragment(part));
    peer.socket.write(frame(opcode, part));
    for (let i = 0; i < (count - 64) / 64; i++) peer.socket.write(Buffer.concat(middle));
    for (const bytes of middle.slice(0, 62)) peer.socket.write(bytes);
    peer.socket.write(lastFragment(part));
    const { bytes, text: isText } = await server.events.messages.next();
    expect([bytes.length, isText]).toEqual([size, opcode === OPCODE.text]);
    expect(bytes.every((byte) => byte === 0x2a)).toBe(true);
    // While a message arrives slowly, its receiver sends unsolicited pongs.
    const answer = (await peer.frames(size + 10)).slice(0, 1_000).replace(/^(8a00)+/, '');
    expect(answer.slice(0, 20)).toBe(`8${opcode}7f0000000000400000`);
  });
});
