/** Counters, times, names and addresses of a session. The same on every transport. */
import { expect } from 'vitest';
import { pair, runForEveryTransport } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'counts bytes and messages of both directions in stats'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => session.write(line) } },
    });
    expect(p.near.stats).toEqual({
      bytesRead: 0,
      messagesRead: 0,
      bytesWritten: 0,
      messagesWritten: 0,
      messagesDropped: 0,
    });
    p.near.write('four');
    p.near.write('grün');
    p.near.writeBytes(Buffer.from('raw\n'));
    await p.nearEvents.messages.take(3);
    expect(p.near.stats).toEqual({
      bytesRead: 15,
      messagesRead: 3,
      bytesWritten: 15,
      messagesWritten: 2,
      messagesDropped: 0,
    });
    expect(p.far.stats).toEqual({
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
    p.far.updateActive();
    const before = p.far.active;
    expect(before).toBeGreaterThan(updating - 1_000);
    const start = performance.now();
    await until(() => performance.now() > start + 1, 'a millisecond has passed');
    p.far.write('sent by this side');
    await p.nearEvents.messages.next();
    expect(p.far.active).toBe(before);
    p.near.write('received from the peer');
    await p.farEvents.messages.next();
    expect(p.far.active).toBeGreaterThan(before);
  },

  async 'has a name, an id, addresses and attributes'(row) {
    await using p = await pair(row, { near: { name: 'lamp' } });
    expect(p.near.name).toBe('lamp');
    expect(p.far.name).toBe(`session-${p.far.id}`);
    expect(p.far.id).not.toBe(p.near.id);
    expect(p.near.remoteAddress).toBe(p.server.address);
    expect(p.far.localAddress).toBe(p.server.address);
    expect(p.near.localAddress).not.toBe(p.near.remoteAddress);
    expect(p.far.maxMessageBytes).toBe(1024 * 1024);
    p.near.attributes.set('table', 7);
    expect(p.near.attributes.get('table')).toBe(7);
    expect(p.far.attributes.size).toBe(0);
  },

  async 'has the local address of the peer as its remote address'(row) {
    await using p = await pair(row);
    expect(p.far.remoteAddress).toBe(p.near.localAddress);
    expect(p.near.remoteAddress).toBe(p.far.localAddress);
  },
});
