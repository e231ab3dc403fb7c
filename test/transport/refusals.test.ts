/**
 * Peers that a server refuses before they have a session: what they are told, what the server
 * counts, and who takes no place for long.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sessionsWithin } from '../../src/transport/descriptors.js';
import {
  connect,
  type Peer,
  type RefusalReason,
  RefusedError,
  raw,
  type Server,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

const QUIET = 20;
const MUTUAL_TLS = { ...SERVER_TLS, ca: pem('authority') };

noLeaks();
afterEach(() => vi.restoreAllMocks());

const setup: SessionSetup<Buffer, Uint8Array> = { codec: raw(), listener: { onMessage() {} } };

interface Refusal {
  readonly peer: Peer;
  readonly error: RefusedError;
}

async function recording(
  address: string,
  options: ServerOptions = {},
  given: Parameters<typeof serve<Buffer, Uint8Array>>[1] = setup,
) {
  const refusals = new Inbox<Refusal>('a refusal');
  const server = await serve<Buffer, Uint8Array>(address, given, {
    onRefused: (peer, error) => refusals.push({ peer, error }),
    ...options,
  });
  return { server, refusals, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

/** The counters that are not 0. */
function counted({ refusals }: Server<Buffer, Uint8Array>): Partial<Record<RefusalReason, number>> {
  return Object.fromEntries(Object.entries(refusals).filter(([, count]) => count > 0));
}

/** The status of the answer to a WebSocket request, and that the connection ends after it. */
async function statusOf(
  address: string,
  headers: readonly string[] = [],
  request = handshakeRequest(address, headers),
): Promise<number> {
  using peer = rawPeer(address);
  peer.socket.write(request);
  const answer = String(await peer.until((bytes) => bytes.includes('\r\n\r\n')));
  const status = Number(answer.slice(9, 12));
  if (status !== 101) await within(peer.ended, 'the end of the connection');
  return status;
}

function portOf(address: string): number {
  return Number(/:(\d+)/.exec(address)?.[1]);
}

function silentPeer(address: string): Socket {
  const socket = connectTcp({ port: portOf(address), host: '127.0.0.1' });
  return socket.on('error', () => {}).resume();
}

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
    ['that is no HTTP', 'request', 400, [], 'GET ', '\u0000\u0001 '],
    ['with a header that is too large', 'request', 431, [`X-More: ${'x'.repeat(20_000)}`], '', ''],
    ['of another path', 'path', 404, [], 'GET /live', 'GET /dead'],
    ['of a page elsewhere', 'origin', 403, ['Origin: https://evil.example'], '', ''],
    [
      'of a page with an origin of bytes over 127',
      'origin',
      403,
      ['Origin: http://a\u00c4\u0082.b'],
      '',
      '',
    ],
    [
      'of a page of a host that is not ours',
      'host',
      403,
      ['Origin: http://evil.example'],
      'Host: 127.0.0.1',
      'Host: evil.example\r\nX-Was: ',
    ],
  ])('%s is refused as %s, with status %i', async (_what, reason, status, headers, from, to) => {
    await using server = await recording('ws://127.0.0.1:0/live');
    const request = handshakeRequest(server.address, headers).replace(from, to);
    // Bytes that follow a refused request are dropped.
    expect(await statusOf(server.address, [], `${request}82850000000068656c6c6f`)).toBe(status);
    const { error } = await server.refusals.next();
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', name: 'RefusedError', reason, status });
    expect(counted(server.server)).toEqual({ [reason]: 1 });
    expect(await statusOf(server.address)).toBe(101);
  });

  it('for an absolute request target is served', async () => {
    await using server = await recording('ws://127.0.0.1:0/live');
    const request = handshakeRequest(server.address).replace(
      'GET /live',
      'GET http://game.example/live?x=1',
    );
    expect(await statusOf(server.address, [], request)).toBe(101);
  });

  it('and plain HTTP are told apart: the latter is counted too', async () => {
    await using server = await recording('ws://127.0.0.1:0');
    const response = await fetch(server.address.replace('ws:', 'http:'));
    await response.text();
    expect((await server.refusals.next()).error).toMatchObject({ reason: 'request', status: 426 });
  });

  it('shows the peer and its request to onRefused', async () => {
    await using server = await recording('ws://127.0.0.1:0/live');
    await statusOf(server.address, ['Origin: https://evil.example']);
    const { peer, error } = await server.refusals.next();
    expect(peer.remoteAddress).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    expect(peer.request).toMatchObject({
      url: '/live',
      headers: { origin: 'https://evil.example' },
    });
    expect(error.message).toBe('the origin "https://evil.example" is not allowed');
  });
});

describe('allowOrigin as a function', () => {
  const from = (origin: string): string[] => [`Origin: ${origin}`];

  it('may return a promise', async () => {
    const allowOrigin = async (origin: string): Promise<boolean> => {
      await turns(3);
      return origin === 'https://good.example';
    };
    await using server = await recording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    expect(await statusOf(server.address, from('https://good.example'))).toBe(101);
    expect(await statusOf(server.address, from('https://bad.example'))).toBe(403);
    expect(counted(server.server)).toEqual({ origin: 1 });
  });

  it.each<[what: string, allowOrigin: () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no database');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no database'))],
    [
      'returns a thenable that rejects',
      // biome-ignore lint/suspicious/noThenProperty: a thenable is the case.
      () => ({ then: (_: unknown, no: (error: Error) => void) => no(new Error('no database')) }),
    ],
  ])('that %s refuses the origin, with one warning for many', async (_what, allowOrigin) => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await recording('ws://127.0.0.1:0', {
      websocket: { allowOrigin },
    } as ServerOptions);
    for (let i = 0; i < 3; i++)
      expect(await statusOf(server.address, from('https://good.example'))).toBe(403);
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['HANDLER_FAILED']);
  });

  it('that never settles keeps nothing beyond the deadline of the handshake', async () => {
    await using server = await recording('ws://127.0.0.1:0', {
      handshakeTimeout: 50,
      websocket: { allowOrigin: () => new Promise<boolean>(() => {}) },
    });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address, from('https://good.example')));
    await within(peer.ended, 'the end of the connection');
    expect((await server.refusals.next()).error.reason).toBe('timeout');
  });

  it('that settles when the peer has ended opens no session', async () => {
    const asked = gate();
    const answer = gate<boolean>();
    const allowOrigin = (): Promise<boolean> => {
      asked.open();
      return answer.promise;
    };
    await using server = await recording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    using peer = rawPeer(server.address);
    peer.socket.end(handshakeRequest(server.address, from('https://good.example')));
    await asked.promise;
    await turns(QUIET);
    answer.open(true);
    await within(peer.ended, 'the end of the connection');
    expect(server.server.sessions.size).toBe(0);
  });

  it('that settles when the server is closed opens no session', async () => {
    const asked = gate();
    const answer = gate<boolean>();
    const allowOrigin = (): Promise<boolean> => {
      asked.open();
      return answer.promise;
    };
    const server = await recording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address, from('https://good.example')));
    await asked.promise;
    await server.server.close();
    answer.open(true);
    await turns(QUIET);
    expect(server.server.sessions.size).toBe(0);
    expect(counted(server.server)).toEqual({});
  });
});

describe('a setup function that refuses', () => {
  it.each<[what: string, failure: () => unknown, status: number]>([
    ['throws an error', () => new Error('no token'), 403],
    ['throws a RefusedError', () => new RefusedError('no token'), 403],
    [
      'throws a RefusedError with a status',
      () => new RefusedError('the token has expired', { status: 401 }),
      401,
    ],
    ['chooses 503', () => new RefusedError('not yet', { status: 503 }), 503],
    ['chooses a status without a name', () => new RefusedError('odd', { status: 499 }), 499],
  ])(
    '%s: the WebSocket is answered with the status and never becomes open',
    async (_what, failure, status) => {
      await using server = await recording('ws://127.0.0.1:0', {}, () => {
        throw failure();
      });
      expect(await statusOf(server.address)).toBe(status);
      expect((await server.refusals.next()).error).toMatchObject({
        code: 'SESSION_REFUSED',
        reason: 'setup',
        status,
      });
      const error = await rejection(connect(server.address, setup, { reconnect: false }));
      expect(error).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringContaining(`${status} `),
      });
      expect(counted(server.server)).toEqual({ setup: 2 });
    },
  );

  it('does not show its message to the peer', async () => {
    await using server = await recording('ws://127.0.0.1:0', {}, () => {
      throw new RefusedError('the password of the database is sesame', { status: 401 });
    });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address));
    expect(String(await peer.until((bytes) => bytes.includes('\r\n\r\n')))).not.toContain('sesame');
    await peer.ended;
  });

  it('returns a wrong setup: status 500, and without onRefused a warning', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await recording(
      'ws://127.0.0.1:0',
      { onRefused: undefined },
      () => ({}) as SessionSetup<Buffer, Uint8Array>,
    );
    expect(await statusOf(server.address)).toBe(500);
    expect(await statusOf(server.address)).toBe(500);
    expect(counted(server.server)).toEqual({ setup: 2 });
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['BAD_OPTION']);
  });

  it.each([399, 600, 401.5, '401'])('the status %o is a BAD_OPTION', (status) => {
    expect(thrown(() => new RefusedError('no', { status } as object))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('is told on a transport without HTTP too', async () => {
    await using server = await recording('tcp://127.0.0.1:0', {}, () => {
      throw new Error('who are you?');
    });
    const socket = silentPeer(server.address);
    const { peer, error } = await server.refusals.next();
    expect(peer.remoteAddress).toMatch(/^tcp:/);
    expect(error).toMatchObject({
      reason: 'setup',
      message: expect.stringContaining('who are you?'),
    });
    socket.destroy();
  });
});

describe('a TLS handshake that fails', () => {
  it.each(['tls', 'wss'])('%s: is told and counted, whatever the peer did', async (scheme) => {
    await using server = await recording(`${scheme}://127.0.0.1:0`, {
      tls: MUTUAL_TLS,
      handshakeTimeout: 5_000,
    });
    const port = portOf(server.address);
    const plain = silentPeer(server.address);
    plain.write('GET / HTTP/1.1\r\n\r\n');
    expect((await server.refusals.next()).error).toMatchObject({
      reason: 'tls',
      cause: expect.any(Error),
    });
    const nameless = connectTls({ port, host: '127.0.0.1', ...CLIENT_TLS } as object).on(
      'error',
      () => {},
    );
    expect((await server.refusals.next()).error).toMatchObject({
      reason: 'tls',
      message: expect.stringContaining('certificate'),
    });
    const leaving = silentPeer(server.address);
    leaving.once('connect', () => leaving.end());
    const { peer, error } = await server.refusals.next();
    expect(error.reason).toBe('tls');
    expect(peer.remoteAddress).toMatch(new RegExp(`^${scheme}://127\\.0\\.0\\.1:[1-9]`));
    for (const socket of [plain, nameless, leaving]) socket.destroy();
    await turns(QUIET);
    expect(counted(server.server)).toEqual({ tls: 3 });
  });

  it.each(['tls', 'wss'])('%s: that does not end in time is a timeout', async (scheme) => {
    await using server = await recording(`${scheme}://127.0.0.1:0`, {
      tls: SERVER_TLS,
      handshakeTimeout: 50,
    });
    const socket = silentPeer(server.address);
    expect((await server.refusals.next()).error).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('handshakeTimeout, 50 ms'),
    });
    await turns(QUIET);
    expect(counted(server.server)).toEqual({ timeout: 1 });
    socket.destroy();
  });

  it('is not a peer with a good certificate', async () => {
    await using server = await recording('tls://127.0.0.1:0', { tls: MUTUAL_TLS });
    await using client = await connect(server.address, setup, {
      tls: { ...CLIENT_TLS, ...identity('client') },
      reconnect: false,
    });
    await client.session();
    expect(counted(server.server)).toEqual({});
  });
});

describe('limits', () => {
  const SPARE = 16;

  it.each<[scheme: string, options: ServerOptions]>([
    ['ws', { maxSessions: 2 }],
    ['ws', { maxSessionsPerAddress: 2 }],
    ['tls', { maxSessions: 2 }],
    ['wss', { maxSessions: 2, maxSessionsPerAddress: 3 }],
  ])(
    '%s, %o: handshakes under way count, and their places become free again',
    async (scheme, options) => {
      const tls = scheme === 'ws' ? undefined : SERVER_TLS;
      await using server = await recording(`${scheme}://127.0.0.1:0`, { tls, ...options });
      const closed: Socket[] = [];
      const sockets = Array.from({ length: 2 + SPARE + 20 }, () => silentPeer(server.address));
      for (const socket of sockets) socket.once('close', () => closed.push(socket));
      await until(() => closed.length === 20, 'those over the limit are cut off');
      expect(counted(server.server)).toEqual({ limit: 20 });
      for (const socket of sockets) socket.destroy();
      await until(() => closed.length === sockets.length, 'all are gone');
      await within(
        (async () => {
          for (;;) {
            try {
              await using client = await connect(server.address, setup, {
                reconnect: false,
                ...(tls && { tls: CLIENT_TLS }),
              });
              await client.session();
              return;
            } catch {
              await turns();
            }
          }
        })(),
        'a place to be free',
      );
    },
  );

  it('a WebSocket over maxSessions is answered with status 503', async () => {
    await using server = await recording('ws://127.0.0.1:0', { maxSessions: 1 });
    await using client = await connect(server.address, setup);
    await client.session();
    expect(await statusOf(server.address)).toBe(503);
    const { peer, error } = await server.refusals.next();
    expect(error).toMatchObject({
      reason: 'limit',
      status: 503,
      message: 'maxSessions, 1, are open',
    });
    expect(peer.request?.url).toBe('/');
  });

  it('a refused peer that stays is cut off', async () => {
    await using server = await recording('ws://127.0.0.1:0/live');
    using peer = rawPeer(server.address);
    const gone = new Promise((resolve) => peer.socket.once('close', resolve));
    peer.socket.write(handshakeRequest(server.address.replace('live', 'dead')));
    await peer.ended;
    const flood = setInterval(
      () => peer.socket.writable && peer.socket.write(Buffer.alloc(65_536)),
      5,
    );
    try {
      await within(gone, 'the peer to be cut off');
    } finally {
      clearInterval(flood);
    }
  });

  it.each<[limit: number, inUse: number, sessions: number]>([
    [60, 20, 8],
    [1_024, 24, 897],
    [1_000_000, 100, 899_900],
    [30, 20, 1],
  ])('of %i descriptors, with %i in use, %i are for sessions', (limit, inUse, sessions) => {
    expect(sessionsWithin(limit, inUse)).toBe(sessions);
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
  ])('that %s is one warning, and the server goes on', async (_what, onRefused) => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await recording('ws://127.0.0.1:0/live', { onRefused } as ServerOptions);
    for (let i = 0; i < 3; i++)
      expect(await statusOf(server.address.replace('live', 'dead'))).toBe(404);
    await turns();
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { message: string }).message),
    ).toEqual(['onRefused failed: metrics are down']);
    expect(counted(server.server)).toEqual({ path: 3 });
  });

  it('takes the place of the warnings of limits', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await recording('memory://', { maxSessions: 1 });
    await using _first = await connect(server.address, setup);
    await using _second = await connect(server.address, setup, { reconnect: false });
    expect((await server.refusals.next()).error.reason).toBe('limit');
    expect(warning).not.toHaveBeenCalled();
  });

  it('that is no function is a BAD_OPTION', async () => {
    expect(await rejection(serve('memory://', setup, { onRefused: 1 } as object))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('refusals is a copy', async () => {
    await using server = await recording('memory://');
    Object.assign(server.server.refusals, { limit: 7 });
    expect(counted(server.server)).toEqual({});
  });
});
