/** Peers that violate the protocol or a limit, or end the connection. */
import type { Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { expect, it, test } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns, within } from '../../fixtures/waiting.js';
import { echo, ourClient, rawWebSocket, wsClient, wsServer } from '../../fixtures/websocket.js';
import { hex, INVALID_TEXT, PROTOCOL_ERROR, TOO_LARGE } from './echo-server.js';

/** More turns of the event loop than a server needs to read a chunk. */
const QUIET_TURNS = 20;
const DEFLATE = ['Sec-WebSocket-Extensions: permessage-deflate'];

noLeaks();

/** A compressed message of zeros, with a mask of zeros. */
function compressedZeros(size: number): Buffer {
  const payload = deflateRawSync(Buffer.alloc(size));
  const header = Buffer.alloc(8);
  header.writeUInt16BE(0xc2fe);
  header.writeUInt16BE(payload.length, 2);
  return Buffer.concat([header, payload]);
}

test.each([
  ['a frame without a mask', '82 01 61', PROTOCOL_ERROR, 'BAD_FRAME'],
  ['a reserved opcode', '83 80 00000000', PROTOCOL_ERROR, 'BAD_FRAME'],
  ['text that is not UTF-8', '81 81 00000000 ff', INVALID_TEXT, 'BAD_FRAME'],
  ['an excessive length', '82 ff 7fffffffffffffff 00000000', TOO_LARGE, 'MESSAGE_TOO_LARGE'],
  ['compression that was not negotiated', 'c2 80 00000000', PROTOCOL_ERROR, 'BAD_FRAME'],
])(
  'closes a connection after %s with a code, and serves others',
  async (_name, bytes, answer, code) => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(hex(bytes));
    expect(await peer.frames(answer.length / 2)).toBe(answer);
    expect((await server.events.errors.next()).code).toBe(code);
    await peer.ended;
    peer.socket.end();
    using other = wsClient(server.address);
    await other.opened;
    other.socket.send('still there?');
    await other.messages.next();
  },
);

it('destroys the connection of a peer that goes on sending after a violation', async () => {
  await using server = await echo();
  using peer = await rawWebSocket(server.address);
  const closed = new Promise((resolve) => peer.socket.once('close', resolve));
  const flood = (): void => {
    while (peer.socket.writable && peer.socket.write(Buffer.alloc(65_536)));
  };
  peer.socket.on('drain', flood);
  flood();
  await server.events.closed.next();
  await within(closed, 'the connection to be destroyed');
});

it('sends a close code to a server that violates the protocol', async () => {
  await using server = await wsServer();
  await using ours = await ourClient(server.address);
  const peer = await server.peers.next();
  const maskedFrame = hex('82 80 00000000');
  (peer.socket as unknown as { _socket: Socket })._socket.write(maskedFrame);
  expect(await peer.closed.next()).toBe('1002 BAD_FRAME');
  expect((await ours.events.errors.next()).code).toBe('BAD_FRAME');
});

it('closes with 1009 after a message over maxMessageBytes', async () => {
  await using server = await echo({ maxMessageBytes: 1_000 });
  using peer = wsClient(server.address);
  await peer.opened;
  peer.socket.send(Buffer.alloc(1_001));
  expect(await peer.closed.next()).toBe('1009 MESSAGE_TOO_LARGE');
  expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
});

it('closes with 1009 after a message that inflates to more than maxMessageBytes', async () => {
  await using server = await echo({ compression: 'deflate', maxMessageBytes: 1_000_000 });
  using peer = await rawWebSocket(server.address, DEFLATE);
  peer.socket.write(compressedZeros(50_000_000));
  expect(await peer.frames(TOO_LARGE.length / 2)).toBe(TOO_LARGE);
  expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
});

it('reports CONNECTION_LOST after a message over the limit of the peer', async () => {
  await using server = await wsServer({ maxPayload: 1_000 });
  await using ours = await ourClient(server.address);
  ours.session.write(Buffer.alloc(1_001));
  expect(await ours.events.errors.next()).toMatchObject({
    code: 'CONNECTION_LOST',
    message: expect.stringContaining('code 1009'),
  });
});

it.each(['82', '82 85 00000000 61', '02 80 00000000'])(
  'reports BAD_FRAME after a peer that ends inside a message: %s',
  async (bytes) => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.end(hex(bytes));
    expect(await server.events.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('inside a message'),
    });
    await peer.ended;
  },
);

it('reports BAD_FRAME after a peer that ends inside a message also after close()', async () => {
  await using server = await echo({ waitTime: 60_000 });
  using peer = await rawWebSocket(server.address);
  const closing = (await server.events.opened.next()).close();
  peer.socket.end(hex('82 85 00000000 61'));
  expect((await server.events.errors.next()).code).toBe('BAD_FRAME');
  await closing;
  await peer.ended;
});

it('reports MESSAGE_TIMEOUT for a slow message, whatever pings arrive inside it', async () => {
  await using server = await echo({ messageTimeout: 60 });
  using peer = await rawWebSocket(server.address);
  peer.socket.write(hex('02 81 00000000 61'));
  const ping = setInterval(
    () => peer.socket.writable && peer.socket.write(hex('89 80 00000000')),
    5,
  );
  try {
    expect((await server.events.errors.next()).code).toBe('MESSAGE_TIMEOUT');
  } finally {
    clearInterval(ping);
  }
});

it('reads nothing after a close frame', async () => {
  await using server = await echo();
  using peer = await rawWebSocket(server.address);
  peer.socket.write(hex('82 81 00000000 61 88 82 00000000 03e8 82 81 00000000 62 ff ff'));
  expect(await peer.frames(7)).toBe('820161880203e8');
  await peer.ended;
  peer.socket.end();
  await server.events.closed.next();
  expect(server.events.messages.all.map(String)).toEqual(['a']);
  expect(server.events.errors.all).toEqual([]);
});

it('closes after waitTime when the peer does not answer the close frame', async () => {
  await using server = await echo({ waitTime: 50 });
  using peer = await rawWebSocket(server.address);
  const session = await server.events.opened.next();
  const before = performance.now();
  await session.close();
  expect(performance.now() - before).toBeGreaterThan(45);
  expect(await peer.frames(4)).toBe('880203e8');
});

it('reports no error when the peer ends the stream instead of answering the close frame', async () => {
  await using server = await echo({ waitTime: 300_000 });
  using peer = await rawWebSocket(server.address);
  const session = await server.events.opened.next();
  const closed = session.close();
  expect(await peer.frames(4)).toBe('880203e8');
  peer.socket.end();
  await within(closed, 'the close');
  expect(server.events.log).toEqual(['open', 'close']);
});

it('delivers no compressed message to a paused session', async () => {
  await using server = await echo({ compression: 'deflate' });
  using peer = await rawWebSocket(server.address, DEFLATE);
  const session = await server.events.opened.next();
  const message = compressedZeros(1_000_000);
  session.pause();
  peer.socket.write(Buffer.concat(Array.from({ length: 20 }, () => message)));
  await turns(QUIET_TURNS);
  expect(session.stats.bytesRead).toBe(0);
  session.resume();
  await server.events.messages.take(20);
  expect(session.stats.bytesRead).toBe(20_000_000);
});
