/** Functions of the program that never decide on a request. */
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { lines, serve, type WebSocketOptions } from '../../../../src/transport/index.js';
import { reachableBytes } from '../../../fixtures/garbage.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { portOf } from '../../../fixtures/ports.js';
import { connectTcp } from '../../../fixtures/tls-endpoints.js';
import { until } from '../../../fixtures/waiting.js';
import { handshakeRequest } from '../../../fixtures/websocket.js';

noLeaks();

const COUNT = 200;
/** Bytes of a header of each request. */
const PADDING = 12_000;

test.each(['allowOrigin', 'isHealthy'])(
  '%s that never settles keeps nothing of requests that have timed out',
  async (name) => {
    // As a driver of a database that hangs, which keeps its requests.
    const asked: unknown[] = [];
    const ask = (): Promise<boolean> =>
      new Promise((resolve) => {
        asked.push(resolve);
      });
    const websocket: WebSocketOptions =
      name === 'isHealthy' ? { health: { path: '/health', isHealthy: ask } } : { allowOrigin: ask };
    await using server = await serve(
      'ws://127.0.0.1:0',
      { codec: lines(), listener: { onMessage() {} } },
      { websocket, handshakeTimeout: 500, maxSessions: 10 * COUNT },
    );
    const padding = `X-Padding: ${'x'.repeat(PADDING)}`;
    const request =
      name === 'isHealthy'
        ? `GET /health HTTP/1.1\r\nHost: a.example\r\n${padding}\r\n\r\n`
        : handshakeRequest(server.address, ['Origin: http://a.example', padding]);
    const send = async (count: number): Promise<void> => {
      const sockets: Socket[] = await Promise.all(
        Array.from({ length: count }, () => connectTcp(portOf(server.address))),
      );
      const closed = Promise.all(
        sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))),
      );
      const before = server.refusals.timeout;
      for (const socket of sockets) socket.resume().write(request);
      await until(() => server.refusals.timeout === before + count, 'all have timed out');
      await closed;
    };
    // The first time, code is compiled, and that takes memory too.
    await send(20);
    const before = reachableBytes();
    await send(COUNT);
    expect(asked).toHaveLength(20 + COUNT);
    expect(reachableBytes() - before).toBeLessThan(COUNT * PADDING);
  },
);
