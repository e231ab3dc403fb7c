/**
 * The build of `getty-ts/web/rpc`, where nothing of Node.js is there, and in Chromium, against our
 * own server.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import {
  clientStream,
  contract,
  duplex,
  implement,
  oneway,
  RpcError,
  type RpcServer,
  type Service,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { noLeaks } from '../fixtures/leaks.js';
import { testService } from '../fixtures/rpc.js';
import { rejection } from '../fixtures/transports.js';
import { gate, Inbox } from '../fixtures/waiting.js';
import { bundleWeb, runAsPage, WEB_PROTOBUF, type WebProtobuf } from '../fixtures/web.js';

const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>(), fail: unary<string, string>(), note: oneway<string>() },
  { version: 'v1' },
);
const Page = contract('Page', { title: unary<string, string>() });

const Bulk = contract('Bulk', {
  upload: clientStream<string, number>(),
  download: serverStream<number, string>(),
  echo: duplex<string, string>(),
});
/** A stream of 10 MB has 160 of these: many windows. */
const PART = 'x'.repeat(64 * 1024);
const PARTS = 160;
const bulk: Service = implement(Bulk, {
  async upload(parts) {
    let length = 0;
    for await (const part of parts) length += part.length;
    return length;
  },
  *download(count) {
    for (let i = 0; i < count; i++) yield PART;
  },
  async *echo(parts) {
    yield* parts;
  },
});

const notes = new Inbox<string>('a note');
const greeter: Service = implement(Greeter, {
  async hello(name, context) {
    // The server calls the page, on the same session.
    const title = await context.channel.stub(Page).title(name);
    return `hello, ${title} (${context.metadata.from ?? 'nobody'})`;
  },
  fail(text) {
    throw new RpcError('NOT_FOUND', text, {
      details: Uint8Array.of(0, 127, 128, 255),
      metadata: { 'what-is-missing': 'grün' },
    });
  },
  note: (text) => notes.push(text),
});
const services = [greeter, testService(), bulk];

describe('where nothing of Node.js is there', () => {
  noLeaks();
  let code: string;
  beforeAll(async () => {
    code = await bundleWeb('iife', WEB_PROTOBUF);
  });

  /** A client of the build, whose page offers Page. */
  async function client(server: RpcServer, options: object = {}) {
    const web = runAsPage(code) as WebProtobuf;
    // The contracts of the build are its own: its classes are others than those of the sources.
    const page = web.implement(web.contract('Page', { title: web.unary<string, string>() }), {
      title: (name) => `${name.toUpperCase()} 😀`,
    });
    const made = await web.connect(server.address, {
      reconnect: false,
      services: [page],
      ...options,
    });
    const specs = {
      hello: web.unary<string, string>(),
      fail: web.unary<string, string>(),
      note: web.oneway<string>(),
    };
    const stub = made.stub(web.contract('Greeter', specs, { version: 'v1' }));
    return { web, made, stub, [Symbol.asyncDispose]: () => made.close() };
  }

  it('nothing names what only Node.js has, and it is no large build', () => {
    expect(code.match(/(?<![.\w$])(?:Buffer|setImmediate|require)(?![\w$]|\s*:)/g) ?? []).toEqual(
      [],
    );
    expect(code).not.toContain('node:');
    // Most of it is the Protobuf library.
    expect(gzipSync(code, { level: 9 }).length).toBeLessThan(80 * 1024);
  });

  it('streams of 10 MB go each way, and both ways at once', async () => {
    await using server = await serve('ws://127.0.0.1:0', services);
    await using page = await client(server);
    const { web } = page;
    const stub = page.made.stub(
      web.contract('Bulk', {
        upload: web.clientStream<string, number>(),
        download: web.serverStream<number, string>(),
        echo: web.duplex<string, string>(),
      }),
    );
    const lengthOf = async (parts: AsyncIterable<string>): Promise<number> => {
      let length = 0;
      for await (const part of parts) length += part.length;
      return length;
    };
    const parts = Array<string>(PARTS).fill(PART);
    expect(await stub.upload(parts, { timeout: 60_000 })).toBe(PARTS * PART.length);
    expect(await lengthOf(stub.download(PARTS))).toBe(PARTS * PART.length);
    expect(await lengthOf(stub.echo(parts))).toBe(PARTS * PART.length);
  }, 120_000);

  it('calls go both ways on one session, with metadata', async () => {
    await using server = await serve('ws://127.0.0.1:0', services);
    await using page = await client(server);
    expect(await page.stub.hello('grün', { metadata: { from: 'a pagé' } })).toBe(
      'hello, GRÜN 😀 (a pagé)',
    );
    await page.stub.note('noted');
    expect(await notes.next()).toBe('noted');
    const many = await Promise.all(Array.from({ length: 500 }, (_, i) => page.stub.hello(`${i}`)));
    expect(many).toEqual(Array.from({ length: 500 }, (_, i) => `hello, ${i} 😀 (nobody)`));
  });

  it('streams, both ways at once', async () => {
    const sums = (make: typeof contract, both: typeof duplex) =>
      make('Sums', { sums: both<number, number>() });
    const service = implement(sums(contract, duplex), {
      async *sums(numbers) {
        let sum = 0;
        for await (const number of numbers) {
          sum += number;
          yield sum;
        }
      },
    });
    await using server = await serve('ws://127.0.0.1:0', [service]);
    await using page = await client(server);
    const seen: number[] = [];
    for await (const sum of page.made
      .stub(sums(page.web.contract, page.web.duplex))
      .sums([1, 2, 3, 4]))
      seen.push(sum);
    expect(seen).toEqual([1, 3, 6, 10]);
  });

  it.each(['json', 'protobuf'] as const)(
    'an error comes with its code, details and metadata, and Protobuf messages go through, in %s',
    async (codec) => {
      await using server = await serve('ws://127.0.0.1:0', [
        testService({
          err() {
            throw new RpcError('NOT_FOUND', 'nicht da ☂', {
              details: Uint8Array.of(0, 127, 128, 255),
              metadata: { why: 'grün' },
            });
          },
        }),
      ]);
      await using page = await client(server);
      const stub = page.made.stub(page.web.contract(descriptor), { codec });
      expect((await stub.test({ A: 'ä', B: '😀'.repeat(100), C: 'x'.repeat(3_000) })).A).toBe(
        `ä, ${'😀'.repeat(100)}, ${'x'.repeat(3_000)}`,
      );
      expect((await stub.add({ A: -7, B: 9 })).Sum).toBe(2);
      const error = await rejection<RpcError>(stub.err({}));
      expect(error).toMatchObject({
        name: 'RpcError',
        code: 'NOT_FOUND',
        message: 'nicht da ☂',
        metadata: { why: 'grün' },
      });
      expect([...(error.details ?? [])]).toEqual([0, 127, 128, 255]);
    },
  );

  it('9: nobody there, a lost session, a call that takes too long', async () => {
    const web = runAsPage(code) as WebProtobuf;
    expect(await rejection(web.connect('ws://127.0.0.1:1'))).toMatchObject({
      code: 'CONNECT_FAILED',
    });
    expect(await rejection(web.connect('tcp://127.0.0.1:1'))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
    const called = gate();
    const slow = implement(contract('Slow', { slow: unary<string, string>() }), {
      slow() {
        called.open();
        return new Promise<string>(() => {});
      },
    });
    await using server = await serve('ws://127.0.0.1:0', [slow], { drainTimeout: 0 });
    await using page = await client(server);
    const stub = page.made.stub(
      page.web.contract('Slow', { slow: page.web.unary<string, string>() }),
    );
    expect(await rejection(stub.slow('x', { timeout: 30 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    await called.promise;
    const lost = rejection(stub.slow('x'));
    server.destroy();
    expect(await lost).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('in chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  }, INSTALL_TIMEOUT);
  afterAll(() => browser?.close());

  it('the same page, and streams of 10 MB each way and both ways at once', async () => {
    const http = createServer((_, response) =>
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Page</title>'),
    );
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    await using server = await serve('ws://127.0.0.1:0/rpc', services, {
      websocket: { allowOrigin: [origin] },
    });
    try {
      const tab = await browser.newPage();
      await tab.goto(origin);
      const source = `${WEB_PROTOBUF}; export { TestService } from '../../demo/test_service_pb.js'`;
      await tab.addScriptTag({ content: await bundleWeb('iife', source, 'getty') });
      const seen = await tab.evaluate(async (address) => {
        const {
          connect,
          contract: make,
          implement: offer,
          oneway: once,
          TestService,
          unary: ask,
        } = (globalThis as unknown as { getty: WebProtobuf & { TestService: typeof descriptor } })
          .getty;
        const page = offer(make('Page', { title: ask<string, string>() }), {
          title: (name) =>
            `${name} of ${(globalThis as unknown as { document: { title: string } }).document.title}`,
        });
        const client = await connect(address, { services: [page] });
        const stub = client.stub(
          make(
            'Greeter',
            { hello: ask<string, string>(), fail: ask<string, string>(), note: once<string>() },
            { version: 'v1' },
          ),
        );
        const test = client.stub(make(TestService));
        const failure = await stub
          .fail('gone')
          .catch((error) => [
            error.code,
            error.message,
            error.metadata['what-is-missing'],
            ...error.details,
          ]);
        const answers = [
          await stub.hello('ann'),
          failure,
          (await test.test({ A: 'ä', B: '😀', C: '' })).A,
          (await test.add({ A: 2, B: -3 })).Sum,
        ];
        await client.close();
        return answers;
      }, server.address);
      const streamed = await tab.evaluate(
        async ([address, part, count]) => {
          const {
            clientStream,
            connect,
            contract: make,
            duplex,
            serverStream,
          } = (globalThis as unknown as { getty: WebProtobuf }).getty;
          const client = await connect(address);
          const stub = client.stub(
            make('Bulk', {
              upload: clientStream<string, number>(),
              download: serverStream<number, string>(),
              echo: duplex<string, string>(),
            }),
          );
          const lengthOf = async (parts: AsyncIterable<string>): Promise<number> => {
            let length = 0;
            for await (const { length: more } of parts) length += more;
            return length;
          };
          const parts = Array<string>(count).fill(part);
          const lengths = [
            await stub.upload(parts, { timeout: 60_000 }),
            await lengthOf(stub.download(count)),
            await lengthOf(stub.echo(parts)),
          ];
          await client.close();
          return lengths;
        },
        [server.address, PART, PARTS] as const,
      );
      expect(streamed).toEqual([PARTS * PART.length, PARTS * PART.length, PARTS * PART.length]);
      expect(seen).toEqual([
        'hello, ann of Page (nobody)',
        ['NOT_FOUND', 'gone', 'grün', 0, 127, 128, 255],
        'ä, 😀, ',
        -1,
      ]);
    } finally {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    }
  }, 120_000);
});
