/** The bundle `getty-ts/web` in Chromium, with a server of this package. */
import { describe, expect, it } from 'vitest';
import { raw, type Session, serve } from '../../src/transport/index.js';
import { PROCESS_PATIENCE, until, within } from '../fixtures/waiting.js';
import type { Web } from '../fixtures/web.js';
import { echoTo, type PageState, useChromium } from './chromium-page.js';

// The globals of the page.
declare const getty: Web;
declare const page: PageState;

const MIB = 1024 * 1024;

const chromium = useChromium();

describe('getty-ts/web in Chromium', () => {
  it('runs without the globals of Node.js, and delivers plain Uint8Arrays', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address);
    await chromium.tab.evaluate(() => page.session.write(Uint8Array.of(1, 2, 3)));
    await chromium.receives(1);
    const seen = await chromium.tab.evaluate(() => {
      const [message] = page.messages;
      return {
        node: ['Buffer', 'process', 'setImmediate', 'require'].filter((name) => name in globalThis),
        plain: Object.getPrototypeOf(message) === Uint8Array.prototype,
        message: [...(message as Uint8Array)],
        local: page.session.localAddress,
        remote: page.session.remoteAddress,
      };
    });
    expect(seen).toEqual({
      node: [],
      plain: true,
      message: [1, 2, 3],
      local: chromium.origin,
      remote: server.address,
    });
  });

  it('loads dist/web without a bundler', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.tab.addScriptTag({
      type: 'module',
      content:
        "import * as unbundled from '/dist/web/index.js'; Object.assign(globalThis, { unbundled });",
    });
    await chromium.tab.waitForFunction(() => 'unbundled' in globalThis);
    const answer = await chromium.tab.evaluate(async (address) => {
      const { connect, lines } = (globalThis as unknown as { unbundled: Web }).unbundled;
      return new Promise<string>((resolve) => {
        const listener = {
          onOpen: (session: Session<string>) => void session.write('hello'),
          onMessage: (session: Session<string>, line: string) =>
            session.endpoint.close().then(() => resolve(line)),
        };
        void connect<string>(address, { codec: lines(), listener });
      });
    }, server.address);
    expect(answer).toBe('hello');
  });

  it('sends and receives messages of every size in order', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address, { maxQueuedBytes: 2 ** 30 });
    const sizes = [
      0,
      1,
      125,
      126,
      4_096,
      65_535,
      65_536,
      1_000_000,
      ...Array.from({ length: 2_000 }, (_, i) => i),
    ];
    await chromium.tab.evaluate((all) => {
      for (const [i, size] of all.entries()) page.session.write(new Uint8Array(size).fill(i));
    }, sizes);
    await chromium.receives(sizes.length);
    const wrong = await chromium.tab.evaluate(
      (all) =>
        all.filter(
          (size, i) =>
            page.messages[i]?.length !== size ||
            page.messages[i]?.some((byte) => byte !== (i & 0xff)),
        ),
      sizes,
    );
    expect(wrong).toEqual([]);
  });

  it('write() throws SESSION_BLOCKED while the server does not read, and no message is lost', async () => {
    const maxQueuedBytes = 4 * MIB;
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address, { maxQueuedBytes });
    const serverSession = await server.events.opened.next();
    serverSession.pause();
    const blocked = await chromium.tab.evaluate(async () => {
      let written = 0;
      let wasFull = false;
      // The system and the server take the first bytes. After that bytes stay in the queue.
      for (;;) {
        try {
          for (;;) {
            wasFull = !page.session.write(new Uint8Array(65_536)) || wasFull;
            written++;
          }
        } catch (error) {
          const queued = page.session.queuedBytes;
          const drained = page.session.drained().then(() => 'drained');
          const first = await Promise.race([
            drained,
            new Promise((resolve) => setTimeout(() => resolve('full'), 100)),
          ]);
          if (first === 'drained') continue;
          Object.assign(page, { drained });
          return { written, wasFull, code: (error as { code: string }).code, queued };
        }
      }
    });
    expect(blocked).toMatchObject({ wasFull: true, code: 'SESSION_BLOCKED' });
    expect(blocked.queued).toBeGreaterThanOrEqual(maxQueuedBytes);
    expect(blocked.queued).toBeLessThanOrEqual(maxQueuedBytes + 65_536);
    serverSession.resume();
    expect(
      await within(
        chromium.tab.evaluate(() => (page as unknown as { drained: Promise<string> }).drained),
        'drained()',
      ),
    ).toBe('drained');
    await until(
      () => server.events.messages.all.length === blocked.written,
      'the server received all messages',
    );
  });

  it('send() resolves when the browser has sent the message', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address);
    expect(await chromium.tab.evaluate(() => page.session.send(new Uint8Array(300_000)))).toEqual({
      encodedBytes: 300_000,
      sentBytes: 300_000,
    });
    expect(await chromium.tab.evaluate(() => page.session.queuedBytes)).toBe(0);
    expect((await server.events.messages.next()).length).toBe(300_000);
  });

  it('close() sends queued messages, resolves send(), and ends both sides without an error', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address);
    const sent = await chromium.tab.evaluate(async () => {
      for (let i = 0; i < 20; i++) page.session.write(new Uint8Array(100_000));
      const sending = page.session.send(Uint8Array.of(7));
      await page.session.close();
      return sending;
    });
    expect(sent).toEqual({ encodedBytes: 1, sentBytes: 1 });
    await server.events.closed.next();
    expect(server.events.messages.all.at(-1)?.toString('hex')).toBe('07');
    expect(server.events.log.at(-1)).toBe('close');
    expect(server.events.errors.all).toEqual([]);
    expect(await chromium.log()).toEqual(['open', 'close']);
  });

  it.each<[string, (serverSession: Session<Buffer, Uint8Array>) => unknown, RegExp]>([
    ['closes', (serverSession) => void serverSession.close(), /^open,close$/],
    [
      'destroys the session',
      (serverSession) => serverSession.destroy(),
      /^open,error CONNECTION_LOST: .*failed; a browser does not report the reason.*,close$/,
    ],
    [
      'receives a message over its limit',
      () => chromium.tab.evaluate(() => void page.session.write(new Uint8Array(1_001))),
      /^open,error CONNECTION_LOST: .*code 1009.*,close$/,
    ],
  ])('the session ends when the server %s', async (_, end, expected) => {
    await using server = await echoTo(chromium.origin, { maxMessageBytes: 1_000 });
    await chromium.connect(server.address);
    await end(await server.events.opened.next());
    expect((await chromium.logEndsWith('close')).join()).toMatch(expected);
  });

  it('ends with MESSAGE_TOO_LARGE, and closes with code 4000, for a message over maxMessageBytes', async () => {
    await using server = await echoTo(chromium.origin);
    await chromium.connect(server.address, { maxMessageBytes: 1_000 });
    (await server.events.opened.next()).writeBytes(new Uint8Array(1_001));
    expect((await chromium.logEndsWith('close')).join()).toMatch(
      /^open,error MESSAGE_TOO_LARGE: .*,close$/,
    );
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('code 4000'),
    });
  });

  it('connects again when the server restarts', async () => {
    const first = await echoTo(chromium.origin);
    const { address } = first;
    await chromium.connect(address, {}, { initialDelay: 1, maxDelay: 20 });
    await first[Symbol.asyncDispose]();
    await chromium.logEndsWith('close');
    const listener = {
      onMessage: (session: Session<Buffer, Uint8Array>, message: Buffer) =>
        void session.write(message),
    };
    const second = await serve(
      address,
      { codec: raw(), listener },
      { websocket: { allowOrigin: [chromium.origin] } },
    );
    try {
      // A browser delays connections to a server after failed attempts.
      expect(
        (
          await within(chromium.logEndsWith('open'), 'the second connection', PROCESS_PATIENCE)
        ).join(),
      ).toMatch(/^open(,error CONNECTION_LOST.*)?,close,open$/);
      await chromium.tab.evaluate(async () =>
        (await page.client.session()).write(Uint8Array.of(5)),
      );
      await chromium.receives(1);
      expect(await chromium.tab.evaluate(() => [...(page.messages[0] as Uint8Array)])).toEqual([5]);
    } finally {
      second.destroy();
      await second.close();
    }
  });

  it('rejects connect() with CONNECT_FAILED without the reason, or with BAD_ADDRESS', async () => {
    await using server = await echoTo(chromium.origin);
    await using strictServer = await echoTo(chromium.origin, {}, { allowOrigin: [] });
    const failures = await chromium.tab.evaluate(
      async (attempts) => {
        const results: string[] = [];
        for (const [address, options] of attempts) {
          const connecting = getty.connect(
            address,
            { codec: getty.raw(), listener: { onMessage() {} } },
            options,
          );
          results.push(
            await connecting.then(
              () => 'connected',
              (error) => `${error.code}: ${error.message}`,
            ),
          );
        }
        return results;
      },
      [
        ['ws://127.0.0.1:1', {}],
        [strictServer.address, {}],
        [server.address, { websocket: { protocols: ['v9'] } }],
        [`${server.address.replace('/echo', '/other')}`, {}],
        ['tcp://127.0.0.1:80', {}],
      ] as const,
    );
    for (const failure of failures.slice(0, 4))
      expect(failure).toMatch(
        /^CONNECT_FAILED: cannot connect to ws:.*a browser does not report the reason$/,
      );
    expect(failures[4]).toMatch(/^BAD_ADDRESS: .*expected ws:/);
  });

  it('reports a callback that fails without an onError as an uncaught error of the page', async () => {
    await using server = await echoTo(chromium.origin);
    const uncaught = new Promise<Error>((resolve) => chromium.tab.once('pageerror', resolve));
    await chromium.tab.evaluate(async (address) => {
      const onMessage = (): void => {
        throw new Error('my own fault');
      };
      const client = await getty.connect(
        address,
        { codec: getty.raw(), listener: { onMessage } },
        { reconnect: false },
      );
      (await client.session()).writeBytes(Uint8Array.of(1));
    }, server.address);
    expect((await within(uncaught, 'an uncaught error')).message).toBe(
      'a callback of the listener failed: my own fault',
    );
  });
});
