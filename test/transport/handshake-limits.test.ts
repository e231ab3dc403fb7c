/** Limits of handshakes in progress, of refused peers and of descriptors. */
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { sessionsWithin } from '../../src/transport/descriptors.js';
import { connect, type ServerOptions } from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  RAW_SETUP,
  refusalCounts,
  serveRecording,
  silentPeer,
  upgradeStatus,
} from '../fixtures/refusals.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

noLeaks();

/** Handshakes that may be in progress beyond maxSessions. */
const SPARE_HANDSHAKES = 16;

it.each<[scheme: string, options: ServerOptions]>([
  ['ws', { maxSessions: 2 }],
  ['ws', { maxSessionsPerAddress: 2 }],
  ['tls', { maxSessions: 2 }],
  ['wss', { maxSessions: 2, maxSessionsPerAddress: 3 }],
])(
  '%s, %o: counts handshakes in progress, and no handshakes that have ended',
  async (scheme, options) => {
    const tls = scheme === 'ws' ? undefined : SERVER_TLS;
    await using server = await serveRecording(`${scheme}://127.0.0.1:0`, { tls, ...options });
    const closed: Socket[] = [];
    const sockets = Array.from({ length: 2 + SPARE_HANDSHAKES + 20 }, () =>
      silentPeer(server.address),
    );
    for (const socket of sockets) socket.once('close', () => closed.push(socket));
    await until(() => closed.length === 20, 'the connections over the limit are closed');
    expect(refusalCounts(server.server)).toEqual({ limit: 20 });
    for (const socket of sockets) socket.destroy();
    await until(() => closed.length === sockets.length, 'all connections are closed');
    await within(
      (async () => {
        for (;;) {
          try {
            await using client = await connect(server.address, RAW_SETUP, {
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
      'a session to open',
    );
  },
);

it('answers a WebSocket request over maxSessions with status 503', async () => {
  await using server = await serveRecording('ws://127.0.0.1:0', { maxSessions: 1 });
  await using client = await connect(server.address, RAW_SETUP);
  await client.session();
  expect(await upgradeStatus(server.address)).toBe(503);
  const { peer, error } = await server.refusals.next();
  expect(error).toMatchObject({
    reason: 'limit',
    status: 503,
    message: 'maxSessions, 1, are open',
  });
  expect(peer.request?.url).toBe('/');
});

it('closes the connection of a refused peer that continues to send', async () => {
  await using server = await serveRecording('ws://127.0.0.1:0/live');
  using peer = rawPeer(server.address);
  const closed = new Promise((resolve) => peer.socket.once('close', resolve));
  peer.socket.write(handshakeRequest(server.address.replace('live', 'dead')));
  await peer.ended;
  const sending = setInterval(
    () => peer.socket.writable && peer.socket.write(Buffer.alloc(65_536)),
    5,
  );
  try {
    await within(closed, 'the connection to close');
  } finally {
    clearInterval(sending);
  }
});

it.each<[limit: number, inUse: number, sessions: number]>([
  [60, 20, 8],
  [1_024, 24, 897],
  [1_000_000, 100, 899_900],
  [30, 20, 1],
])('permits, of %i descriptors with %i in use, %i sessions', (limit, inUse, sessions) => {
  expect(sessionsWithin(limit, inUse)).toBe(sessions);
});
