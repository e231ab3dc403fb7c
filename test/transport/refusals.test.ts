/**
 * Peers that a server refuses: what they receive, and what onRefused and the counters report.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  connect,
  type RefusalReason,
  RefusedError,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  RAW_SETUP,
  refusalCounts,
  serveRecording,
  silentPeer,
  upgradeStatus,
} from '../fixtures/refusals.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { turns } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('a WebSocket request', () => {
  it.each<
    [
      what: string,
      reason: RefusalReason,
      status: number,
      headers: readonly string[],
      from: string,
      to: string,
    ]
  >([
    ['with a body', 'request', 400, ['Content-Length: 5'], '', ''],
    ['with Transfer-Encoding', 'request', 400, ['Transfer-Encoding: chunked'], '', ''],
    ['of HTTP/1.0', 'request', 400, [], 'HTTP/1.1', 'HTTP/1.0'],
    ['without Host', 'request', 400, [], 'Host:', 'X-Host:'],
    ['with two Host headers', 'request', 400, ['Host: evil'], '', ''],
    ['that is not HTTP', 'request', 400, [], 'GET ', '\u0000\u0001 '],
    ['with a header that is too large', 'request', 431, [`X-More: ${'x'.repeat(20_000)}`], '', ''],
    ['of another path', 'path', 404, [], 'GET /live', 'GET /dead'],
    ['of a page with another origin', 'origin', 403, ['Origin: https://evil.example'], '', ''],
    [
      'of a page with an origin of bytes over 127',
      'origin',
      403,
      ['Origin: http://a\u00c4\u0082.b'],
      '',
      '',
    ],
    [
      'of a page with an unknown host',
      'host',
      403,
      ['Origin: http://evil.example'],
      'Host: 127.0.0.1',
      'Host: evil.example\r\nX-Was: ',
    ],
  ])('%s is refused as %s, with status %i', async (_what, reason, status, headers, from, to) => {
    await using server = await serveRecording('ws://127.0.0.1:0/live');
    const request = handshakeRequest(server.address, headers).replace(from, to);
    // The server drops the bytes after a refused request.
    expect(await upgradeStatus(server.address, [], `${request}82850000000068656c6c6f`)).toBe(
      status,
    );
    const { error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', name: 'RefusedError', reason, status });
    expect(refusalCounts(server.server)).toEqual({ [reason]: 1 });
    expect(await upgradeStatus(server.address)).toBe(101);
  });

  it('with an absolute request target is accepted', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0/live');
    const request = handshakeRequest(server.address).replace(
      'GET /live',
      'GET http://game.example/live?x=1',
    );
    expect(await upgradeStatus(server.address, [], request)).toBe(101);
  });

  it('is required: a plain HTTP request is refused as request, with status 426', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0');
    const response = await fetch(server.address.replace('ws:', 'http:'));
    await response.text();
    expect((await server.refusals.next()).error).toMatchObject({ reason: 'request', status: 426 });
  });

  it('is passed to onRefused with its peer', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0/live');
    await upgradeStatus(server.address, ['Origin: https://evil.example']);
    const { peer, error } = await server.refusals.next();
    expect(peer.remoteAddress).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    expect(peer.request).toMatchObject({
      url: '/live',
      headers: { origin: 'https://evil.example' },
    });
    expect(error.message).toBe(
      `the origin "https://evil.example" is not allowed: the request is for the host "${new URL(server.address).host}", and websocket.allowOrigin does not have the origin`,
    );
  });

  it('is refused by the function allowOrigin, and the message says so', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0/live', {
      websocket: { allowOrigin: () => false },
    });
    await upgradeStatus(server.address, ['Origin: https://evil.example']);
    expect((await server.refusals.next()).error.message).toBe(
      'the origin "https://evil.example" is not allowed by the function websocket.allowOrigin',
    );
  });
});

describe('a setup function that refuses a session', () => {
  it.each<[what: string, failure: () => unknown, status: number]>([
    ['throws an error', () => new Error('no token'), 403],
    ['throws a RefusedError', () => new RefusedError('no token'), 403],
    [
      'throws a RefusedError with a status',
      () => new RefusedError('the token has expired', { status: 401 }),
      401,
    ],
    [
      'throws a RefusedError with another status than it had',
      () => Object.assign(new RefusedError('odd'), { status: '403 No\r\nX-Injected: y' }),
      403,
    ],
    [
      'throws a RefusedError with another reason than it had',
      () => Object.assign(new RefusedError('odd', { status: 401 }), { reason: '__proto__' }),
      403,
    ],
    ['throws a Proxy of a RefusedError', () => new Proxy(new RefusedError('odd'), {}), 403],
    ['chooses 503', () => new RefusedError('not yet', { status: 503 }), 503],
    ['chooses a status without a name', () => new RefusedError('odd', { status: 499 }), 499],
  ])('%s: the WebSocket request is answered with the status', async (_what, failure, status) => {
    await using server = await serveRecording('ws://127.0.0.1:0', {}, () => {
      throw failure();
    });
    expect(await upgradeStatus(server.address)).toBe(status);
    expect((await server.refusals.next()).error).toMatchObject({
      code: 'SESSION_REFUSED',
      reason: 'setup',
      status,
    });
    const error = await rejection(connect(server.address, RAW_SETUP, { reconnect: false }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining(`the server answered ${status}`),
    });
    expect(refusalCounts(server.server)).toEqual({ setup: 2 });
  });

  it('does not send its message to the peer', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0', {}, () => {
      throw new RefusedError('the password of the database is sesame', { status: 401 });
    });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address));
    expect(String(await peer.until((bytes) => bytes.includes('\r\n\r\n')))).not.toContain('sesame');
    await peer.ended;
  });

  it('returns an invalid setup: status 500, and a process warning without onRefused', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveRecording(
      'ws://127.0.0.1:0',
      { onRefused: undefined },
      () => ({}) as SessionSetup<Buffer, Uint8Array>,
    );
    expect(await upgradeStatus(server.address)).toBe(500);
    expect(await upgradeStatus(server.address)).toBe(500);
    expect(refusalCounts(server.server)).toEqual({ setup: 2 });
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['BAD_OPTION']);
  });

  it.each([399, 600, 401.5, '401'])('cannot choose the status %o: BAD_OPTION', (status) => {
    expect(thrown(() => new RefusedError('no', { status } as object))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('is reported to onRefused on a transport without HTTP', async () => {
    await using server = await serveRecording('tcp://127.0.0.1:0', {}, () => {
      throw new Error('unknown peer');
    });
    const socket = silentPeer(server.address);
    const { peer, error } = await server.refusals.next();
    expect(peer.remoteAddress).toMatch(/^tcp:/);
    expect(error).toMatchObject({
      reason: 'setup',
      message: expect.stringContaining('unknown peer'),
    });
    socket.destroy();
  });
});

describe('onRefused', () => {
  it.each<[what: string, onRefused: () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('metrics are down');
      },
    ],
    ['rejects', () => Promise.reject(new Error('metrics are down'))],
  ])('that %s causes one process warning, and the server continues', async (_what, onRefused) => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveRecording('ws://127.0.0.1:0/live', {
      onRefused,
    } as ServerOptions);
    for (let i = 0; i < 3; i++)
      expect(await upgradeStatus(server.address.replace('live', 'dead'))).toBe(404);
    await turns();
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { message: string }).message),
    ).toEqual(['onRefused failed: metrics are down']);
    expect(refusalCounts(server.server)).toEqual({ path: 3 });
  });

  it('replaces the process warnings about limits', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveRecording('memory://', { maxSessions: 1 });
    await using _first = await connect(server.address, RAW_SETUP);
    await using _second = await connect(server.address, RAW_SETUP, { reconnect: false });
    expect((await server.refusals.next()).error.reason).toBe('limit');
    expect(warning).not.toHaveBeenCalled();
  });

  it('that is not a function is rejected with BAD_OPTION', async () => {
    expect(
      await rejection(serve('memory://', RAW_SETUP, { onRefused: 1 } as object)),
    ).toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('is not needed to read server.refusals, which returns a copy', async () => {
    await using server = await serveRecording('memory://');
    Object.assign(server.server.refusals, { limit: 7 });
    expect(refusalCounts(server.server)).toEqual({});
  });
});
