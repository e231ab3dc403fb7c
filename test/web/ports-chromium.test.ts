/** `getty-ts/web/rpc` in Chromium, between a page and its workers and frames. */
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CallContext, Channel } from '../../src/rpc/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { bundleWeb, WEB_RPC, type WebRpc } from '../fixtures/web.js';

/** The global of the page. */
declare const getty: WebRpc;

const GREETER = `
  const { contract, implement, serve, serverStream, unary } = getty;
  const Page = contract('Page', { name: unary() });
  const Greeter = contract('Greeter', { hello: unary(), count: serverStream() });
  const greeter = implement(Greeter, {
    hello: async (name, { channel }) =>
      'hello ' + name + ' from ' + place + ' in ' + (await channel.stub(Page).name('')),
    async *count(below) {
      for (let n = 0; n < below; n++) yield 'x'.repeat(1000) + n;
    },
  });
`;
const FILES: Readonly<Record<string, readonly [type: string, content: string]>> = {
  '/worker.js': [
    'text/javascript',
    `importScripts('/getty.js'); const place = 'a worker'; ${GREETER} serve({ port: self }, [greeter]);`,
  ],
  '/calling-worker.js': [
    'text/javascript',
    `importScripts('/getty.js'); const place = 'a worker'; ${GREETER}
     getty.connect({ port: self }, { services: [greeter] })
       .then((client) => client.stub(Page).name(''));`,
  ],
  '/frame': [
    'text/html',
    `<!doctype html><script src="/getty.js"></script><script>
       const place = 'a frame'; ${GREETER}
       addEventListener('message', ({ ports: [port] }) => serve({ port }, [greeter]), { once: true });
     </script>`,
  ],
};

/** Functions of the page, which evaluate() needs as text. */
const PAGE = `
  globalThis.Greeter = getty.contract('Greeter', {
    hello: getty.unary(),
    count: getty.serverStream(),
  });
  globalThis.services = [
    getty.implement(getty.contract('Page', { name: getty.unary() }), { name: () => document.title }),
  ];
  /** The address of a frame: a port of a channel whose other port the frame gets. */
  globalThis.openFrame = async () => {
    const frame = document.createElement('iframe');
    frame.src = '/frame';
    document.body.append(frame);
    await new Promise((resolve) => frame.addEventListener('load', resolve));
    const { port1, port2 } = new MessageChannel();
    frame.contentWindow.postMessage('a port', location.origin, [port2]);
    return { frame, port: port1 };
  };
`;

interface Globals {
  readonly services: never;
  readonly Greeter: never;
  openFrame(): Promise<{ readonly frame: { remove(): void }; readonly port: never }>;
}
interface Greeter {
  hello(name: string): Promise<string>;
  count(below: number): AsyncIterable<string>;
}
declare class Worker {
  constructor(url: string);
  postMessage(message: unknown): void;
  terminate(): void;
}

describe('a page in Chromium', () => {
  let browser: Browser;
  let http: HttpServer;
  let origin: string;
  let tab: Page;

  beforeAll(async () => {
    browser = await launchChromium();
    const script = await bundleWeb('iife', WEB_RPC);
    http = createServer(({ url = '' }, response) => {
      const [type, content] =
        url === '/getty.js'
          ? ['text/javascript', script]
          : (FILES[url] ?? ['text/html', '<!doctype html><title>Home</title><body></body>']);
      const isMissing = url.startsWith('/missing');
      response.writeHead(isMissing ? 404 : 200, { 'Content-Type': type }).end(content);
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  }, INSTALL_TIMEOUT);

  beforeEach(async () => {
    await tab?.close();
    tab = await browser.newPage();
    await tab.goto(origin);
    await tab.addScriptTag({ url: '/getty.js' });
    await tab.addScriptTag({ content: PAGE });
  });

  afterAll(async () => {
    await browser?.close();
    http?.closeAllConnections();
    http?.close();
  });

  it.each(['worker', 'frame'])('calls a %s and is called by it, and streams', async (kind) => {
    const results = await tab.evaluate(async (of) => {
      const page = globalThis as unknown as Globals;
      const port = of === 'frame' ? (await page.openFrame()).port : new Worker('/worker.js');
      const client = await getty.connect({ port, name: of }, { services: page.services });
      const greeter = client.stub(page.Greeter) as unknown as Greeter;
      let length = 0;
      let count = 0;
      const answers = [client.address, await greeter.hello('ann')];
      for await (const item of greeter.count(2_000)) {
        length += item.length;
        count++;
      }
      await client.close();
      return [...answers, count, length > 2_000_000];
    }, kind);
    expect(results).toEqual([`port://${kind}`, `hello ann from a ${kind} in Home`, 2_000, true]);
  });

  it('serves a worker that connects to it', async () => {
    const answer = await tab.evaluate(async () => {
      const page = globalThis as unknown as Globals;
      const { contract, implement, serve, unary } = getty;
      const channel = await new Promise<Channel>((resolve) => {
        const name = (_: string, context: CallContext): string => {
          resolve(context.channel);
          return 'Home';
        };
        const service = implement(contract('Page', { name: unary<string, string>() }), { name });
        void serve({ port: new Worker('/calling-worker.js') }, [service]);
      });
      return (channel.stub(page.Greeter) as unknown as Greeter).hello('bob');
    });
    expect(answer).toBe('hello bob from a worker in Home');
  });

  it.each(['worker', 'frame'])('loses the session when the %s ends', async (kind) => {
    const codes = await tab.evaluate(async (of) => {
      const page = globalThis as unknown as Globals;
      const opened = of === 'frame' ? await page.openFrame() : undefined;
      const worker = new Worker('/worker.js');
      let onLost!: () => void;
      const lost = new Promise<void>((resolve) => {
        onLost = resolve;
      });
      const client = await getty.connect(
        { port: opened?.port ?? (worker as never) },
        {
          services: page.services,
          reconnect: false,
          heartbeatPeriod: 300,
          heartbeatTimeout: 2_000,
          onReady: (ready) => ready || onLost(),
        },
      );
      await (client.stub(page.Greeter) as unknown as Greeter).hello('ann');
      opened?.frame.remove();
      worker.terminate();
      await lost;
      return (client.stub(page.Greeter) as unknown as Greeter).hello('bob').then(
        () => 'ok',
        (error: { code: string }) => error.code,
      );
    }, kind);
    expect(codes).toBe('UNAVAILABLE');
  });

  it('rejects with CONNECT_FAILED for a worker whose script is missing', async () => {
    const failure = await tab.evaluate(() =>
      getty.connect({ port: new Worker('/missing.js') }, { connectTimeout: 300_000 }).then(
        () => 'connected',
        (error) => `${error.code}: ${error.message}`,
      ),
    );
    expect(failure).toMatch(/^CONNECT_FAILED: .*the worker failed/);
  });

  it('rejects a window and the options of sockets with BAD_OPTION', async () => {
    const codes = await tab.evaluate(() =>
      Promise.all(
        [
          getty.connect({ port: globalThis as never }),
          getty.serve({ port: globalThis as never }, []),
          getty.serve({ port: new MessageChannel().port1 }, [], { backlog: 1 } as never),
          getty.serve({ port: new MessageChannel().port1 }, [], { introspection: true } as never),
          getty.connect(
            { port: new Worker('/worker.js') as never },
            { session: { compression: 'deflate' } },
          ),
        ].map((attempt) =>
          attempt.then(
            () => 'ok',
            (error) => error.code,
          ),
        ),
      ),
    );
    expect(codes).toEqual(['BAD_OPTION', 'BAD_OPTION', 'BAD_OPTION', 'BAD_OPTION', 'BAD_OPTION']);
  });
});
