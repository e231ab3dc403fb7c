/** A proxy as the command line starts it: with an observer, and a limit of connections. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type ProxyObserver, startProxy } from '../../../src/testing/proxy/index.js';
import { parseAddress } from '../../../src/transport/address.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox, turns } from '../../fixtures/waiting.js';
import { UDP } from './proxied-echo.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

/** A target that takes datagrams, a proxy for at most two clients, and what was observed. */
async function datagramProxy() {
  const target = createSocket('udp4').bind(0, '127.0.0.1');
  await once(target, 'listening');
  const events = new Inbox<string>('an event');
  const observer: ProxyObserver = {
    onOpen: (connection) => events.push(`open ${connection}`),
    onBytes(connection, direction, bytes) {
      events.push(`${connection} ${direction} ${bytes}`);
      return undefined;
    },
    onClose: (connection) => events.push(`close ${connection}`),
    onRefused: (connection) => events.push(`refused ${connection}`),
  };
  const network = await startProxy(
    `udp://127.0.0.1:${target.address().port}`,
    {},
    { listen: UDP, listenSchemes: ['udp'], seed: 1, maxConnections: 2, observer },
  );
  const { port } = parseAddress(network.boundAddress, ['udp']);
  const clients = Array.from({ length: 3 }, () => createSocket('udp4'));
  return {
    events,
    network,
    send: (client: number, text: string) => clients[client]?.send(text, port, '127.0.0.1'),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await network.close();
      target.close();
      await turns(2);
    },
  };
}

describe('a proxy of datagrams with a limit', () => {
  test('refuses new clients while the others send', async () => {
    await using all = await datagramProxy();
    all.send(0, 'a');
    expect(await all.events.take(2)).toEqual(['open 1', '1 toServer a']);
    all.send(1, 'b');
    expect(await all.events.take(2)).toEqual(['open 2', '2 toServer b']);
    all.send(2, 'c');
    expect(await all.events.next()).toBe('refused 3');
    expect(all.network.connections).toBe(2);
  });

  test('replaces the client that has been silent longest, after 60 s', async () => {
    await using all = await datagramProxy();
    all.send(0, 'a');
    await all.events.take(2);
    all.send(1, 'b');
    await all.events.take(2);
    all.send(0, 'again');
    await all.events.next();
    const { now } = performance;
    vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 60_000);
    all.send(2, 'c');
    expect(await all.events.take(3)).toEqual(['close 2', 'open 3', '3 toServer c']);
  });
});
