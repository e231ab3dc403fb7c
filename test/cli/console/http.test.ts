/** Who may open the page of the console, and connect to its process. */
import { once } from 'node:events';
import { request } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  isLoopback,
  parseListenAddress,
  urlHost,
} from '../../../src/cli/console/http/listen-address.js';
import { hostNameOf } from '../../../src/cli/console/http/request-policy.js';
import { connect, type RpcServer } from '../../../src/rpc/index.js';
import { within } from '../../fixtures/waiting.js';
import { serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';
import { type OpenConsole, openConsole } from './open-console.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends a request to a console, also with headers that fetch() does not allow. */
function ask(
  { origin }: Pick<OpenConsole, 'origin'>,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  const answer = new Promise<Answer>((resolve, reject) => {
    const sent = request(`${origin}${path}`, { headers, method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    sent.on('error', reject).on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '' });
    });
    sent.end();
  });
  return within(answer, `the answer to ${method} ${path}`);
}

const upgrade = (headers: Record<string, string>): Record<string, string> => ({
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  ...headers,
});

describe('the page on this machine', () => {
  let server: RpcServer;
  let console: OpenConsole;

  beforeAll(async () => {
    server = await serveGreeter();
    console = await openConsole(server.address);
  });

  afterAll(async () => {
    await console[Symbol.asyncDispose]();
    server.destroy();
  });

  test('listens on 127.0.0.1, and needs no token', async () => {
    expect(console.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(await ask(console, '/')).toMatchObject({ status: 200 });
  });

  test.each([
    ['/', 'text/html'],
    ['/page.js', 'text/javascript'],
    ['/page.css', 'text/css'],
    ['/icon.svg', 'image/svg+xml'],
  ])('%s is %s with headers that allow only its own files', async (path, type) => {
    const { status, headers } = await ask(console, path);
    expect(status).toBe(200);
    expect(headers['content-type']).toContain(type);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*/);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['cache-control']).toBe('no-store');
  });

  test.each(['/', '/nothing'])('HEAD %s has no body', async (path) => {
    const socket = connectSocket(Number(new URL(console.origin).port), '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text) => {
      received += text;
    });
    socket.write(`HEAD ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await within(once(socket, 'close'), 'the end of the connection');
    expect(received).toMatch(/^HTTP\/1\.1 (200|404) .*Content-Length: [1-9].*\r\n\r\n$/s);
  });

  test('requests that do not wait for the answer before them end the connection', async () => {
    const socket = connectSocket(Number(new URL(console.origin).port), '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text) => {
      received += text;
    });
    socket.write('GET /page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(1_000));
    await within(
      once(
        socket.on('error', () => {}),
        'close',
      ),
      'the end of the connection',
    );
    expect(received.split('HTTP/1.1 200').length).toBeLessThan(3);
    expect(await ask(console, '/page.js')).toMatchObject({ status: 200 });
  });

  test('the page has no script and no style of its own, and names no other host', async () => {
    const { body } = await ask(console, '/');
    expect(body).not.toMatch(/<script(?![^>]* src=)|<style|style=| on\w+=|https?:/);
  });

  test.each(['127.0.0.1', '127.0.0.1:9000', 'localhost:1', 'a.localhost', '[::1]:80', '10.0.0.7'])(
    'the host %s is allowed',
    async (Host) => expect((await ask(console, '/', { Host })).status).toBe(200),
  );

  test.each([
    'evil.example',
    'evil.example:80',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
  ])('the host %s is refused, so that DNS rebinding has no effect', async (Host) => {
    expect((await ask(console, '/', { Host })).status).toBe(403);
    const headers = upgrade({ Host, Origin: `http://${Host}` });
    expect((await ask(console, '/rpc', headers)).status).toBe(403);
  });

  test.each([
    ['of another site', { Origin: 'https://evil.example' }],
    ['of another port', { Origin: 'http://127.0.0.1:1' }],
    ['of a sandbox', { Origin: 'null' }],
    ['without an origin', {}],
  ])('a WebSocket of a page %s is refused', async (_, headers) =>
    expect((await ask(console, '/rpc', upgrade(headers))).status).toBe(403),
  );

  test('a WebSocket of the own page is accepted at its path only', async () => {
    const headers = upgrade({ Origin: console.origin });
    expect((await ask(console, '/rpc', headers)).status).toBe(101);
    expect((await ask(console, '/', headers)).status).toBe(404);
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is refused', async (method) =>
    expect((await ask(console, '/', {}, method)).status).toBe(405),
  );

  test.each(['/nope', '/..%2fpackage.json', '//', '/%00'])('there is nothing at %s', async (path) =>
    expect((await ask(console, path)).status).toBe(404),
  );

  test('the page may change nothing without --allow-admin', async () => {
    using page = await console.connect();
    const request = { node: server.address, action: 'drain' } as const;
    await expect(page.stub.admin(request)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('the page with a token', () => {
  let server: RpcServer;
  let console: OpenConsole;

  beforeAll(async () => {
    server = await serveGreeter();
    console = await openConsole(server.address, [
      '--listen',
      '0.0.0.0:0',
      '--allow-host',
      'Ops.Example',
    ]);
  });

  afterAll(async () => {
    await console[Symbol.asyncDispose]();
    server.destroy();
  });

  test('needs it when it listens elsewhere', async () => {
    expect(console.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{32}$/);
    const socket = upgrade({ Origin: console.origin });
    for (const path of ['/rpc', '/rpc?token=', '/rpc?token=wrong', `${console.rpcPath}x`]) {
      expect((await ask(console, path, socket)).status).toBe(401);
      expect((await ask(console, path)).status).toBe(401);
    }
    expect((await ask(console, console.rpcPath, socket)).status).toBe(101);
    expect((await ask(console, console.rpcPath)).status).toBe(204);
  });

  test('needs none for the files of the page, which are no secret', async () => {
    for (const path of ['/', '/page.js', '/page.css', '/icon.svg'])
      expect((await ask(console, path)).status).toBe(200);
  });

  test('sets no cookie, which the browser would send to other ports, and takes none', async () => {
    const [token] = /[\w-]+$/.exec(console.url) ?? [];
    expect((await ask(console, `/?token=${token}`)).headers).not.toHaveProperty('set-cookie');
    const headers = {
      Origin: console.origin,
      Cookie: `getty-console-${new URL(console.url).port}=${token}`,
    };
    expect((await ask(console, '/rpc', upgrade(headers))).status).toBe(401);
  });

  test('needs the own origin and an allowed host also with the token', async () => {
    for (const Origin of ['https://evil.example', 'http://127.0.0.1:1', 'null'])
      expect((await ask(console, console.rpcPath, upgrade({ Origin }))).status).toBe(403);
    const Host = 'evil.example';
    const headers = upgrade({ Host, Origin: `http://${Host}` });
    expect((await ask(console, console.rpcPath, headers)).status).toBe(403);
    expect((await ask(console, console.rpcPath, { Host })).status).toBe(403);
  });

  test('--allow-host names a host by which browsers reach it', async () => {
    const Host = 'ops.example:8850';
    expect((await ask(console, console.rpcPath, { Host })).status).toBe(204);
    expect((await ask(console, console.rpcPath, { Host: 'other.example' })).status).toBe(403);
  });

  test.each([
    ['--allow-admin', ['--allow-admin'], {}],
    ['--token', ['--token', 'secret'], {}],
    ['GETTY_TOKEN', [], { GETTY_TOKEN: 'secret' }],
  ])('needs it on this machine too with %s', async (_, args, environment) => {
    await using other = await openConsole(server.address, args, { environment });
    expect((await ask(other, '/rpc')).status).toBe(401);
    expect((await ask(other, other.rpcPath)).status).toBe(204);
  });
});

test('the rpc server behind the page has a secret path', async () => {
  await using server = await serveGreeter();
  await using console = await openConsole(server.address);
  // The only other listening address that a program could try is that of the page.
  await expect(
    connect(`ws://${new URL(console.url).host}/rpc`, { reconnect: false }),
  ).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
});

describe('the command line', () => {
  test.each([
    [['--listen', '70000'], /^getty console: --listen: got "70000", expected a port, or host:port/],
    [['--listen', 'a/b:1'], /^getty console: --listen: got "a\/b:1"/],
    [['--timeout', 'x'], /^getty console: --timeout: got "x"/],
  ])('%j is a wrong command line', async (args, message) => {
    const { code, stderr } = await getty('console', 'tcp://127.0.0.1:1', ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  test('a port that is in use is one line that says what to do', async () => {
    await using server = await serveGreeter();
    await using console = await openConsole(server.address);
    const { host } = new URL(console.url);
    const { code, stderr } = await getty('console', server.address, '--listen', host);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^getty console: cannot listen at 127\.0\.0\.1:\d+: .*EADDRINUSE.* \(give another address with --listen\)\n$/,
    );
  });

  test('a registry that is not there is the error of the registry', async () => {
    const { code, stderr } = await getty('console', 'file:///nowhere/at/all');
    expect(code).toBeGreaterThan(0);
    expect(stderr).toMatch(/^getty console: .*\n$/);
  });

  test.each([
    ['8850', { host: '127.0.0.1', port: 8850 }],
    ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['Ops.example:1', { host: 'ops.example', port: 1 }],
  ])('--listen %s', (text, address) => expect(parseListenAddress(text)).toEqual(address));

  test('only loopback addresses are of this machine', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '::', '10.0.0.1', 'ops.example', '::ffff:10.0.0.1'].some(isLoopback)).toBe(
      false,
    );
    expect([urlHost('::1'), urlHost('10.0.0.1')]).toEqual(['[::1]', '10.0.0.1']);
  });

  test.each([undefined, '', 'a b', 'a/b', '[::1', 'a:b', 'user@a', '[evil.example]'])(
    'the Host header %j is malformed',
    (host) => expect(hostNameOf(host)).toBeUndefined(),
  );
});
