/** Server.writeTo(): a server of UDP sends to a peer by its address. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { raw, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { thrown } from '../../fixtures/transports.js';
import {
  ANY_UDP,
  bytes,
  connectRaw,
  ECHO,
  HAS_IPV6,
  PlainPeer,
  serveRaw,
} from '../../fixtures/udp-endpoints.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

describe('writeTo', () => {
  it('creates the session of a peer that has sent nothing, and trusts the peer', async () => {
    await using server = await serveRaw();
    using peer = new PlainPeer(server.address);
    await peer.bind();
    expect(server.endpoint.writeTo(Buffer.alloc(5_000), peer.address)).toBe(true);
    expect((await peer.received.next()).length).toBe(5_000);
    const session = await server.events.opened.next();
    expect(session.remoteAddress).toBe(peer.address);
    await peer.send('short');
    expect(String(await server.events.messages.next())).toBe('short');
    server.endpoint.writeTo(Buffer.alloc(6_000), peer.address);
    expect((await peer.received.next()).length).toBe(6_000);
    expect(server.endpoint.sessions.size).toBe(1);
  });

  it('uses the session of a peer that has sent a datagram, and does not trust the peer', async () => {
    await using server = await serveRaw();
    using peer = new PlainPeer(server.address);
    await peer.send('hi');
    await server.events.messages.next();
    expect(thrown(() => server.endpoint.writeTo(bytes('a long answer'), peer.address)).code).toBe(
      'PEER_NOT_TRUSTED',
    );
    server.endpoint.writeTo(bytes('hi'), peer.address);
    expect(String(await peer.received.next())).toBe('hi');
    expect(server.endpoint.sessions.size).toBe(1);
  });

  it.skipIf(!HAS_IPV6)('accepts an IPv6 address in any form', async () => {
    await using server = await serveRaw(ECHO, {}, 'udp://[::1]:0');
    await using client = await connectRaw(server.address);
    await server.events.opened.next();
    server.endpoint.writeTo(
      bytes('hello'),
      `udp://[0:0::0001]:${portOf(client.session.localAddress)}`,
    );
    expect(String(await client.events.messages.next())).toBe('hello');
    expect(server.endpoint.sessions.size).toBe(1);
  });

  it('throws BAD_ADDRESS for an invalid address, or one of another family or scheme', async () => {
    await using server = await serveRaw();
    for (const peer of [
      '',
      'udp://localhost:53',
      'udp://127.0.0.1:0',
      'udp://[::1]:53',
      'tcp://127.0.0.1:53',
      '127.0.0.1:53',
    ]) {
      expect([peer, thrown(() => server.endpoint.writeTo(bytes('x'), peer)).code]).toEqual([
        peer,
        'BAD_ADDRESS',
      ]);
    }
    expect(server.endpoint.sessions.size).toBe(0);
    if (!HAS_IPV6) return;
    await using ipv6Server = await serveRaw({}, {}, 'udp://[::1]:0');
    expect(
      thrown(() => ipv6Server.endpoint.writeTo(bytes('x'), 'udp://127.0.0.1:53')).message,
    ).toContain('an IPv6 address');
  });

  it('throws if maxSessions or the setup refuses the session, or the server is closed or not UDP', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveRaw(ECHO, { maxSessions: 1 });
    using peer = new PlainPeer(server.address);
    await peer.request('x');
    expect(thrown(() => server.endpoint.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'SESSION_REFUSED',
    );
    void server.endpoint.stopListening();
    expect(thrown(() => server.endpoint.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'ENDPOINT_CLOSED',
    );
    await server.endpoint.close();
    expect(thrown(() => server.endpoint.writeTo(bytes('x'), peer.address)).code).toBe(
      'ENDPOINT_CLOSED',
    );

    await using refusing = await serve<Buffer>(ANY_UDP, () => {
      throw new Error('refused');
    });
    expect(thrown(() => refusing.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'SESSION_REFUSED',
    );
    await using memory = await serve('memory://', {
      codec: raw(),
      listener: { onMessage: () => {} },
    });
    expect(thrown(() => memory.writeTo(bytes('x'), 'memory://x'))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('udp://'),
    });
  });
});
