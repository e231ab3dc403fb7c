/** A server has no more sockets open than its limit of sessions allows, whatever its peers do. */
import { connect as connectTcp, Server as StreamServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { lengthPrefixed, raw, type ServerOptions, serve } from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

const MAX_SESSIONS = 4;
/** Handshakes beyond maxSessions, as its documentation says. */
const SPARE = 16;
const PEERS = 3 * (MAX_SESSIONS + SPARE);

/** A length beyond every limit. */
const BAD_LENGTH = Buffer.alloc(8, 0xff);
/** A frame of a client must be masked. */
const BAD_FRAME = Buffer.from('810178', 'hex');
const request = handshakeRequest('ws://127.0.0.1/live');

/** The server of Node.js that listens next. */
function spyOnListen(): () => StreamServer {
  const listen = vi.spyOn(StreamServer.prototype, 'listen');
  return () => listen.mock.contexts[0] as StreamServer;
}

function connectionsOf(server: StreamServer): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}

/**
 * A peer that never ends its side. Settles `answered` when the server has answered, ended or
 * closed.
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
  const path = join(tmpdir(), `getty-places-${process.pid}.sock`);
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
    ['break the protocol', 'tcp://127.0.0.1:0', {}, 0, [BAD_LENGTH]],
    ['break the protocol', `unix://${path}`, {}, 0, [BAD_LENGTH]],
    ['break the protocol', 'tls://127.0.0.1:0', { tls }, SPARE, [BAD_LENGTH]],
    ['break the protocol', 'ws://127.0.0.1:0/live', {}, SPARE, [request, BAD_FRAME]],
    [
      'break the protocol of each address',
      'ws://127.0.0.1:0/live',
      { maxSessions: 1_000, maxSessionsPerAddress: MAX_SESSIONS },
      SPARE,
      [request, BAD_FRAME],
    ],
    ['break the protocol', 'wss://127.0.0.1:0/live', { tls }, SPARE, [request, BAD_FRAME]],
    [
      'ask for no WebSocket',
      'ws://127.0.0.1:0/live',
      {},
      SPARE,
      ['GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ],
    [
      'ask for a tunnel',
      'ws://127.0.0.1:0/live',
      {},
      SPARE,
      ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ],
    ['send no HTTP', 'ws://127.0.0.1:0/live', {}, SPARE, ['\0\0\0\0']],
    [
      'ask for another path',
      'wss://127.0.0.1:0/live',
      { tls },
      SPARE,
      [request.replace('/live', '/dead')],
    ],
  ])(
    'that %s, at %s, hold their places until their sockets are closed',
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
          expect(await connectionsOf(nodeServer())).toBeLessThanOrEqual(MAX_SESSIONS + spare);
        }
        // The peers stay, and the server closes.
        await until(
          async () => (await connectionsOf(nodeServer())) === 0,
          'the server has closed each socket',
        );
      } finally {
        for (const { socket } of peers) socket.destroy();
      }
      // No place is lost.
      const last = hostilePeer(server.address, options.tls !== undefined, [
        bytes.length > 1 ? request : Buffer.from([0]),
      ]);
      if (address.startsWith('ws') && bytes.length === 1) last.socket.destroy();
      else await until(() => server.sessions.size === 1, 'a session is open');
      last.socket.destroy();
      await until(() => server.sessions.size === 0, 'the session is over');
    },
  );
});

describe('a WebSocket server', () => {
  const PLAIN = 'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n';

  it.each([
    ['an upgrade', request],
    ['a thousand requests', PLAIN.repeat(1_000)],
  ])('reads nothing after a request that it refuses: %s', async (_what, more) => {
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
    await turns(20);
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
    ['a request that is cut off', 400, 'GET / HTTP/1.1\r\nHo'],
    ['empty lines before the request', 426, '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('counts %s as refused, with status %i', async (_what, status, bytes) => {
    for (const isWhole of [true, false]) {
      await using server = await serve(
        'ws://127.0.0.1:0',
        { codec: raw(), listener: { onMessage() {} } },
        { onRefused() {} },
      );
      using peer = rawPeer(server.address);
      if (isWhole) peer.socket.write(bytes);
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

  it('closes a connection that ends before it asks for anything', async () => {
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
    ['that ask for no WebSocket', PLAIN],
    ['that ask for a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['that are no HTTP', '\0\0\0\0'],
    ['of another path', request.replace('/live', '/dead')],
  ])('answers many requests at once in many turns of the event loop: %s', async (_what, bytes) => {
    const count = 200;
    let refused = 0;
    /** Each takes a millisecond, so that the share of a turn is used up on every machine. */
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
      await until(async () => (await connectionsOf(nodeServer())) === count, 'all are connected');
      let most = 0;
      let before = 0;
      for (const { socket } of peers) socket.write(bytes);
      await until(() => {
        most = Math.max(most, refused - before);
        before = refused;
        return refused === count;
      }, 'all are refused');
      expect(most).toBeLessThan(count / 2);
    } finally {
      for (const peer of peers) peer[Symbol.dispose]();
    }
  });
});
