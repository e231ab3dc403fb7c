/** Servers whose connections begin with a header of the PROXY protocol. */
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { lines, type ServerOptions, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { binaryHeader, headerProxy, ipv6Pair, textHeader } from '../../fixtures/proxy-headers.js';
import { Recorder } from '../../fixtures/recorder.js';
import { serveRecording, silentPeer } from '../../fixtures/refusals.js';
import { transportsNamed } from '../../fixtures/session-probes.js';
import { connectLines } from '../../fixtures/tls-endpoints.js';
import { connectAs, setupOf } from '../../fixtures/transports.js';
import { turns, until, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

const LOOPBACK = ['127.0.0.0/8'];
const BEHIND_PROXY: ServerOptions = {
  behindProxy: { trusted: LOOPBACK, header: 'proxy-protocol' },
};

/** A server that records refusals, and a proxy before it. */
async function serveProxied(
  scheme: string,
  nextHeader: () => Buffer = textHeader,
  options: ServerOptions = {},
) {
  const tls = scheme === 'tls' || scheme === 'wss' ? { tls: SERVER_TLS } : {};
  const events = new Recorder<string>('the server');
  const refusals: string[] = [];
  const server = await serve(
    `${scheme}://127.0.0.1:0`,
    { codec: lines(), listener: events },
    {
      ...BEHIND_PROXY,
      ...tls,
      onRefused: ({ remoteAddress }, { reason, message }) =>
        refusals.push(`${reason} ${remoteAddress.replace(/:\d+$/, '')} ${message}`),
      ...options,
    },
  );
  const proxy = await headerProxy(server.address, nextHeader);
  return {
    server,
    events,
    refusals,
    address: proxy.at(server.address),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

describe.each(transportsNamed('tcp', 'tls', 'ws', 'wss'))('$name', (row) => {
  it.each<[string, Buffer, string]>([
    ['version 1', textHeader(), '203.0.113.7:50100'],
    ['version 1, IPv6', textHeader('2001:db8::7', 1), '[2001:db8::7]:1'],
    ['version 2', binaryHeader(), '203.0.113.7:50100'],
    [
      'version 2, IPv6',
      binaryHeader({ family: 0x21, rest: ipv6Pair('20010db8000000000000000000000007') }),
      '[2001:db8::7]:50100',
    ],
  ])('has the address of the client: %s', async (_, header, client) => {
    await using proxied = await serveProxied(row.name, () => header);
    const events = new Recorder<string>('the client');
    await using connected = await connectAs(row, proxied.address, setupOf(row, events), {
      reconnect: false,
    });
    const session = await connected.session();
    const far = await proxied.events.opened.next();
    expect(far.remoteAddress).toBe(`${row.name}://${client}`);
    expect(far.localAddress).toBe(proxied.server.address);
    expect(far.encrypted).toBe(row.name === 'tls' || row.name === 'wss');
    session.write('to the server');
    far.write('to the client');
    expect(await proxied.events.messages.next()).toBe('to the server');
    expect(await events.messages.next()).toBe('to the client');
    expect(proxied.refusals).toEqual([]);
  });

  it.each<[string, Buffer]>([
    ['LOCAL', binaryHeader({ command: 0 })],
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ])('has the address of the proxy: %s', async (_, header) => {
    await using proxied = await serveProxied(row.name, () => header);
    const events = new Recorder<string>('the client');
    await using _client = await connectAs(row, proxied.address, setupOf(row, events));
    expect((await proxied.events.opened.next()).remoteAddress).toMatch(
      new RegExp(`^${row.name}://127\\.0\\.0\\.1:\\d+$`),
    );
  });

  it('counts sessions by the address of the client, and refuses by it', async () => {
    const sources = ['203.0.113.7', '203.0.113.8', '203.0.113.7', '198.51.100.1'];
    await using proxied = await serveProxied(row.name, () => textHeader(sources.shift()), {
      maxSessionsPerAddress: 1,
      deny: ['198.51.100.0/24'],
    });
    const connect = () =>
      connectAs(row, proxied.address, setupOf(row, new Recorder<string>('a client')), {
        reconnect: false,
      });
    await using _first = await connect();
    await using _second = await connect();
    await until(() => proxied.server.sessions.size === 2, 'both have a session');
    for (const refusal of [
      `limit ${row.name}://203.0.113.7 maxSessionsPerAddress, 1, are open from 203.0.113.7`,
      `address ${row.name}://198.51.100.1 deny has the address 198.51.100.1`,
    ]) {
      const refused = await connect().catch(() => undefined);
      await until(() => proxied.refusals.length > 0, 'the server refuses');
      expect(proxied.refusals.shift()).toBe(refusal);
      await refused?.close();
    }
    expect(proxied.server.refusals).toMatchObject({ limit: 1, address: 1 });
  });
});

describe('a peer', () => {
  const PROXIED = { ...BEHIND_PROXY };

  it('that is not trusted is refused before it sends a byte', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', {
      behindProxy: { trusted: ['10.0.0.0/8', '::1'], header: 'proxy-protocol' },
    });
    const socket = silentPeer(server.address);
    socket.write(textHeader());
    const { peer, error } = await server.refusals.next();
    expect(peer.remoteAddress).toMatch(/^tcp:\/\/127\.0\.0\.1:/);
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'proxy', status: 400 });
    expect(server.server.refusals.proxy).toBe(1);
    expect(server.server.sessions.size).toBe(0);
    socket.destroy();
  });

  it.each<[string, Buffer, RegExp]>([
    ['sends no header', Buffer.from('hello\n'), /does not begin with a header/],
    ['begins with TLS', Buffer.of(0x16, 3, 1), /does not begin with a header/],
    [
      'sends a line without an end',
      Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`),
      /longer than 107/,
    ],
    ['announces 64 KiB', binaryHeader({ length: 65_535 }), /longer than 16384/],
    ['names no valid address', Buffer.from('PROXY TCP4 a b 1 2\r\n'), /no addresses/],
  ])('that %s is refused', async (_, bytes, message) => {
    for (const scheme of ['tcp', 'tls', 'ws', 'wss']) {
      await using server = await serveRecording(`${scheme}://127.0.0.1:0`, {
        ...PROXIED,
        ...(scheme.endsWith('s') && scheme !== 'ws' ? { tls: SERVER_TLS } : {}),
      });
      const socket = silentPeer(server.address);
      socket.write(bytes);
      const { error } = await server.refusals.next();
      expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'proxy' });
      expect(error.message).toMatch(message);
      await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
      expect(server.server.refusals.proxy).toBe(1);
    }
  });

  it('may send the header one byte at a time, with the first message behind it', async () => {
    for (const header of [textHeader(), binaryHeader()]) {
      await using proxied = await serveProxied('tcp');
      const socket = silentPeer(proxied.server.address).setNoDelay(true);
      for (const byte of Buffer.concat([header, Buffer.from('hello\n')])) {
        socket.write(Buffer.of(byte));
        await turns(2);
      }
      expect(await proxied.events.messages.next()).toBe('hello');
      expect((await proxied.events.opened.next()).remoteAddress).toBe('tcp://203.0.113.7:50100');
      socket.destroy();
    }
  });

  it('cannot forge a second header behind that of the proxy', async () => {
    await using proxied = await serveProxied('tcp');
    const socket = silentPeer(proxied.address);
    socket.write(textHeader('192.0.2.66'));
    expect(await proxied.events.messages.next()).toMatch(/^PROXY TCP4 192\.0\.2\.66 /);
    expect((await proxied.events.opened.next()).remoteAddress).toBe('tcp://203.0.113.7:50100');
    socket.destroy();
  });

  it('that sends a part of the header is refused after handshakeTimeout', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', {
      ...PROXIED,
      handshakeTimeout: 50,
    });
    const socket = silentPeer(server.address);
    socket.write('PROXY TCP4 ');
    expect((await server.refusals.next()).error).toMatchObject({ reason: 'timeout' });
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  });

  it('that ends within the header is refused, and one that sends nothing is not', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', PROXIED);
    const silent = silentPeer(server.address);
    silent.end();
    await within(new Promise((resolve) => silent.once('close', resolve)), 'the close');
    const partial = silentPeer(server.address);
    partial.end('PROXY TCP4 ');
    expect((await server.refusals.next()).error).toMatchObject({
      reason: 'proxy',
      message: expect.stringContaining('ended within the PROXY header'),
    });
    await within(new Promise((resolve) => partial.once('close', resolve)), 'the close');
    expect(server.server.refusals).toMatchObject({ proxy: 1, timeout: 0, request: 0 });
  });

  it('that resets the connection within the header leaves nothing behind', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', { ...PROXIED, maxSessions: 1 });
    for (let i = 0; i < 30; i++) {
      const socket = silentPeer(server.address);
      socket.write('PROXY ');
      await turns(3);
      socket.resetAndDestroy();
      await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
    }
    const last = silentPeer(server.address);
    last.write(textHeader());
    await until(() => server.server.sessions.size === 1, 'handshakes are no longer counted');
    last.destroy();
  });

  it('that resets the connection at once is not counted', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', BEHIND_PROXY);
    for (let i = 0; i < 50; i++) {
      const socket = silentPeer(server.address);
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.resetAndDestroy();
      await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
    }
    const last = silentPeer(server.address);
    last.write(textHeader());
    await until(() => server.server.sessions.size === 1, 'the server accepts');
    expect(server.refusals.all).toEqual([]);
    last.destroy();
  });

  it('is not limited by maxSessionsPerAddress while it has not named its client', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', {
      ...PROXIED,
      maxSessionsPerAddress: 1,
      allow: ['203.0.113.0/24'],
    });
    const sockets = Array.from({ length: 40 }, () => silentPeer(server.address));
    for (const [index, socket] of sockets.entries()) socket.write(textHeader(`203.0.113.${index}`));
    await until(() => server.server.sessions.size === 40, 'all have a session');
    expect(server.refusals.all).toEqual([]);
    for (const socket of sockets) socket.destroy();
  });

  it('counts toward maxSessions before its header, with 16 more', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', { ...PROXIED, maxSessions: 2 });
    const sockets = Array.from({ length: 19 }, () => silentPeer(server.address));
    expect((await server.refusals.next()).error).toMatchObject({ reason: 'limit' });
    expect(server.refusals.unread).toEqual([]);
    for (const socket of sockets) socket.destroy();
  });
});

it('a TLS client may send its first bytes with the header', async () => {
  await using proxied = await serveProxied('tls');
  const raw = silentPeer(proxied.server.address);
  raw.cork();
  raw.write(textHeader());
  const socket = connectTls({ socket: raw, ca: CLIENT_TLS.ca as Buffer, servername: 'localhost' });
  socket.on('error', () => {});
  process.nextTick(() => raw.uncork());
  socket.write('hello\n');
  expect(await proxied.events.messages.next()).toBe('hello');
  socket.destroy();
  raw.destroy();
});

it('a TLS handshake that is reset behind the header leaves nothing behind', async () => {
  await using server = await serveRecording('tls://127.0.0.1:0', {
    ...BEHIND_PROXY,
    tls: SERVER_TLS,
    maxSessions: 1,
  });
  for (let i = 1; i <= 30; i++) {
    const socket = silentPeer(server.address);
    socket.write(Buffer.concat([textHeader(), Buffer.from('160301', 'hex')]));
    await turns(3);
    socket.resetAndDestroy();
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  }
  await using proxy = await headerProxy(server.address, () => textHeader());
  await using client = await connectLines(proxy.at(server.address));
  expect(client.session.closed).toBe(false);
});

it('refusals of proxies are a process warning without onRefused, once a minute', async () => {
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  await using server = await serveRecording('tcp://127.0.0.1:0', {
    ...BEHIND_PROXY,
    onRefused: undefined,
  });
  for (let i = 1; i <= 3; i++) {
    const socket = silentPeer(server.address);
    socket.write('hello\n');
    await until(() => server.server.refusals.proxy === i, 'the server refuses');
    socket.destroy();
  }
  expect(warning.mock.calls.map(([error]) => String(error))).toEqual([
    expect.stringContaining('the connection does not begin with a header of the PROXY protocol'),
  ]);
});
