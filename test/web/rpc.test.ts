/**
 * The bundle of `getty-ts/web/rpc`, without the globals of Node.js, with a server of this package.
 */
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import {
  contract,
  duplex,
  implement,
  RpcError,
  type RpcServer,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { testService } from '../fixtures/rpc.js';
import { rejection } from '../fixtures/transports.js';
import { gate } from '../fixtures/waiting.js';
import { bundleWeb, runAsPage, WEB_PROTOBUF, type WebProtobuf } from '../fixtures/web.js';
import { notes, PART, PARTS, services } from './rpc-services.js';

describe('getty-ts/web/rpc without the globals of Node.js', () => {
  noLeaks();
  let code: string;
  beforeAll(async () => {
    code = await bundleWeb('iife', WEB_PROTOBUF);
  });

  /** A client that offers the service Page. */
  async function connectPage(server: RpcServer, options: object = {}) {
    const web = runAsPage(code) as WebProtobuf;
    // The bundle has its own classes, so contracts are made with its own functions.
    const page = web.implement(web.contract('Page', { title: web.unary<string, string>() }), {
      title: (name) => `${name.toUpperCase()} 😀`,
    });
    const client = await web.connect(server.address, {
      reconnect: false,
      services: [page],
      ...options,
    });
    const methods = {
      hello: web.unary<string, string>(),
      fail: web.unary<string, string>(),
      note: web.oneway<string>(),
    };
    const greeter = client.stub(web.contract('Greeter', methods, { version: 'v1' }));
    return { web, client, greeter, [Symbol.asyncDispose]: () => client.close() };
  }

  it('uses no global of Node.js, and has at most 99 KiB with the Protobuf library', () => {
    expect(code.match(/(?<![.\w$])(?:Buffer|setImmediate|require)(?![\w$]|\s*:)/g) ?? []).toEqual(
      [],
    );
    expect(code).not.toContain('node:');
    expect(gzipSync(code, { level: 9 }).length).toBeLessThan(99 * 1024);
  });

  it('streams 10 MiB from the page, to the page, and in both directions at once', async () => {
    await using server = await serve('ws://127.0.0.1:0', services);
    await using page = await connectPage(server);
    const { web } = page;
    const stub = page.client.stub(
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

  it('calls in both directions on one session, with metadata', async () => {
    await using server = await serve('ws://127.0.0.1:0', services);
    await using page = await connectPage(server);
    expect(await page.greeter.hello('grün', { metadata: { from: 'a pagé' } })).toBe(
      'hello, GRÜN 😀 (a pagé)',
    );
    await page.greeter.note('noted');
    expect(await notes.next()).toBe('noted');
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, i) => page.greeter.hello(`${i}`)),
    );
    expect(answers).toEqual(Array.from({ length: 500 }, (_, i) => `hello, ${i} 😀 (nobody)`));
  });

  it('answers each item of a duplex stream', async () => {
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
    await using page = await connectPage(server);
    const received: number[] = [];
    for await (const sum of page.client
      .stub(sums(page.web.contract, page.web.duplex))
      .sums([1, 2, 3, 4]))
      received.push(sum);
    expect(received).toEqual([1, 3, 6, 10]);
  });

  it.each(['json', 'protobuf'] as const)(
    'receives Protobuf messages, and the code, details and metadata of an error, in %s',
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
      await using page = await connectPage(server);
      const stub = page.client.stub(page.web.contract(descriptor), { codec });
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

  it('rejects connect() with CONNECT_FAILED or BAD_ADDRESS', async () => {
    const web = runAsPage(code) as WebProtobuf;
    expect(await rejection(web.connect('ws://127.0.0.1:1'))).toMatchObject({
      code: 'CONNECT_FAILED',
    });
    expect(await rejection(web.connect('tcp://127.0.0.1:1'))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
  });

  it('rejects a call with DEADLINE_EXCEEDED after its timeout, and UNAVAILABLE after a loss', async () => {
    const called = gate();
    const slow = implement(contract('Slow', { slow: unary<string, string>() }), {
      slow() {
        called.open();
        return new Promise<string>(() => {});
      },
    });
    await using server = await serve('ws://127.0.0.1:0', [slow], { drainTimeout: 0 });
    await using page = await connectPage(server);
    const stub = page.client.stub(
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
