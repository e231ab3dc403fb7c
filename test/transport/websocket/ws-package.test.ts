/** The `ws` package as the peer. */
import { describe, expect, it, test } from 'vitest';
import { connect, raw, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { ANY, echo, ourClient, wsClient, wsServer } from '../../fixtures/websocket.js';

noLeaks();

const MESSAGES: [name: string, sent: string | Buffer, echoed: string][] = [
  ['text', 'grün', `binary ${Buffer.from('grün').toString('hex')}`],
  ['binary', Buffer.of(1, 2, 3), 'binary 010203'],
  ['no bytes', Buffer.alloc(0), 'binary'],
  ['126 bytes', Buffer.alloc(126, 7), `binary ${'07'.repeat(126)}`],
  ['65,536 bytes', Buffer.alloc(65_536, 7), `binary ${'07'.repeat(65_536)}`],
  ['1 MiB', Buffer.alloc(1024 * 1024, 7), `binary ${'07'.repeat(1024 * 1024)}`],
];

describe.each(['none', 'deflate'] as const)('with the compression %s', (compression) => {
  const perMessageDeflate = compression === 'deflate' ? { threshold: 0 } : false;
  const extensions = compression === 'none' ? '' : 'permessage-deflate';

  test.each(MESSAGES)('a server echoes %s', async (_name, sent, echoed) => {
    await using server = await echo({ compression });
    using peer = wsClient(server.address, { perMessageDeflate });
    await peer.opened;
    expect(peer.socket.extensions).toBe(extensions);
    peer.socket.send(sent);
    expect((await peer.messages.next()).trim()).toBe(echoed);
  });

  test.each(MESSAGES)('a client sends and receives %s', async (_name, sent, echoed) => {
    await using server = await wsServer({ perMessageDeflate });
    await using ours = await ourClient(server.address, { compression });
    const peer = await server.peers.next();
    expect(peer.socket.extensions).toBe(extensions);
    ours.session.write(Buffer.from(sent));
    expect((await peer.messages.next()).trim()).toBe(echoed);
    peer.socket.send(sent);
    expect((await ours.events.messages.next()).equals(Buffer.from(sent))).toBe(true);
  });
});

it('does not compress when only the peer supports compression', async () => {
  await using server = await echo();
  using peer = wsClient(server.address, { perMessageDeflate: true });
  await peer.opened;
  expect(peer.socket.extensions).toBe('');
  await using theirs = await wsServer({ perMessageDeflate: true });
  await using _ours = await ourClient(theirs.address);
  expect((await theirs.peers.next()).socket.extensions).toBe('');
});

it('compresses for the smaller window of the peer', async () => {
  await using server = await echo({ compression: 'deflate' });
  using peer = wsClient(server.address, { perMessageDeflate: { serverMaxWindowBits: 9 } });
  await peer.opened;
  const sent = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * i) % 97));
  peer.socket.send(sent);
  expect(await peer.messages.next()).toBe(`binary ${sent.toString('hex')}`);
});

it('sends each message as one text message, with the option websocket.text', async () => {
  await using server = await wsServer();
  await using ours = await ourClient(server.address, {}, { websocket: { text: true } });
  const peer = await server.peers.next();
  for (const message of ['one', '', 'three']) ours.session.write(Buffer.from(message));
  ours.session.writeBytesArray([Buffer.from('fo'), Buffer.from('ur')]);
  expect(await peer.messages.take(4)).toEqual(['text one', 'text ', 'text three', 'text four']);
});

it('receives a message in fragments with a ping between them', async () => {
  await using server = await echo();
  using peer = wsClient(server.address);
  await peer.opened;
  peer.socket.send('one, ', { fin: false });
  peer.socket.ping('between');
  peer.socket.send('two', { fin: true });
  expect(await peer.pongs.next()).toBe('between');
  expect(await peer.messages.next()).toBe(`binary ${Buffer.from('one, two').toString('hex')}`);
});

it('is kept open by the pongs of the peer', async () => {
  await using server = await wsServer();
  await using ours = await ourClient(server.address, { cronPeriod: 20, idleTimeout: 1_000 });
  const peer = await server.peers.next();
  const before = ours.session.active;
  await peer.pings.take(60);
  expect(ours.session.closed).toBe(false);
  expect(ours.session.active).toBeGreaterThan(before);
});

it('fails with IDLE_TIMEOUT when the peer does not answer pings', async () => {
  await using server = await wsServer({ autoPong: false });
  await using ours = await ourClient(server.address, { cronPeriod: 20, idleTimeout: 100 });
  expect((await ours.events.errors.next()).code).toBe('IDLE_TIMEOUT');
  expect(await (await server.peers.next()).closed.next()).toBe('1008 IDLE_TIMEOUT');
});

it('agrees on the first subprotocol of the client that the server supports', async () => {
  const protocols: (string | undefined)[] = [];
  const setup = { codec: raw(), listener: { onMessage: () => {} } };
  const recordProtocol = (peer: { readonly protocol?: string }) => {
    protocols.push(peer.protocol);
    return setup;
  };
  await using server = await serve(ANY, recordProtocol, {
    websocket: { protocols: ['v2', 'v1'] },
  });
  using peer = wsClient(server.address, {}, ['v0', 'v1', 'v2']);
  await peer.opened;
  expect(peer.socket.protocol).toBe('v1');
  await using _ours = await connect(server.address, recordProtocol, {
    websocket: { protocols: ['v2'] },
  });
  expect(protocols).toEqual(['v1', 'v2', 'v2']);
  const error = await rejection(
    ourClient(server.address, {}, { websocket: { protocols: ['v3', 'v4'] } }),
  );
  expect(error).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('the server chose none of the protocols v3, v4'),
  });
});
