/** WebSocket servers behind proxies that name the client in a header of HTTP. */
import { describe, expect, it } from 'vitest';
import type { BehindProxyOptions, ServerOptions } from '../../../src/transport/index.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { createHttpServer, listenHttp } from '../../fixtures/http-servers.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { serveRecording, upgradeStatus } from '../../fixtures/refusals.js';
import { until } from '../../fixtures/waiting.js';
import { rawPeer, rawWebSocket } from '../../fixtures/websocket.js';

noLeaks();

const behind = (
  header: BehindProxyOptions['header'],
  trusted = ['127.0.0.1', '10.0.0.0/8'],
): ServerOptions => ({ behindProxy: { trusted, header } });

describe.each(['a port of its own', 'a path of an HTTP server'])('a WebSocket at %s', (place) => {
  /** `address`: where peers connect. */
  async function serveAt(options: ServerOptions) {
    if (place === 'a port of its own') return serveRecording('ws://127.0.0.1:0/live', options);
    const http = await listenHttp(createHttpServer());
    const recording = await serveRecording({ server: http.server, path: '/live' }, options);
    return {
      ...recording,
      address: http.at('/live'),
      async [Symbol.asyncDispose]() {
        await recording[Symbol.asyncDispose]();
        await http[Symbol.asyncDispose]();
      },
    };
  }

  it.each<[BehindProxyOptions['header'], string[], string]>([
    ['x-forwarded-for', ['X-Forwarded-For: 203.0.113.7'], '203.0.113.7:0'],
    ['x-forwarded-for', ['X-Forwarded-For: [2001:db8::7]:5'], '[2001:db8::7]:5'],
    [
      'x-forwarded-for',
      ['X-Forwarded-For: 198.51.100.1', 'X-Forwarded-For: 203.0.113.7, 10.0.0.1'],
      '203.0.113.7:0',
    ],
    ['forwarded', ['Forwarded: for="203.0.113.7:50100";proto=https'], '203.0.113.7:50100'],
    ['forwarded', ['X-Forwarded-For: 198.51.100.1', 'Forwarded: for=203.0.113.7'], '203.0.113.7:0'],
  ])('has the address of the client: %s, %j', async (header, headers, client) => {
    await using server = await serveAt(behind(header));
    using peer = await rawWebSocket(server.address, headers);
    const [session] = server.server.sessions;
    expect(session?.remoteAddress).toBe(`ws://${client}`);
    expect(session?.localAddress).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/live$/);
    peer.socket.destroy();
  });

  it.each<[string, ServerOptions, string[]]>([
    ['of a stranger is ignored', behind('forwarded', ['10.0.0.1']), ['Forwarded: for=203.0.113.7']],
    [
      'of a stranger that cannot be read is ignored',
      behind('x-forwarded-for', ['10.0.0.1']),
      ['X-Forwarded-For: nonsense'],
    ],
    ['is not needed', behind('x-forwarded-for'), []],
    ['that is not chosen is ignored', behind('forwarded'), ['X-Forwarded-For: 203.0.113.7']],
    ['is ignored without behindProxy', {}, ['X-Forwarded-For: 203.0.113.7']],
  ])('a header %s', async (_, options, headers) => {
    await using server = await serveAt(options);
    using peer = await rawWebSocket(server.address, headers);
    const [session] = server.server.sessions;
    expect(session?.remoteAddress).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    peer.socket.destroy();
  });

  it.each([
    ['x-forwarded-for', 'X-Forwarded-For: 203.0.113.7, nonsense'],
    ['x-forwarded-for', `X-Forwarded-For: ${'1.1.1.1,'.repeat(1_200)}203.0.113.7`],
    ['forwarded', 'Forwarded: for="203.0.113.7'],
  ] as const)('refuses a header of a proxy that cannot be read: %s', async (header, line) => {
    await using server = await serveAt(behind(header));
    expect(await upgradeStatus(server.address, [line])).toBe(400);
    const { peer, error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'proxy', status: 400 });
    expect(peer.remoteAddress).toMatch(/^ws:\/\/127\.0\.0\.1:/);
    expect(server.server.refusals.proxy).toBe(1);
  });

  it('counts sessions by the address of the client, and refuses by it', async () => {
    await using server = await serveAt({
      ...behind('x-forwarded-for'),
      maxSessionsPerAddress: 1,
      deny: ['198.51.100.0/24'],
    });
    const from = (client: string): string[] => [`X-Forwarded-For: ${client}`];
    using _first = await rawWebSocket(server.address, from('203.0.113.7'));
    using _second = await rawWebSocket(server.address, from('203.0.113.8'));
    expect(await upgradeStatus(server.address, from('203.0.113.7'))).toBe(503);
    expect(await upgradeStatus(server.address, from('198.51.100.1'))).toBe(403);
    const [limit, address] = await server.refusals.take(2);
    expect(limit?.error.reason).toBe('limit');
    expect(limit?.peer.remoteAddress).toBe('ws://203.0.113.7:0');
    expect(address?.error.reason).toBe('address');
    expect(address?.peer).toMatchObject({
      remoteAddress: 'ws://198.51.100.1:0',
      request: { url: '/live' },
    });
    for (const peer of [_first, _second]) peer.socket.destroy();
    await until(() => server.server.sessions.size === 0, 'both have ended');
    // The handshakes that were refused no longer count.
    using third = await rawWebSocket(server.address, from('203.0.113.7'));
    third.socket.destroy();
  });

  it('reports other refusals with the address of the client', async () => {
    await using server = await serveAt(behind('forwarded'));
    expect(
      await upgradeStatus(server.address, [
        'Forwarded: for=203.0.113.7',
        'Origin: https://evil.example',
      ]),
    ).toBe(403);
    const { peer, error } = await server.refusals.next();
    expect(error.reason).toBe('origin');
    expect(peer.remoteAddress).toBe('ws://203.0.113.7:0');
  });
});

it('a request that is no WebSocket is reported with the address of the client', async () => {
  await using server = await serveRecording('ws://127.0.0.1:0', behind('x-forwarded-for'));
  using peer = rawPeer(server.address);
  peer.socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n');
  await peer.ended;
  expect((await server.refusals.next()).peer.remoteAddress).toBe('ws://203.0.113.7:0');
});

it('health checks of a proxy are answered', async () => {
  await using server = await serveRecording('ws://127.0.0.1:0', {
    ...behind('x-forwarded-for'),
    allow: ['203.0.113.0/24'],
    websocket: { health: '/healthz' },
  });
  const response = await fetch(`${server.address.replace('ws:', 'http:')}/healthz`);
  expect(response.status).toBe(200);
  expect(await upgradeStatus(server.address)).toBe(403);
});

it('wss reads the header too', async () => {
  await using server = await serveRecording('wss://127.0.0.1:0', {
    ...behind('forwarded'),
    tls: SERVER_TLS,
  });
  const { wsClient } = await import('../../fixtures/websocket.js');
  using peer = wsClient(server.address, {
    rejectUnauthorized: false,
    headers: { Forwarded: 'for=203.0.113.7' },
  });
  await peer.opened;
  const [session] = server.server.sessions;
  expect(session).toMatchObject({ remoteAddress: 'wss://203.0.113.7:0', encrypted: true });
});
