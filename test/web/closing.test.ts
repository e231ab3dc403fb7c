/** The end of a page's session: close(), destroy(), and closes of the peer. */
import { describe, expect, it } from 'vitest';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { turns, until, within } from '../fixtures/waiting.js';
import { echo, wsServer } from '../fixtures/websocket.js';
import { connectPage, encodeText } from './page-client.js';

noLeaks();

describe('the end of a session of a page', () => {
  it('close() sends queued messages before the close frame', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address);
    const peer = await server.peers.next();
    for (let i = 0; i < 50; i++) page.session.write(new Uint8Array(10_000));
    const sent = page.session.send(encodeText('bye'));
    await page.session.close();
    expect(await sent).toEqual({ encodedBytes: 3, sentBytes: 3 });
    expect((await peer.messages.take(51)).at(-1)).toBe(
      `binary ${Buffer.from('bye').toString('hex')}`,
    );
    expect(await peer.closed.next()).toBe('1000');
    expect(page.events.log.at(-1)).toBe('close');
    expect(thrown(() => page.session.write(encodeText('late')))).toMatchObject({
      code: 'SESSION_CLOSED',
    });
  });

  it.each([[1000], [1001], [undefined]])(
    'ends without an error when the peer closes with code %s',
    async (code) => {
      await using server = await wsServer();
      await using page = await connectPage(server.address);
      const peer = await server.peers.next();
      peer.socket.send('last words');
      peer.socket.close(code);
      await page.events.closed.next();
      expect(page.events.log).toEqual(['open', 'message', 'close']);
    },
  );

  it.each([
    [{ code: 4001, reason: 'grün' }, '4001 grün'],
    [{ code: 3000 }, '3000'],
    [{ reason: 'done' }, '1000 done'],
  ])('close(%o) sends its code and reason', async (options, expected) => {
    await using server = await wsServer();
    await using page = await connectPage(server.address);
    await page.session.close(options);
    expect(await (await server.peers.next()).closed.next()).toBe(expected);
  });

  it.each([[{ code: 1001 }], [{ code: 1006 }], [{ code: 5000 }], [{ reason: 'ü'.repeat(62) }]])(
    'close(%o) throws BAD_OPTION, and the session stays open',
    async (options) => {
      await using server = await wsServer();
      await using page = await connectPage(server.address);
      expect(thrown(() => page.session.close(options))).toMatchObject({ code: 'BAD_OPTION' });
      expect(page.session.closed).toBe(false);
    },
  );

  it('has the code and reason of the peer as closeCode and closeReason', async () => {
    await using server = await wsServer();
    for (const [code, reason] of [
      [1000, 'done'],
      [4001, 'why'],
      [undefined, ''],
    ] as const) {
      await using page = await connectPage(server.address);
      (await server.peers.next()).socket.close(code, reason);
      await page.events.closed.next();
      expect([page.session.closeCode, page.session.closeReason]).toEqual([code, reason]);
      if (code === 4001)
        expect(await page.events.errors.next()).toMatchObject({
          closeCode: 4001,
          closeReason: 'why',
        });
    }
    await using page = await connectPage(server.address);
    (await server.peers.next()).socket.terminate();
    await page.events.closed.next();
    expect([page.session.closeCode, page.session.closeReason]).toEqual([undefined, undefined]);
  });

  it.each([
    [1000, []],
    [1009, ['error CONNECTION_LOST']],
    [4001, ['error CONNECTION_LOST']],
  ])('delivers messages from before a close with code %d after a pause', async (code, reports) => {
    await using server = await wsServer();
    await using page = await connectPage(server.address);
    const peer = await server.peers.next();
    page.session.pause();
    for (let i = 0; i < 5; i++) peer.socket.send(`${i}`);
    peer.socket.close(code);
    await peer.closed.next();
    await turns(5);
    expect(page.events.log).toEqual(['open']);
    page.session.resume();
    await page.events.closed.next();
    expect(page.events.log).toEqual(['open', ...Array(5).fill('message'), ...reports, 'close']);
    page.events.errors.dismiss();
  });

  it('close() of a paused session whose peer has closed rejects send() with SESSION_CLOSED', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address);
    const peer = await server.peers.next();
    page.session.pause();
    peer.socket.close(1000);
    await peer.closed.next();
    await until(() => !page.session.write(new Uint8Array(65_536)), 'write() returns false');
    const sendError = rejection(page.session.send(encodeText('unsent')));
    await within(page.session.close(), 'close()');
    expect(await sendError).toMatchObject({ code: 'SESSION_CLOSED', sentBytes: 0 });
  });

  it.each([
    [1009, 'too much', 'closed with code 1009: "too much"'],
    [4001, '', /closed with code 4001$/],
  ] as const)(
    'reports CONNECTION_LOST when the peer closes with code %d',
    async (code, reason, message) => {
      await using server = await wsServer();
      await using page = await connectPage(server.address);
      (await server.peers.next()).socket.close(code, reason);
      const expected =
        typeof message === 'string'
          ? expect.stringContaining(message)
          : expect.stringMatching(message);
      expect(await page.events.errors.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expected,
      });
      await page.events.closed.next();
    },
  );

  it('reports CONNECTION_LOST when the connection is lost while paused, and rejects drained()', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address);
    page.session.pause();
    (await server.peers.next()).socket.terminate();
    expect(await page.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('failed; a browser does not report the reason'),
    });
    await page.events.closed.next();
    await expect(page.session.drained()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  });

  it('an error that the peer caused closes with code 4000 and the code of the error', async () => {
    await using server = await echo();
    await using page = await connectPage(server.address);
    page.session.idleTimeout = 20;
    expect((await page.events.errors.next()).code).toBe('IDLE_TIMEOUT');
    expect(await server.events.errors.next()).toMatchObject({
      closeCode: 4000,
      closeReason: 'IDLE_TIMEOUT',
    });
  });

  it('destroy() closes with code 4000 and delivers nothing more', async () => {
    await using server = await echo();
    await using page = await connectPage(server.address);
    page.session.write(encodeText('a'));
    page.session.destroy(new Error('the cause'));
    await page.events.closed.next();
    expect(page.events.errors.all).toMatchObject([
      { code: 'SESSION_DESTROYED', cause: { message: 'the cause' } },
    ]);
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('closed with code 4000'),
    });
    await turns(20);
    expect(page.events.log).toEqual(['open', 'error SESSION_DESTROYED', 'close']);
  });
});
