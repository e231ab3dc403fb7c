/** A large message on a slow connection does not end its session. */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce } from '../../fixtures/rpc.js';

noLeaks();

/** Milliseconds between two parts. */
const STEP = 20;
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/**
 * Starts a proxy that passes `bytesPerSecond` to the server and all answers at once. Returns its
 * port.
 */
async function startSlowProxy(port: number, bytesPerSecond: number): Promise<number> {
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  const part = Math.ceil((bytesPerSecond * STEP) / 1_000);
  const proxy = createServer((client) => {
    const server = dial(port, '127.0.0.1');
    server.pipe(client);
    const timer = setInterval(() => {
      const bytes = client.read(Math.min(part, client.readableLength));
      if (bytes !== null) server.write(bytes);
    }, STEP);
    timers.add(timer);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        clearInterval(timer);
        client.destroy();
        server.destroy();
      });
    }
    client.on('readable', () => {});
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  stops.push(async () => {
    for (const timer of timers) clearInterval(timer);
    for (const socket of sockets) socket.destroy();
    await once(proxy.close(), 'close');
  });
  return (proxy.address() as AddressInfo).port;
}

const Store = contract('Store', { put: unary<string, number>() });

test.each(['tcp', 'ws'])(
  '%s: the session stays open while a call takes many heartbeat timeouts to arrive',
  async (scheme) => {
    await using server = await serve(`${scheme}://127.0.0.1:0`, [
      implement(Store, { put: (text) => text.length }),
    ]);
    const port = await startSlowProxy(Number(new URL(server.address).port), 20_000);
    const reachable: boolean[] = [];
    await using client = await connectOnce(`${scheme}://127.0.0.1:${port}`, {
      heartbeatPeriod: 300,
      heartbeatTimeout: 1_000,
      onReady: (ready) => reachable.push(ready),
    });
    const stub = client.stub(Store);
    await stub.put('');
    expect(await stub.put('x'.repeat(60_000), { timeout: 120_000 })).toBe(60_000);
    expect(reachable).toEqual([true]);
  },
);
