/** The limit of what a UDP server sends to a peer that is not trusted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventListener, SendError } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { bytes, ECHO, PlainPeer, QUIET_TURNS, serveRaw } from '../../fixtures/udp-endpoints.js';
import { turns } from '../../fixtures/waiting.js';

noLeaks();

describe('udp.amplification', () => {
  /** Answers the message `SIZE COUNT` with COUNT datagrams of SIZE bytes. */
  const answerAsRequested: Partial<EventListener<Buffer>> = {
    onMessage(session, datagram) {
      const [size = 0, count = 1] = String(datagram).trim().split(' ').map(Number);
      for (let i = 0; i < count; i++) session.write(Buffer.alloc(size));
    },
  };
  const notTrusted = {
    code: 'HANDLER_FAILED',
    cause: expect.objectContaining({ code: 'PEER_NOT_TRUSTED' }),
  };

  it('limits the bytes of answers to the received bytes by default', async () => {
    await using server = await serveRaw(answerAsRequested);
    using peer = new PlainPeer(server.address);
    expect((await peer.request('10'.padEnd(10))).length).toBe(10);
    await peer.send('11'.padEnd(10));
    const error = await server.events.errors.next();
    expect(error).toMatchObject(notTrusted);
    expect((error.cause as Error).message).toMatch(
      /cannot send 11 bytes .*may get 10 bytes in 1 datagrams .*trust\(\).*udp\.amplification/,
    );
    expect([...server.endpoint.sessions].map((session) => session.closed)).toEqual([false]);
    await peer.send('1');
    expect((await peer.received.next()).length).toBe(1);
    await turns(QUIET_TURNS);
    expect(peer.received.unread).toEqual([]);
  });

  it('limits the number of answers to the number of received datagrams', async () => {
    await using server = await serveRaw(answerAsRequested);
    using peer = new PlainPeer(server.address);
    await peer.send('1 2'.padEnd(1_000));
    expect(await server.events.errors.next()).toMatchObject(notTrusted);
    expect((await peer.received.next()).length).toBe(1);
    await turns(QUIET_TURNS);
    expect(peer.received.unread).toEqual([]);
  });

  it('limits the answers for any sequence of requests', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(200), fc.nat(5), fc.nat(100)), { minLength: 1, maxLength: 15 }),
        async (requests) => {
          // A new server for each run, because a peer may get the port of an earlier peer, whose
          // limit would count too.
          await using server = await serveRaw(answerAsRequested);
          using peer = new PlainPeer(server.address);
          let sentBytes = 0;
          for (const [size, count, padding] of requests) {
            const request = `${size} ${count}`.padEnd(padding);
            sentBytes += request.length;
            await peer.send(request);
          }
          // The server handles datagrams in order, so all requests are handled before this one.
          using last = new PlainPeer(server.address);
          await last.request('1');
          await turns(2);
          const receivedBytes = peer.received.all.reduce(
            (sum, datagram) => sum + datagram.length,
            0,
          );
          expect(receivedBytes).toBeLessThanOrEqual(sentBytes);
          expect(peer.received.all.length).toBeLessThanOrEqual(requests.length);
          server.events.errors.dismiss();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('counts the 12 bytes of connect-ping, so that onOpen may send 12 bytes', async () => {
    let size = 12;
    await using server = await serveRaw({
      onOpen: (session) => void session.write(Buffer.alloc(size)),
    });
    using peer = new PlainPeer(server.address);
    await peer.send('connect-ping');
    expect((await peer.received.next()).length).toBe(12);
    size = 13;
    using other = new PlainPeer(server.address);
    await other.send('connect-ping');
    expect(await server.events.errors.next()).toMatchObject({
      code: 'SESSION_REFUSED',
      cause: { code: 'PEER_NOT_TRUSTED' },
    });
    await server.events.closed.next();
    expect(other.received.all).toEqual([]);
  });

  it('can be raised, and can be Infinity', async () => {
    await using server = await serveRaw(answerAsRequested, { udp: { amplification: 3 } });
    using peer = new PlainPeer(server.address);
    await peer.send('2 3'.padEnd(10));
    expect((await peer.received.take(3)).length).toBe(3);
    await peer.send('55'.padEnd(10));
    expect(await server.events.errors.next()).toMatchObject(notTrusted);

    await using open = await serveRaw(answerAsRequested, {
      udp: { amplification: Number.POSITIVE_INFINITY },
    });
    using other = new PlainPeer(open.address);
    await other.send('5000 20');
    expect((await other.received.take(20)).every((datagram) => datagram.length === 5_000)).toBe(
      true,
    );
  });

  it('of 0 permits no answer to a peer that is not trusted', async () => {
    await using server = await serveRaw(ECHO, { udp: { amplification: 0 } });
    using peer = new PlainPeer(server.address);
    await peer.send('hello');
    expect(await server.events.errors.next()).toMatchObject(notTrusted);
  });

  it('has no effect on a peer after trust()', async () => {
    const SECRET = 'secret';
    await using server = await serveRaw({
      onMessage(session, datagram) {
        if (String(datagram) === SECRET) session.trust();
        session.write(Buffer.alloc(10_000));
      },
    });
    using peer = new PlainPeer(server.address);
    await peer.send('hello');
    expect(await server.events.errors.next()).toMatchObject(notTrusted);
    await peer.send(SECRET);
    expect((await peer.received.next()).length).toBe(10_000);
  });

  it('lets send() reject with PEER_NOT_TRUSTED, and nothing is sent', async () => {
    await using server = await serveRaw();
    using peer = new PlainPeer(server.address);
    await peer.send('hi');
    const session = await server.events.opened.next();
    await server.events.messages.next();
    expect(await rejection<SendError>(session.send(bytes('hello')))).toMatchObject({
      code: 'PEER_NOT_TRUSTED',
      encodedBytes: 0,
      sentBytes: 0,
    });
    expect(session.stats).toMatchObject({ messagesWritten: 0, bytesWritten: 0 });
    expect(await session.send(bytes('hi'))).toEqual({ encodedBytes: 2, sentBytes: 2 });
  });
});
