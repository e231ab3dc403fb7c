/** The options allow, deny and behindProxy of serve(). */
import { execFileSync } from 'node:child_process';
import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { connect as rpcConnect, serve as rpcServe } from '../../../src/rpc/index.js';
import { connect, type ServerOptions, serve } from '../../../src/transport/index.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { createHttpServer, listenHttp } from '../../fixtures/http-servers.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { headerProxy, textHeader } from '../../fixtures/proxy-headers.js';
import {
  RAW_SETUP,
  refusalCounts,
  serveRecording,
  silentPeer,
  upgradeStatus,
} from '../../fixtures/refusals.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until, within } from '../../fixtures/waiting.js';
import { handshakeRequest } from '../../fixtures/websocket.js';

noLeaks();

const tlsOf = (scheme: string): ServerOptions =>
  scheme === 'tls' || scheme === 'wss' ? { tls: SERVER_TLS } : {};

describe.each(['tcp', 'tls', 'ws', 'wss'])('%s', (scheme) => {
  it.each<[string, ServerOptions]>([
    ['deny has', { deny: ['10.0.0.0/8', '127.0.0.0/8'] }],
    ['allow does not have', { allow: ['10.0.0.0/8', '::1'] }],
    ['both lists have', { allow: ['127.0.0.1'], deny: ['127.0.0.1'] }],
  ])('refuses a peer whose address %s', async (_, options) => {
    await using server = await serveRecording(`${scheme}://127.0.0.1:0`, {
      ...tlsOf(scheme),
      ...options,
    });
    const socket = silentPeer(server.address);
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
    const { peer, error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'address', status: 403 });
    expect(error.message).toMatch(/^(deny has|allow does not have) the address 127\.0\.0\.1$/);
    expect(peer.remoteAddress).toMatch(new RegExp(`^${scheme}://127\\.0\\.0\\.1:`));
    expect(refusalCounts(server.server)).toEqual({ address: 1 });
  });
});

/** A list whose check() has a result of another type, or throws. */
class FaultyList extends BlockList {
  readonly #check: () => unknown;

  constructor(check: () => unknown) {
    super();
    this.#check = check;
  }

  override check(): boolean {
    return this.#check() as boolean;
  }
}

const FAULTS: readonly [string, () => unknown][] = [
  ['returns a text', () => 'yes'],
  ['returns undefined', () => undefined],
  ['returns a promise that rejects', () => Promise.reject(new Error('no list'))],
  [
    'throws',
    () => {
      throw new Error('no list');
    },
  ],
];

describe.each(['tcp', 'tls', 'ws', 'udp'])('%s with a list whose check()', (scheme) => {
  it.each(
    FAULTS.flatMap(([name, check]) =>
      (['allow', 'deny'] as const).map((option) => [name, option, check] as const),
    ),
  )('%s refuses all peers: %s', async (_, option, check) => {
    await using server = await serveRecording(`${scheme}://127.0.0.1:0`, {
      ...tlsOf(scheme),
      [option]: new FaultyList(check),
    });
    const udp = scheme === 'udp' ? await connect(server.address, RAW_SETUP) : undefined;
    if (udp === undefined) silentPeer(server.address);
    else (await udp.session()).write(Buffer.from('hello'));
    const { error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'fault' });
    expect(refusalCounts(server.server)).toEqual({ fault: 1 });
    expect(server.server.sessions.size).toBe(0);
    await udp?.close();
  });
});

it.each(FAULTS)('a WebSocket behind a proxy whose list %s is refused', async (_, check) => {
  await using server = await serveRecording('ws://127.0.0.1:0', {
    behindProxy: { trusted: new FaultyList(check), header: 'x-forwarded-for' },
  });
  const socket = silentPeer(server.address);
  socket.write(handshakeRequest(server.address, ['X-Forwarded-For: 203.0.113.7']));
  expect((await server.refusals.next()).error.reason).toBe('fault');
  await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  expect(refusalCounts(server.server)).toEqual({ fault: 1 });
});

/** Sends `text` on ten connections, and resets them before this process can accept them. */
function sendAndReset({ port }: { readonly port: number }, text: string): void {
  const program = `
    const { connect } = require('node:net');
    for (let i = 0; i < 10; i++) {
      const socket = connect(${port}, '127.0.0.1', () =>
        socket.write(${JSON.stringify(text)}, () => socket.resetAndDestroy()));
    }`;
  execFileSync(process.execPath, ['-e', program]);
}

describe('a peer that resets the connection before it is accepted', () => {
  const UPGRADE = handshakeRequest('ws://127.0.0.1/live');
  const portOf = ({ address }: { readonly address: string }) => ({
    port: Number(new URL(address).port),
  });

  it.each<[string, string]>([
    ['tcp://127.0.0.1:0', 'hello\n'],
    ['ws://127.0.0.1:0/live', UPGRADE],
    ['the HTTP server', UPGRADE],
  ])('gets no session: %s', async (address, text) => {
    await using http = await listenHttp();
    const opened: unknown[] = [];
    const onOpen = (session: unknown): void => void opened.push(session);
    await using server = await serveRecording(
      address === 'the HTTP server' ? { server: http.server, path: '/live' } : address,
      { deny: ['127.0.0.0/8'] },
      { codec: RAW_SETUP.codec, listener: { onOpen, onMessage() {} } },
    );
    sendAndReset(portOf(address === 'the HTTP server' ? { address: http.url } : server), text);
    // Its connection is accepted after the others.
    const peer = silentPeer(http.url.replace('http', 'tcp'));
    const last = address === 'the HTTP server' ? peer : silentPeer(server.address);
    if (address === 'the HTTP server') last.write(UPGRADE);
    await server.refusals.next();
    await turns(5);
    expect(opened).toEqual([]);
    peer.destroy();
    last.destroy();
  });
});

it('accepts a peer whose address allow has, also as an IPv4 address of IPv6', async () => {
  await using server = await serveRecording('ws://:0', {
    allow: ['127.0.0.0/8'],
    deny: ['127.0.0.2'],
  });
  const { port } = new URL(server.address.replace('//:', '//x:'));
  expect(await upgradeStatus(`ws://127.0.0.1:${port}/`)).toBe(101);
});

it('a BlockList can change while the server runs', async () => {
  const deny = new BlockList();
  await using server = await serveRecording('ws://127.0.0.1:0', { deny });
  expect(await upgradeStatus(server.address)).toBe(101);
  deny.addAddress('127.0.0.1');
  const socket = silentPeer(server.address);
  expect((await server.refusals.next()).error.reason).toBe('address');
  socket.destroy();
});

it('an object with check() can ban an address and permit it again', async () => {
  const banned = new Set<string>();
  const deny = { check: (address: string) => banned.has(address) };
  await using server = await serveRecording('ws://127.0.0.1:0', { deny });
  expect(await upgradeStatus(server.address)).toBe(101);
  banned.add('127.0.0.1');
  const socket = silentPeer(server.address);
  expect((await server.refusals.next()).error.message).toBe('deny has the address 127.0.0.1');
  socket.destroy();
  banned.delete('127.0.0.1');
  expect(await upgradeStatus(server.address)).toBe(101);
});

describe('a peer is refused as fault', () => {
  const list = {
    check(): boolean {
      throw new Error('no list');
    },
  };
  it.each<[string, ServerOptions]>([
    ['allow', { allow: list }],
    ['deny', { deny: list }],
    ['behindProxy.trusted', { behindProxy: { trusted: list, header: 'forwarded' } }],
  ])('when check() of %s throws', async (_, options) => {
    await using http = await listenHttp();
    for (const address of ['ws://127.0.0.1:0', { server: http.server, path: '/live' }] as const) {
      await using server = await serveRecording(address, options);
      const peer = silentPeer(typeof address === 'string' ? server.address : http.url);
      if (typeof address !== 'string') peer.write(handshakeRequest('ws://127.0.0.1/live'));
      const closed = new Promise((resolve) => peer.once('close', resolve));
      expect((await server.refusals.next()).error).toMatchObject({
        reason: 'fault',
        message: expect.stringContaining('no list'),
      });
      await within(closed, 'the close');
      expect(server.server.sessions.size).toBe(0);
    }
  });
});

it('writeTo() of udp throws SESSION_REFUSED when check() throws, and the server closes', async () => {
  let isReady = false;
  const check = (): boolean => {
    if (!isReady) throw new Error('no list');
    return true;
  };
  await using server = await serveRecording('udp://127.0.0.1:0', { allow: { check } });
  const write = (): boolean => server.server.writeTo(Buffer.from('x'), 'udp://127.0.0.1:9');
  expect(write).toThrow(/refused/);
  expect((await server.refusals.next()).error.reason).toBe('fault');
  isReady = true;
  expect(write()).toBe(true);
  await within(server.server.close(), 'the close');
});

it('a client of a proxy whose check() throws is refused, and changes no limit', async () => {
  await using server = await serveRecording('ws://127.0.0.1:0', {
    maxSessions: 1,
    behindProxy: { trusted: ['127.0.0.1'], header: 'x-forwarded-for' },
    deny: {
      check(address: string): boolean {
        if (address.includes(':')) throw new Error('no list');
        return false;
      },
    },
  });
  for (let i = 0; i < 3; i++) {
    const socket = silentPeer(server.address);
    socket.write(handshakeRequest(server.address, ['X-Forwarded-For: 2001:db8::7']));
    expect((await server.refusals.next()).error.reason).toBe('fault');
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the close');
  }
  // One session and 16 more handshakes.
  const silent = Array.from({ length: 18 }, () => silentPeer(server.address));
  expect((await server.refusals.next()).error.reason).toBe('limit');
  for (const socket of silent) socket.destroy();
});

it('udp counts each datagram of a refused peer', async () => {
  await using server = await serveRecording('udp://127.0.0.1:0', { deny: ['127.0.0.1'] });
  await using client = await connect(server.address, RAW_SETUP, { reconnect: false });
  const session = await client.session();
  await server.refusals.next();
  session.write(Buffer.from('hello'));
  expect((await server.refusals.next()).error.reason).toBe('address');
  expect(server.server.sessions.size).toBe(0);
  expect(() => server.server.writeTo(Buffer.from('x'), 'udp://127.0.0.1:9')).toThrow(/refused/);
});

it('an HTTP server refuses with status 403', async () => {
  const http = createHttpServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  await using server = await serveRecording(
    { server: http, path: '/live' },
    { deny: ['127.0.0.1'] },
  );
  const { port } = http.address() as { port: number };
  const socket = silentPeer(`ws://127.0.0.1:${port}/live`);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.write(
    'GET /live HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  );
  expect((await server.refusals.next()).error.reason).toBe('address');
  await within(ended, 'the close');
  http.close();
});

it('rpc servers have the options too, and their statistics have the client', async () => {
  await using server = await rpcServe('tcp://127.0.0.1:0', [], {
    behindProxy: { trusted: ['127.0.0.1'], header: 'proxy-protocol' },
    deny: ['198.51.100.1'],
  });
  const sources = ['203.0.113.7', '198.51.100.1'];
  await using proxy = await headerProxy(server.address, () => textHeader(sources.shift()));
  await using _client = await rpcConnect(proxy.at(server.address), { connections: 1 });
  await until(() => server.channels.size === 1, 'the server has the session');
  expect([...server.channels].map(({ peer }) => peer)).toEqual(['tcp://203.0.113.7:50100']);
  const denied = silentPeer(proxy.at(server.address));
  await until(() => server.refusals.address > 0, 'the server refuses');
  denied.destroy();
});

describe('BAD_OPTION', () => {
  const behindProxy = { trusted: ['10.0.0.0/8'], header: 'proxy-protocol' } as const;
  it.each<[string, string, object, string]>([
    ['unix', 'unix:///tmp/getty-no.sock', { allow: ['10.0.0.1'] }, 'peers have hosts'],
    ['memory', 'memory://no-list', { deny: ['10.0.0.1'] }, 'peers have hosts'],
    ['an empty allow', 'tcp://127.0.0.1:0', { allow: [] }, 'at least one entry'],
    ['an entry', 'tcp://127.0.0.1:0', { deny: ['x'] }, 'deny[0]: got "x"'],
    ['udp', 'udp://127.0.0.1:0', { behindProxy }, 'an address at tcp://'],
    ['unix', 'unix:///tmp/getty-no.sock', { behindProxy }, 'an address at tcp://'],
    ['memory', 'memory://no-proxy', { behindProxy }, 'an address at tcp://'],
    [
      'a header of HTTP at tcp',
      'tcp://127.0.0.1:0',
      { behindProxy: { ...behindProxy, header: 'forwarded' } },
      'only a WebSocket begins with a request',
    ],
    [
      'an unknown header',
      'ws://127.0.0.1:0',
      { behindProxy: { ...behindProxy, header: 'x-real-ip' } },
      "'proxy-protocol' or 'x-forwarded-for' or 'forwarded'",
    ],
    [
      'no header',
      'ws://127.0.0.1:0',
      { behindProxy: { trusted: ['::1'] } },
      'header: got undefined',
    ],
    ['no list', 'ws://127.0.0.1:0', { behindProxy: { header: 'forwarded' } }, 'trusted: got undef'],
    [
      'an empty list',
      'ws://127.0.0.1:0',
      { behindProxy: { header: 'forwarded', trusted: [] } },
      'at least one entry',
    ],
    [
      'an entry of the list',
      'ws://127.0.0.1:0',
      { behindProxy: { header: 'forwarded', trusted: ['10.0.0.0/64'] } },
      'behindProxy.trusted[0]: got "10.0.0.0/64"',
    ],
    ['no object', 'ws://127.0.0.1:0', { behindProxy: true }, 'behindProxy: got true'],
    [
      'an unknown name',
      'ws://127.0.0.1:0',
      { behindProxy: { ...behindProxy, trust: [] } },
      'trust is not an option of behindProxy',
    ],
    ['a name at the wrong place', 'ws://127.0.0.1:0', { trusted: [] }, 'an option of behindProxy'],
  ])('for %s: %s', async (_, address, options, message) => {
    expect(await rejection(serve(address, RAW_SETUP, options as ServerOptions))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it('for the PROXY protocol on an HTTP server', async () => {
    const address = { server: createHttpServer(), path: '/live' };
    expect(await rejection(serve(address, RAW_SETUP, { behindProxy }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('the HTTP server reads the bytes'),
    });
  });
});
