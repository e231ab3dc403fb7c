/** Counters, times, names and addresses of a session. The same on every transport. */
import { expect } from 'vitest';
import { pair, runForEveryTransport } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'counts bytes and messages of both directions in stats'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onMessage: (session, line) => session.write(line) } },
    });
    expect(p.clientSession.stats).toEqual({
      bytesRead: 0,
      messagesRead: 0,
      bytesWritten: 0,
      messagesWritten: 0,
      messagesDropped: 0,
    });
    p.clientSession.write('four');
    p.clientSession.write('grün');
    p.clientSession.writeBytes(Buffer.from('raw\n'));
    await p.clientEvents.messages.take(3);
    expect(p.clientSession.stats).toEqual({
      bytesRead: 15,
      messagesRead: 3,
      bytesWritten: 15,
      messagesWritten: 2,
      messagesDropped: 0,
    });
    expect(p.serverSession.stats).toEqual({
      bytesRead: 15,
      messagesRead: 3,
      bytesWritten: 15,
      messagesWritten: 3,
      messagesDropped: 0,
    });
  },

  async 'sets active when bytes of the peer arrive'(row) {
    await using p = await pair(row);
    const updating = Date.now();
    p.serverSession.updateActive();
    const before = p.serverSession.active;
    expect(before).toBeGreaterThan(updating - 1_000);
    const start = performance.now();
    await until(() => performance.now() > start + 1, 'a millisecond has passed');
    p.serverSession.write('sent by this side');
    await p.clientEvents.messages.next();
    expect(p.serverSession.active).toBe(before);
    p.clientSession.write('received from the peer');
    await p.serverEvents.messages.next();
    expect(p.serverSession.active).toBeGreaterThan(before);
  },

  async 'has a name, an id, addresses and attributes'(row) {
    await using p = await pair(row, { clientSide: { name: 'lamp' } });
    expect(p.clientSession.name).toBe('lamp');
    expect(p.serverSession.name).toBe(`session-${p.serverSession.id}`);
    expect(p.serverSession.id).not.toBe(p.clientSession.id);
    expect(p.clientSession.remoteAddress).toBe(p.server.address);
    expect(p.serverSession.localAddress).toBe(p.server.address);
    for (const { remoteHost, remoteAddress } of [p.serverSession, p.clientSession])
      expect(remoteHost).toBe(/^\w+:\/\/([\w.]+):\d+/.exec(remoteAddress)?.[1]);
    expect(p.clientSession.localAddress).not.toBe(p.clientSession.remoteAddress);
    expect(p.serverSession.maxMessageBytes).toBe(1024 * 1024);
    p.clientSession.attributes.set('table', 7);
    expect(p.clientSession.attributes.get('table')).toBe(7);
    expect(p.serverSession.attributes.size).toBe(0);
  },

  async 'has the local address of the peer as its remote address'(row) {
    await using p = await pair(row);
    expect(p.serverSession.remoteAddress).toBe(p.clientSession.localAddress);
    expect(p.clientSession.remoteAddress).toBe(p.serverSession.localAddress);
  },
});
