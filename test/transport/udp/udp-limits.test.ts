/** The limits of a UDP server: sessions, bytes of a paused session, and silence. */
import { Socket } from 'node:dgram';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  bytes,
  connectRaw,
  ECHO,
  PlainPeer,
  QUIET_TURNS,
  serveRaw,
} from '../../fixtures/udp-endpoints.js';
import { turns, until } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

/** Advances the fake clock in steps of 1 s. A larger step would look like a blocked process. */
async function passTime(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    vi.advanceTimersByTime(1_000);
    await turns(2);
  }
}

describe('many peers or datagrams', () => {
  it('create at most maxSessions sessions, which stay usable, and one warning', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveRaw(ECHO, { maxSessions: 50 });
    using first = new PlainPeer(server.address);
    expect(await first.request('first')).toBe('first');
    for (let batch = 0; batch < 10; batch++) {
      const peers = Array.from({ length: 100 }, () => new PlainPeer(server.address));
      await Promise.all(peers.map((peer) => peer.send('hello')));
      // The server handles datagrams in order, so this datagram is handled last.
      expect(await first.request(`batch ${batch}`)).toBe(`batch ${batch}`);
      for (const peer of peers) peer.socket.close();
    }
    expect(server.endpoint.sessions.size).toBe(50);
    expect(server.events.opened.all.length).toBe(50);
    expect(warning.mock.calls.length).toBe(1);
    expect(warning.mock.calls[0]?.[0]).toMatchObject({
      code: 'SESSION_REFUSED',
      message: expect.stringMatching(/^peers refused at udp:.*: 1, .*maxSessions, 50,/),
    });

    using late = new PlainPeer(server.address);
    await late.send('hello');
    await first.request('x');
    expect(late.received.all).toEqual([]);
    await server.events.opened.all[7]?.close();
    expect(await late.request('hello')).toBe('hello');
  });

  it('create at most maxSessions sessions on other transports too', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const setup = { codec: lines(), listener: { onMessage: () => {} } };
    await using server = await serve('memory://full', setup, { maxSessions: 1 });
    await using _one = await connect(server.address, setup, { reconnect: false });
    const events = new Recorder<string>('the second client');
    await using _other = await connect(
      server.address,
      { codec: lines(), listener: events },
      { reconnect: false },
    );
    await events.closed.next();
    expect(server.sessions.size).toBe(1);
    expect(warning.mock.calls[0]?.[0]).toMatchObject({ code: 'SESSION_REFUSED' });
  });

  it('from one address or from one port have a session for each address and port', async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    await using server = await serveRaw({}, { maxSessions: 10_000 });
    const [socket] = bind.mock.contexts as Socket[];
    for (let i = 0; i < 2_000; i++) {
      const address = i % 2 === 0 ? '10.0.0.1' : `10.1.${i >> 8}.${i & 255}`;
      socket?.emit('message', bytes(`${i}`), {
        address,
        family: 'IPv4',
        port: i % 2 === 0 ? 1 + i : 53,
        size: 4,
      });
    }
    expect(server.endpoint.sessions.size).toBe(2_000);
    expect(
      new Set([...server.endpoint.sessions].map((session) => session.remoteAddress)).size,
    ).toBe(2_000);
  });

  it('do not exceed the buffer of a paused session, also if they are empty, and later datagrams arrive', async () => {
    await using server = await serveRaw({ onOpen: (session) => session.pause() });
    using peer = new PlainPeer(server.address);
    await peer.send('first');
    const session = await server.events.opened.next();
    for (let i = 0; i < 40; i++) {
      for (let n = 0; n < 25; n++) await peer.send(n % 5 === 0 ? Buffer.alloc(2_000) : '');
      await turns(2);
    }
    session.resume();
    await peer.send('last');
    await until(
      () => String(server.events.messages.all.at(-1)) === 'last',
      'the last datagram arrives',
    );
    const kept = server.events.messages.all.slice(0, -1);
    expect(session.stats.messagesDropped).toBeGreaterThan(0);
    expect(kept.length + session.stats.messagesDropped).toBeLessThanOrEqual(1_001);
    expect(kept.length).toBeGreaterThan(50);
    expect(kept.length).toBeLessThan(260);
    expect(kept.reduce((sum, datagram) => sum + datagram.length, 0)).toBeLessThan(70_000);
  });

  it('are delivered one by one to a listener that pauses in onMessage', async () => {
    await using server = await serveRaw({ onMessage: (session) => session.pause() });
    using peer = new PlainPeer(server.address);
    await peer.send('0');
    const session = await server.events.opened.next();
    for (let i = 1; i <= 20; i++) await peer.send(`${i}`);
    await turns(QUIET_TURNS);
    for (let i = 1; i <= 20; i++) {
      expect(server.events.messages.all.length).toBe(i);
      session.resume();
    }
    expect(server.events.messages.all.length).toBe(21);
  });
});

describe('a silent peer', () => {
  it('loses its session after 60 s by default', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      await using server = await serveRaw(ECHO);
      using peer = new PlainPeer(server.address);
      await peer.request('hello');
      await passTime(59_000);
      await turns(QUIET_TURNS);
      expect(server.endpoint.sessions.size).toBe(1);
      expect(await peer.request('hello')).toBe('hello');
      await passTime(59_000);
      await turns(QUIET_TURNS);
      expect(server.endpoint.sessions.size).toBe(1);
      await passTime(20_000);
      await server.events.closed.next();
      expect(server.events.errors.all).toMatchObject([
        { code: 'IDLE_TIMEOUT', message: expect.stringContaining('idleTimeout is 60000 ms') },
      ]);
      expect(server.endpoint.sessions.size).toBe(0);
      expect(await peer.request('hello')).toBe('hello');
      expect(server.events.opened.all.length).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('keeps its session if idleTimeout of the setup is 0', async () => {
    await using server = await serveRaw(ECHO, { idleTimeout: 0 });
    using peer = new PlainPeer(server.address);
    await peer.request('hello');
    expect([...server.endpoint.sessions][0]?.idleTimeout).toBe(0);
  });

  it('keeps its session when the system clock is set forward by an hour', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    try {
      await using server = await serveRaw(ECHO);
      using peer = new PlainPeer(server.address);
      await peer.request('hello');
      vi.setSystemTime(Date.now() + 3_600_000);
      await passTime(30_000);
      await turns(QUIET_TURNS);
      expect(server.endpoint.sessions.size).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('loses its session after idleTimeout of the setup; a client has no default', async () => {
    await using server = await serveRaw(ECHO, { idleTimeout: 40 });
    await using client = await connectRaw(server.address);
    expect(await server.events.errors.next()).toMatchObject({
      code: 'IDLE_TIMEOUT',
      message: expect.stringContaining('idleTimeout is 40 ms'),
    });
    await server.events.closed.next();
    client.session.write(bytes('hello'));
    expect(String(await client.events.messages.next())).toBe('hello');
    expect(server.events.opened.all.length).toBe(2);
    server.events.errors.dismiss();
  });
});
