/** WebSocket servers at the paths of an HTTP server that the program has created. */
import { once } from 'node:events';
import { createServer as createStreamServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import {
  connect,
  type HttpServer,
  type HttpServerAddress,
  raw,
  type Server,
  type ServerOptions,
  serve,
} from '../../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../../fixtures/certificates.js';
import { createHttpServer, listenHttp } from '../../../fixtures/http-servers.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { RAW_SETUP, upgradeStatus } from '../../../fixtures/refusals.js';
import { rejection, thrown } from '../../../fixtures/transports.js';
import { until, within } from '../../../fixtures/waiting.js';
import { handshakeRequest, ourClient, rawPeer, wsClient } from '../../../fixtures/websocket.js';

noLeaks();

/** Answers each message with `name` and the message. */
function serveNamed(
  server: HttpServer,
  path: string,
  name = '',
  options?: ServerOptions,
): Promise<Server<Buffer, Uint8Array>> {
  return serve<Buffer, Uint8Array>(
    { server, path },
    {
      codec: raw(),
      listener: { onMessage: (to, message) => to.write(Buffer.from(`${name}${message}`)) },
    },
    options,
  );
}

/** Sends `hello` and returns the answer. */
async function answerOf(address: string, options = {}): Promise<string> {
  await using client = await ourClient(address, {}, options);
  client.session.write(Buffer.from('hello'));
  return String(await client.events.messages.next());
}

it('serves several paths beside the requests of the HTTP server', async () => {
  await using http = await listenHttp();
  await using game = await serveNamed(http.server, '/game', 'game: ');
  await using chat = await serveNamed(http.server, '/chat', 'chat: ');
  await using root = await serveNamed(http.server, '/', 'root: ');
  expect([game.address, chat.address, root.address]).toEqual(
    ['/game', '/chat', '/'].map((path) => http.at(path)),
  );
  expect(http.server.listenerCount('upgrade')).toBe(1);
  expect(await answerOf(game.address)).toBe('game: hello');
  expect(await answerOf(`${chat.address}?room=7`)).toBe('chat: hello');
  expect(await answerOf(root.address)).toBe('root: hello');
  expect(await (await fetch(`${http.url}/game`)).text()).toBe('app /game');
});

it('serves wss:// on an HTTPS server', async () => {
  await using http = await listenHttp(createHttpServer(true));
  await using server = await serveNamed(http.server, '/game', 'secure: ');
  expect(server.address).toBe(http.at('/game'));
  expect(server.address).toMatch(/^wss:/);
  expect(await answerOf(server.address, { tls: CLIENT_TLS })).toBe('secure: hello');
});

it('compares paths as a URL has them', async () => {
  await using http = await listenHttp();
  await using server = await serveNamed(http.server, '/grün');
  expect(server.address).toBe(http.at('/gr%C3%BCn'));
  expect(await upgradeStatus(http.at('/gr%c3%bcn'))).toBe(101);
  const absolute = handshakeRequest(http.at('/gr%C3%BCn')).replace('GET /', 'GET http://a.b/');
  expect(await upgradeStatus(http.at('/'), [], absolute)).toBe(101);
});

it('accepts no second server at a path until the first one stops listening', async () => {
  await using http = await listenHttp();
  await using first = await serveNamed(http.server, '/game', 'first: ');
  expect(await rejection(serveNamed(http.server, '/game'))).toMatchObject({
    code: 'LISTEN_FAILED',
    message: 'cannot listen at /game of the HTTP server: another server of this package is there',
  });
  await first.stopListening();
  await using _second = await serveNamed(http.server, '/game', 'second: ');
  await first.close();
  expect(await answerOf(http.at('/game'))).toBe('second: hello');
});

it('takes a Proxy of an HTTP server for the same server', async () => {
  await using http = await listenHttp();
  const proxy = new Proxy(http.server, {});
  await using _game = await serveNamed(http.server, '/game', 'game: ');
  expect((await rejection(serveNamed(proxy, '/game'))).code).toBe('LISTEN_FAILED');
  await using chat = await serveNamed(proxy, '/chat', 'chat: ');
  expect(await answerOf(http.at('/chat'))).toBe('chat: hello');
  expect(await upgradeStatus(http.at('/none'))).toBe(404);
  await chat.close();
  expect(http.server.listenerCount('upgrade')).toBe(1);
});

it('has an error with a code for an HTTP server that throws, and leaves no listener', async () => {
  const server = createHttpServer();
  const listeners = server.listenerCount('listening');
  const throwing = (name: string | symbol): HttpServer =>
    new Proxy(server, {
      get(target, key) {
        if (key === name) throw new Error(`no ${String(name)}`);
        return Reflect.get(target, key);
      },
    });
  const getPrototypeOf = (): never => {
    throw new Error('no prototype');
  };
  const { proxy: revoked, revoke } = Proxy.revocable(server, {});
  revoke();
  for (const [given, code] of [
    [revoked, 'BAD_OPTION'],
    [new Proxy(server, { getPrototypeOf }), 'BAD_OPTION'],
    [throwing('listeners'), 'LISTEN_FAILED'],
    [throwing('on'), 'LISTEN_FAILED'],
    [throwing('address'), 'LISTEN_FAILED'],
  ] as const)
    expect((await rejection(serveNamed(given, '/game'))).code).toBe(code);
  expect(server.listenerCount('upgrade')).toBe(0);
  expect(server.listenerCount('listening')).toBe(listeners);
});

it('answers other paths with 404 if no other listener may take them', async () => {
  await using http = await listenHttp();
  await using server = await serveNamed(http.server, '/game');
  for (const path of ['/', '/games', '/game/', '/Game', '/%67ame'])
    expect(await upgradeStatus(http.at(path)), path).toBe(404);
  expect(server.refusals).toMatchObject({ path: 0, request: 0 });
});

it('leaves other paths to other listeners', async () => {
  await using http = await listenHttp();
  const other = new WebSocketServer({ noServer: true });
  const unanswered: Duplex[] = [];
  http.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/none') unanswered.push(socket);
    if (request.url === '/other')
      other.handleUpgrade(request, socket, head, (peer) => peer.send('from ws'));
  });
  await using server = await serveNamed(http.server, '/game', 'game: ');
  using peer = wsClient(http.at('/other'));
  expect(await peer.messages.next()).toBe('text from ws');
  expect(await answerOf(server.address)).toBe('game: hello');
  // The other listener may answer this one later.
  using waiting = rawPeer(http.at('/none'));
  waiting.socket.write(handshakeRequest(http.at('/none')));
  expect(await answerOf(server.address)).toBe('game: hello');
  expect(waiting.received.all).toEqual([]);
  await until(() => unanswered.length > 0, 'the other listener gets the request');
  for (const socket of unanswered) socket.destroy();
});

it('has no listener on the HTTP server after close(), and the HTTP server goes on', async () => {
  await using http = await listenHttp();
  const server = await serveNamed(http.server, '/game');
  await using client = await ourClient(server.address);
  await within(server.close(), 'the server to close');
  await client.events.closed.next();
  expect(http.server.listenerCount('upgrade')).toBe(0);
  expect(await (await fetch(http.url)).text()).toBe('app /');
  await using again = await serveNamed(http.server, '/game', 'again: ');
  expect(await answerOf(again.address)).toBe('again: hello');
});

it('keeps its sessions when the HTTP server closes first, and then lets it end', async () => {
  await using http = await listenHttp();
  const server = await serveNamed(http.server, '/game', 'still: ');
  await using client = await ourClient(server.address);
  const closed = once(http.server, 'close');
  http.server.close();
  client.session.write(Buffer.from('here'));
  expect(String(await client.events.messages.next())).toBe('still: here');
  await within(server.close(), 'the server to close');
  await within(closed, 'the HTTP server to close');
  // The last address, for messages.
  expect(server.address).toBe(http.at('/game'));
});

it('serves on an HTTP server that listens later, and again', async () => {
  const http = createHttpServer();
  await using server = await serveNamed(http, '/game', 'later: ');
  expect(server.address).toBe('');
  for (let round = 0; round < 2; round++) {
    await using running = await listenHttp(http);
    expect(server.address).toBe(running.at('/game'));
    expect(await answerOf(server.address)).toBe('later: hello');
    for (const session of server.sessions) session.destroy();
  }
});

it('reads frames that arrive with the request', async () => {
  await using http = await listenHttp();
  await using server = await serveNamed(http.server, '/game');
  using peer = rawPeer(server.address);
  const frame = Buffer.from('82810000000061', 'hex');
  const head = Buffer.concat([frame, frame.subarray(0, 3)]);
  peer.socket.write(Buffer.concat([Buffer.from(handshakeRequest(server.address)), head]));
  await peer.until((bytes) => bytes.includes(Buffer.from('820161', 'hex')));
  peer.socket.write(frame.subarray(3));
  await peer.until((bytes) => bytes.includes(Buffer.from('820161820161', 'hex')));
});

it('accepts an upgrade after other requests of the same connection', async () => {
  await using http = await listenHttp();
  http.server.setTimeout(300_000);
  await using server = await serveNamed(http.server, '/game');
  using peer = rawPeer(server.address);
  peer.socket.write(`GET /a HTTP/1.1\r\nHost: x\r\n\r\n${handshakeRequest(server.address)}`);
  const answer = String(await peer.until((bytes) => bytes.includes('101 Switching Protocols')));
  expect(answer).toContain('app /a');
});

it('has sessions on an HTTP server at a Unix socket, and no address', async () => {
  if (process.platform === 'win32') return;
  const path = join(tmpdir(), `getty-http-${process.pid}.sock`);
  const http = createHttpServer();
  http.listen(path);
  await once(http, 'listening');
  try {
    await using server = await serveNamed(http, '/game');
    expect(server.address).toBe('');
    const url = `ws+unix:${path}:/game`;
    using first = wsClient(url);
    using second = wsClient(url);
    await Promise.all([first.opened, second.opened]);
    second.socket.send('hello');
    expect(await second.messages.next()).toBe(`binary ${Buffer.from('hello').toString('hex')}`);
  } finally {
    await once(http.close(), 'close');
  }
});

it.each<[what: string, given: object, message: string]>([
  ['no server', { path: '/game' }, 'server: got undefined, expected a server of node:http'],
  ['a server of node:net', { server: createStreamServer(), path: '/' }, 'server: got an object'],
  ['no path', { server: createHttpServer() }, 'path: got undefined, expected a path with'],
  ['a path without a slash', { server: createHttpServer(), path: 'game' }, 'path: got "game"'],
  ['a query', { server: createHttpServer(), path: '/game?a=1' }, 'path: got "/game?a=1"'],
  ['a lone surrogate', { server: createHttpServer(), path: '/\ud800' }, 'path: got'],
  [
    'a misspelled name',
    { server: createHttpServer(), paht: '/game' },
    'paht is not an option of the address of serve(); did you mean path?',
  ],
])('refuses an address with %s', async (_, given, message) => {
  const error = await rejection(serve(given as HttpServerAddress, RAW_SETUP));
  expect(error.code).toBe('BAD_OPTION');
  expect(error.message).toContain(message);
});

it('refuses options that belong to the HTTP server', async () => {
  const server = createHttpServer(true);
  for (const options of [{ tls: SERVER_TLS }, { websocket: { health: '/healthz' } }]) {
    expect(await rejection(serve({ server, path: '/' }, RAW_SETUP, options))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('the HTTP server'),
    });
  }
  expect(server.listenerCount('upgrade')).toBe(0);
  await using ours = await serve({ server, path: '/' }, RAW_SETUP);
  expect(thrown(() => ours.reloadTls({}))).toMatchObject({ code: 'BAD_OPTION' });
});

it('is no address of connect()', async () => {
  const given = { server: createHttpServer(), path: '/' } as unknown as string;
  expect(await rejection(connect(given, RAW_SETUP))).toMatchObject({ code: 'BAD_ADDRESS' });
});
