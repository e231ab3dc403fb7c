/** Timers, callbacks and reconnects of a page's session, with the bundle `getty-ts/web`. */
import { describe, expect, it } from 'vitest';
import { noLeaks } from '../fixtures/leaks.js';
import { Inbox, until } from '../fixtures/waiting.js';
import { loadWeb } from '../fixtures/web.js';
import { echo, wsServer } from '../fixtures/websocket.js';
import { connectPage, decodeText, encodeText } from './page-client.js';

noLeaks();

describe('a session of a page', () => {
  it('calls onCron, and sends no pings', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address, {
      cronPeriod: 10,
      on: { onCron: (session) => void session.write(encodeText('beat')) },
    });
    const peer = await server.peers.next();
    expect(await peer.messages.take(2)).toEqual(
      Array(2).fill(`binary ${Buffer.from('beat').toString('hex')}`),
    );
    expect(peer.pings.all).toEqual([]);
    expect(page.session.closed).toBe(false);
  });

  it('ends with IDLE_TIMEOUT when the server sends nothing for idleTimeout', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address, { idleTimeout: 20 });
    const peer = await server.peers.next();
    expect(await page.events.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    expect(await peer.closed.next()).toBe('4000 IDLE_TIMEOUT');
  });

  it('reports a callback that fails without an onError, or in it, as an uncaught error, and stays open', async () => {
    const uncaught = new Inbox<unknown>('an uncaught error');
    const web = await loadWeb({ reportError: (error) => uncaught.push(error) });
    await using server = await echo();
    const failWith = (text: string) => () => {
      throw new Error(text);
    };
    for (const listener of [
      { onMessage: failWith('first') },
      { onMessage: failWith('first'), onError: failWith('second') },
      { onMessage: failWith('first'), onError: () => Promise.reject(new Error('second')) as never },
    ]) {
      await using client = await web.connect(
        server.address,
        { codec: web.raw(), listener },
        { reconnect: false },
      );
      (await client.session()).write(encodeText('a'));
      const message =
        'onError' in listener
          ? 'onError failed: second'
          : 'a callback of the listener failed: first';
      expect(await uncaught.next()).toMatchObject({
        name: 'GettyError',
        code: 'HANDLER_FAILED',
        message,
      });
      expect((await client.session()).closed).toBe(false);
    }
  });

  it('is replaced after a loss until the client closes', async () => {
    await using server = await echo();
    await using page = await connectPage(
      server.address,
      {},
      { reconnect: { initialDelay: 1, maxDelay: 5 } },
    );
    (await server.events.opened.next()).destroy();
    await page.events.closed.next();
    const second = await server.events.opened.next();
    await until(() => page.client.sessions.size === 1, 'the client has a session again');
    const session = await page.client.session();
    session.write(encodeText('again'));
    expect(decodeText(await page.events.messages.next())).toBe('again');
    await page.client.close();
    await server.events.closed.take(2);
    expect(second.closed).toBe(true);
    expect(page.events.opened.all.length).toBe(2);
    page.events.errors.dismiss();
  });
});
