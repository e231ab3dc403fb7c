/** A server has no more open sockets than maxSessions allows, whatever its peers do. */
import { connect as connectTcp, Server as StreamServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { lengthPrefixed, raw, type ServerOptions, serve } from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { untilQuiet } from '../fixtures/session-probes.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

const MAX_SESSIONS = 4;
/** Handshakes that may be in progress beyond maxSessions. */
const SPARE_HANDSHAKES = 16;
const PEERS = 3 * (MAX_SESSIONS + SPARE_HANDSHAKES);

/** A length field that exceeds maxMessageBytes. */
const BAD_LENGTH = Buffer.alloc(8, 0xff);
/** A WebSocket frame without a mask, which a client must not send. */
const BAD_FRAME = Buffer.from('810178', 'hex');
const request = handshakeRequest('ws://127.0.0.1/live');

/** Returns a function that returns the server of Node.js that listens next. */
function spyOnListen(): () => StreamServer {
  const listen = vi.spyOn(StreamServer.prototype, 'listen');
  return () => listen.mock.contexts[0] as StreamServer;
}

function countConnections(server: StreamServer): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}

/**
 * A peer that never ends its side. `answered` resolves when the server has answered, ended its side
 * or closed the connection.
 */
function hostilePeer(address: string, isSecure: boolean, bytes: readonly (string | Buffer)[]) {
  const url = new URL(address);
  const at = address.startsWith('unix:')
    ? { path: url.pathname }
    : { host: '127.0.0.1', port: Number(url.port) };
  const options = { ...at, allowHalfOpen: true };
  const socket = isSecure ? connectTls({ ...CLIENT_TLS, ...options }) : connectTcp(options);
  const [first = '', second] = bytes;
  socket.on('error', () => {});
  socket.once(isSecure ? 'secureConnect' : 'connect', () => socket.write(first));
  const answered = new Promise<void>((resolve) => {
    socket.once('end', resolve).once('close', () => resolve());
    socket.once('data', () => {
      if (second === undefined) resolve();
      else socket.once('data', () => resolve()).write(second);
    });
  });
  return { socket, answered };
}

describe('hostile peers', () => {
  const path = join(tmpdir(), `getty-sockets-${process.pid}.sock`);
  const tls = SERVER_TLS;

  it.each<
    [
      what: string,
      address: string,
      options: ServerOptions,
      spare: number,
      bytes: readonly (string | Buffer)[],
    ]
  >([
    ['violate the protocol', 'tcp://127.0.0.1:0', {}, 0, [BAD_LENGTH]],
    ['violate the protocol', `unix://${path}`, {}, 0, [BAD_LENGTH]],
    ['violate the protocol', 'tls://127.0.0.1:0', { tls }, SPARE_HANDSHAKES, [BAD_LENGTH]],
    ['violate the protocol', 'ws://127.0.0.1:0/live', {}, SPARE_HANDSHAKES, [request, BAD_FRAME]],
    [
      'violate the protocol within maxSessionsPerAddress',
      'ws://127.0.0.1:0/live',
      { maxSessions: 1_000, maxSessionsPerAddress: MAX_SESSIONS },
      SPARE_HANDSHAKES,
      [request, BAD_FRAME],
    ],
    [
      'violate the protocol',
      'wss://127.0.0.1:0/live',
      { tls },
      SPARE_HANDSHAKES,
      [request, BAD_FRAME],
    ],
    [
      'send a plain HTTP request',
      'ws://127.0.0.1:0/live',
      {},
      SPARE_HANDSHAKES,
      ['GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ],
    [
      'send a CONNECT request',
      'ws://127.0.0.1:0/live',
      {},
      SPARE_HANDSHAKES,
      ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ],
    ['send bytes that are not HTTP', 'ws://127.0.0.1:0/live', {}, SPARE_HANDSHAKES, ['\0\0\0\0']],
    [
      'request another path',
      'wss://127.0.0.1:0/live',
      { tls },
      SPARE_HANDSHAKES,
      [request.replace('/live', '/dead')],
    ],
  ])(
    'that %s at %s count as sessions until their sockets are closed',
    async (_what, address, options, spare, bytes) => {
      const nodeServer = spyOnListen();
      const codec = lengthPrefixed();
      const setup = {
        codec: address.startsWith('ws') ? raw() : codec,
        listener: { onMessage() {}, onError() {} },
      };
      await using server = await serve<Buffer, Uint8Array>(address, setup, {
        maxSessions: MAX_SESSIONS,
        onRefused() {},
        ...options,
      });
      const peers: ReturnType<typeof hostilePeer>[] = [];
      try {
        for (let i = 0; i < PEERS; i++) {
          const peer = hostilePeer(server.address, options.tls !== undefined, bytes);
          peers.push(peer);
          await within(peer.answered, 'the server to answer or to close');
          expect(await countConnections(nodeServer())).toBeLessThanOrEqual(MAX_SESSIONS + spare);
        }
        // The peers do not close, so the server must.
        await until(
          async () => (await countConnections(nodeServer())) === 0,
          'the server has closed each socket',
        );
      } finally {
        for (const { socket } of peers) socket.destroy();
      }
      // The next peer gets a session: all sockets are released.
      const last = hostilePeer(server.address, options.tls !== undefined, [
        bytes.length > 1 ? request : Buffer.from([0]),
      ]);
      if (address.startsWith('ws') && bytes.length === 1) last.socket.destroy();
      else await until(() => server.sessions.size === 1, 'a session is open');
      last.socket.destroy();
      await until(() => server.sessions.size === 0, 'the session has ended');
    },
  );
});

describe('a WebSocket server', () => {
  const PLAIN = 'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n';

  it.each([
    ['an upgrade', request],
    ['a thousand requests', PLAIN.repeat(1_000)],
  ])('drops %s after a request that it refuses', async (_what, more) => {
    const onRefused = vi.fn();
    await using server = await serve(
      'ws://127.0.0.1:0/live',
      { codec: raw(), listener: { onMessage() {} } },
      { onRefused },
    );
    using peer = rawPeer(server.address);
    peer.socket.write(PLAIN + more);
    await within(peer.ended, 'the end of the connection');
    const answer = String(await peer.until((bytes) => bytes.length > 0));
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 426']);
    expect(answer).toMatch(/^Connection: close\r$/m);
    await untilQuiet();
    expect(onRefused).toHaveBeenCalledTimes(1);
    expect(server.refusals.request).toBe(1);
    expect(server.sessions.size).toBe(0);
  });

  it.each([
    ['CONNECT', 405, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a request without Host', 426, 'GET / HTTP/1.1\r\n\r\n'],
    [
      'Expect: 100-continue',
      426,
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n',
    ],
    ['an unknown expectation', 426, 'GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n'],
    ['an incomplete request', 400, 'GET / HTTP/1.1\r\nHo'],
    ['empty lines before the request', 426, '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('refuses and counts %s, with status %i', async (_what, status, bytes) => {
    for (const isOneChunk of [true, false]) {
      await using server = await serve(
        'ws://127.0.0.1:0',
        { codec: raw(), listener: { onMessage() {} } },
        { onRefused() {} },
      );
      using peer = rawPeer(server.address);
      if (isOneChunk) peer.socket.write(bytes);
      else
        for (const byte of bytes) {
          peer.socket.write(byte);
          await turns();
        }
      if (status === 400) peer.socket.end();
      await within(peer.ended, 'the end of the connection');
      expect(String(await peer.until((all) => all.length > 0)).slice(9, 12)).toBe(`${status}`);
      expect(server.refusals.request).toBe(1);
    }
  });

  it('closes a connection that ends without a request', async () => {
    await using server = await serve('ws://127.0.0.1:0', {
      codec: raw(),
      listener: { onMessage() {} },
    });
    using peer = rawPeer(server.address);
    peer.socket.end();
    await within(peer.ended, 'the end of the connection');
    expect(server.refusals.request).toBe(0);
  });

  it.each([
    ['plain HTTP requests', PLAIN],
    ['CONNECT requests', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bytes that are not HTTP', '\0\0\0\0'],
    ['requests of another path', request.replace('/live', '/dead')],
  ])('refuses many peers in many turns of the event loop: %s', async (_what, bytes) => {
    const count = 200;
    let refused = 0;
    /** Takes a millisecond, so that the budget of a turn is used up on every machine. */
    const onRefused = (): void => {
      refused++;
      for (const end = performance.now() + 1; performance.now() < end; );
    };
    const nodeServer = spyOnListen();
    await using server = await serve(
      'ws://127.0.0.1:0/live',
      { codec: raw(), listener: { onMessage() {} } },
      { onRefused },
    );
    const peers = Array.from({ length: count }, () => rawPeer(server.address));
    try {
      await until(
        async () => (await countConnections(nodeServer())) === count,
        'all are connected',
      );
      let maxPerTurn = 0;
      let before = 0;
      for (const { socket } of peers) socket.write(bytes);
      await until(() => {
        maxPerTurn = Math.max(maxPerTurn, refused - before);
        before = refused;
        return refused === count;
      }, 'all are refused');
      expect(maxPerTurn).toBeLessThan(count / 2);
    } finally {
      for (const peer of peers) peer[Symbol.dispose]();
    }
  });
});
