/** Replacing the certificate of a server while it listens. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lines, serve, type TlsOptions } from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  CA,
  connectLines,
  connectNodeTls,
  expectEcho,
  pemPath,
  serveEcho,
} from '../../fixtures/tls-endpoints.js';
import { thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

describe('reloadTls', () => {
  /** The name in the certificate that the server presents. */
  const presentedName = async (port: number): Promise<string | undefined> => {
    const socket = await connectNodeTls(port);
    const name = socket.getPeerCertificate().subject.CN as string;
    socket.destroy();
    return name;
  };

  /** A directory for the files of a certificate and its key. put() writes them. */
  const makeFiles = () => {
    const directory = mkdtempSync(join(tmpdir(), 'getty-tls-'));
    const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
    const put = (name: string): void => {
      copyFileSync(pemPath(name), files.cert);
      copyFileSync(pemPath(`${name}.key`), files.key);
    };
    return { directory, files, put };
  };

  it('gives new sessions the new certificate, and keeps open sessions', async () => {
    await using server = await serveEcho();
    await using client = await connectLines(server.address);
    expect(await presentedName(server.port)).toBe('server');
    server.endpoint.reloadTls(identity('server2'));
    expect(await presentedName(server.port)).toBe('server2');
    client.session.write('hello');
    expect(await client.events.messages.next()).toBe('hello');
    await expectEcho(server.address);
    expect(server.events.errors.all).toEqual([]);
  });

  it('reads replaced files again', async () => {
    const { directory, files, put } = makeFiles();
    put('server');
    await using server = await serveEcho(files);
    put('server2');
    expect(await presentedName(server.port)).toBe('server');
    server.endpoint.reloadTls({});
    expect(await presentedName(server.port)).toBe('server2');
    rmSync(directory, { recursive: true });
    expect(thrown(() => server.endpoint.reloadTls({})).message).toContain(files.cert);
    expect(await presentedName(server.port)).toBe('server2');
  });

  it('reads changed files again every reloadPeriod, and does not use invalid files', async () => {
    const { directory, files, put } = makeFiles();
    put('server');
    await using server = await serveEcho({ ...files, reloadPeriod: 10 });
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    try {
      copyFileSync(pemPath('server2'), files.cert);
      await until(() => warnings.length > 0, 'a certificate without its key is a warning');
      expect(await presentedName(server.port)).toBe('server');
      put('server2');
      await until(
        async () => (await presentedName(server.port)) === 'server2',
        'the new certificate is in use',
      );
      rmSync(directory, { recursive: true });
      expect(await presentedName(server.port)).toBe('server2');
    } finally {
      process.off('warning', warned);
    }
  });

  it.each([
    ['a cert without a key', { cert: pem('server2') }],
    ['the key of another certificate', { cert: pem('server2'), key: pem('server.key') }],
    ['a cert that is not PEM', { cert: Buffer.from('nothing'), key: pem('server.key') }],
    [
      'a wrong passphrase',
      { ...identity('server2'), key: pem('server.locked.key'), passphrase: 'barracuda' },
    ],
    ['no options', undefined],
  ])('throws BAD_OPTION for %s, and keeps the certificate', async (_, tls) => {
    await using server = await serveEcho();
    const error = thrown(() => server.endpoint.reloadTls(tls as TlsOptions));
    expect(error.code).toBe('BAD_OPTION');
    expect(error.message).not.toContain('barracuda');
    expect(await presentedName(server.port)).toBe('server');
    await expectEcho(server.address);
  });

  it('cannot change whether client certificates are required', async () => {
    await using server = await serveEcho({ ca: CA });
    server.endpoint.reloadTls(identity('server2'));
    for (const tls of [{}, identity('other-client')]) {
      await using client = await connectLines(server.address, { ...CLIENT_TLS, ...tls });
      await client.events.closed.next();
    }
    expect(server.events.log).toEqual([]);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
    expect(
      thrown(() => server.endpoint.reloadTls({ clientCertificate: 'none' })).message,
    ).toContain('expected "required", which a reload cannot change');
    server.endpoint.reloadTls({ ca: pem('other-authority') });
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('other-client') });
    await using open = await serveEcho();
    expect(thrown(() => open.endpoint.reloadTls({ ca: CA }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('expected "none"'),
    });
  });

  it('keeps minVersion', async () => {
    await using server = await serveEcho({ minVersion: 'TLSv1.3' });
    server.endpoint.reloadTls(identity('server2'));
    await expect(connectNodeTls(server.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/);
  });

  it.each(['tcp://127.0.0.1:0', 'memory://no-tls'])(
    'throws BAD_OPTION at %s, which has no TLS',
    async (address) => {
      await using server = await serve(address, { codec: lines(), listener: { onMessage() {} } });
      expect(thrown(() => server.reloadTls(SERVER_TLS))).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining(server.address),
      });
    },
  );
});
