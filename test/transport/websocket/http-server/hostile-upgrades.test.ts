/** Upgrade requests on an HTTP server that are refused: the checks of ws:// hold there too. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type RefusalReason,
  RefusedError,
  type ServerOptions,
} from '../../../../src/transport/index.js';
import { listenHttp, type RunningHttpServer } from '../../../fixtures/http-servers.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import {
  RAW_SETUP,
  refusalCounts,
  serveRecording,
  upgradeStatus,
} from '../../../fixtures/refusals.js';
import { gate, Inbox, until, within } from '../../../fixtures/waiting.js';
import { handshakeRequest, ourClient, rawPeer } from '../../../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

const serveAt = (http: RunningHttpServer, options?: ServerOptions, setup = RAW_SETUP) =>
  serveRecording({ server: http.server, path: '/live' }, options, setup);

it.each<
  [what: string, reason: RefusalReason, status: number, headers: string[], from: string, to: string]
>([
  ['with a body', 'request', 400, ['Content-Length: 5'], '', ''],
  ['with Transfer-Encoding', 'request', 400, ['Transfer-Encoding: chunked'], '', ''],
  ['of HTTP/1.0', 'request', 400, [], 'HTTP/1.1', 'HTTP/1.0'],
  ['without Host', 'request', 400, [], 'Host:', 'X-Host:'],
  ['with two Host headers', 'request', 400, ['Host: evil'], '', ''],
  ['of another method', 'request', 405, [], 'GET ', 'PUT '],
  ['of another protocol', 'request', 426, [], 'Upgrade: websocket', 'Upgrade: h2c'],
  ['of another version', 'request', 426, [], 'Version: 13', 'Version: 8'],
  ['with an invalid key', 'request', 400, [], 'dGhlIHNhbXBsZSBub25jZQ==', 'short'],
  ['with many headers', 'request', 431, Array.from({ length: 100 }, (_, i) => `X-${i}: 1`), '', ''],
  ['of a page with another origin', 'origin', 403, ['Origin: https://evil.example'], '', ''],
  [
    'of a page with an unknown host',
    'host',
    403,
    ['Origin: http://evil.example'],
    'Host: 127.0.0.1',
    'Host: evil.example\r\nX-Was: ',
  ],
])('a request %s is refused as %s, with %i', async (_, reason, status, headers, from, to) => {
  await using http = await listenHttp();
  await using server = await serveAt(http);
  const request = handshakeRequest(http.at('/live'), headers).replace(from, to);
  const bytes = `${request}82850000000068656c6c6f`;
  expect(await upgradeStatus(http.at('/live'), [], bytes)).toBe(status);
  const { error, peer } = await server.refusals.next();
  expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason, status });
  expect(peer.request?.url).toBe('/live');
  expect(refusalCounts(server.server)).toEqual({ [reason]: 1 });
  expect(await upgradeStatus(http.at('/live'))).toBe(101);
  expect(await (await fetch(http.url)).text()).toBe('app /');
});

it('the parser of Node.js refuses what is not HTTP, and the servers go on', async () => {
  await using http = await listenHttp();
  await using server = await serveAt(http);
  const request = handshakeRequest(http.at('/live')).replace('GET ', '\u0000 ');
  expect(await upgradeStatus(http.at('/live'), [], request)).toBe(400);
  expect(refusalCounts(server.server)).toEqual({});
  expect(await upgradeStatus(http.at('/live'))).toBe(101);
});

it('the setup refuses a session before the request is answered', async () => {
  await using http = await listenHttp();
  await using server = await serveRecording({ server: http.server, path: '/live' }, {}, (peer) => {
    if (peer.request?.headers.authorization === 'yes') return RAW_SETUP;
    throw new RefusedError('who is it?', { status: 401 });
  });
  expect(await upgradeStatus(http.at('/live'))).toBe(401);
  expect(refusalCounts(server.server)).toEqual({ setup: 1 });
  expect(await upgradeStatus(http.at('/live'), ['Authorization: yes'])).toBe(101);
});

describe('limits', () => {
  it('requests that the program passes on after their peers have left count for none', async () => {
    await using http = await listenHttp();
    await using server = await serveAt(http, { maxSessions: 1, handshakeTimeout: 60_000 });
    // It passes on the requests, as after an authentication.
    await using front = await listenHttp();
    const passedOn = new Inbox<unknown>('a request');
    front.server.on('upgrade', (request, socket, head) => {
      // A log reads the address, which Node.js keeps then.
      void request.socket.remoteAddress;
      socket.destroy();
      socket.once('close', () => {
        http.server.emit('upgrade', request, socket, head);
        passedOn.push(request);
      });
    });
    for (let i = 0; i < 20; i++) {
      using peer = rawPeer(front.url);
      peer.socket.write(handshakeRequest(http.at('/live')));
      await passedOn.next();
    }
    expect(await upgradeStatus(http.at('/live'))).toBe(101);
    expect(refusalCounts(server.server)).toEqual({});
  });

  it.each<[name: string, options: ServerOptions]>([
    ['maxSessions', { maxSessions: 1 }],
    ['maxSessionsPerAddress', { maxSessionsPerAddress: 1 }],
  ])('a request over %s is answered with 503', async (_, options) => {
    await using http = await listenHttp();
    await using server = await serveAt(http, options);
    await using _client = await ourClient(http.at('/live'));
    expect(await upgradeStatus(http.at('/live'))).toBe(503);
    expect(refusalCounts(server.server)).toEqual({ limit: 1 });
    expect(await (await fetch(http.url)).text()).toBe('app /');
  });

  it('requests that wait for allowOrigin count, and more than 16 of them are closed', async () => {
    await using http = await listenHttp();
    const { promise: decided, open: decide } = gate<boolean>();
    const allowOrigin = (): Promise<boolean> => decided;
    await using server = await serveAt(http, { maxSessions: 1, websocket: { allowOrigin } });
    const request = handshakeRequest(http.at('/live'), ['Origin: https://a.example']);
    const peers = Array.from({ length: 20 }, () => rawPeer(http.at('/live')));
    for (const { socket } of peers) socket.write(request);
    await until(() => refusalCounts(server.server).limit === 3, 'three peers are refused');
    decide(false);
    await until(() => refusalCounts(server.server).origin === 17, 'the others are refused');
    for (const peer of peers) peer[Symbol.dispose]();
  });

  it('a handshake ends at handshakeTimeout', async () => {
    await using http = await listenHttp();
    const allowOrigin = (): Promise<boolean> => new Promise(() => {});
    await using server = await serveAt(http, { handshakeTimeout: 50, websocket: { allowOrigin } });
    using peer = rawPeer(http.at('/live'));
    peer.socket.write(handshakeRequest(http.at('/live'), ['Origin: https://a.example']));
    await within(peer.ended, 'the connection to end');
    expect(refusalCounts(server.server)).toEqual({ timeout: 1 });
  });
});

it('closes without waiting for handshakes in progress', async () => {
  await using http = await listenHttp();
  const allowOrigin = (): Promise<boolean> => new Promise(() => {});
  const server = await serveAt(http, { handshakeTimeout: 300_000, websocket: { allowOrigin } });
  using peer = rawPeer(http.at('/live'));
  const upgrade = new Promise((resolve) => http.server.once('upgrade', resolve));
  peer.socket.write(handshakeRequest(http.at('/live'), ['Origin: https://a.example']));
  await upgrade;
  await within(server.server.close(), 'the server to close');
  await within(peer.ended, 'the connection to end');
});

it('a peer that resets its connection during a handshake does no harm', async () => {
  await using http = await listenHttp();
  const asked = gate();
  const answer = gate<boolean>();
  const allowOrigin = (): Promise<boolean> => {
    asked.open();
    return answer.promise;
  };
  await using server = await serveAt(http, { websocket: { allowOrigin } });
  using peer = rawPeer(http.at('/live'));
  peer.socket.write(handshakeRequest(http.at('/live'), ['Origin: https://a.example']));
  await asked.promise;
  peer.socket.resetAndDestroy();
  await within(peer.ended, 'the peer to end');
  answer.open(true);
  expect(await upgradeStatus(http.at('/live'))).toBe(101);
  expect(server.server.refusals.fault).toBe(0);
});
