/** Upgrade requests to a running server. */
import { expect, it } from 'vitest';
import { noLeaks } from '../../../fixtures/leaks.js';
import { rejection } from '../../../fixtures/transports.js';
import { elapse, turns, within } from '../../../fixtures/waiting.js';
import {
  ANY,
  echo,
  handshakeRequest,
  ourClient,
  rawPeer,
  wsClient,
} from '../../../fixtures/websocket.js';

/** More turns of the event loop than a server needs to read a request. */
const QUIET_TURNS = 20;

noLeaks();

it('accepts any path, or only the path of its address', async () => {
  await using any = await echo();
  using first = wsClient(`${any.address}/any/path?query`);
  await first.opened;
  await using one = await echo({}, {}, `${ANY}/chat`);
  expect(one.address).toMatch(/:\d+\/chat$/);
  using second = wsClient(`${one.address}?room=7`);
  await second.opened;
  await using ours = await ourClient(one.address);
  expect(ours.session.remoteAddress).toBe(one.address);
  using wrong = wsClient(one.address.replace('chat', 'chatter'));
  await expect(wrong.opened).rejects.toThrow('404');
  expect(await rejection(ourClient(one.address.replace('/chat', '/')))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('404 Not Found'),
  });
});

it('answers requests that are not upgrades to a WebSocket with 426', async () => {
  await using server = await echo();
  const url = server.address.replace('ws:', 'http:');
  for (const [method, body] of [['GET'], ['POST', 'x'.repeat(100_000)], ['DELETE']]) {
    const response = await fetch(url, { method, body });
    expect([
      response.status,
      response.headers.get('upgrade'),
      response.headers.get('connection'),
    ]).toEqual([426, 'websocket', 'close']);
    await response.text();
  }
  using peer = rawPeer(server.address);
  peer.socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
  expect(String(await peer.until((bytes) => bytes.includes('server\n')))).toMatch(
    /^HTTP\/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n/,
  );
  await peer.ended;
});

it('closes connections whose request is not complete within handshakeTimeout', async () => {
  await using server = await echo({}, { handshakeTimeout: 1_000 });
  const begin = performance.now();
  using silent = rawPeer(server.address);
  using half = rawPeer(server.address);
  half.socket.write(handshakeRequest(server.address).slice(0, -2));
  using slow = rawPeer(server.address);
  const request = handshakeRequest(server.address, [`X-More: ${'x'.repeat(2_000)}`]);
  let at = 0;
  const drip = setInterval(
    () => slow.socket.writable && slow.socket.write(request.slice(at, ++at)),
    5,
  );
  try {
    await within(Promise.all([silent.ended, half.ended, slow.ended]), 'all connections to end');
  } finally {
    clearInterval(drip);
  }
  expect(performance.now() - begin).toBeGreaterThan(990);
  expect(server.server.sessions.size).toBe(0);
  using peer = wsClient(server.address);
  await peer.opened;
  await elapse(1_100);
  peer.socket.send('still here');
  await peer.messages.next();
});

it('refuses a header that is too large with 431', async () => {
  await using server = await echo();
  using peer = rawPeer(server.address);
  peer.socket.write(handshakeRequest(server.address, [`X-More: ${'x'.repeat(20_000)}`]));
  expect(String(await peer.until((bytes) => bytes.length > 12))).toMatch(/^HTTP\/1.1 431 /);
  await peer.ended;
});

it('closes without waiting for handshakes in progress', async () => {
  const server = await echo({}, { handshakeTimeout: 300_000 });
  using peer = rawPeer(server.address);
  peer.socket.write('GET / HTTP/1.1\r\n');
  await turns(QUIET_TURNS);
  await within(server.server.close(), 'the server to close');
  await peer.ended;
});

it('reads frames that arrive with the request', async () => {
  await using server = await echo();
  using peer = rawPeer(server.address);
  peer.socket.write(
    Buffer.concat([
      Buffer.from(handshakeRequest(server.address)),
      Buffer.from('828100000000aa', 'hex'),
    ]),
  );
  const answer = await peer.until((bytes) => bytes.includes(Buffer.from('8201aa', 'hex')));
  expect(String(answer)).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
});
