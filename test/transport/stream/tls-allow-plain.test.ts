/** Connections with and without TLS at one port. */
import { describe, expect, it } from 'vitest';
import { connect, lines, type ServerOptions, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { headerProxy, textHeader } from '../../fixtures/proxy-headers.js';
import { Recorder } from '../../fixtures/recorder.js';
import { serveRecording, silentPeer } from '../../fixtures/refusals.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { turns, within } from '../../fixtures/waiting.js';
import { rawPeer } from '../../fixtures/websocket.js';

noLeaks();

const PLAIN: ServerOptions = { tls: { ...SERVER_TLS, allowPlain: true } };

async function serveEcho(scheme: string, options: ServerOptions = {}) {
  const events = new Recorder<string>('the server', {
    onMessage: (session, line) => void session.write(line),
  });
  const server = await serve(
    `${scheme}://127.0.0.1:0`,
    { codec: lines(), listener: events },
    { ...PLAIN, ...options },
  );
  return { server, events, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

describe.each([
  ['tls', 'tcp'],
  ['wss', 'ws'],
])('%s and %s at one port', (secure, plain) => {
  it.each([secure, plain])('a client of %s gets its message back', async (scheme) => {
    await using echo = await serveEcho(secure);
    const events = new Recorder<string>('the client');
    await using client = await connect(
      echo.address.replace(secure, scheme),
      { codec: lines(), listener: events },
      { reconnect: false, ...(scheme === secure && { tls: CLIENT_TLS }) },
    );
    const session = await client.session();
    session.write('hello');
    expect(await events.messages.next()).toBe('hello');
    const far = await echo.events.opened.next();
    expect(far.encrypted).toBe(scheme === secure);
    expect(session.encrypted).toBe(scheme === secure);
    expect(far.remoteAddress).toBe(session.localAddress);
    expect(far.localAddress).toBe(echo.address.replace(secure, scheme));
    await client.close();
    await echo.events.closed.next();
  });

  it.each([secure, plain])('a client of %s behind a proxy has its address', async (scheme) => {
    await using echo = await serveEcho(secure, {
      behindProxy: { trusted: ['127.0.0.1'], header: 'proxy-protocol' },
    });
    await using proxy = await headerProxy(echo.address, () => textHeader());
    const events = new Recorder<string>('the client');
    await using client = await connect(
      proxy.at(echo.address).replace(secure, scheme),
      { codec: lines(), listener: events },
      { reconnect: false, ...(scheme === secure && { tls: CLIENT_TLS }) },
    );
    (await client.session()).write('hello');
    expect(await events.messages.next()).toBe('hello');
    expect(await echo.events.opened.next()).toMatchObject({
      remoteAddress: `${scheme}://203.0.113.7:50100`,
      encrypted: scheme === secure,
    });
  });

  it('refuses a peer that sends nothing after handshakeTimeout', async () => {
    await using server = await serveRecording(`${secure}://127.0.0.1:0`, {
      ...PLAIN,
      handshakeTimeout: 50,
    });
    const socket = silentPeer(server.address);
    const { error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'timeout' });
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  });

  it('does not count a peer that connects and closes', async () => {
    await using server = await serveRecording(`${secure}://127.0.0.1:0`, PLAIN);
    const socket = silentPeer(server.address);
    socket.end();
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
    expect(Object.values(server.server.refusals).every((count) => count === 0)).toBe(true);
  });

  it('counts a client by its address before its first byte, and not when it sends none', async () => {
    await using server = await serveRecording(`${secure}://127.0.0.1:0`, {
      ...PLAIN,
      behindProxy: { trusted: ['127.0.0.1'], header: 'proxy-protocol' },
      maxSessionsPerAddress: 1,
    });
    // 16 more handshakes than sessions may be in progress.
    const sockets = Array.from({ length: 17 }, () => silentPeer(server.address));
    for (const socket of sockets) socket.write(textHeader());
    const last = silentPeer(server.address);
    await turns(20);
    last.write(textHeader());
    const { peer, error } = await server.refusals.next();
    expect(error).toMatchObject({ reason: 'limit' });
    expect(peer.remoteAddress).toBe(`${secure}://203.0.113.7:50100`);
    for (const socket of sockets) socket.end();
    await within(
      Promise.all(sockets.map((socket) => new Promise((done) => socket.once('close', done)))),
      'the close',
    );
    expect(server.refusals.unread).toEqual([]);
    last.destroy();
  });

  it('refuses bytes that only begin like TLS', async () => {
    await using server = await serveRecording(`${secure}://127.0.0.1:0`, PLAIN);
    const socket = silentPeer(server.address);
    socket.write(Buffer.from('16ffffffff', 'hex'));
    expect((await server.refusals.next()).error.reason).toBe('tls');
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  });

  it('is refused for connections without TLS by default', async () => {
    await using server = await serveRecording(`${secure}://127.0.0.1:0`, { tls: SERVER_TLS });
    const socket = silentPeer(server.address);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    expect((await server.refusals.next()).error.reason).toBe('tls');
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  });
});

it('a session without TLS can be half-open', async () => {
  await using echo = await serveEcho('tls');
  using peer = rawPeer(echo.address.replace('tls', 'http'));
  peer.socket.setNoDelay(true);
  for (const byte of Buffer.from('hello\n')) {
    peer.socket.write(Buffer.of(byte));
    await turns(2);
  }
  peer.socket.end('bye\n');
  expect(String(await peer.until((bytes) => bytes.includes('bye\n')))).toBe('hello\nbye\n');
});

it.each(['yes', 1, null])('allowPlain: %j is BAD_OPTION', async (allowPlain) => {
  const tls: object = { ...SERVER_TLS, allowPlain };
  expect(await rejection(serveRecording('tls://127.0.0.1:0', { tls }))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringMatching(/^tls\.allowPlain: got/),
  });
});

it('reloadTls() cannot change allowPlain', async () => {
  await using echo = await serveEcho('tls');
  echo.server.reloadTls({ allowPlain: true });
  expect(thrown(() => echo.server.reloadTls({ allowPlain: false })).message).toContain(
    'tls.allowPlain: got false, expected true, which a reload cannot change',
  );
  await using secure = await serveEcho('tls', { tls: SERVER_TLS });
  secure.server.reloadTls({ allowPlain: false });
  expect(thrown(() => secure.server.reloadTls({ allowPlain: true })).message).toContain(
    'expected false, which a reload cannot change',
  );
});
