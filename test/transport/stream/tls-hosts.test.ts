/** Certificates by host name (SNI). */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TlsOptions } from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, pem } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  CA,
  connectLines,
  connectNodeTls,
  pemPath,
  serveEcho,
} from '../../fixtures/tls-endpoints.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

const server2 = identity('server2') as { cert: Buffer; key: Buffer };
const elsewhere = identity('elsewhere') as { cert: Buffer; key: Buffer };
const HOSTS = { 'A.example': server2, '*.b.example': elsewhere };

/** The name in the certificate that the server presents to a client that requests `servername`. */
async function presented(port: number, servername?: string): Promise<unknown> {
  const socket = await connectNodeTls(port, {
    checkServerIdentity: () => undefined,
    ...(servername !== undefined && { servername }),
  });
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return name;
}

describe.each(['tls://127.0.0.1:0', 'wss://127.0.0.1:0'])('%s', (address) => {
  it('presents the certificate of the name, and its own for any other name', async () => {
    await using server = await serveEcho({ hosts: HOSTS }, {}, address);
    const own = await presented(server.port);
    const second = await presented(server.port, 'a.example');
    const third = await presented(server.port, 'x.b.example');
    expect(new Set([own, second, third]).size).toBe(3);
    expect(await presented(server.port, 'A.EXAMPLE')).toBe(second);
    for (const name of ['b.example', 'x.y.b.example', 'x.a.example', 'c.example', '__proto__'])
      expect(await presented(server.port, name), name).toBe(own);
  });

  it('gives new sessions the replaced certificates', async () => {
    await using server = await serveEcho({ hosts: HOSTS }, {}, address);
    const own = await presented(server.port);
    const second = await presented(server.port, 'a.example');
    server.endpoint.reloadTls({ hosts: { 'c.example': server2 } });
    expect(await presented(server.port, 'c.example')).toBe(second);
    expect(await presented(server.port, 'a.example')).toBe(own);
    expect(
      thrown(() =>
        server.endpoint.reloadTls({ hosts: { 'a.example': { ...server2, key: 'no' } } }),
      ),
    ).toMatchObject({ code: 'BAD_OPTION' });
    expect(await presented(server.port, 'c.example')).toBe(second);
    server.endpoint.reloadTls({ hosts: undefined } as TlsOptions);
  });
});

it('a client of this package requests the name of its address or serverName', async () => {
  await using server = await serveEcho({ hosts: { localhost: server2 } });
  await using connected = await connectLines(server.address, {
    ...CLIENT_TLS,
    serverName: 'localhost',
  });
  connected.session.write('hello');
  expect(await connected.events.messages.next()).toBe('hello');
});

it('requires client certificates of `ca` for each name', async () => {
  await using server = await serveEcho({ hosts: { localhost: server2 }, ca: CA });
  const as = (name: string) =>
    connectLines(server.address, { ...CLIENT_TLS, ...identity(name), serverName: 'localhost' });
  await using stranger = await as('other-client');
  await stranger.events.closed.next();
  await using known = await as('client');
  known.session.write('hello');
  expect(await known.events.messages.next()).toBe('hello');
});

it('reads changed files of a name again every reloadPeriod', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'getty-tls-'));
  const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
  const put = (name: string): void => {
    copyFileSync(pemPath(name), files.cert);
    copyFileSync(pemPath(`${name}.key`), files.key);
  };
  put('server2');
  await using server = await serveEcho({ hosts: { 'a.example': files }, reloadPeriod: 10 });
  const before = await presented(server.port, 'a.example');
  const warned = (): void => {};
  process.on('warning', warned);
  put('elsewhere');
  await until(
    async () => (await presented(server.port, 'a.example')) !== before,
    'the new certificate is in use',
  );
  process.off('warning', warned);
  rmSync(directory, { recursive: true });
});

it.each<[unknown, string]>([
  [{ '': server2 }, 'tls.hosts: got ""'],
  [{ '*': server2 }, 'tls.hosts: got "*"'],
  [{ 'a.*': server2 }, 'expected host names'],
  [{ '10.0.0.1': server2 }, 'expected host names'],
  [{ 'a b': server2 }, 'expected host names'],
  [[], 'tls.hosts: got an array'],
  ['a.example', 'tls.hosts: got "a.example"'],
  [{ 'a.example': undefined }, 'tls.hosts["a.example"]: got undefined'],
  [{ 'a.example': { cert: server2.cert } }, 'expected a cert and a key'],
  [{ 'a.example': { ...server2, ca: CA } }, 'ca is not an option of tls.hosts["a.example"]'],
  [{ 'a.example': { ...server2, key: elsewhere.key } }, 'tls.hosts["a.example"]: got an object'],
  [{ 'a.example': { ...server2, key: '/no/such/file' } }, 'tls.hosts["a.example"].key: got'],
  [
    { 'a.example': { ...server2, key: pem('server.locked.key'), passphrase: 'barracuda' } },
    'tls.hosts["a.example"].key',
  ],
])('%j is BAD_OPTION', async (hosts, message) => {
  const error = await rejection(serveEcho({ hosts } as TlsOptions));
  expect(error).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(message),
  });
  expect(error.message).not.toContain('barracuda');
});
