/** Sessions that receive compressed messages of more than 64 KiB, which another thread inflates. */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { noLeaks } from '../../../fixtures/leaks.js';
import { turns } from '../../../fixtures/waiting.js';
import { echo, rawWebSocket } from '../../../fixtures/websocket.js';
import { INVALID_TEXT } from '../echo-server.js';
import { compress } from './inflaters.js';

/** More turns of the event loop than a server needs to read a chunk. */
const QUIET_TURNS = 20;
const DEFLATE = ['Sec-WebSocket-Extensions: permessage-deflate'];
const LARGE = randomBytes(300_000);
const CLOSE = Buffer.from('88820000000003e8', 'hex');

noLeaks();

/** A compressed message with a length of 64 bits and a mask of zeros. */
function compressedFrame(payload: Buffer): Buffer {
  const header = Buffer.alloc(14);
  header.writeUInt16BE(0xc2ff);
  header.writeUInt32BE(payload.length, 6);
  return Buffer.concat([header, payload]);
}

const large = compressedFrame(compress(LARGE));
const small = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x82, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

it.each([
  ['one chunk', 1_000_000],
  ['chunks of 10,000 bytes', 10_000],
])('delivers large and small messages of %s in order, and then the end', async (_name, size) => {
  await using server = await echo({ compression: 'deflate' });
  using peer = await rawWebSocket(server.address, DEFLATE);
  const bytes = Buffer.concat([
    small('first'),
    large,
    small('second'),
    large,
    small('third'),
    CLOSE,
  ]);
  for (let at = 0; at < bytes.length; at += size) {
    peer.socket.write(bytes.subarray(at, at + size));
    await turns(1);
  }
  peer.socket.end();
  await server.events.closed.next();
  expect(
    server.events.messages.all.map((message) =>
      message.length < 100 ? String(message) : message.equals(LARGE),
    ),
  ).toEqual(['first', true, 'second', true, 'third']);
  expect(server.events.errors.all).toEqual([]);
});

it('delivers no large message while the session is paused', async () => {
  await using server = await echo({ compression: 'deflate' });
  using peer = await rawWebSocket(server.address, DEFLATE);
  const session = await server.events.opened.next();
  session.pause();
  peer.socket.write(Buffer.concat([large, small('second')]));
  await turns(QUIET_TURNS);
  expect(session.stats.messagesRead).toBe(0);
  session.resume();
  expect((await server.events.messages.take(2)).map((message) => message.length)).toEqual([
    LARGE.length,
    6,
  ]);
});

it('delivers no large message to a session that is destroyed while it is inflated', async () => {
  await using server = await echo({ compression: 'deflate' });
  using peer = await rawWebSocket(server.address, DEFLATE);
  const session = await server.events.opened.next();
  peer.socket.write(Buffer.concat([small('first'), large]));
  await server.events.messages.next();
  session.destroy();
  await server.events.closed.next();
  await turns(QUIET_TURNS);
  expect(server.events.messages.all.length).toBe(1);
});

it('closes only the session whose large message cannot be inflated, with 1007', async () => {
  await using server = await echo({ compression: 'deflate' });
  using peer = await rawWebSocket(server.address, DEFLATE);
  using other = await rawWebSocket(server.address, DEFLATE);
  peer.socket.write(compressedFrame(Buffer.alloc(70_000, 0xff)));
  expect(await peer.frames(INVALID_TEXT.length / 2)).toBe(INVALID_TEXT);
  expect((await server.events.errors.next()).code).toBe('BAD_FRAME');
  other.socket.write(small('a'));
  expect(await other.frames(3)).toBe('820161');
});
