/** WebSocket as only WebSocket is: the handshake, other implementations, and peers who mean no good. The behaviour tables hold the rest. */
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { type Codec, connect, lengthPrefixed, lines, raw, type ServerOptions, type SessionOptions, serve } from '../../src/index.js';
import type { ByteWriter } from '../../src/transport/byte-writer.js';
import type { Connection, ConnectionEvents } from '../../src/transport/types.js';
import { WebSocketConnection } from '../../src/transport/websocket/connection.js';
import { answerUpgrade, Offer, type UpgradeRequest } from '../../src/transport/websocket/handshake.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import { rejection } from '../fixtures/transports.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer, rawWebSocket, type WsPeer, wsClient, wsServer } from '../fixtures/websocket.js';

const ANY = 'ws://127.0.0.1:0';
const QUIET = 20;
const DEFLATE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

noLeaks();
afterEach(() => vi.restoreAllMocks());

type Events = Recorder<Buffer, Uint8Array>;

/** A server that echoes messages as they are. */
async function echo(session: SessionOptions = {}, options: ServerOptions = {}, address = ANY) {
  const events: Events = new Recorder('the server', { onMessage: (from, message) => from.write(message) });
  const server = await serve(address, { codec: raw(), listener: events, ...session }, options);
  return { server, events, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

/** A client of ours with its session. */
async function client(address: string, session: SessionOptions = {}, options: Parameters<typeof connect>[2] = {}) {
  const events: Events = new Recorder('the client');
  const ours = await connect(address, { codec: raw(), listener: events, ...session }, { reconnect: false, ...options });
  return { events, session: await ours.session(), [Symbol.asyncDispose]: () => ours.close() };
}

describe('with itself', () => {
  const codecs: Record<string, () => Codec<unknown>> = {
    raw: () => raw() as unknown as Codec<unknown>,
    lines: () => lines() as unknown as Codec<unknown>,
    lengthPrefixed: () => lengthPrefixed() as unknown as Codec<unknown>,
  };
  test.each(Object.keys(codecs))('echo with %s', async (name) => {
    const codec = codecs[name] as () => Codec<unknown>;
    const events = new Recorder<unknown>('the server', { onMessage: (session, message) => session.write(message) });
    await using server = await serve(ANY, { codec: codec(), listener: events });
    const mine = new Recorder<unknown>('the client');
    await using ours = await connect(server.address, { codec: codec(), listener: mine });
    const sent = ['', 'a', 'hello', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(70_000)];
    const session = await ours.session();
    for (const message of sent) session.write(name === 'lines' ? message : Buffer.from(message));
    expect((await mine.messages.take(sent.length)).map(String)).toEqual(sent);
  });

  it('all messages of a tick leave in one write', async () => {
    await using server = await echo();
    await using ours = await client(server.address);
    const writes = vi.spyOn((await import('node:net')).Socket.prototype, 'write');
    for (let i = 0; i < 10; i++) ours.session.write(Buffer.from(`message ${i}`));
    expect(writes).not.toHaveBeenCalled();
    await turns(1);
    expect(writes.mock.calls.filter(([bytes]) => (bytes as unknown as Buffer).length === 10 * (6 + 9))).toHaveLength(1);
    expect((await ours.events.messages.take(10)).map(String)).toEqual(Array.from({ length: 10 }, (_, i) => `message ${i}`));
    expect(writes.mock.calls.length).toBeLessThanOrEqual(3);
  });

  it('compression is agreed on when both want it, by the setup or by the option', async () => {
    for (const [far, near, less] of [
      ['deflate', 'deflate', true],
      ['deflate', 'none', false],
      ['none', 'deflate', false],
    ] as const) {
      await using server = await echo({}, { websocket: { compression: far } });
      await using ours = await client(server.address, { compression: near });
      const { encodedBytes } = await ours.session.send(Buffer.alloc(100_000, 'again '));
      expect(encodedBytes).toBe(100_000);
      const { bytes } = await seen(ours.session, Buffer.alloc(100_000, 'again '));
      expect(bytes < 1_000).toBe(less);
      expect(await ours.events.messages.take(2)).toEqual([Buffer.alloc(100_000, 'again '), Buffer.alloc(100_000, 'again ')]);
    }
  });

  it('a setup function cannot be asked before the handshake: the option counts', async () => {
    const setup = { codec: raw(), listener: new Recorder<Buffer, Uint8Array>('the server'), compression: 'deflate' } as const;
    for (const [options, less] of [
      [{}, false],
      [{ websocket: { compression: 'deflate' } }, true],
    ] as const) {
      await using server = await serve<Buffer, Uint8Array>(ANY, () => setup, options);
      await using ours = await client(server.address, { compression: 'deflate' });
      expect((await seen(ours.session, Buffer.alloc(100_000))).bytes < 1_000).toBe(less);
    }
  });

  it('text that is not UTF-8 is ENCODE_FAILED', async () => {
    await using server = await echo({}, { websocket: { text: true } });
    await using ours = await client(server.address, {}, { websocket: { text: true } });
    expect(() => ours.session.write(Buffer.of(0xff))).toThrow(expect.objectContaining({ code: 'ENCODE_FAILED' }));
    ours.session.write(Buffer.from('grün'));
    expect(String(await ours.events.messages.next())).toBe('grün');
    expect(ours.session.stats).toMatchObject({ messagesWritten: 1, bytesWritten: 5 });
  });

  it('pings itself each cronPeriod, and pongs keep an idle session alive', async () => {
    await using server = await echo({ idleTimeout: 100, cronPeriod: 10_000 });
    let crons = 0;
    await using ours = await connect(server.address, {
      codec: raw(),
      cronPeriod: 20,
      idleTimeout: 100,
      listener: { onMessage: () => {}, onCron: () => void crons++ },
    });
    const session = await ours.session();
    const before = session.active;
    await until(() => crons >= 15, 'fifteen crons');
    expect(session.closed).toBe(false);
    expect(session.active).toBeGreaterThan(before + 150);
    expect(server.events.errors.all).toEqual([]);
    expect(server.events.messages.all).toEqual([]);
  });
});

/** How many bytes go out on the socket for a message. */
async function seen(session: { write(message: Uint8Array): boolean }, message: Uint8Array): Promise<{ bytes: number }> {
  const writes = vi.spyOn((await import('node:net')).Socket.prototype, 'write');
  session.write(message);
  await new Promise((resolve) => process.nextTick(resolve));
  const bytes = writes.mock.calls.reduce((sum, [chunk]) => sum + (chunk as unknown as Buffer).length, 0);
  writes.mockRestore();
  return { bytes };
}

describe('with the ws package', () => {
  const MESSAGES: [what: string, sent: string | Buffer, echoed: string][] = [
    ['text', 'grün', `binary ${Buffer.from('grün').toString('hex')}`],
    ['binary', Buffer.of(1, 2, 3), 'binary 010203'],
    ['nothing', Buffer.alloc(0), 'binary'],
    ['126 bytes', Buffer.alloc(126, 7), `binary ${'07'.repeat(126)}`],
    ['65,536 bytes', Buffer.alloc(65_536, 7), `binary ${'07'.repeat(65_536)}`],
    ['1 MiB', Buffer.alloc(1024 * 1024, 7), `binary ${'07'.repeat(1024 * 1024)}`],
  ];

  for (const compression of ['none', 'deflate'] as const) {
    const perMessageDeflate = compression === 'deflate' ? { threshold: 0 } : false;

    test.each(MESSAGES)(`as a client, compression ${compression}: %s`, async (_what, sent, echoed) => {
      await using server = await echo({ compression });
      using peer = wsClient(server.address, { perMessageDeflate });
      await peer.opened;
      expect(peer.socket.extensions).toBe(compression === 'none' ? '' : 'permessage-deflate');
      peer.socket.send(sent);
      expect((await peer.messages.next()).trim()).toBe(echoed);
    });

    test.each(MESSAGES)(`as a server, compression ${compression}: %s`, async (_what, sent, echoed) => {
      await using server = await wsServer({ perMessageDeflate });
      await using ours = await client(server.address, { compression });
      const peer = await server.peers.next();
      expect(peer.socket.extensions).toBe(compression === 'none' ? '' : 'permessage-deflate');
      ours.session.write(Buffer.from(sent));
      expect((await peer.messages.next()).trim()).toBe(echoed);
      peer.socket.send(sent);
      expect((await ours.events.messages.next()).equals(Buffer.from(sent))).toBe(true);
    });
  }

  it('what only one side asks for is off', async () => {
    await using server = await echo();
    using peer = wsClient(server.address, { perMessageDeflate: true });
    await peer.opened;
    expect(peer.socket.extensions).toBe('');
    await using theirs = await wsServer({ perMessageDeflate: true });
    await using _ours = await client(theirs.address);
    expect((await theirs.peers.next()).socket.extensions).toBe('');
  });

  it('a smaller window that the peer asks for is kept', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = wsClient(server.address, { perMessageDeflate: { serverMaxWindowBits: 9 } });
    await peer.opened;
    const sent = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * i) % 97));
    peer.socket.send(sent);
    expect(await peer.messages.next()).toBe(`binary ${sent.toString('hex')}`);
  });

  it('each message is one message; text where it is asked for', async () => {
    await using server = await wsServer();
    await using ours = await client(server.address, {}, { websocket: { text: true } });
    const peer = await server.peers.next();
    for (const message of ['one', '', 'three']) ours.session.write(Buffer.from(message));
    ours.session.writeBytesArray([Buffer.from('fo'), Buffer.from('ur')]);
    expect(await peer.messages.take(4)).toEqual(['text one', 'text ', 'text three', 'text four']);
  });

  it('messages in fragments, with a ping between', async () => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.send('one, ', { fin: false });
    peer.socket.ping('between');
    peer.socket.send('two', { fin: true });
    expect(await peer.pongs.next()).toBe('between');
    expect(await peer.messages.next()).toBe(`binary ${Buffer.from('one, two').toString('hex')}`);
  });

  it('pings of ours are answered, and their pongs are heard', async () => {
    await using server = await wsServer();
    await using ours = await client(server.address, { cronPeriod: 20, idleTimeout: 100 });
    const peer = await server.peers.next();
    const before = ours.session.active;
    await peer.pings.take(10);
    expect(ours.session.closed).toBe(false);
    expect(ours.session.active).toBeGreaterThan(before);
  });

  it('a peer that does not answer pings is idle', async () => {
    await using server = await wsServer({ autoPong: false });
    await using ours = await client(server.address, { cronPeriod: 20, idleTimeout: 100 });
    expect((await ours.events.errors.next()).code).toBe('IDLE_TIMEOUT');
    expect(await (await server.peers.next()).closed.next()).toBe('1006');
  });

  it('close() of ours is code 1000', async () => {
    await using server = await wsServer();
    await using ours = await client(server.address);
    ours.session.write(Buffer.from('last words'));
    await ours.session.close();
    const peer = await server.peers.next();
    expect(await peer.closed.next()).toBe('1000');
    expect(peer.messages.all).toHaveLength(1);
    expect(ours.events.log).toEqual(['open', 'close']);

    await using mine = await echo();
    using other = wsClient(mine.address);
    await other.opened;
    await mine.server.close();
    expect(await other.closed.next()).toBe('1000');
    expect(mine.events.log).toEqual(['open', 'close']);
  });

  test.each([
    [undefined, '1005', []],
    [1000, '1000', []],
    [1001, '1001', []],
    [1011, '1011', ['CONNECTION_LOST']],
    [4001, '4001', ['CONNECTION_LOST']],
  ] as const)('close of the peer with code %s is answered; what is not orderly is told', async (code, answered, errors) => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.close(code, code === undefined ? undefined : 'that is "why"');
    // The package says what was answered.
    expect((await peer.closed.next()).split(' ')[0]).toBe(answered);
    await server.events.closed.next();
    expect(server.events.errors.all.map((error) => error.code)).toEqual(errors);
    if (errors.length > 0) expect(server.events.errors.all[0]?.message).toMatch(/ closed with code \d+: "that is \\"why\\""$/);
  });

  it('a peer that goes without a close is CONNECTION_LOST', async () => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.terminate();
    expect(await server.events.errors.next()).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('without a close') });
    await server.events.closed.next();
  });

  it('a message over the limit is answered with 1009', async () => {
    await using server = await echo({ maxMessageBytes: 1_000 });
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.send(Buffer.alloc(1_001));
    expect(await peer.closed.next()).toBe('1009');
    expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
  });

  it('their limit is told to us', async () => {
    await using server = await wsServer({ maxPayload: 1_000 });
    await using ours = await client(server.address);
    ours.session.write(Buffer.alloc(1_001));
    expect(await ours.events.errors.next()).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('code 1009') });
  });

  it('subprotocols: the first of the client that the server knows', async () => {
    const seen: (string | undefined)[] = [];
    const setup = { codec: raw(), listener: { onMessage: () => {} } };
    const note = (peer: { readonly protocol?: string }) => {
      seen.push(peer.protocol);
      return setup;
    };
    await using server = await serve(ANY, note, { websocket: { protocols: ['v2', 'v1'] } });
    using peer = wsClient(server.address, {}, ['v0', 'v1', 'v2']);
    await peer.opened;
    expect(peer.socket.protocol).toBe('v1');
    await using _ours = await connect(server.address, note, { websocket: { protocols: ['v2'] } });
    expect(seen).toEqual(['v1', 'v2', 'v2']);
    const error = await rejection(client(server.address, {}, { websocket: { protocols: ['v3', 'v4'] } }));
    expect(error).toMatchObject({ code: 'CONNECT_FAILED', message: expect.stringContaining('the server chose none of the protocols v3, v4') });
  });
});

describe('the handshake of a server', () => {
  it('listens at any path, or at the one that it is given', async () => {
    await using any = await echo();
    using first = wsClient(`${any.address}/any/path?query`);
    await first.opened;
    await using one = await echo({}, {}, `${ANY}/chat`);
    expect(one.address).toMatch(/:\d+\/chat$/);
    using second = wsClient(`${one.address}?room=7`);
    await second.opened;
    await using ours = await client(one.address);
    expect(ours.session.remoteAddress).toBe(one.address);
    using wrong = wsClient(one.address.replace('chat', 'chatter'));
    await expect(wrong.opened).rejects.toThrow('404');
    expect(await rejection(client(one.address.replace('/chat', '/')))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('404 Not Found'),
    });
  });

  it('21: refuses pages of other origins unless they are allowed', async () => {
    const connectFrom = async (address: string, origin: string): Promise<boolean> => {
      using peer: WsPeer = wsClient(address, { origin });
      return await peer.opened.then(
        () => true,
        (error) => {
          expect(String(error)).toContain('403');
          return false;
        },
      );
    };
    await using strict = await echo();
    await using listed = await echo({}, { websocket: { allowOrigin: ['https://good.example'] } });
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const judge = (origin: string): boolean => {
      if (origin === 'null') throw new Error('oh');
      return origin.endsWith('.example');
    };
    await using judged = await echo({}, { websocket: { allowOrigin: judge } });
    const { host } = new URL(strict.address);
    expect(await connectFrom(strict.address, `http://${host}`)).toBe(true);
    expect(await connectFrom(strict.address, `http://${host}0`)).toBe(false);
    expect(await connectFrom(strict.address, 'http://127.0.0.1')).toBe(false);
    expect(await connectFrom(strict.address, 'https://good.example')).toBe(false);
    expect(await connectFrom(strict.address, 'null')).toBe(false);
    expect(await connectFrom(listed.address, 'https://good.example')).toBe(true);
    expect(await connectFrom(listed.address, 'https://good.example.evil.example')).toBe(false);
    expect(await connectFrom(judged.address, 'https://good.example')).toBe(true);
    expect(await connectFrom(judged.address, 'https://bad.test')).toBe(false);
    expect(await connectFrom(judged.address, 'null')).toBe(false);
    expect(warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code)).toEqual(['HANDLER_FAILED']);
  });

  it('answers 426 to plain HTTP, whatever its method', async () => {
    await using server = await echo();
    const url = server.address.replace('ws:', 'http:');
    for (const [method, body] of [['GET'], ['POST', 'x'.repeat(100_000)], ['DELETE']]) {
      const response = await fetch(url, { method, body });
      expect([response.status, response.headers.get('upgrade'), response.headers.get('connection')]).toEqual([426, 'websocket', 'close']);
      await response.text();
    }
    using peer = rawPeer(server.address);
    peer.socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
    expect(String(await peer.until((bytes) => bytes.includes('server\n')))).toMatch(/^HTTP\/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n/);
    await peer.ended;
  });

  it('21: cuts off who does not come to the end of the handshake', async () => {
    await using server = await echo({}, { handshakeTimeout: 60 });
    const begin = performance.now();
    using silent = rawPeer(server.address);
    using half = rawPeer(server.address);
    half.socket.write(handshakeRequest(server.address).slice(0, -2));
    using slow = rawPeer(server.address);
    const request = handshakeRequest(server.address, [`X-More: ${'x'.repeat(1_000)}`]);
    let at = 0;
    const drip = setInterval(() => slow.socket.writable && slow.socket.write(request.slice(at, ++at)), 5);
    try {
      await within(Promise.all([silent.ended, half.ended, slow.ended]), 'all to be cut off');
    } finally {
      clearInterval(drip);
    }
    expect(performance.now() - begin).toBeGreaterThan(55);
    expect(server.server.sessions.size).toBe(0);
    using peer = wsClient(server.address);
    await peer.opened;
    await within(new Promise((resolve) => setTimeout(resolve, 80)), 'the deadline to pass');
    peer.socket.send('still here');
    await peer.messages.next();
  });

  it('a head that is too large is refused', async () => {
    await using server = await echo();
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address, [`X-More: ${'x'.repeat(20_000)}`]));
    expect(String(await peer.until((bytes) => bytes.length > 12))).toMatch(/^HTTP\/1.1 431 /);
    await peer.ended;
  });

  it('19: a handshake under way does not keep a server from closing', async () => {
    const server = await echo();
    using peer = rawPeer(server.address);
    peer.socket.write('GET / HTTP/1.1\r\n');
    await turns(QUIET);
    await within(server.server.close(), 'the server to close', 500);
    await peer.ended;
  });

  it('frames that come with the request are read', async () => {
    await using server = await echo();
    using peer = rawPeer(server.address);
    peer.socket.write(Buffer.concat([Buffer.from(handshakeRequest(server.address)), Buffer.from('828100000000aa', 'hex')]));
    const answer = await peer.until((bytes) => bytes.includes(Buffer.from('8201aa', 'hex')));
    expect(String(answer)).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
  });

  const good: UpgradeRequest = {
    method: 'GET',
    url: '/',
    headers: {
      host: 'here',
      upgrade: 'WebSocket',
      connection: 'keep-alive, Upgrade',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  };
  const withHeaders = (headers: Record<string, string | undefined>): UpgradeRequest => ({ ...good, headers: { ...good.headers, ...headers } });
  test.each<[what: string, request: UpgradeRequest, status: number]>([
    ['a good one', good, 101],
    ['not GET', { ...good, method: 'POST' }, 405],
    ['another upgrade', withHeaders({ upgrade: 'h2c' }), 426],
    ['no version', withHeaders({ 'sec-websocket-version': undefined }), 426],
    ['version 8', withHeaders({ 'sec-websocket-version': '8' }), 426],
    ['version 13 twice', withHeaders({ 'sec-websocket-version': '13, 13' }), 426],
    ['no key', withHeaders({ 'sec-websocket-key': undefined }), 400],
    ['a short key', withHeaders({ 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ' }), 400],
    ['an origin of this host', withHeaders({ origin: 'http://HERE' }), 101],
    ['an origin of this host by TLS', withHeaders({ origin: 'https://here' }), 101],
    ['an origin of another port', withHeaders({ origin: 'http://here:81' }), 403],
    ['an origin that is none', withHeaders({ origin: 'here' }), 403],
    ['two origins', withHeaders({ origin: 'http://here, http://evil' }), 403],
    ['no host, but an origin', withHeaders({ host: undefined, origin: 'http://here' }), 403],
  ])('%s: %o', (_what, request, status) => {
    expect(answerUpgrade(request, '', {}).response).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test.each<[offer: string | undefined, answer: string | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['permessage-deflate', DEFLATE],
    ['permessage-deflate; client_max_window_bits', DEFLATE],
    ['permessage-deflate; client_max_window_bits=10; server_no_context_takeover', DEFLATE],
    ['permessage-deflate; server_max_window_bits=12', `${DEFLATE}; server_max_window_bits=12`],
    ['permessage-deflate; server_max_window_bits="9"', `${DEFLATE}; server_max_window_bits=9`],
    ['x-webkit-deflate-frame, permessage-deflate', DEFLATE],
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', DEFLATE],
    ['permessage-deflate; server_max_window_bits=8', undefined],
    ['permessage-deflate; server_max_window_bits', undefined],
    ['permessage-deflate; server_max_window_bits=16', undefined],
    ['permessage-deflate; server_max_window_bits=010', undefined],
    ['permessage-deflate; server_no_context_takeover=1', undefined],
    ['permessage-deflate; server_no_context_takeover; server_no_context_takeover', undefined],
    ['permessage-deflate; constructor', undefined],
    ['permessage-deflate; __proto__=8', undefined],
    ['permessage-deflate;', undefined],
    ['deflate', undefined],
  ])('the offer %s', (offer, answer) => {
    const request = withHeaders({ 'sec-websocket-extensions': offer });
    const { response, agreement } = answerUpgrade(request, '', { compression: 'deflate' });
    expect(/Sec-WebSocket-Extensions: (.*)\r\n/.exec(response)?.[1]).toBe(answer);
    expect(agreement?.deflate !== undefined).toBe(answer !== undefined);
    expect(answerUpgrade(request, '', {}).agreement?.deflate).toBeUndefined();
  });

  test.each<[name: string, websocket: object]>([
    ['protocols', { protocols: 'v1' }],
    ['protocols', { protocols: ['v 1'] }],
    ['protocols', { protocols: ['v1', 'v1'] }],
    ['compression', { compression: 'gzip' }],
    ['text', { text: 1 }],
    ['allowOrigin', { allowOrigin: 'https://good.example' }],
    ['allowOrigin', { allowOrigin: ['good.example'] }],
    ['allowOrigin', { allowOrigin: ['https://good.example/'] }],
    ['headers', { headers: 1 }],
  ])('a bad option is refused: %s', async (name, websocket) => {
    const error = await rejection(echo({}, { websocket } as ServerOptions));
    expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(name) });
    expect((await rejection(client('ws://127.0.0.1:1', {}, { websocket } as object))).code).toBe('BAD_OPTION');
  });
});

describe('the handshake of a client', () => {
  /** An HTTP server that answers as it is told. */
  async function answering(answer: (socket: Socket, key: string) => void) {
    const server = createServer((_request, response) => response.writeHead(503).end('busy'));
    server.on('upgrade', (request, socket) => {
      socket.resume().on('end', () => socket.end());
      answer(socket as Socket, request.headers['sec-websocket-key'] ?? '');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const bound = server.address();
    return {
      address: `ws://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`,
      [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())),
    };
  }

  test.each([
    ['another key', ['Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA='], 'Sec-WebSocket-Accept is wrong'],
    ['no key', [], 'Sec-WebSocket-Accept is wrong'],
    ['another protocol', ['Upgrade: h2c'], 'changed to another protocol'],
  ])('%s in the answer: CONNECT_FAILED', async (_what, headers, reason) => {
    const upgrade = headers.some((line) => line.startsWith('Upgrade')) ? [] : ['Upgrade: websocket'];
    await using server = await answering((socket) => {
      socket.end(['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...upgrade, ...headers, '', ''].join('\r\n'));
    });
    expect(await rejection(client(server.address))).toMatchObject({ code: 'CONNECT_FAILED', message: expect.stringContaining(reason) });
  });

  it('a refusal: CONNECT_FAILED says the status', async () => {
    await using server = await answering((socket) => socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'));
    expect(await rejection(client(server.address))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: `cannot connect to ${server.address}: the server answered 401 Unauthorized`,
    });
  });

  it('a server that hangs up, or speaks something else: CONNECT_FAILED says so', async () => {
    for (const [answer, reason] of [
      ['', /socket hang up/],
      ['SSH-2.0-OpenSSH\r\n', /Parse Error/],
    ] as const) {
      const server = createTcpServer((socket) => socket.resume().end(answer));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const bound = server.address();
      const address = `ws://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
      expect(await rejection(client(address))).toMatchObject({ code: 'CONNECT_FAILED', message: expect.stringMatching(reason) });
      server.close();
    }
  });

  it('a server that says nothing: connectTimeout covers the handshake', async () => {
    await using server = await answering(() => {});
    const error = await rejection(client(server.address, {}, { connectTimeout: 50 }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: `cannot connect to ${server.address}: no connection within connectTimeout, 50 ms`,
    });
  });

  it('what cannot be sent: CONNECT_FAILED and not a crash', async () => {
    await using server = await echo();
    expect((await rejection(client(`${server.address}/grün`))).code).toBe('CONNECT_FAILED');
    expect((await rejection(client(server.address, {}, { websocket: { headers: { 'X-Bad': 'a\r\nb' } } }))).code).toBe('CONNECT_FAILED');
  });

  it('sends the headers that it is given, and the path with its query', async () => {
    await using server = await wsServer({
      verifyClient: ({ req }: { req: UpgradeRequest }) => req.headers.authorization === 'Bearer x' && req.url === '/chat?room=7',
    });
    await using ours = await client(`${server.address}/chat?room=7`, {}, { websocket: { headers: { authorization: 'Bearer x', upgrade: 'never' } } });
    expect(ours.session.closed).toBe(false);
    expect((await rejection(client(server.address))).message).toContain('401');
  });

  test.each([
    [DEFLATE, true],
    ['permessage-deflate; server_no_context_takeover', true],
    ['permessage-deflate; server_no_context_takeover; server_max_window_bits=10', true],
    ['permessage-deflate', false],
    [`${DEFLATE}; client_max_window_bits=9`, false],
    ['permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover', false],
    ['x-other', false],
  ])('the answer %s', (answer, good) => {
    const offer = new Offer({ compression: 'deflate' });
    const key = offer.headers['Sec-WebSocket-Key'] as string;
    const request = { method: 'GET', url: '/', headers: { upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key } };
    const accept = /Accept: (.*)\r\n/.exec(answerUpgrade(request, '', {}).response)?.[1];
    const headers = { upgrade: 'websocket', 'sec-websocket-accept': accept, 'sec-websocket-extensions': answer };
    if (good) expect(offer.judge(headers).deflate).toBeDefined();
    else expect(() => offer.judge(headers)).toThrow(expect.objectContaining({ code: 'CONNECT_FAILED' }));
  });
});

describe('a peer who means no good', () => {
  const sent = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ''), 'hex');

  test.each([
    ['frames without a mask', '82 01 61', '8802 03ea', 'BAD_FRAME'],
    ['a reserved opcode', '83 80 00000000', '8802 03ea', 'BAD_FRAME'],
    ['text that is not UTF-8', '81 81 00000000 ff', '8802 03ef', 'BAD_FRAME'],
    ['a length bomb', '82 ff 7fffffffffffffff 00000000', '8802 03f1', 'MESSAGE_TOO_LARGE'],
    ['compression that was not agreed on', 'c2 80 00000000', '8802 03ea', 'BAD_FRAME'],
  ])('%s: told why, and closed; the server goes on', async (_what, bytes, answer, code) => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent(bytes));
    expect(await peer.frames(4)).toBe(answer.replace(' ', ''));
    expect((await server.events.errors.next()).code).toBe(code);
    await peer.ended;
    peer.socket.end();
    using other = wsClient(server.address);
    await other.opened;
    other.socket.send('still there?');
    await other.messages.next();
  });

  it('who goes on sending after that is cut off', async () => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    const gone = new Promise((resolve) => peer.socket.once('close', resolve));
    const flood = (): void => {
      while (peer.socket.writable && peer.socket.write(Buffer.alloc(65_536)));
    };
    peer.socket.on('drain', flood);
    flood();
    await server.events.closed.next();
    await within(gone, 'the peer to be cut off');
  });

  it('a client tells the server too', async () => {
    await using server = await wsServer();
    await using ours = await client(server.address);
    const peer = await server.peers.next();
    // A masked frame of a server.
    (peer.socket as unknown as { _socket: Socket })._socket.write(sent('82 80 00000000'));
    expect(await peer.closed.next()).toBe('1002');
    expect((await ours.events.errors.next()).code).toBe('BAD_FRAME');
  });

  it('16: a message that inflates to too much is stopped, with 1009', async () => {
    await using server = await echo({ compression: 'deflate', maxMessageBytes: 1_000_000 });
    using peer = await rawWebSocket(server.address, ['Sec-WebSocket-Extensions: permessage-deflate']);
    const bomb = deflateRawSync(Buffer.alloc(50_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0xc2fe);
    head.writeUInt16BE(bomb.length, 2);
    peer.socket.write(Buffer.concat([head, bomb]));
    expect(await peer.frames(4)).toBe('880203f1');
    expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
  });

  it('a peer that ends inside a message: BAD_FRAME', async () => {
    await using server = await echo();
    for (const bytes of ['82', '82 85 00000000 61', '02 80 00000000']) {
      using peer = await rawWebSocket(server.address);
      peer.socket.end(sent(bytes));
      expect(await server.events.errors.next()).toMatchObject({ code: 'BAD_FRAME', message: expect.stringContaining('inside a message') });
      await peer.ended;
    }
  });

  it('a message that takes too long: MESSAGE_TIMEOUT, pings or not', async () => {
    await using server = await echo({ messageTimeout: 60 });
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent('02 81 00000000 61'));
    const ping = setInterval(() => peer.socket.writable && peer.socket.write(sent('89 80 00000000')), 5);
    try {
      expect((await server.events.errors.next()).code).toBe('MESSAGE_TIMEOUT');
    } finally {
      clearInterval(ping);
    }
  });

  it('nothing is read after a close', async () => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent('82 81 00000000 61 88 82 00000000 03e8 82 81 00000000 62 ff ff'));
    expect(await peer.frames(7)).toBe('820161880203e8');
    await peer.ended;
    peer.socket.end();
    await server.events.closed.next();
    expect(server.events.messages.all.map(String)).toEqual(['a']);
    expect(server.events.errors.all).toEqual([]);
  });

  it('a peer that does not answer our close is gone after waitTime', async () => {
    await using server = await echo({ waitTime: 50 });
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    const before = performance.now();
    await session.close();
    expect(performance.now() - before).toBeGreaterThan(45);
    expect(await peer.frames(4)).toBe('880203e8');
  });

  it('a peer that ends the stream instead of answering our close is no error', async () => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    const closed = session.close();
    expect(await peer.frames(4)).toBe('880203e8');
    peer.socket.end();
    await within(closed, 'the close', 1_000);
    expect(server.events.log).toEqual(['open', 'close']);
  });

  it('paused: what has come is neither inflated nor delivered', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = await rawWebSocket(server.address, ['Sec-WebSocket-Extensions: permessage-deflate']);
    const session = await server.events.opened.next();
    const inflated = deflateRawSync(Buffer.alloc(1_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0xc2fe);
    head.writeUInt16BE(inflated.length, 2);
    session.pause();
    peer.socket.write(Buffer.concat(Array.from({ length: 20 }, () => Buffer.concat([head, inflated]))));
    await turns(QUIET);
    expect(session.stats.bytesRead).toBe(0);
    session.resume();
    await server.events.messages.take(20);
    expect(session.stats.bytesRead).toBe(20_000_000);
  });
});

describe('a flood of pings', () => {
  /** A stream that takes nothing until it is told to. */
  class Stuck implements Connection {
    readonly localAddress = 'test://here';
    readonly remoteAddress = 'test://there';
    readonly written: string[] = [];
    bufferedBytes = 0;
    events: ConnectionEvents | undefined;
    attach(events: ConnectionEvents): void {
      this.events = events;
    }
    write(bytes: Uint8Array): void {
      this.written.push(Buffer.from(bytes).toString('hex'));
      this.bufferedBytes += bytes.length;
    }
    take(): void {
      this.bufferedBytes = 0;
      this.events?.onTaken();
    }
    pause(): void {}
    resume(): void {}
    end(): void {}
    destroy(): void {}
  }

  function stuck() {
    const stream = new Stuck();
    const connection = new WebSocketConnection(stream, { role: 'server', protocol: undefined, deflate: undefined, text: false });
    const nothing = (): void => {};
    const events = { onData: nothing, onMessage: nothing, onAlive: nothing, onTaken: nothing, onEnd: nothing, onClose: nothing };
    connection.attach(events, { maxMessageBytes: 1_000, maxInflatedBytes: 1_000 });
    const ping = (byte: number): Buffer => Buffer.from([0x89, 0x81, 0, 0, 0, 0, byte]);
    return { stream, connection, ping };
  }

  it('whose pongs are not read is answered once, and once more when they are', () => {
    const { stream, ping } = stuck();
    for (let i = 0; i < 1_000; i++) stream.events?.onData(ping(i & 0xff));
    expect(stream.written).toEqual(['8a0100']);
    stream.take();
    expect(stream.written).toEqual(['8a0100', '8a01e7']);
    stream.take();
    expect(stream.written).toHaveLength(2);
  });

  it('in one chunk is answered once', () => {
    const { stream, ping } = stuck();
    stream.events?.onData(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => ping(i & 0xff))));
    expect(stream.written).toEqual(['8a01e7']);
  });

  it('a pong waits for no more than the pong before it: other writes may be stuck', () => {
    const { stream, connection, ping } = stuck();
    connection.write(Buffer.alloc(100));
    stream.events?.onData(ping(1));
    stream.bufferedBytes = 50;
    stream.events?.onData(ping(2));
    expect(stream.written.slice(1)).toEqual(['8a0101']);
    stream.take();
    stream.take();
    connection.write(Buffer.alloc(100));
    stream.events?.onData(ping(3));
    expect(stream.written.at(-1)).toBe('8a0103');
  });

  it('our own pings do not pile up behind what is not read', () => {
    const { stream, connection } = stuck();
    for (let i = 0; i < 100; i++) connection.ping();
    expect(stream.written).toEqual(['8900']);
  });

  it('after our close nothing follows', () => {
    const { stream, connection, ping } = stuck();
    connection.end();
    connection.end();
    connection.ping();
    stream.events?.onData(ping(1));
    expect(stream.written).toEqual(['880203e8']);
  });
});

test('a frame that a codec fails to write leaves nothing behind', async () => {
  await using server = await echo();
  const failing: Codec<Buffer, Uint8Array> = {
    read: raw().read,
    write(output: ByteWriter, message) {
      output.append(message);
      if (message.length === 0) throw new TypeError('nothing');
    },
  };
  const events: Events = new Recorder('the client');
  await using ours = await connect(server.address, { codec: failing, listener: events });
  const session = await ours.session();
  session.write(Buffer.from('one'));
  expect(() => session.write(Buffer.alloc(0))).toThrow(TypeError);
  session.write(Buffer.from('two'));
  expect((await events.messages.take(2)).map(String)).toEqual(['one', 'two']);
});
