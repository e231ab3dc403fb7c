/** What the system has not accepted yet counts as queued bytes of a session. */
import { Socket } from 'node:dgram';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect, raw } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { thrown } from '../../fixtures/transports.js';
import { bytes, connectRaw, ECHO, QUIET_TURNS, serveRaw } from '../../fixtures/udp-endpoints.js';
import { turns, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

describe('the send queue of the socket', () => {
  /** Makes the socket report a queue of `bytesQueued` bytes, until drain() is called. */
  function fillQueue(bytesQueued: number): { drain(): void } {
    const size = vi.spyOn(Socket.prototype, 'getSendQueueSize').mockReturnValue(bytesQueued);
    return { drain: () => void size.mockReturnValue(0) };
  }

  it('counts for write(), drained(), send() and maxQueuedBytes until it is empty', async () => {
    await using server = await serveRaw();
    const events = new Recorder<Buffer>('the client');
    const limits = { highWaterMark: 1_000, maxQueuedBytes: 2_000 };
    await using client = await connect<Buffer>(server.address, {
      codec: raw(),
      listener: events,
      ...limits,
    });
    const session = await client.session();
    const queue = fillQueue(5_000);
    expect(session.write(Buffer.alloc(900))).toBe(true);
    expect(session.write(Buffer.alloc(900))).toBe(false);
    expect(session.queuedBytes).toBe(1_800);
    let isDrained = false;
    const draining = session.drained().then(() => {
      isDrained = true;
    });
    const sending = session.send(Buffer.alloc(300));
    expect(thrown(() => session.write(Buffer.alloc(1))).code).toBe('SESSION_BLOCKED');
    await turns(QUIET_TURNS);
    expect([isDrained, session.queuedBytes]).toEqual([false, 2_100]);
    queue.drain();
    await within(draining, 'drained()');
    expect(await within(sending, 'send()')).toEqual({ encodedBytes: 300, sentBytes: 300 });
    expect(session.queuedBytes).toBe(0);
    expect(session.write(Buffer.alloc(100))).toBe(true);
    expect(
      (await server.events.messages.take(4))
        .map((datagram) => datagram.length)
        .sort((a, b) => a - b),
    ).toEqual([100, 300, 900, 900]);
  });

  it('settles drained() even if a write finds it empty first', async () => {
    await using server = await serveRaw();
    const events = new Recorder<Buffer>('the client');
    await using client = await connect<Buffer>(server.address, {
      codec: raw(),
      listener: events,
      highWaterMark: 100,
    });
    const session = await client.session();
    const queue = fillQueue(500);
    expect(session.write(Buffer.alloc(200))).toBe(false);
    const draining = session.drained();
    queue.drain();
    session.write(Buffer.alloc(1));
    await within(draining, 'drained()');
    expect(session.queuedBytes).toBe(0);
    await server.events.messages.take(2);
  });

  it('delays close() until it is empty, or until waitTime', async () => {
    await using server = await serveRaw();
    await using client = await connectRaw(server.address);
    let queue = fillQueue(100);
    client.session.write(bytes('x'));
    let isClosed = false;
    const closing = client.session.close().then(() => {
      isClosed = true;
    });
    await turns(QUIET_TURNS);
    expect(isClosed).toBe(false);
    queue.drain();
    await within(closing, 'the close');
    await server.events.messages.next();

    const events = new Recorder<Buffer>('the client');
    await using stuck = await connect<Buffer>(
      server.address,
      { codec: raw(), listener: events, waitTime: 30 },
      { reconnect: false },
    );
    queue = fillQueue(100);
    (await stuck.session()).write(bytes('x'));
    await within(stuck.close(), 'the close');
    expect(events.log).toEqual(['open', 'close']);
  });

  it('is replaced by the callbacks of send() if the socket does not report its size', async () => {
    const queueSize = Socket.prototype.getSendQueueSize;
    Object.assign(Socket.prototype, { getSendQueueSize: undefined });
    try {
      await using server = await serveRaw(ECHO);
      await using client = await connectRaw(server.address);
      const { session } = client;
      await session.send(bytes('one'));
      expect(session.queuedBytes).toBe(0);
      session.write(bytes('two'));
      expect(session.queuedBytes).toBe(3);
      await session.drained();
      const answers = await client.events.messages.take(2);
      expect(answers.map(String).sort()).toEqual(['one', 'two']);
    } finally {
      Object.assign(Socket.prototype, { getSendQueueSize: queueSize });
    }
  });
});
