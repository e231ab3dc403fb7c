/** connect() of a page: addresses, options, failures, and secrets in URLs. */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { raw, serve } from '../../src/transport/index.js';
import type { WebClientOptions } from '../../src/web/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection } from '../fixtures/transports.js';
import { Inbox } from '../fixtures/waiting.js';
import { loadWeb, type Page } from '../fixtures/web.js';
import { echo } from '../fixtures/websocket.js';

noLeaks();

const connectTo = async (address: string, options: WebClientOptions = {}, page: Page = {}) => {
  const web = await loadWeb(page);
  return web.connect(
    address,
    { codec: web.raw(), listener: { onMessage() {} } },
    { reconnect: false, ...options },
  );
};

describe('connect() of a page', () => {
  it.each([
    'tcp://127.0.0.1:80',
    'http://127.0.0.1/',
    '127.0.0.1:80',
    'memory://here',
    'ws://host:99999',
    'ws://host#part',
    '',
    undefined,
  ])('rejects the address %s with BAD_ADDRESS', async (address) => {
    expect(await rejection(connectTo(address as string))).toMatchObject({
      code: 'BAD_ADDRESS',
      message: expect.stringMatching(/expected wss?:\/\/host:port\/path/),
    });
  });

  it('rejects with CONNECT_FAILED when the path is unknown, or nothing listens', async () => {
    await using server = await echo({}, {}, 'ws://127.0.0.1:0/live');
    const address = new URL(server.address);
    const expectFailure = async (url: string): Promise<void> => {
      expect(await rejection(connectTo(url))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringContaining(`cannot connect to ${url}: `),
        cause: expect.any(Error),
      });
    };
    await expectFailure(`ws://${address.host}/dead`);
    await server.server.stopListening();
    await expectFailure(server.address);
  });

  it('passes user information and query to the browser, and hides them in errors', async () => {
    const urls: string[] = [];
    class RefusingWebSocket {
      constructor(url: string) {
        urls.push(url);
        throw new DOMException(`the URL ${url} is refused`, 'SyntaxError');
      }
    }
    const error = await rejection(
      connectTo(
        'ws://me:se%3Acret@127.0.0.1:1/path?token=secret',
        {},
        { WebSocket: RefusingWebSocket },
      ),
    );
    expect(urls).toEqual(['ws://me:se%3Acret@127.0.0.1:1/path?token=secret']);
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message:
        'cannot connect to ws://***@127.0.0.1:1/path?***: the browser refused the URL: SyntaxError',
    });
    expect(String(error.cause)).not.toContain('secret');
  });

  it('sends the query to the server, and hides it in addresses', async () => {
    const urls: unknown[] = [];
    const web = await loadWeb();
    await using server = await serve('ws://127.0.0.1:0/live', ({ request }) => {
      urls.push(request?.url);
      return { codec: raw(), listener: { onMessage() {} } };
    });
    await using client = await web.connect(`${server.address}?token=secret`, {
      codec: web.raw(),
      listener: { onMessage() {} },
    });
    expect(urls).toEqual(['/live?token=secret']);
    expect([client.address, (await client.session()).remoteAddress]).toEqual([
      `${server.address}?***`,
      server.address,
    ]);
  });

  it('rejects with CONNECT_FAILED when the browser forbids the connection', async () => {
    class ForbiddingWebSocket {
      constructor() {
        throw new DOMException(
          'an insecure WebSocket may not be made from a page loaded over HTTPS',
          'SecurityError',
        );
      }
    }
    expect(
      await rejection(connectTo('ws://127.0.0.1:1', {}, { WebSocket: ForbiddingWebSocket })),
    ).toMatchObject({
      code: 'CONNECT_FAILED',
      message:
        'cannot connect to ws://127.0.0.1:1: an insecure WebSocket may not be made from a page loaded over HTTPS',
    });
  });

  it('rejects with CONNECT_FAILED when there is no WebSocket class', async () => {
    expect(
      await rejection(connectTo('ws://127.0.0.1:1', {}, { WebSocket: undefined })),
    ).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('there is no global WebSocket'),
    });
  });

  it('stops waiting for the handshake after connectTimeout, and when the signal aborts', async () => {
    const sockets = new Inbox<{ destroy(): void }>('a connection');
    const server = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
    try {
      expect(await rejection(connectTo(address, { connectTimeout: 30 }))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringContaining('no connection within connectTimeout, 30 ms'),
      });
      const abort = new AbortController();
      const error = rejection(connectTo(address, { signal: abort.signal }));
      await sockets.take(2);
      abort.abort(new Error('not needed'));
      expect(await error).toMatchObject({ code: 'ABORTED_BY_CALLER' });
      expect(await rejection(connectTo(address, { signal: AbortSignal.abort() }))).toMatchObject({
        code: 'ABORTED_BY_CALLER',
      });
    } finally {
      for (const socket of sockets.all) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('passes the chosen subprotocol to the setup function, and rejects a server that chooses none', async () => {
    const web = await loadWeb();
    const chosen: (string | undefined)[] = [];
    const setup = ({ protocol }: { protocol?: string }) => {
      chosen.push(protocol);
      return { codec: web.raw(), listener: { onMessage() {} } };
    };
    await using server = await echo({}, { websocket: { protocols: ['v2', 'v1'] } });
    await using client = await web.connect(server.address, setup, {
      websocket: { protocols: ['v1', 'v0'] },
    });
    expect(client.sessions.size).toBe(1);
    expect(chosen).toEqual(['v1']);
    expect(
      await rejection(web.connect(server.address, setup, { websocket: { protocols: ['v9'] } })),
    ).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  it.each([
    [{ tls: { ca: 'x' } }, 'tls: got an object'],
    [{ udp: {} }, 'udp: got an object'],
    [{ websocket: { headers: { Cookie: 'a' } } }, 'websocket.headers: got an object'],
    [{ websocket: { allowOrigin: [] } }, 'websocket.allowOrigin: got an array'],
    [{ websocket: { allowHost: 'any' } }, 'websocket.allowHost: got "any"'],
    [{ websocket: { health: '/healthz' } }, 'websocket.health: got "/healthz"'],
    [{ websocket: { compression: 'deflate' } }, 'websocket.compression: got "deflate"'],
    [{ websocket: { maxCompressBytes: 1 } }, 'websocket.maxCompressBytes: got 1'],
    [{ websocket: { protocols: ['a b'] } }, 'websocket.protocols: got an array'],
    [{ websocket: { text: 1 } }, 'websocket.text: got 1'],
    [{ connections: 0 }, 'connections: got 0'],
    [{ connectTimeout: -1 }, 'connectTimeout: got -1'],
  ])('rejects the options %j with BAD_OPTION', async (options, message) => {
    expect(await rejection(connectTo('ws://127.0.0.1:1', options as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
  });
});
