/** The opening handshake of WebSocket, with those who do it right, wrong, slowly or not at all. */
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import type { ServerOptions } from '../../../src/transport/index.js';
import { ClientHandshake } from '../../../src/transport/websocket/handshake/client-handshake.js';
import { answerUpgrade } from '../../../src/transport/websocket/handshake/server-handshake.js';
import type { UpgradeRequest } from '../../../src/transport/websocket/handshake/upgrade-request.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { elapse, turns, within } from '../../fixtures/waiting.js';
import {
  ANY,
  echo,
  handshakeRequest,
  ourClient,
  rawPeer,
  type WsPeer,
  wsClient,
  wsServer,
} from '../../fixtures/websocket.js';

const QUIET = 20;
const DEFLATE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('the handshake of a server', () => {
  it('listens at any path, or at the one that it is given', async () => {
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
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['HANDLER_FAILED']);
  });

  it('answers 426 to plain HTTP, whatever its method', async () => {
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

  it('21: cuts off who does not come to the end of the handshake', async () => {
    await using server = await echo({}, { handshakeTimeout: 400 });
    const begin = performance.now();
    using silent = rawPeer(server.address);
    using half = rawPeer(server.address);
    half.socket.write(handshakeRequest(server.address).slice(0, -2));
    using slow = rawPeer(server.address);
    const request = handshakeRequest(server.address, [`X-More: ${'x'.repeat(1_000)}`]);
    let at = 0;
    const drip = setInterval(
      () => slow.socket.writable && slow.socket.write(request.slice(at, ++at)),
      5,
    );
    try {
      await within(Promise.all([silent.ended, half.ended, slow.ended]), 'all to be cut off');
    } finally {
      clearInterval(drip);
    }
    expect(performance.now() - begin).toBeGreaterThan(390);
    expect(server.server.sessions.size).toBe(0);
    using peer = wsClient(server.address);
    await peer.opened;
    await elapse(500);
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
    const server = await echo({}, { handshakeTimeout: 300_000 });
    using peer = rawPeer(server.address);
    peer.socket.write('GET / HTTP/1.1\r\n');
    await turns(QUIET);
    await within(server.server.close(), 'the server to close');
    await peer.ended;
  });

  it('frames that come with the request are read', async () => {
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
  const withHeaders = (headers: Record<string, string | undefined>): UpgradeRequest => ({
    ...good,
    headers: { ...good.headers, ...headers },
  });
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
    ['no Host header', withHeaders({ host: undefined }), 400],
    ['no Host header, but an origin', withHeaders({ host: undefined, origin: 'http://here' }), 400],
    ['a name of over 255 characters', withHeaders({ host: 'a.'.repeat(200) }), 400],
    ['two Host headers', { ...good, rawHeaders: ['Host', 'here', 'HOST', 'there'] }, 400],
    ['a malformed Host header', withHeaders({ host: 'here/there' }), 400],
    ['a Host header with user info', withHeaders({ host: 'evil@here' }), 400],
    ['an empty Host header', withHeaders({ host: '' }), 400],
    ['a port over 65,535', withHeaders({ host: 'here:65536' }), 400],
    [
      '100 headers',
      { ...good, rawHeaders: ['Host', 'here', ...Array(99).fill(['x', '1']).flat()] },
      101,
    ],
    [
      'more headers',
      { ...good, rawHeaders: ['Host', 'here', ...Array(100).fill(['x', '1']).flat()] },
      431,
    ],
    ['HTTP/1.0', { ...good, httpVersion: '1.0' }, 400],
    ['a body', withHeaders({ 'content-length': '5' }), 400],
    ['a body of no bytes', withHeaders({ 'content-length': '0' }), 101],
    ['Transfer-Encoding', withHeaders({ 'transfer-encoding': 'chunked' }), 400],
    ['an absolute request target', { ...good, url: 'http://here/live' }, 101],
    ['an absolute request target without a path', { ...good, url: 'ws://here?x' }, 101],
    ['an absolute request target with user info', { ...good, url: 'http://evil@here/live' }, 400],
    ['a request target that is no path', { ...good, url: '*' }, 400],
    ['an empty request target', { ...good, url: '' }, 400],
    [
      'an absolute request target of the origin, whatever Host says',
      { ...withHeaders({ host: 'x', origin: 'http://here' }), url: 'http://here/' },
      101,
    ],
    [
      'an origin with the default port in Host',
      withHeaders({ host: 'here:80', origin: 'http://here' }),
      101,
    ],
    [
      'an origin by TLS with the default port in Host',
      withHeaders({ host: 'here:443', origin: 'https://here' }),
      101,
    ],
    [
      'an origin by TLS with the other default port in Host',
      withHeaders({ host: 'here:80', origin: 'https://here' }),
      403,
    ],
    [
      'an origin with the other default port in Host',
      withHeaders({ host: 'here:443', origin: 'http://here' }),
      403,
    ],
    [
      'an origin with a port that Host has too',
      withHeaders({ host: 'here:8080', origin: 'http://here:8080' }),
      101,
    ],
    ['an origin with a path', withHeaders({ origin: 'http://here/' }), 403],
    ['an origin of bytes over 127', withHeaders({ origin: 'http://a\xc4\x82.b' }), 403],
  ])('%s: %o', (_what, request, status) => {
    expect(answerUpgrade(request, '', { allowHost: ['here'] }).response).toMatch(
      new RegExp(`^HTTP/1.1 ${status} `),
    );
  });

  test.each<
    [host: string, allowHost: readonly string[] | 'any', listenHost: string, status: number]
  >([
    ['evil.example', [], '', 403],
    ['evil.example', ['game.example'], '', 403],
    ['sub.game.example', ['game.example'], '', 403],
    ['game.example', ['game.example'], '', 101],
    ['GAME.example:8443', ['game.example'], '', 101],
    ['evil.example', 'any', '', 101],
    ['game.example', [], 'Game.Example', 101],
    ['localhost:8080', [], '', 101],
    ['app.localhost', [], '', 101],
    ['localhost.evil.example', [], '', 403],
    ['127.0.0.1.evil.example', [], '', 403],
    ['192.168.1.7:8080', [], '', 101],
    ['[::1]:8080', [], '', 101],
  ])(
    'a page of the host %s, with allowHost %o and a server at "%s": %i',
    (host, allowHost, listenHost, status) => {
      const request = withHeaders({ host, origin: `http://${host.toLowerCase()}` });
      const answer = answerUpgrade(request, '', { allowHost }, listenHost);
      expect(answer.response).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      if (status === 403) expect(answer.refusal?.reason).toBe('host');
      // A program has no origin, and may use any name.
      expect(answerUpgrade(withHeaders({ host }), '', { allowHost }, listenHost).response).toMatch(
        /^HTTP\/1.1 101 /,
      );
      const allowed = { allowHost, allowOrigin: [`http://${host.toLowerCase()}`] };
      expect(answerUpgrade(request, '', allowed, listenHost).response).toMatch(/^HTTP\/1.1 101 /);
    },
  );

  it('gives the setup the path and query of an absolute request target', () => {
    expect(answerUpgrade({ ...good, url: 'http://here/live?a=1' }, '/live', {})).toMatchObject({
      request: { url: '/live?a=1' },
    });
    expect(answerUpgrade({ ...good, url: 'http://here?a=1' }, '', {})).toMatchObject({
      request: { url: '/?a=1' },
    });
    expect(answerUpgrade({ ...good, url: 'http://here/other' }, '/live', {}).refusal).toMatchObject(
      { reason: 'path', status: 404 },
    );
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
    ['permessage-deflate; server_max_window_bits=8', `${DEFLATE}; server_max_window_bits=8`],
    [
      'permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=15',
      `${DEFLATE}; server_max_window_bits=15`,
    ],
    ['permessage-deflate; client_max_window_bits=8; client_no_context_takeover', DEFLATE],
    ['permessage-deflate; server_max_window_bits', undefined],
    ['permessage-deflate; server_max_window_bits=16', undefined],
    ['permessage-deflate; server_max_window_bits=010', undefined],
    ['permessage-deflate; server_no_context_takeover=1', undefined],
    ['permessage-deflate; server_no_context_takeover; server_no_context_takeover', undefined],
    ['permessage-deflate; constructor', undefined],
    ['permessage-deflate; __proto__=8', undefined],
    ['permessage-deflate;', undefined],
    ['deflate', undefined],
    [`${'a,'.repeat(15)}permessage-deflate`, DEFLATE],
    [`${'a,'.repeat(16)}permessage-deflate`, undefined],
  ])('the offer %s', (offer, answer) => {
    const request = withHeaders({ 'sec-websocket-extensions': offer });
    const { response, result } = answerUpgrade(request, '', { compression: 'deflate' });
    expect(/Sec-WebSocket-Extensions: (.*)\r\n/.exec(response)?.[1]).toBe(answer);
    expect(result?.deflate !== undefined).toBe(answer !== undefined);
    expect(answerUpgrade(request, '', {}).result?.deflate).toBeUndefined();
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
    ['allowOrigin', { allowOrigin: ['https://*.good.example'] }],
    ['allowOrigin', { allowOrigin: ['*'] }],
    ['allowOrigin', { allowOrigin: ['https://good.example:443'] }],
    ['allowOrigin', { allowOrigin: ['https://GOOD.example'] }],
    ['allowOrigin', { allowOrigin: ['https://grün.example'] }],
    ['allowOrigin', { allowOrigin: ['wss://good.example'] }],
    ['allowOrigin', { allowOrigin: ['null'] }],
    ['allowOrigin', { allowOrigin: ['capacitor://*'] }],
    ['allowHost', { allowHost: 'game.example' }],
    ['allowHost', { allowHost: ['*.game.example'] }],
    ['allowHost', { allowHost: ['game.example:8080'] }],
    ['allowHost', { allowHost: ['Game.example'] }],
    ['allowHost', { allowHost: ['https://game.example'] }],
    ['headers', { headers: 1 }],
    ['headers', { headers: ['a'] }],
    ['headers', { headers: { 'X Bad': 'a' } }],
    ['headers.X-Bad', { headers: { 'X-Bad': 'a\r\nb' } }],
    ['headers.X-Bad', { headers: { 'X-Bad': 1 } }],
    ['headers', { headers: { 'Content-Length': '3' } }],
  ])('a bad option is refused: %s', async (name, websocket) => {
    const error = await rejection(echo({}, { websocket } as ServerOptions));
    expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(name) });
    expect((await rejection(ourClient('ws://127.0.0.1:1', {}, { websocket } as object))).code).toBe(
      'BAD_OPTION',
    );
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
    [
      'another key',
      ['Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA='],
      'Sec-WebSocket-Accept is wrong',
    ],
    ['no key', [], 'Sec-WebSocket-Accept is wrong'],
    ['another protocol', ['Upgrade: h2c'], 'changed to another protocol'],
  ])('%s in the answer: CONNECT_FAILED', async (_what, headers, reason) => {
    const upgrade = headers.some((line) => line.startsWith('Upgrade'))
      ? []
      : ['Upgrade: websocket'];
    await using server = await answering((socket) => {
      socket.end(
        [
          'HTTP/1.1 101 Switching Protocols',
          'Connection: Upgrade',
          ...upgrade,
          ...headers,
          '',
          '',
        ].join('\r\n'),
      );
    });
    expect(await rejection(ourClient(server.address))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining(reason),
    });
  });

  it('a refusal: CONNECT_FAILED says the status', async () => {
    await using server = await answering((socket) =>
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'),
    );
    expect(await rejection(ourClient(server.address))).toMatchObject({
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
      expect(await rejection(ourClient(address))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringMatching(reason),
      });
      server.close();
    }
  });

  it('a server that says nothing: connectTimeout covers the handshake', async () => {
    await using server = await answering(() => {});
    const error = await rejection(ourClient(server.address, {}, { connectTimeout: 50 }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: `cannot connect to ${server.address}: no connection within connectTimeout, 50 ms`,
    });
  });

  it('sends the headers that it is given, and the path with its query', async () => {
    await using server = await wsServer({
      verifyClient: ({ req }: { req: UpgradeRequest }) =>
        req.headers.authorization === 'Bearer x' && req.url === '/chat?room=7',
    });
    await using ours = await ourClient(
      `${server.address}/chat?room=7`,
      {},
      { websocket: { headers: { authorization: 'Bearer x', upgrade: 'never' } } },
    );
    expect(ours.session.closed).toBe(false);
    expect((await rejection(ourClient(server.address))).message).toContain('401');
  });

  it('asks a headers function anew for each attempt, and waits for its promise', async () => {
    const seen: unknown[] = [];
    await using server = await wsServer({
      verifyClient: ({ req }: { req: UpgradeRequest }) => seen.push(req.headers.authorization) > 0,
    });
    let count = 0;
    const headers = async (): Promise<Record<string, string>> => ({
      authorization: `Bearer ${++count}`,
    });
    await using _ours = await ourClient(
      server.address,
      {},
      { websocket: { headers }, reconnect: { initialDelay: 1 } },
    );
    (await server.peers.next()).socket.terminate();
    await server.peers.next();
    expect(seen).toEqual(['Bearer 1', 'Bearer 2']);
  });

  test.each<[what: string, headers: () => unknown, code: string, message: string]>([
    [
      'throws',
      () => {
        throw new Error('no token');
      },
      'CONNECT_FAILED',
      'no token',
    ],
    ['rejects', () => Promise.reject(new Error('no token')), 'CONNECT_FAILED', 'no token'],
    ['returns no headers', () => 'Bearer 1', 'BAD_OPTION', 'websocket.headers'],
    [
      'returns a value that HTTP does not allow',
      async () => ({ token: 'secret\n' }),
      'BAD_OPTION',
      'websocket.headers.token',
    ],
    ['never settles', () => new Promise(() => {}), 'CONNECT_FAILED', 'connectTimeout, 50 ms'],
  ])('a headers function that %s fails the attempt', async (_what, headers, code, message) => {
    await using server = await echo();
    const error = await rejection(
      ourClient(server.address, {}, { websocket: { headers }, connectTimeout: 50 } as object),
    );
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(error.message).not.toContain('secret');
    expect(server.server.refusals).toEqual(expect.objectContaining({ request: 0, timeout: 0 }));
  });

  test.each([
    [DEFLATE, true],
    ['permessage-deflate; server_no_context_takeover', true],
    ['permessage-deflate; server_no_context_takeover; server_max_window_bits=10', true],
    ['permessage-deflate', true],
    ['permessage-deflate; server_max_window_bits=8', true],
    [`${DEFLATE}; client_max_window_bits=9`, true],
    [`${DEFLATE}; client_max_window_bits=8`, true],
    [`${DEFLATE}; client_max_window_bits`, false],
    [`${DEFLATE}; client_max_window_bits=16`, false],
    ['permessage-deflate; server_max_window_bits', false],
    [
      'permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover',
      false,
    ],
    ['x-other', false],
  ])('the answer %s', (answer, good) => {
    const offer = new ClientHandshake({ compression: 'deflate' });
    const key = offer.headers['Sec-WebSocket-Key'] as string;
    const request = {
      method: 'GET',
      url: '/',
      headers: {
        host: 'here',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': key,
      },
    };
    const accept = /Accept: (.*)\r\n/.exec(answerUpgrade(request, '', {}).response)?.[1];
    const headers = {
      upgrade: 'websocket',
      'sec-websocket-accept': accept,
      'sec-websocket-extensions': answer,
    };
    if (good) expect(offer.validateResponse(headers).deflate).toBeDefined();
    else
      expect(() => offer.validateResponse(headers)).toThrow(
        expect.objectContaining({ code: 'CONNECT_FAILED' }),
      );
  });
});
