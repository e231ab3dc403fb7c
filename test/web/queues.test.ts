/** The queues of a page's session: messages to send, and messages received while paused. */
import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { echo, wsServer } from '../fixtures/websocket.js';
import { connectPage, decodeText, encodeText } from './page-client.js';

noLeaks();

/** Writes messages of 64 KiB until 256 KiB are queued. Returns the number of messages. */
async function fillUp(session: Session<Uint8Array>): Promise<number> {
  const chunk = new Uint8Array(65_536);
  for (let count = 1; ; count++) {
    if (session.write(chunk)) continue;
    await turns(20);
    if (session.queuedBytes >= 256 * 1024) return count;
  }
}

describe('queues of a page', () => {
  it('write() returns false while the peer does not read, drained() and send() wait, and no message is lost', async () => {
    await using server = await echo();
    await using page = await connectPage(server.address, {
      maxQueuedBytes: Number.POSITIVE_INFINITY,
    });
    const serverSession = await server.events.opened.next();
    serverSession.pause();
    const count = await fillUp(page.session);
    expect(page.session.write(encodeText('more'))).toBe(false);
    const order: string[] = [];
    const waiting = Promise.all([
      page.session.drained().then(() => order.push('drained')),
      page.session
        .send(encodeText('the last'))
        .then((sent) => order.push(`sent ${sent.sentBytes}`)),
    ]);
    const late = await rejection(page.session.send(encodeText('late'), { timeout: 20 }));
    expect(late).toMatchObject({ code: 'SEND_TIMEOUT', encodedBytes: 4, sentBytes: 0 });
    expect(order).toEqual([]);
    serverSession.resume();
    await within(waiting, 'drained() and send()');
    expect(order).toEqual(['drained', 'sent 8']);
    const received = await server.events.messages.take(count + 3);
    expect(received.slice(-3).map(String)).toEqual(['more', 'the last', 'late']);
    await until(() => page.session.queuedBytes === 0, 'queuedBytes is 0');
  });

  it('write() throws SESSION_BLOCKED when maxQueuedBytes are queued', async () => {
    const maxQueuedBytes = 1024 * 1024;
    await using server = await echo({}, {});
    await using page = await connectPage(server.address, { maxQueuedBytes });
    (await server.events.opened.next()).pause();
    await fillUp(page.session);
    const chunk = new Uint8Array(65_536);
    const error = thrown(() => {
      for (;;) page.session.write(chunk);
    });
    expect(error).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringContaining('maxQueuedBytes is 1048576'),
    });
    expect(page.session.queuedBytes).toBeLessThan(maxQueuedBytes + 2 * 65_536);
  });

  it('a paused session keeps received messages in order, and ends with SESSION_BLOCKED over maxQueuedBytes', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address, { maxQueuedBytes: 10_000 });
    const peer = await server.peers.next();
    page.session.pause();
    for (let i = 0; i < 20; i++) peer.socket.send(`${i}`);
    // The pong follows the messages: `ws` answers a ping in order.
    peer.socket.ping();
    await peer.pongs.next();
    await turns(5);
    expect(page.events.messages.all).toEqual([]);
    page.session.resume();
    expect((await page.events.messages.take(20)).map(decodeText)).toEqual(
      Array.from({ length: 20 }, (_, i) => `${i}`),
    );
    page.session.pause();
    // Empty messages count too, because each costs memory.
    for (let i = 0; i < 100; i++) peer.socket.send('');
    expect(await page.events.errors.next()).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(
        /sent \d+ bytes while the session was paused; maxQueuedBytes is 10000/,
      ),
    });
    expect(await peer.closed.next()).toBe('4000 destroyed');
  });

  it('delivers no further message after a pause() in onMessage', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address, {
      on: { onMessage: (session) => session.pause() },
    });
    const peer = await server.peers.next();
    for (let i = 0; i < 5; i++) peer.socket.send(`${i}`);
    for (let i = 0; i < 5; i++) {
      expect(decodeText(await page.events.messages.next())).toBe(`${i}`);
      await turns(3);
      expect(page.events.messages.all.length).toBe(i + 1);
      page.session.resume();
    }
  });
});
