/** Clients that connect through an HTTP proxy. */
import { createServer, type IncomingMessage } from 'node:http';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { consume } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { type ClientOptions, connect } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { RAW_SETUP } from '../../fixtures/refusals.js';
import { transportsNamed } from '../../fixtures/session-probes.js';
import { connectAs, rejection, serveAs, setupOf, thrown } from '../../fixtures/transports.js';
import { Inbox, within } from '../../fixtures/waiting.js';

noLeaks();

/** A proxy that connects to the port of each request on loopback, whatever the host is. */
async function tunnelProxy() {
  const requests = new Inbox<IncomingMessage>('a request');
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket.on('error', () => {}));
    socket.on('close', () => sockets.delete(socket));
  };
  const server = createServer();
  server.on('connection', keep);
  server.on('connect', (request: IncomingMessage, from: Socket, head: Buffer) => {
    requests.push(request);
    const to = connectTcp({ port: Number(request.url?.split(':').at(-1)), allowHalfOpen: true });
    keep(to);
    to.once('connect', () => {
      from.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n');
      to.write(head);
      from.pipe(to).pipe(from);
    });
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    requests,
    sockets,
    host: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A proxy that writes `bytes` to each connection, and ends it if `ends`. */
async function rawProxy(bytes: string | Buffer, ends = false) {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.on('close', () => sockets.delete(socket)).resume();
    if (ends) socket.end(bytes);
    else socket.write(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    sockets,
    url: `http://me:hunter2@127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe.each(transportsNamed('tcp', 'tls', 'ws', 'wss'))('$name', (row) => {
  it('connects through the proxy, with its user and password', async () => {
    const serverEvents = new Recorder<string>('the server', {
      // The first bytes of the server may arrive together with the answer of the proxy.
      onOpen: (session) => void session.write('welcome'),
      onMessage: (session, line) => void session.write(line),
    });
    await using server = await serveAs(row, setupOf(row, serverEvents));
    await using proxy = await tunnelProxy();
    const events = new Recorder<string>('the client');
    await using client = await connectAs(row, server.address, setupOf(row, events), {
      proxy: `http://me:p%40ss@${proxy.host}`,
      reconnect: false,
    });
    const session = await client.session();
    expect(await events.messages.next()).toBe('welcome');
    session.write('hello');
    expect(await events.messages.next()).toBe('hello');
    const target = server.address.replace(/^\w+:\/\//, '');
    expect(session.remoteAddress).toBe(server.address);
    expect(session.encrypted).toBe(row.name === 'tls' || row.name === 'wss');
    const { url, headers } = await proxy.requests.next();
    expect(url).toBe(target);
    expect(headers.host).toBe(target);
    expect(headers['proxy-authorization']).toBe(
      `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
    );
    await client.close();
    await within(
      Promise.all([...proxy.sockets].map((s) => new Promise((done) => s.once('close', done)))),
      'the proxy has no connection',
    );
  });

  it('lets the proxy look up the host', async () => {
    const events = new Recorder<string>('the client');
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the server')));
    await using proxy = await tunnelProxy();
    const address = server.address.replace('127.0.0.1', 'no-such-host.invalid');
    await using client = await connectAs(row, address, setupOf(row, events), {
      proxy: `http://${proxy.host}/`,
      reconnect: false,
      ...(row.clientOptions?.tls && {
        tls: { ...row.clientOptions.tls, serverName: 'localhost' },
      }),
    });
    expect((await client.session()).remoteAddress).toBe(address);
    expect((await proxy.requests.next()).url).toMatch(/^no-such-host\.invalid:\d+$/);
  });

  it.each<[string, string, RegExp]>([
    ['refuses', 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', /answered 407 Proxy Auth/],
    ['answers another request', 'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n', /answered 302 Found/],
    ['does not speak HTTP', 'SSH-2.0-OpenSSH\r\n', /Parse Error/],
    [
      'sends a header that is too large',
      `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(20_000)}`,
      /overflow/i,
    ],
    ['sends too many headers', `HTTP/1.1 200 OK\r\n${'A: 1\r\n'.repeat(20_000)}`, /overflow/i],
    ['sends informational answers', 'HTTP/1.1 102 A\r\n\r\n'.repeat(20), /answered 102 A/],
    [
      'has control characters',
      'HTTP/1.1 500 \x1b[31mred\x9b2J\r\n\r\n',
      /answered 500 \?\[31mred\?+2J$/,
    ],
    ['has a long reason', `HTTP/1.1 500 ${'x'.repeat(5_000)}\r\n\r\n`, /answered 500 x{100}$/],
  ])('a proxy that %s is the cause of CONNECT_FAILED', async (_, bytes, message) => {
    await using proxy = await rawProxy(bytes);
    const error = await rejection(
      connect(row.free().replace(/:0$/, ':1'), RAW_SETUP, {
        ...row.clientOptions,
        proxy: proxy.url,
        reconnect: false,
      }),
    );
    expect(error.code).toBe('CONNECT_FAILED');
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/ through the proxy http:\/\/\*\*\*@127\.0\.0\.1:\d+: /);
    expect(inspect(error, { depth: 12, showHidden: true })).not.toContain('hunter2');
    await within(
      Promise.all([...proxy.sockets].map((s) => new Promise((done) => s.once('close', done)))),
      'the client closes the connection',
    );
  });
});

it.each<[string, string, boolean, RegExp]>([
  ['answers nothing', '', false, /no connection within connectTimeout, 100 ms/],
  [
    'answers a part',
    'HTTP/1.1 200 OK\r\nA: ',
    false,
    /no connection within connectTimeout, 100 ms/,
  ],
  ['closes the connection', '', true, /socket hang up/],
])('a proxy that %s is the cause of CONNECT_FAILED', async (_, bytes, ends, message) => {
  await using proxy = await rawProxy(bytes, ends);
  const error = await rejection(
    connect('tcp://127.0.0.1:1', RAW_SETUP, {
      proxy: proxy.url,
      reconnect: false,
      connectTimeout: ends ? 30_000 : 100,
    }),
  );
  expect(error.code).toBe('CONNECT_FAILED');
  expect(error.message).toMatch(message);
});

it('a server that does not answer through the tunnel is the end of connectTimeout', async () => {
  await using proxy = await rawProxy('HTTP/1.1 200 OK\r\n\r\n');
  for (const scheme of ['tls', 'ws', 'wss']) {
    const error = await rejection(
      connect(`${scheme}://127.0.0.1:1`, RAW_SETUP, {
        proxy: proxy.url,
        reconnect: false,
        connectTimeout: 100,
      }),
    );
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('no connection within connectTimeout'),
    });
  }
  await within(
    Promise.all([...proxy.sockets].map((s) => new Promise((done) => s.once('close', done)))),
    'the client closes its connections',
  );
});

it('opens no tunnel if the options of TLS are invalid', async () => {
  await using proxy = await rawProxy('HTTP/1.1 200 OK\r\n\r\n');
  for (const scheme of ['tls', 'wss']) {
    const tls = { ca: '/no/such/file' };
    const error = await rejection(
      connect(`${scheme}://127.0.0.1:1`, RAW_SETUP, { proxy: proxy.url, tls }),
    );
    expect(error.code).toBe('BAD_OPTION');
  }
  expect(proxy.sockets.size).toBe(0);
});

it('a proxy that does not listen is the cause of CONNECT_FAILED', async () => {
  const error = await rejection(
    connect('tls://[::1]:1', RAW_SETUP, {
      proxy: 'http://me:hunter2@127.0.0.1:1',
      reconnect: false,
    }),
  );
  expect(error.message).toMatch(
    /^cannot connect to tls:\/\/\[::1\]:1 through the proxy http:\/\/\*\*\*@127\.0\.0\.1:1: .*ECONNREFUSED/,
  );
});

describe('BAD_OPTION', () => {
  it.each([
    '',
    'proxy.example:3128',
    'https://proxy.example:3128',
    'socks5://me:hunter2@proxy.example',
    'http://me:hunter2@',
    'http://me:hunter2@proxy.example/path',
    'http://me:hunter2@proxy.example?x',
    'http://me:hunter2@proxy.example#x',
    'http://me%3Ax:hunter2@proxy.example',
    'http://me:hunter2%0d%0a@proxy.example',
    'http://me:%zzhunter2@proxy.example',
    'http://me:hunter2@proxy.example:99999',
    5,
    null,
    { url: 'http://me:hunter2@proxy.example' },
  ])('for %j', async (proxy) => {
    const error = await rejection(
      connect('tcp://127.0.0.1:1', RAW_SETUP, { proxy } as ClientOptions),
    );
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringMatching(/^proxy: got .*, expected the URL of an HTTP proxy/),
    });
    expect(inspect(error, { depth: 12, showHidden: true })).not.toContain('hunter2');
  });

  it('for a consumer, before it connects', () => {
    expect(
      thrown(() => consume({ registry: memory(), proxy: 'socks5://me:hunter2@a' })),
    ).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringMatching(/^proxy: got a string, expected the URL of an HTTP proxy/),
    });
  });

  it.each(['udp://127.0.0.1:1', 'unix:///tmp/getty-no.sock', 'memory://no-proxy'])(
    'at %s',
    async (address) => {
      const proxy = 'http://me:hunter2@proxy.example';
      const error = await rejection(connect(address, RAW_SETUP, { proxy }));
      expect(error).toMatchObject({
        code: 'BAD_OPTION',
        message: `proxy: got a string, expected none at ${address}`,
      });
      expect(error.message).not.toContain('hunter2');
    },
  );
});
