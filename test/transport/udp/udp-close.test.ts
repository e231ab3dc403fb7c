/** How sessions, clients and servers of UDP close. */
import { describe, expect, it } from 'vitest';
import { connect, raw } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { bytes, ECHO, PlainPeer, serveRaw } from '../../fixtures/udp-endpoints.js';
import { within } from '../../fixtures/waiting.js';

noLeaks();

describe('the end of a session', () => {
  it('comes after close() has sent the written messages, and does not wait for the peer', async () => {
    await using server = await serveRaw();
    const events = new Recorder<Buffer>('the client');
    await using client = await connect<Buffer>(
      server.address,
      { codec: raw(), listener: events, waitTime: 300_000 },
      { reconnect: false },
    );
    const session = await client.session();
    session.write(bytes('last'));
    await within(session.close(), 'the close');
    expect(String(await server.events.messages.next())).toBe('last');
    expect(events.log).toEqual(['open', 'close']);
    expect(server.endpoint.sessions.size).toBe(1);
  });

  it('on the server lets the next datagram of the peer create a new session', async () => {
    await using server = await serveRaw(ECHO);
    using peer = new PlainPeer(server.address);
    await peer.request('one');
    await (await server.events.opened.next()).close();
    expect(server.endpoint.sessions.size).toBe(0);
    expect(await peer.request('two')).toBe('two');
    (await server.events.opened.next()).destroy();
    expect(await peer.request('three')).toBe('three');
    expect(server.events.log.filter((event) => event !== 'message')).toEqual([
      'open',
      'close',
      'open',
      'close',
      'open',
    ]);
  });

  it('comes at once if onOpen throws, and the server continues', async () => {
    let isRefusing = true;
    await using server = await serveRaw({
      onOpen: () => {
        if (isRefusing) throw new Error('refused');
      },
      ...ECHO,
    });
    using peer = new PlainPeer(server.address);
    await peer.send('one');
    expect((await server.events.errors.next()).code).toBe('SESSION_REFUSED');
    await server.events.closed.next();
    expect([
      server.endpoint.sessions.size,
      peer.received.all.length,
      server.events.messages.all.length,
    ]).toEqual([0, 0, 0]);
    isRefusing = false;
    expect(await peer.request('two')).toBe('two');
  });

  it('settles stopListening() when it is the last one; until then new peers get no session', async () => {
    await using server = await serveRaw(ECHO);
    using peer = new PlainPeer(server.address);
    await peer.request('hello');
    let isFree = false;
    const stopped = server.endpoint.stopListening().then(() => {
      isFree = true;
    });
    using late = new PlainPeer(server.address);
    await late.send('hello');
    expect(await peer.request('hello')).toBe('hello');
    expect([server.endpoint.sessions.size, late.received.all.length, isFree]).toEqual([
      1,
      0,
      false,
    ]);
    await server.events.opened.all[0]?.close();
    await within(stopped, 'the port to be free');
    await using again = await serveRaw(ECHO, {}, server.address);
    expect(await peer.request('hello')).toBe('hello');
    expect(again.address).toBe(server.address);
  });

  it('of each peer comes when the server closes, and then its address is free', async () => {
    const server = await serveRaw(ECHO);
    using one = new PlainPeer(server.address);
    using other = new PlainPeer(server.address);
    await Promise.all([one.request('x'), other.request('x')]);
    await within(server.endpoint.close(), 'the server to close');
    expect(server.events.log.filter((event) => event === 'close').length).toBe(2);
    await using again = await serveRaw(ECHO, {}, server.address);
    again.endpoint.destroy();
    await again.endpoint.close();
  });
});
