/** `getty-ts/web` in a real browser, against our own server. */
import { readFileSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  raw,
  type ServerOptions,
  type Session,
  type SessionOptions,
  serve,
} from '../../src/transport/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { Recorder } from '../fixtures/recorder.js';
import { PROCESS_PATIENCE, until, within } from '../fixtures/waiting.js';
import { bundleWeb, type Web } from '../fixtures/web.js';

/** What the scripts of the page see: the build, and what happened to the session. */
declare const getty: Web;
declare const page: {
  session: Session<Uint8Array>;
  client: { session(): Promise<Session<Uint8Array>>; close(): Promise<void> };
  log: string[];
  messages: Uint8Array[];
};

let browser: Browser;
let http: HttpServer;
let origin: string;
let tab: Page;

beforeAll(async () => {
  browser = await launchChromium();
  const script = await bundleWeb('iife');
  http = createServer(({ url = '' }, response) => {
    response.setHeader('Content-Type', url.endsWith('.js') ? 'text/javascript' : 'text/html');
    // A URL's path has no dots that lead out of dist.
    const built = url.startsWith('/dist/')
      ? readFileSync(new URL(`../..${new URL(url, 'http://page').pathname}`, import.meta.url))
      : undefined;
    response.end(
      built ??
        (url === '/getty.js'
          ? script
          : '<!doctype html><title>getty</title><script src="/getty.js"></script>'),
    );
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}, INSTALL_TIMEOUT);

afterAll(async () => {
  await browser?.close();
  http?.closeAllConnections();
  await new Promise((resolve) => http?.close(resolve));
});

beforeEach(async () => {
  await tab?.close();
  tab = await browser.newPage();
  await tab.goto(origin);
});

type Events = Recorder<Buffer, Uint8Array>;

/** A server that echoes, and welcomes the page. */
async function echo(session: SessionOptions = {}, options: ServerOptions['websocket'] = {}) {
  const events: Events = new Recorder('the server', {
    onMessage: (from, message) => from.write(message),
  });
  const setup = {
    codec: raw(),
    listener: events,
    maxQueuedBytes: Number.POSITIVE_INFINITY,
    ...session,
  };
  const server = await serve('ws://127.0.0.1:0/echo', setup, {
    websocket: { allowOrigin: [origin], ...options },
  });
  return {
    server,
    events,
    address: server.address,
    [Symbol.asyncDispose]: async () => {
      server.destroy();
      await server.close();
    },
  };
}

/** Connect from the page; everything about it is `page` there. */
async function connectPage(
  address: string,
  session: SessionOptions = {},
  reconnect: false | object = false,
): Promise<void> {
  await tab.evaluate(
    async ([where, options, again]) => {
      const log: string[] = [];
      const messages: Uint8Array[] = [];
      const listener = {
        onOpen: () => void log.push('open'),
        onMessage: (_: unknown, message: Uint8Array) => void messages.push(message),
        onError: (_: unknown, error: Error) =>
          void log.push(`error ${(error as { code?: string }).code}: ${error.message}`),
        onClose: () => void log.push('close'),
      };
      const client = await getty.connect<Uint8Array>(
        where,
        { codec: getty.raw(), listener, ...options },
        { reconnect: again },
      );
      Object.assign(globalThis, {
        page: { client, session: await client.session(), log, messages },
      });
    },
    [address, session, reconnect] as const,
  );
}

const log = (): Promise<string[]> => tab.evaluate(() => page.log);
/** Until the page's log ends with this. */
const logged = async (last: string): Promise<string[]> => {
  await tab.waitForFunction((expected) => page.log.at(-1)?.startsWith(expected), last);
  return log();
};

describe('in chromium', () => {
  it('nothing of Node.js is there, and what comes is a Uint8Array', async () => {
    await using server = await echo();
    await connectPage(server.address);
    const seen = await tab.evaluate(async () => {
      page.session.write(Uint8Array.of(1, 2, 3));
      while (page.messages.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
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
      local: origin,
      remote: server.address,
    });
  });

  it('a page without a bundler loads dist/web as it is', async () => {
    await using server = await echo();
    await tab.addScriptTag({
      type: 'module',
      content:
        "import * as unbundled from '/dist/web/index.js'; Object.assign(globalThis, { unbundled });",
    });
    await tab.waitForFunction(() => 'unbundled' in globalThis);
    const answer = await tab.evaluate(async (address) => {
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

  it('many messages of every size go both ways, in order', async () => {
    await using server = await echo();
    await connectPage(server.address, { maxQueuedBytes: 2 ** 30 });
    const wrong = await tab.evaluate(async () => {
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
      for (const [i, size] of sizes.entries()) page.session.write(new Uint8Array(size).fill(i));
      while (page.messages.length < sizes.length)
        await new Promise((resolve) => setTimeout(resolve, 1));
      return sizes.filter(
        (size, i) =>
          page.messages[i]?.length !== size ||
          page.messages[i]?.some((byte) => byte !== (i & 0xff)),
      );
    });
    expect(wrong).toEqual([]);
  });

  it('a peer that does not read: write() says so, drained() waits, SESSION_BLOCKED at the limit, and nothing is lost', async () => {
    await using server = await echo();
    await connectPage(server.address, { maxQueuedBytes: 4 * 1024 * 1024 });
    const far = await server.events.opened.next();
    far.pause();
    const first = await tab.evaluate(async () => {
      let written = 0;
      let full = false;
      // What the systems on the way take first is up to them: only then it stays here.
      for (;;) {
        try {
          for (;;) {
            full = !page.session.write(new Uint8Array(65_536)) || full;
            written++;
          }
        } catch (error) {
          const queued = page.session.queuedBytes;
          const waiting = page.session.drained().then(() => 'drained');
          const first = await Promise.race([
            waiting,
            new Promise((resolve) => setTimeout(() => resolve('it waits'), 100)),
          ]);
          if (first === 'drained') continue;
          Object.assign(page, { waiting });
          return { written, full, code: (error as { code: string }).code, queued };
        }
      }
    });
    expect(first).toMatchObject({ full: true, code: 'SESSION_BLOCKED' });
    expect(first.queued).toBeGreaterThanOrEqual(4 * 1024 * 1024);
    expect(first.queued).toBeLessThanOrEqual(4 * 1024 * 1024 + 65_536);
    far.resume();
    expect(
      await within(
        tab.evaluate(() => (page as unknown as { waiting: Promise<string> }).waiting),
        'drained()',
      ),
    ).toBe('drained');
    await until(() => server.events.messages.all.length === first.written, 'all messages came');
  });

  it('send() settles when the browser has sent it', async () => {
    await using server = await echo();
    await connectPage(server.address);
    expect(await tab.evaluate(() => page.session.send(new Uint8Array(300_000)))).toEqual({
      encodedBytes: 300_000,
      sentBytes: 300_000,
    });
    expect(await tab.evaluate(() => page.session.queuedBytes)).toBe(0);
    expect((await server.events.messages.next()).length).toBe(300_000);
  });

  it('close(): what is queued arrives, send() is told, and the end is an orderly one on both sides', async () => {
    await using server = await echo();
    await connectPage(server.address);
    const sent = await tab.evaluate(async () => {
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
    expect(await log()).toEqual(['open', 'close']);
  });

  it('the server closes in order, breaks off, or finds a message too large', async () => {
    await using server = await echo({ maxMessageBytes: 1_000 });
    for (const [end, expected] of [
      [(far: Session<Buffer, Uint8Array>) => void far.close(), /^open,close$/],
      [
        (far: Session<Buffer, Uint8Array>) => far.destroy(),
        /^open,error CONNECTION_LOST: .*failed; a browser does not report the reason.*,close$/,
      ],
      [
        () => void tab.evaluate(() => page.session.write(new Uint8Array(1_001))),
        /^open,error CONNECTION_LOST: .*code 1009.*,close$/,
      ],
    ] as const) {
      await connectPage(server.address);
      end(await server.events.opened.next());
      expect((await logged('close')).join()).toMatch(expected);
    }
  });

  it('a message over the page’s limit, and destroy(), end the session at once', async () => {
    await using server = await echo();
    await connectPage(server.address, { maxMessageBytes: 1_000 });
    (await server.events.opened.next()).writeBytes(new Uint8Array(1_001));
    expect((await logged('close')).join()).toMatch(/^open,error MESSAGE_TOO_LARGE: .*,close$/);
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('code 4000'),
    });
  });

  it('18: a server that is gone and comes back is found again', async () => {
    const first = await echo();
    const { address } = first;
    await connectPage(address, {}, { initialDelay: 1, maxDelay: 20 });
    await first[Symbol.asyncDispose]();
    await logged('close');
    const listener = {
      onMessage: (session: Session<Buffer, Uint8Array>, message: Buffer) =>
        void session.write(message),
    };
    const again = await serve(
      address,
      { codec: raw(), listener },
      { websocket: { allowOrigin: [origin] } },
    );
    try {
      // A browser makes those wait whose attempts fail.
      expect(
        (await within(logged('open'), 'the page to connect again', PROCESS_PATIENCE)).join(),
      ).toMatch(/^open(,error CONNECTION_LOST.*)?,close,open$/);
      expect(
        await tab.evaluate(async () => {
          (await page.client.session()).write(Uint8Array.of(5));
          while (page.messages.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
          return [...(page.messages[0] as Uint8Array)];
        }),
      ).toEqual([5]);
    } finally {
      again.destroy();
      await again.close();
    }
  });

  it('CONNECT_FAILED: nobody there, a page that is not welcome, a protocol that nobody speaks; the reason is not told', async () => {
    await using server = await echo();
    await using closed = await echo({}, { allowOrigin: [] });
    const codes = await tab.evaluate(
      async (attempts) => {
        const failures: string[] = [];
        for (const [address, options] of attempts) {
          const connecting = getty.connect(
            address,
            { codec: getty.raw(), listener: { onMessage() {} } },
            options,
          );
          failures.push(
            await connecting.then(
              () => 'connected',
              (error) => `${error.code}: ${error.message}`,
            ),
          );
        }
        return failures;
      },
      [
        ['ws://127.0.0.1:1', {}],
        [closed.address, {}],
        [server.address, { websocket: { protocols: ['v9'] } }],
        [`${server.address.replace('/echo', '/other')}`, {}],
        ['tcp://127.0.0.1:80', {}],
      ] as const,
    );
    for (const code of codes.slice(0, 4))
      expect(code).toMatch(
        /^CONNECT_FAILED: cannot connect to ws:.*a browser does not report the reason$/,
      );
    expect(codes[4]).toMatch(/^BAD_ADDRESS: .*expected ws:/);
  });

  it('24: a callback that fails without an onError is an uncaught error of the page', async () => {
    await using server = await echo();
    const uncaught = new Promise<Error>((resolve) => tab.once('pageerror', resolve));
    await tab.evaluate(async (address) => {
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
