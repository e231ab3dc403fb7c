/** A tab of Chromium with the bundle `getty-ts/web`, and a server that its page may connect to. */
import { readFileSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import {
  raw,
  type Server,
  type ServerOptions,
  type Session,
  type SessionOptions,
  serve,
} from '../../src/transport/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { Recorder } from '../fixtures/recorder.js';
import { bundleWeb, type Web } from '../fixtures/web.js';

/** The global `page` of a tab after connect(). */
export interface PageState {
  /** The first session. */
  readonly session: Session<Uint8Array>;
  readonly client: { session(): Promise<Session<Uint8Array>>; close(): Promise<void> };
  /** `open`, `error CODE: message` and `close`, in order. */
  readonly log: string[];
  readonly messages: Uint8Array[];
}

// The globals of the page.
declare const getty: Web;
declare const page: PageState;

const HTML = '<!doctype html><title>getty</title><script src="/getty.js"></script>';

/** Serves the page, the bundle, and the files of dist. */
function serveFiles(script: string): HttpServer {
  return createServer(({ url = '' }, response) => {
    response.setHeader('Content-Type', url.endsWith('.js') ? 'text/javascript' : 'text/html');
    // new URL() removes dot segments, so the path stays in dist.
    const file = url.startsWith('/dist/')
      ? readFileSync(new URL(`../..${new URL(url, 'http://page').pathname}`, import.meta.url))
      : undefined;
    response.end(file ?? (url === '/getty.js' ? script : HTML));
  });
}

export class ChromiumPage {
  #browser: Browser | undefined;
  #http: HttpServer | undefined;
  #tab: Page | undefined;
  origin = '';

  get tab(): Page {
    if (this.#tab === undefined) throw new Error('the tab is opened before each test');
    return this.#tab;
  }

  async start(): Promise<void> {
    this.#browser = await launchChromium();
    const http = serveFiles(await bundleWeb('iife'));
    this.#http = http;
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    const http = this.#http;
    if (http === undefined) return;
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  }

  /** Replaces the tab by a new one. */
  async reload(): Promise<void> {
    await this.#tab?.close();
    this.#tab = await this.#browser?.newPage();
    await this.tab.goto(this.origin);
  }

  /** Connects to `address`, and sets the global `page` of the tab. */
  async connect(
    address: string,
    session: SessionOptions = {},
    reconnect: false | object = false,
  ): Promise<void> {
    await this.tab.evaluate(
      async ([url, sessionOptions, reconnectOptions]) => {
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
          url,
          { codec: getty.raw(), listener, ...sessionOptions },
          { reconnect: reconnectOptions },
        );
        Object.assign(globalThis, {
          page: { client, session: await client.session(), log, messages },
        });
      },
      [address, session, reconnect] as const,
    );
  }

  log(): Promise<string[]> {
    return this.tab.evaluate(() => page.log);
  }

  /** Waits until the last entry of the log begins with `last`. Resolves with the log. */
  async logEndsWith(last: string): Promise<string[]> {
    await this.tab.waitForFunction((expected) => page.log.at(-1)?.startsWith(expected), last);
    return this.log();
  }

  /** Waits until the page has received `count` messages. */
  async receives(count: number): Promise<void> {
    await this.tab.waitForFunction((expected) => page.messages.length >= expected, count);
  }
}

/** Starts Chromium before the tests of a file, and opens a new tab before each test. */
export function useChromium(): ChromiumPage {
  const chromium = new ChromiumPage();
  beforeAll(() => chromium.start(), INSTALL_TIMEOUT);
  afterAll(() => chromium.stop());
  beforeEach(() => chromium.reload());
  return chromium;
}

interface EchoServer extends AsyncDisposable {
  readonly server: Server<Buffer, Uint8Array>;
  readonly events: Recorder<Buffer, Uint8Array>;
  readonly address: string;
}

/** A server that sends each message back. Pages of `origin` may connect. */
export async function echoTo(
  origin: string,
  session: SessionOptions = {},
  options: ServerOptions['websocket'] = {},
): Promise<EchoServer> {
  const events = new Recorder<Buffer, Uint8Array>('the server', {
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
