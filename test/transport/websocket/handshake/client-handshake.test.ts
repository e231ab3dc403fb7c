/** A client's handshake with servers that answer wrongly, late or not at all. */
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { expect, it, test } from 'vitest';
import { connect, raw } from '../../../../src/transport/index.js';
import { acceptKeyOf } from '../../../../src/transport/websocket/handshake/handshake.js';
import type { UpgradeRequest } from '../../../../src/transport/websocket/handshake/upgrade-request.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { Recorder } from '../../../fixtures/recorder.js';
import { rejection } from '../../../fixtures/transports.js';
import { echo, ourClient, wsServer } from '../../../fixtures/websocket.js';

noLeaks();

const addressOf = (server: { address(): unknown }): string =>
  `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** The response that accepts the request with `key`. */
const acceptance = (key: string, headers: readonly string[] = []): string =>
  [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKeyOf(key)}`,
    ...headers,
    '\r\n',
  ].join('\r\n');

/** An HTTP server. `answer` handles the socket of an upgrade request. */
async function serverWith(answer: (socket: Socket, key: string) => void) {
  const server = createServer((_request, response) => response.writeHead(503).end('busy'));
  server.on('upgrade', ({ headers }, socket) => {
    socket.resume().on('end', () => socket.end());
    answer(socket as Socket, headers['sec-websocket-key'] ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: addressOf(server),
    [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())),
  };
}

test.each([
  [
    'the Sec-WebSocket-Accept of another key',
    ['Upgrade: websocket', 'Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA='],
    'Sec-WebSocket-Accept is wrong',
  ],
  ['no Sec-WebSocket-Accept', ['Upgrade: websocket'], 'Sec-WebSocket-Accept is wrong'],
  ['another protocol', ['Upgrade: h2c'], 'changed to another protocol'],
])('fails with CONNECT_FAILED when the response has %s', async (_name, headers, message) => {
  await using server = await serverWith((socket) => {
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...headers, '', ''];
    socket.end(lines.join('\r\n'));
  });
  expect(await rejection(ourClient(server.address))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining(message),
  });
});

it('fails with CONNECT_FAILED and the status when the server refuses', async () => {
  await using server = await serverWith((socket) =>
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'),
  );
  expect(await rejection(ourClient(server.address))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: `cannot connect to ${server.address}: the server answered 401 Unauthorized`,
  });
});

it.each(['100 Continue', '103 Early Hints'])(
  'fails with CONNECT_FAILED when the server answers with %s again and again',
  async (status) => {
    await using server = await serverWith((socket) => {
      socket.on('error', () => {});
      const responses = `HTTP/1.1 ${status}\r\n\r\n`.repeat(1_000);
      const more = (): void => void (socket.writable && socket.write(responses, more));
      more();
    });
    const { message } = await rejection(ourClient(server.address));
    expect(message).toBe(
      `cannot connect to ${server.address}: the server sent more than 8 informational responses`,
    );
  },
);

it('opens no session when the final response follows too many others in one chunk', async () => {
  const events = new Recorder<Buffer, Uint8Array>('the client');
  await using server = await serverWith((socket, key) => {
    socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(9) + acceptance(key));
  });
  const setup = { codec: raw(), listener: events };
  const error = await rejection(connect(server.address, setup, { reconnect: false }));
  expect(error.code).toBe('CONNECT_FAILED');
  expect(error.message).toContain('more than 8 informational responses');
  expect(events.opened.all).toEqual([]);
});

it.each([
  ['Sec-WebSocket-Extensions', 'an extension that was not offered: "xx'],
  ['Sec-WebSocket-Protocol', 'the server chose "xx'],
])('shows only the beginning of a long %s', async (name, message) => {
  await using server = await serverWith((socket, key) => {
    socket.end(acceptance(key, [`${name}: ${'x'.repeat(10_000)}`]));
  });
  const error = await rejection(ourClient(server.address));
  expect(error).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining(message),
  });
  expect(error.message.length).toBeLessThan(500);
});

it.each([
  ['ends the connection', '', /socket hang up/],
  ['does not answer in HTTP', 'SSH-2.0-OpenSSH\r\n', /Parse Error/],
])('fails with CONNECT_FAILED when the server %s', async (_name, answer, message) => {
  const server = createTcpServer((socket) => socket.resume().end(answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  expect(await rejection(ourClient(addressOf(server)))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringMatching(message),
  });
  server.close();
});

it('fails with CONNECT_FAILED when the handshake is not complete within connectTimeout', async () => {
  await using server = await serverWith(() => {});
  const error = await rejection(ourClient(server.address, {}, { connectTimeout: 50 }));
  expect(error).toMatchObject({
    code: 'CONNECT_FAILED',
    message: `cannot connect to ${server.address}: no connection within connectTimeout, 50 ms`,
  });
});

it('sends the headers of its options, and the path with the query', async () => {
  await using server = await wsServer({
    verifyClient: ({ req }: { req: UpgradeRequest }) =>
      req.headers.authorization === 'Bearer x' && req.url === '/chat?room=7',
  });
  await using ours = await ourClient(
    `${server.address}/chat?room=7`,
    {},
    { websocket: { headers: { authorization: 'Bearer x', upgrade: 'never' } } },
  );
  expect(ours.session.closed).toBe(false);
  expect((await rejection(ourClient(server.address))).message).toContain('401');
});

it('calls a headers function for each attempt, and waits for its promise', async () => {
  const seen: unknown[] = [];
  await using server = await wsServer({
    verifyClient: ({ req }: { req: UpgradeRequest }) => seen.push(req.headers.authorization) > 0,
  });
  let count = 0;
  const headers = async (): Promise<Record<string, string>> => ({
    authorization: `Bearer ${++count}`,
  });
  await using _ours = await ourClient(
    server.address,
    {},
    { websocket: { headers }, reconnect: { initialDelay: 1 } },
  );
  (await server.peers.next()).socket.terminate();
  await server.peers.next();
  expect(seen).toEqual(['Bearer 1', 'Bearer 2']);
});

test.each<[name: string, headers: () => unknown, code: string, message: string]>([
  [
    'throws',
    () => {
      throw new Error('no token');
    },
    'CONNECT_FAILED',
    'no token',
  ],
  ['rejects', () => Promise.reject(new Error('no token')), 'CONNECT_FAILED', 'no token'],
  ['returns no headers', () => 'Bearer 1', 'BAD_OPTION', 'websocket.headers'],
  [
    'returns a value that HTTP does not allow',
    async () => ({ token: 'secret\n' }),
    'BAD_OPTION',
    'websocket.headers.token',
  ],
  [
    'returns an object that throws',
    () =>
      Object.defineProperty({}, 'token', { enumerable: true, get: () => JSON.parse('no token') }),
    'BAD_OPTION',
    'an object that throws',
  ],
  ['returns a Map', () => new Map([['token', 'secret']]), 'BAD_OPTION', 'Object.fromEntries()'],
  ['never settles', () => new Promise(() => {}), 'CONNECT_FAILED', 'connectTimeout, 50 ms'],
])('fails the attempt when a headers function %s', async (_name, headers, code, message) => {
  await using server = await echo();
  const error = await rejection(
    ourClient(server.address, {}, { websocket: { headers }, connectTimeout: 50 } as object),
  );
  expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  expect(error.message).not.toContain('secret');
  expect(server.server.refusals).toEqual(expect.objectContaining({ request: 0, timeout: 0 }));
});
