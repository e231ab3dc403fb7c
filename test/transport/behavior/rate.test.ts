/** The option `rate`: limits of messages and bytes per second. The same on every transport. */
import { expect } from 'vitest';
import { lines } from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import { connectAs, pair, runForEveryTransport, serveAs } from '../../fixtures/transports.js';
import { elapse, until } from '../../fixtures/waiting.js';

/** Permits `messages` at once, and no further ones within the test. */
const only = (messages: number) => ({ messages: 0.001, burst: messages * 1_000_000 });
/** Permits 3 messages at once, and then one every 50 ms. */
const THREE_AND_MORE = { messages: 20, burst: 150 };

runForEveryTransport({
  async 'rate.in reads a burst of messages, and the next ones later, in order'(row) {
    await using p = await pair(row, { serverSide: { rate: { in: THREE_AND_MORE } } });
    const began = performance.now();
    for (let i = 0; i < 7; i++) p.clientSession.write(`${i}`);
    expect(await p.serverEvents.messages.take(7)).toEqual(['0', '1', '2', '3', '4', '5', '6']);
    expect(performance.now() - began).toBeGreaterThan(4 * 50 - 5);
    expect(p.serverSession.stats.messagesRead).toBe(7);
  },

  async 'rate.in does not read more than the burst while the peer exceeds the rate'(row) {
    await using p = await pair(row, { serverSide: { rate: { in: only(3) } } });
    for (let i = 0; i < 10; i++) p.clientSession.write(`${i}`);
    await p.serverEvents.messages.take(3);
    await untilQuiet();
    expect(p.serverEvents.messages.unread).toEqual([]);
    // The other direction continues.
    p.serverSession.write('hello');
    expect(await p.clientEvents.messages.next()).toBe('hello');
  },

  async 'rate.in with bytes waits until the bytes are within the average'(row) {
    await using p = await pair(row, {
      serverSide: { rate: { in: { bytes: 10_000, burst: 100 } } },
    });
    const began = performance.now();
    for (let i = 0; i < 3; i++) p.clientSession.write('x'.repeat(999));
    await p.serverEvents.messages.take(3);
    expect(performance.now() - began).toBeGreaterThan(200 - 5);
  },

  async "rate.in with over: 'close' ends the session with RATE_EXCEEDED"(row) {
    await using p = await pair(row, {
      serverSide: { rate: { in: { ...only(3), over: 'close' } } },
    });
    for (let i = 0; i < 5; i++) p.clientSession.write(`${i}`);
    const error = await p.serverEvents.errors.next();
    expect(error.code).toBe('RATE_EXCEEDED');
    expect(error.message).toContain('rate.in of the session, 0.001 messages a second');
    await p.serverEvents.closed.next();
    // On UDP the last datagram begins another session.
    expect(p.serverEvents.messages.all.slice(0, 3)).toEqual(['0', '1', '2']);
    expect(p.serverEvents.messages.all).not.toContain('3');
    p.clientEvents.errors.dismiss();
  },

  async "rate.in with bytes and over: 'close' ends the session with RATE_EXCEEDED"(row) {
    await using p = await pair(row, {
      serverSide: { rate: { in: { bytes: 1, burst: 100_000, over: 'close' } } },
    });
    p.clientSession.write('x'.repeat(99));
    await p.serverEvents.messages.next();
    p.clientSession.write('one too many');
    expect((await p.serverEvents.errors.next()).code).toBe('RATE_EXCEEDED');
    expect(p.serverEvents.messages.unread).toEqual([]);
    p.clientEvents.errors.dismiss();
  },

  async 'rate.out sends a burst of messages, and the next ones later, in order'(row) {
    await using p = await pair(row, { clientSide: { rate: { out: THREE_AND_MORE } } });
    const began = performance.now();
    for (let i = 0; i < 5; i++) p.clientSession.write(`${i}`);
    await p.clientSession.send('last');
    expect(performance.now() - began).toBeGreaterThan(3 * 50 - 5);
    expect(await p.serverEvents.messages.take(6)).toEqual(['0', '1', '2', '3', '4', 'last']);
    expect(p.clientSession.queuedBytes).toBe(0);
  },

  async 'rate.out keeps messages in the queue, whose limits hold'(row) {
    await using p = await pair(row, {
      clientSide: { rate: { out: only(1) }, highWaterMark: 30, maxQueuedBytes: 60 },
    });
    expect(p.clientSession.write('x'.repeat(20))).toBe(true);
    await p.serverEvents.messages.next();
    await until(() => p.clientSession.queuedBytes === 0, 'the first message is sent');
    expect(p.clientSession.write('x'.repeat(20))).toBe(true);
    expect(p.clientSession.write('x'.repeat(20))).toBe(false);
    await untilQuiet();
    expect(p.clientSession.queuedBytes).toBeGreaterThanOrEqual(42);
    const overfill = (): void => {
      for (let i = 0; i < 3; i++) p.clientSession.write('x'.repeat(20));
    };
    expect(overfill).toThrow(expect.objectContaining({ code: 'SESSION_BLOCKED' }));
    const drained = p.clientSession.drained();
    p.clientSession.destroy();
    await expect(drained).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    expect(p.serverEvents.messages.unread).toEqual([]);
    p.serverEvents.errors.dismiss();
  },

  async 'rate.out settles drained() when the queue is below highWaterMark'(row) {
    await using p = await pair(row, {
      clientSide: { rate: { out: THREE_AND_MORE }, highWaterMark: 12 },
    });
    const written = ['0', '1', '2', '3', '4'].map((line) => p.clientSession.write(`${line}xxx`));
    expect(written.at(-1)).toBe(false);
    await p.clientSession.drained();
    await p.serverEvents.messages.take(3);
  },

  async 'rate.out lets close() send the queue before this side ends'(row) {
    await using p = await pair(row, { clientSide: { rate: { out: THREE_AND_MORE } } });
    for (let i = 0; i < 5; i++) p.clientSession.write(`${i}`);
    await p.clientSession.close();
    expect(await p.serverEvents.messages.take(5)).toEqual(['0', '1', '2', '3', '4']);
    expect(p.clientEvents.errors.all).toEqual([]);
  },

  async 'the rate of a server is shared by its sessions, which take turns'(row) {
    const events = new Recorder<string>('the server');
    const server = await serveAs(
      row,
      { ...row.options, codec: lines(), listener: events },
      row.free(),
      { rate: { in: { messages: 25, burst: 160 } } },
    );
    const clients = await Promise.all(
      ['a', 'b'].map((name) =>
        connectAs(
          row,
          server.address,
          { ...row.options, codec: lines(), listener: new Recorder<string>(name) },
          { reconnect: false },
        ),
      ),
    );
    const began = performance.now();
    for (const [at, client] of clients.entries()) {
      const session = await client.session();
      for (let i = 0; i < 8; i++) session.write(`${at}`);
    }
    const got = await events.messages.take(16);
    expect(performance.now() - began).toBeGreaterThan(12 * 40 - 5);
    // Four at once, and then in turns. The messages of the second client may arrive 160 ms later.
    expect(got.indexOf('1')).toBeLessThan(got.lastIndexOf('0'));
    for (const client of clients) client.destroy();
    server.destroy();
    await Promise.all([server.close(), ...clients.map((client) => client.close())]);
  },

  async 'the rate of a client limits what its sessions send'(row) {
    await using p = await pair(row, { client: { rate: { out: only(2) } } });
    for (let i = 0; i < 4; i++) p.clientSession.write(`${i}`);
    expect(await p.serverEvents.messages.take(2)).toEqual(['0', '1']);
    await elapse(20);
    expect(p.serverEvents.messages.unread).toEqual([]);
    expect(p.clientSession.queuedBytes).toBeGreaterThan(0);
    p.clientSession.destroy();
    p.serverEvents.errors.dismiss();
  },
});
