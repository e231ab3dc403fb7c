/** Handlers of requests that throw. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  type RequestHandlers,
  RequestParser,
} from '../../../../src/transport/websocket/handshake/request-parser.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { Inbox } from '../../../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../../../fixtures/websocket.js';

noLeaks();

const HOST = 'ws://127.0.0.1/';
const REQUESTS: readonly [string, string][] = [
  ['a request', 'GET / HTTP/1.1\r\n\r\n'],
  ['a tunnel', 'CONNECT host:1 HTTP/1.1\r\n\r\n'],
  ['a request that waits to be continued', 'GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n'],
  ['a request with another expectation', 'GET / HTTP/1.1\r\nExpect: more\r\n\r\n'],
  ['an upgrade', handshakeRequest(HOST)],
  ['bytes that are no request', 'no request\r\n\r\n'],
  ['long headers', `GET / HTTP/1.1\r\nA: ${'a'.repeat(2_000)}\r\n\r\n`],
];

/** Reads one request of each connection. */
async function listen(handlers: RequestHandlers): Promise<Server> {
  const parser = new RequestParser(1_000, handlers);
  const server = createServer((socket) => parser.read(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describe.each(REQUESTS)('%s', (_, text) => {
  test('is reported once when its handler throws, and costs its own connection only', async () => {
    const faults = new Inbox<unknown>('a fault');
    const others = new Inbox<Socket>('another connection');
    const thrown = new Error('mine');
    let isSecond = false;
    const handle = (socket: Socket): void => {
      if (!isSecond) throw thrown;
      others.push(socket.end('ok'));
    };
    const server = await listen({
      onRequest: (_request, socket) => handle(socket),
      onUpgrade: (_request, socket) => handle(socket),
      onInvalid: (_error, socket) => handle(socket),
      onFault(socket, error) {
        faults.push(error);
        socket.destroy();
      },
    });
    const address = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    using first = rawPeer(address);
    first.socket.write(text);
    expect(await faults.next()).toBe(thrown);
    await first.ended;
    isSecond = true;
    using second = rawPeer(address);
    second.socket.write(text);
    await others.next();
    expect(String(await second.until((bytes) => bytes.length >= 2))).toBe('ok');
    expect(faults.all).toEqual([thrown]);
    second.socket.end();
    await once(server.close(), 'close');
  });
});
