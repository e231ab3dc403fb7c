/** A large message on a slow line is no silence. */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

const STEP = 20;
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/**
 * A proxy that passes `bytesPerSecond` from the clients to the server, and everything back at once.
 * Answers its port.
 */
async function slowLine(port: number, bytesPerSecond: number): Promise<number> {
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  const share = Math.ceil((bytesPerSecond * STEP) / 1_000);
  const proxy = createServer((client) => {
    const server = dial(port, '127.0.0.1');
    server.pipe(client);
    const timer = setInterval(() => {
      const bytes = client.read(Math.min(share, client.readableLength));
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
  ends.push(async () => {
    for (const timer of timers) clearInterval(timer);
    for (const socket of sockets) socket.destroy();
    await once(proxy.close(), 'close');
  });
  return (proxy.address() as AddressInfo).port;
}

const Store = contract('Store', { put: unary<string, number>() });

test.each(['tcp', 'ws'])(
  '%s: the session outlives a call that takes many heartbeat timeouts to arrive',
  async (scheme) => {
    await using server = await serve(`${scheme}://127.0.0.1:0`, [
      implement(Store, { put: (text) => text.length }),
    ]);
    const port = await slowLine(Number(new URL(server.address).port), 20_000);
    const reachable: boolean[] = [];
    await using client = await connect(`${scheme}://127.0.0.1:${port}`, {
      connections: 1,
      reconnect: false,
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
