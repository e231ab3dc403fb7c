/** Valid and invalid TLS options. serve() and connect() reject invalid options. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { connect, lines, serve, type TlsOptions } from '../../../src/transport/index.js';
import { CLIENT_TLS, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  ANY_TLS,
  CA,
  connectError,
  expectEcho,
  pemPath,
  serveEcho,
} from '../../fixtures/tls-endpoints.js';
import { rejection } from '../../fixtures/transports.js';

/** The passphrase of `server.locked.key`. */
const PASSPHRASE = 'swordfish';

noLeaks();

describe('TLS options', () => {
  const folder = mkdtempSync(join(tmpdir(), 'getty-tls-'));
  const missing = join(folder, 'missing.pem');
  const empty = join(folder, 'empty.pem');
  const broken = join(folder, 'broken.pem');
  writeFileSync(empty, '');
  writeFileSync(broken, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const key = String(pem('server.key'));
  /** The key without the lines that mark it as PEM. */
  const base64Key = key.replace(/-----.*-----/g, '').replaceAll('\n', '');

  const INVALID: readonly [
    name: string,
    tls: TlsOptions | object,
    messageParts: readonly string[],
    secret?: string,
  ][] = [
    ['a missing cert file', { cert: missing }, ['tls.cert', missing, 'ENOENT']],
    ['a missing key file', { key: missing }, ['tls.key', missing, 'ENOENT']],
    ['a missing CA file', { ca: missing }, ['tls.ca', missing, 'ENOENT']],
    ['a directory', { cert: folder }, ['tls.cert', folder]],
    ['an empty cert', { cert: empty }, ['tls.cert', empty, 'not PEM']],
    ['an empty CA', { ca: empty }, ['tls.ca', empty, 'not PEM']],
    [
      'an invalid certificate after a valid one',
      { ca: CA + readFileSync(broken, 'utf8') },
      ['tls.ca', 'that can be read'],
    ],
    [
      'a truncated certificate after a valid one',
      { ca: `${CA}${String(CA).slice(0, 200)}` },
      ['tls.ca', 'that can be read'],
    ],
    ['an invalid CA', { ca: broken }, ['tls.ca', broken]],
    ['an invalid cert', { cert: broken }, ['tls.cert', broken]],
    ['a key instead of a CA', { ca: pemPath('server.key') }, ['tls.ca', pemPath('server.key')]],
    ['a cert instead of a key', { key: pemPath('server') }, ['tls.key', pemPath('server')]],
    ['the key of another certificate', { key: pem('server2.key') }, ['a certificate and its key']],
    ['a number as the cert', { cert: 7 }, ['tls.cert', 'got 7', 'PEM']],
    [
      'a passphrase of the wrong type',
      { passphrase: 52_437 },
      ['tls.passphrase', 'a number', 'a string'],
      '52437',
    ],
    [
      'an old TLS version',
      { minVersion: 'TLSv1' },
      ['tls.minVersion', 'got "TLSv1"', '"TLSv1.2" or "TLSv1.3"'],
    ],
    ['a cert without a key', { key: undefined }, ['a cert and a key']],
    ['a key without a cert', { cert: undefined }, ['a cert and a key']],
    [
      'a key that is not PEM',
      { key: base64Key },
      ['tls.key', 'neither PEM nor a file'],
      base64Key.slice(5, 50),
    ],
    [
      'a key in lines that is not PEM',
      { key: `\n${base64Key}\n` },
      ['tls.key', 'neither PEM nor a file'],
      base64Key.slice(5, 50),
    ],
    [
      'an encrypted key without its passphrase',
      { key: pemPath('server.locked.key') },
      ['tls.key', pemPath('server.locked.key'), 'encrypted, and tls.passphrase is not given'],
    ],
    [
      'an encrypted key with a wrong passphrase',
      { key: pemPath('server.locked.key'), passphrase: 'barracuda' },
      ['tls.key', pemPath('server.locked.key')],
      'barracuda',
    ],
  ];
  it.each(INVALID)('with %s are BAD_OPTION', async (_, tls, messageParts, secret) => {
    const setup = { codec: lines(), listener: { onMessage() {} } };
    const given = { ...SERVER_TLS, ...tls } as TlsOptions;
    const unused = 'tls://127.0.0.1:1';
    for (const attempt of [
      serve(ANY_TLS, setup, { tls: given }),
      connect(unused, setup, { tls: given }),
    ]) {
      const error = await rejection(attempt);
      expect(error.code).toBe('BAD_OPTION');
      for (const part of messageParts) expect(error.message).toContain(part);
      if (secret !== undefined)
        expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(secret);
    }
  });

  it.each([
    ['no options', undefined, ['a cert and a key']],
    ['an empty object', {}, ['a cert and a key']],
    [
      'an unknown clientCertificate',
      { ...SERVER_TLS, clientCertificate: 'please' },
      ['tls.clientCertificate', 'got "please"', '"none" or "required"'],
    ],
    [
      'a required client certificate and no CA',
      { ...SERVER_TLS, clientCertificate: 'required' },
      ['tls.ca', 'the CA whose client certificates'],
    ],
  ])('of a server with %s are BAD_OPTION', async (_, tls, messageParts) => {
    const error = await rejection(
      serve(ANY_TLS, { codec: lines(), listener: { onMessage() {} } }, { tls: tls as TlsOptions }),
    );
    expect(error.code).toBe('BAD_OPTION');
    for (const part of messageParts) expect(error.message).toContain(part);
  });

  it.each([7, '', null])(
    'of a client with the serverName %o are BAD_OPTION',
    async (serverName) => {
      expect(
        await connectError('tls://127.0.0.1:1', { serverName: serverName as string }),
      ).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('tls.serverName'),
      });
    },
  );

  it('may have comments in PEM files, which have no effect', async () => {
    const comment = 'This comment has Proc-Type: 4,ENCRYPTED, but the key is UNENCRYPTED\n';
    for (const bytes of [comment + pem('server.key'), Buffer.from(comment + pem('server.key'))]) {
      await using server = await serveEcho({ key: bytes, cert: comment + pem('server') });
      await expectEcho(server.address, { ca: comment + CA });
    }
    await using encrypted = await serveEcho({
      key: comment + pem('server.locked.key'),
      passphrase: PASSPHRASE,
    });
    await expectEcho(encrypted.address);
    expect(
      await rejection(serveEcho({ key: `${comment}${pem('server.locked.key')}` })),
    ).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('encrypted, and tls.passphrase is not given'),
    });
  });

  it('may have an encrypted key, as a file or as bytes, with its passphrase', async () => {
    for (const key of [pemPath('server.locked.key'), pem('server.locked.key')]) {
      await using server = await serveEcho({ key, passphrase: PASSPHRASE });
      await expectEcho(server.address);
    }
    await using strict = await serveEcho({ ca: CA });
    await expectEcho(strict.address, {
      ...CLIENT_TLS,
      cert: pemPath('client'),
      key: pemPath('client.key'),
    });
  });

  it('may have a passphrase that the key does not need', async () => {
    await using server = await serveEcho({ passphrase: PASSPHRASE });
    await expectEcho(server.address);
  });
});
