/**
 * A bundle of `getty-ts/web/rpc` with contract() of `getty-ts/web/protobuf`, in Chromium, with a
 * server of this package.
 */
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TestService as descriptor } from '../../demo/test_service_pb.js';
import { type RpcServer, serve } from '../../src/rpc/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { bundleWeb, WEB_PROTOBUF, type WebProtobuf } from '../fixtures/web.js';
import { PART, PARTS, services } from './rpc-services.js';

/** The global of the page. */
declare const getty: WebProtobuf & { TestService: typeof descriptor };

const ENTRY = `${WEB_PROTOBUF}; export { TestService } from '../../demo/test_service_pb.js'`;

describe('getty-ts/web/rpc in Chromium', () => {
  let browser: Browser;
  let http: HttpServer;
  let server: RpcServer;
  let tab: Page;

  beforeAll(async () => {
    browser = await launchChromium();
    http = createServer((_, response) =>
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Page</title>'),
    );
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    server = await serve('ws://127.0.0.1:0/rpc', services, {
      websocket: { allowOrigin: [origin] },
    });
    tab = await browser.newPage();
    await tab.goto(origin);
  }, INSTALL_TIMEOUT);

  beforeEach(async () => {
    await tab.reload();
    await tab.addScriptTag({ content: await bundleWeb('iife', ENTRY, 'getty') });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    http?.closeAllConnections();
    http?.close();
  });

  it('calls in both directions, in JSON and in Protobuf, and receives errors', async () => {
    const answers = await tab.evaluate(async (address) => {
      const { connect, contract, implement, oneway, TestService, unary } = getty;
      const page = implement(contract('Page', { title: unary<string, string>() }), {
        title: (name) =>
          `${name} of ${(globalThis as unknown as { document: { title: string } }).document.title}`,
      });
      const client = await connect(address, { services: [page] });
      const greeter = client.stub(
        contract(
          'Greeter',
          { hello: unary<string, string>(), fail: unary<string, string>(), note: oneway<string>() },
          { version: 'v1' },
        ),
      );
      const test = client.stub(contract(TestService));
      const failure = await greeter
        .fail('gone')
        .catch((error) => [
          error.code,
          error.message,
          error.metadata['what-is-missing'],
          ...error.details,
        ]);
      const results = [
        await greeter.hello('ann'),
        failure,
        (await test.test({ A: 'ä', B: '😀', C: '' })).A,
        (await test.add({ A: 2, B: -3 })).Sum,
      ];
      await client.close();
      return results;
    }, server.address);
    expect(answers).toEqual([
      'hello, ann of Page (nobody)',
      ['NOT_FOUND', 'gone', 'grün', 0, 127, 128, 255],
      'ä, 😀, ',
      -1,
    ]);
  });

  it('streams 10 MiB from the page, to the page, and in both directions at once', async () => {
    const lengths = await tab.evaluate(
      async ([address, part, count]) => {
        const { clientStream, connect, contract, duplex, serverStream } = getty;
        const client = await connect(address);
        const stub = client.stub(
          contract('Bulk', {
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
        const results = [
          await stub.upload(parts, { timeout: 60_000 }),
          await lengthOf(stub.download(count)),
          await lengthOf(stub.echo(parts)),
        ];
        await client.close();
        return results;
      },
      [server.address, PART, PARTS] as const,
    );
    expect(lengths).toEqual([PARTS * PART.length, PARTS * PART.length, PARTS * PART.length]);
  }, 120_000);
});
