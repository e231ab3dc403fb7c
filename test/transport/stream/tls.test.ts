/**
 * TLS as only TLS is: who is trusted, what a bad certificate does, and peers who mean no good. The
 * behaviour tables hold the rest.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import {
  connect as connectTcp,
  createServer,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TlsOptions as NodeTlsOptions,
  type TLSSocket,
} from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import {
  type ClientOptions,
  connect,
  lengthPrefixed,
  lines,
  type Peer,
  type PeerCertificate,
  raw,
  type ServerOptions,
  type SessionOptions,
  type SessionSetup,
  serve,
  type TlsOptions,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { turns, until, within } from '../../fixtures/waiting.js';

const ANY = 'tls://127.0.0.1:0';
const PASSWORD = 'swordfish';
const CA = pem('authority');
const path = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/tls/${name}.pem`, import.meta.url));
const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

noLeaks();
afterEach(() => vi.restoreAllMocks());

/** A server that echoes lines. */
async function echo(
  tls: TlsOptions = {},
  options: ServerOptions = {},
  address = ANY,
  session: SessionOptions = {},
) {
  const events = new Recorder<string>('the server', {
    onMessage: (from, line) => from.write(line),
  });
  const server = await serve(
    address,
    { codec: lines(), listener: events, ...session },
    { tls: { ...SERVER_TLS, ...tls }, ...options },
  );
  return {
    server,
    events,
    address: server.address,
    port: portOf(server.address),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

async function client(address: string, tls: TlsOptions = CLIENT_TLS, options: ClientOptions = {}) {
  const events = new Recorder<string>('the client');
  const ours = await connect(
    address,
    { codec: lines(), listener: events },
    { tls, reconnect: false, ...options },
  );
  return {
    events,
    client: ours,
    session: await ours.session(),
    [Symbol.asyncDispose]: () => ours.close(),
  };
}

const refusal = (address: string, tls?: TlsOptions) =>
  rejection<Error & { code: string; cause: { code?: string } }>(client(address, tls));

/**
 * Tries again: on a slow machine a handshake may take longer than a short handshakeTimeout of the
 * server.
 */
async function expectEcho(address: string, tls: TlsOptions = CLIENT_TLS): Promise<void> {
  await until(() => echoes(address, tls), 'the server answers');
}

async function echoes(address: string, tls: TlsOptions): Promise<boolean> {
  const connected = await client(address, tls).catch(() => undefined);
  if (connected === undefined) return false;
  await using c = connected;
  c.session.write('hello');
  expect(await c.events.messages.next()).toBe('hello');
  return true;
}

/** A TLS client of Node's own, and what became of it. */
async function nodeClient(port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: CA, ...options });
  await within(
    new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
    'the handshake',
  );
  return socket;
}
const closed = (socket: Socket): Promise<unknown> =>
  within(
    new Promise((resolve) => (socket.closed ? resolve(0) : socket.once('close', resolve))),
    'the socket to close',
  );

/** A server of Node's own, at a free port. */
async function listening<S extends NetServer>(
  server: S,
): Promise<{ server: S; port: number; address: string } & AsyncDisposable> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    server,
    port,
    address: `tls://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise((done) => server.close(() => done())),
  };
}

describe('20: the server is verified', () => {
  it('by default: a certificate of nobody that is known', async () => {
    await using server = await echo();
    for (const tls of [undefined, {}, { ca: pem('stranger') }]) {
      expect(await refusal(server.address, tls ?? {})).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringMatching(
          /cannot connect to tls:\/\/127\.0\.0\.1:\d+: unable to verify the first certificate/,
        ),
        cause: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
      });
    }
    expect(server.events.log).toEqual([]);
  });

  it('a certificate of another name', async () => {
    await using server = await echo(identity('elsewhere'));
    expect(await refusal(server.address, CLIENT_TLS)).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining("does not match certificate's altnames"),
      cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
    expect(
      (await refusal(server.address.replace('127.0.0.1', 'localhost'), CLIENT_TLS)).cause.code,
    ).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('with our own CA, by name or address', async () => {
    await using server = await echo();
    await expectEcho(server.address);
    await expectEcho(server.address.replace('127.0.0.1', 'localhost'));
    await expectEcho(server.address, { ca: path('authority') });
    await expectEcho(server.address, { ca: String(CA) });
    await expectEcho(server.address, { ca: Buffer.concat([pem('stranger'), CA]) });
  });

  it('on IPv6', async () => {
    await using server = await echo({}, {}, 'tls://[::1]:0');
    expect(server.address).toMatch(/^tls:\/\/\[::1\]:\d+$/);
    await expectEcho(server.address);
    await using other = await echo(identity('elsewhere'), {}, 'tls://[::1]:0');
    expect((await refusal(other.address, CLIENT_TLS)).cause.code).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
  });

  it('without a host in the address: this machine', async () => {
    await using server = await echo({}, {}, 'tls://:0');
    await expectEcho(server.address);
  });

  it('serverName is the name that must be in the certificate, and is sent as SNI', async () => {
    const names: unknown[] = [];
    await using peer = await listening(
      createTlsServer({ ...identity('elsewhere') } as NodeTlsOptions, (socket) => {
        names.push((socket as TLSSocket & { servername: unknown }).servername);
        socket.end();
      }),
    );
    const warning = vi.spyOn(process, 'emitWarning');
    await using _c = await client(peer.address, { ca: CA, serverName: 'elsewhere.example' });
    await until(() => names.length === 1, 'the server saw it');
    expect(names).toEqual(['elsewhere.example']);
    for (const serverName of ['localhost', '127.0.0.1', 'example']) {
      expect((await refusal(peer.address, { ca: CA, serverName })).cause.code).toBe(
        'ERR_TLS_CERT_ALTNAME_INVALID',
      );
    }
    // An address is a name of its own, wherever the connection really goes.
    await using server = await echo();
    for (const serverName of ['127.0.0.1', '::1', 'localhost'])
      await expectEcho(server.address, { ca: CA, serverName });
    expect(warning).not.toHaveBeenCalled();
  });

  it('a server that speaks no TLS: CONNECT_FAILED', async () => {
    await using server = await serve('tcp://127.0.0.1:0', {
      codec: lines(),
      listener: { onOpen: (s) => void s.write('hello'), onMessage() {} },
    });
    expect((await refusal(server.address.replace('tcp', 'tls'), CLIENT_TLS)).code).toBe(
      'CONNECT_FAILED',
    );
  });

  it('a server that says nothing: connectTimeout', async () => {
    await using server = await serve('tcp://127.0.0.1:0', {
      codec: raw(),
      listener: { onMessage() {} },
    });
    const error = await rejection(
      client(server.address.replace('tcp', 'tls'), CLIENT_TLS, { connectTimeout: 40 }),
    );
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('connectTimeout, 40 ms'),
    });
  });
});

describe('versions', () => {
  it('1.2 is the least, and can be all that a peer has', async () => {
    await using server = await echo();
    const socket = await nodeClient(server.port, { maxVersion: 'TLSv1.2' });
    expect(socket.getProtocol()).toBe('TLSv1.2');
    socket.destroy();
    await using peer = await listening(
      createTlsServer({ ...SERVER_TLS, maxVersion: 'TLSv1.2' } as NodeTlsOptions, (s) => s.end()),
    );
    await using _c = await client(peer.address);
    for (const version of ['TLSv1', 'TLSv1.1']) {
      await expect(
        nodeClient(server.port, {
          minVersion: version,
          maxVersion: version,
          ciphers: 'DEFAULT@SECLEVEL=0',
        }),
      ).rejects.toThrow();
    }
  });

  it('minVersion on either side', async () => {
    await using server = await echo({ minVersion: 'TLSv1.3' });
    await expectEcho(server.address);
    await expect(nodeClient(server.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/);
    await using old = await listening(
      createTlsServer({ ...SERVER_TLS, maxVersion: 'TLSv1.2' } as NodeTlsOptions, (s) => s.end()),
    );
    expect(await refusal(old.address, { ...CLIENT_TLS, minVersion: 'TLSv1.3' })).toMatchObject({
      code: 'CONNECT_FAILED',
    });
  });
});

describe('20: mTLS', () => {
  it('the right certificate is let in', async () => {
    await using server = await echo({ ca: CA });
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  // The client's side of TLS 1.3 is done before the server has looked at its certificate.
  it.each([
    ['no certificate', {}, /alert certificate required/],
    ["a stranger's certificate", identity('stranger-client'), undefined],
    [
      "a server's own certificate, made for another use by nobody we know",
      identity('stranger'),
      undefined,
    ],
  ])('%s is not: no session at the server, and the client is told', async (_, tls, alert) => {
    await using server = await echo({ ca: CA });
    await using c = await client(server.address, { ...CLIENT_TLS, ...tls });
    await c.events.closed.next();
    expect(await rejection(c.client.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringMatching(
        /was lost \d+ ms after it was opened; did the server refuse it\?/,
      ),
    });
    if (alert !== undefined)
      expect(await c.events.errors.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expect.stringMatching(alert),
      });
    expect(server.events.log).toEqual([]);
    expect(server.server.sessions.size).toBe(0);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  it('under TLS 1.2 too', async () => {
    await using server = await echo({ ca: CA });
    for (const shown of [{}, identity('stranger-client')]) {
      const socket = connectTls({
        port: server.port,
        host: '127.0.0.1',
        ca: CA,
        maxVersion: 'TLSv1.2',
        ...shown,
      });
      socket.on('error', () => {});
      await closed(socket);
    }
    expect(server.events.log).toEqual([]);
  });

  it('a session that is resumed is no way round it', async () => {
    await using open = await echo();
    const first = connectTls({ port: open.port, host: '127.0.0.1', ca: CA });
    const ticket = await within(
      new Promise<Buffer>((resolve) => first.once('session', resolve)),
      'a ticket',
    );
    first.destroy();
    await using strict = await echo({ ca: CA });
    const second = connectTls({ port: strict.port, host: '127.0.0.1', ca: CA, session: ticket });
    second.on('error', () => {});
    await closed(second);
    expect(strict.events.log).toEqual([]);
  });

  it.each(['tls://127.0.0.1:0', 'wss://127.0.0.1:0/chat'])(
    'a setup function sees the certificate that %s verified, and nothing of one that it did not',
    async (address) => {
      const peers: Peer[] = [];
      const setup = (peer: Peer): SessionSetup<string> => {
        peers.push(peer);
        return { codec: lines(), listener: { onMessage() {} } };
      };
      const seen: (PeerCertificate | undefined)[] = [];
      for (const clientCertificate of ['required', 'none'] as const) {
        await using server = await serve(address, setup, {
          tls: { ...SERVER_TLS, ca: CA, clientCertificate },
        });
        await using _client = await connect(server.address, setup, {
          tls: { ...CLIENT_TLS, ...identity('client') },
        });
        await until(() => peers.length === 2, 'both sides have seen each other');
        seen.push(...peers.splice(0).map((peer) => peer.certificate));
      }
      const ofServer = new X509Certificate(SERVER_TLS.cert as Buffer);
      const ofClient = new X509Certificate(identity('client').cert as Buffer);
      const server = {
        commonName: 'server',
        altNames: ['DNS:localhost', 'IP Address:127.0.0.1', 'IP Address:0:0:0:0:0:0:0:1'],
        fingerprint: ofServer.fingerprint256,
        serialNumber: ofServer.serialNumber,
      };
      const shown = {
        commonName: 'client',
        altNames: [],
        fingerprint: ofClient.fingerprint256,
        serialNumber: ofClient.serialNumber,
      };
      expect(seen).toHaveLength(4);
      expect(seen.slice(0, 2)).toEqual(expect.arrayContaining([server, shown]));
      expect(seen.slice(2)).toEqual(expect.arrayContaining([server, undefined]));
    },
  );

  it('a certificate is not asked for where there is no CA, or by choice', async () => {
    await using server = await echo({ ca: CA, clientCertificate: 'none' });
    await expectEcho(server.address);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('stranger-client') });
  });
});

describe('20: what is no good is BAD_OPTION at the start', () => {
  const folder = mkdtempSync(join(tmpdir(), 'getty-tls-'));
  const missing = join(folder, 'missing.pem');
  const empty = join(folder, 'empty.pem');
  const broken = join(folder, 'broken.pem');
  writeFileSync(empty, '');
  writeFileSync(broken, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const key = String(pem('server.key'));
  const bare = key.replace(/-----.*-----/g, '').replaceAll('\n', '');

  const table: readonly [
    what: string,
    tls: TlsOptions | object,
    parts: readonly string[],
    hidden?: string,
  ][] = [
    ['a cert that is not there', { cert: missing }, ['tls.cert', missing, 'ENOENT']],
    ['a key that is not there', { key: missing }, ['tls.key', missing, 'ENOENT']],
    ['a CA that is not there', { ca: missing }, ['tls.ca', missing, 'ENOENT']],
    ['a folder', { cert: folder }, ['tls.cert', folder]],
    ['an empty cert', { cert: empty }, ['tls.cert', empty, 'no PEM']],
    ['an empty CA', { ca: empty }, ['tls.ca', empty, 'no PEM']],
    [
      'a broken certificate after one that is whole',
      { ca: CA + readFileSync(broken, 'utf8') },
      ['tls.ca', 'that can be read'],
    ],
    [
      'a certificate that is cut off after one that is whole',
      { ca: `${CA}${String(CA).slice(0, 200)}` },
      ['tls.ca', 'that can be read'],
    ],
    ['a broken CA', { ca: broken }, ['tls.ca', broken]],
    ['a broken cert', { cert: broken }, ['tls.cert', broken]],
    ['a key in the place of the CA', { ca: path('server.key') }, ['tls.ca', path('server.key')]],
    ['a cert in the place of the key', { key: path('server') }, ['tls.key', path('server')]],
    ['a key of another certificate', { key: pem('server2.key') }, ['fit each other']],
    ['a number', { cert: 7 }, ['tls.cert', 'given 7', 'PEM']],
    [
      'a password of the wrong type',
      { passphrase: 52_437 },
      ['tls.passphrase', '"number"', 'a string'],
      '52437',
    ],
    [
      'an old version',
      { minVersion: 'TLSv1' },
      ['tls.minVersion', 'given "TLSv1"', '"TLSv1.2" or "TLSv1.3"'],
    ],
    ['a cert alone', { key: undefined }, ['a cert and a key']],
    ['a key alone', { cert: undefined }, ['a cert and a key']],
    ['a key that is no PEM', { key: bare }, ['tls.key', 'no PEM, and no file'], bare.slice(5, 50)],
    [
      'a key that is no PEM in lines',
      { key: `\n${bare}\n` },
      ['tls.key', 'no PEM, and no file'],
      bare.slice(5, 50),
    ],
    [
      'a locked key without its password',
      { key: path('server.locked.key') },
      ['tls.key', path('server.locked.key'), 'locked, and tls.passphrase is not given'],
    ],
    [
      'a locked key with a wrong password',
      { key: path('server.locked.key'), passphrase: 'barracuda' },
      ['tls.key', path('server.locked.key')],
      'barracuda',
    ],
  ];
  it.each(table)('%s', async (_, tls, parts, hidden) => {
    const setup = { codec: lines(), listener: { onMessage() {} } };
    const given = { ...SERVER_TLS, ...tls } as TlsOptions;
    const dead = 'tls://127.0.0.1:1';
    for (const attempt of [
      serve(ANY, setup, { tls: given }),
      connect(dead, setup, { tls: given }),
    ]) {
      const error = await rejection(attempt);
      expect(error.code).toBe('BAD_OPTION');
      for (const part of parts) expect(error.message).toContain(part);
      if (hidden !== undefined)
        expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(hidden);
    }
  });

  it.each([
    ['no options', undefined, ['a cert and a key']],
    ['nothing in them', {}, ['a cert and a key']],
    [
      'clientCertificate',
      { ...SERVER_TLS, clientCertificate: 'please' },
      ['tls.clientCertificate', 'given "please"', '"none" or "required"'],
    ],
    [
      'no CA to require certificates of',
      { ...SERVER_TLS, clientCertificate: 'required' },
      ['tls.ca', 'the CA whose client certificates'],
    ],
  ])('of a server: %s', async (_, tls, parts) => {
    const error = await rejection(
      serve(ANY, { codec: lines(), listener: { onMessage() {} } }, { tls: tls as TlsOptions }),
    );
    expect(error.code).toBe('BAD_OPTION');
    for (const part of parts) expect(error.message).toContain(part);
  });

  it.each([7, '', null])('of a client: serverName %o', async (serverName) => {
    expect(await refusal('tls://127.0.0.1:1', { serverName: serverName as string })).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('tls.serverName'),
    });
  });

  it('the comment of a PEM file decides nothing', async () => {
    const comment = 'Proc-Type: 4,ENCRYPTED is not said here, for the key is UNENCRYPTED\n';
    for (const bytes of [comment + pem('server.key'), Buffer.from(comment + pem('server.key'))]) {
      await using server = await echo({ key: bytes, cert: comment + pem('server') });
      await expectEcho(server.address, { ca: comment + CA });
    }
    await using locked = await echo({
      key: comment + pem('server.locked.key'),
      passphrase: PASSWORD,
    });
    await expectEcho(locked.address);
    expect(await rejection(echo({ key: `${comment}${pem('server.locked.key')}` }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('locked, and tls.passphrase is not given'),
    });
  });

  it('the right password opens the key, from a file or bytes', async () => {
    for (const locked of [path('server.locked.key'), pem('server.locked.key')]) {
      await using server = await echo({ key: locked, passphrase: PASSWORD });
      await expectEcho(server.address);
    }
    await using strict = await echo({ ca: CA });
    await expectEcho(strict.address, {
      ...CLIENT_TLS,
      cert: path('client'),
      key: path('client.key'),
    });
  });

  it('a password that is not needed does no harm', async () => {
    await using server = await echo({ passphrase: PASSWORD });
    await expectEcho(server.address);
  });
});

describe('reloadTls', () => {
  const shown = async (port: number): Promise<string | undefined> => {
    const socket = await nodeClient(port);
    const subject = socket.getPeerCertificate().subject.CN as string;
    socket.destroy();
    return subject;
  };

  it('new sessions have the new certificate, those that are open live on', async () => {
    await using server = await echo();
    await using c = await client(server.address);
    expect(await shown(server.port)).toBe('server');
    server.server.reloadTls(identity('server2'));
    expect(await shown(server.port)).toBe('server2');
    c.session.write('still here');
    expect(await c.events.messages.next()).toBe('still here');
    await expectEcho(server.address);
    expect(server.events.errors.all).toEqual([]);
  });

  it('files that were replaced are read again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'getty-tls-'));
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const put = (name: string): void => {
      copyFileSync(path(name), files.cert);
      copyFileSync(path(`${name}.key`), files.key);
    };
    put('server');
    await using server = await echo(files);
    put('server2');
    expect(await shown(server.port)).toBe('server');
    server.server.reloadTls({});
    expect(await shown(server.port)).toBe('server2');
    rmSync(folder, { recursive: true });
    expect(thrown(() => server.server.reloadTls({})).message).toContain(files.cert);
    expect(await shown(server.port)).toBe('server2');
  });

  it('with reloadPeriod files that have changed are read again, and those that are no good are not used', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'getty-tls-'));
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const put = (name: string): void => {
      copyFileSync(path(name), files.cert);
      copyFileSync(path(`${name}.key`), files.key);
    };
    put('server');
    await using server = await echo({ ...files, reloadPeriod: 10 });
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    try {
      copyFileSync(path('server2'), files.cert);
      await until(() => warnings.length > 0, 'a certificate without its key is a warning');
      expect(await shown(server.port)).toBe('server');
      put('server2');
      await until(
        async () => (await shown(server.port)) === 'server2',
        'the new certificate is in use',
      );
      rmSync(folder, { recursive: true });
      expect(await shown(server.port)).toBe('server2');
    } finally {
      process.off('warning', warned);
    }
  });

  it.each([
    ['a cert without its key', { cert: pem('server2') }],
    ['a key of another', { cert: pem('server2'), key: pem('server.key') }],
    ['no PEM', { cert: Buffer.from('nothing'), key: pem('server.key') }],
    [
      'a password that is wrong',
      { ...identity('server2'), key: pem('server.locked.key'), passphrase: 'barracuda' },
    ],
    ['nothing', undefined],
  ])('%s: BAD_OPTION, and the old one stays', async (_, tls) => {
    await using server = await echo();
    const error = thrown(() => server.server.reloadTls(tls as TlsOptions));
    expect(error.code).toBe('BAD_OPTION');
    expect(error.message).not.toContain('barracuda');
    expect(await shown(server.port)).toBe('server');
    await expectEcho(server.address);
  });

  it('20: clients are asked for certificates as before, whatever is given', async () => {
    await using server = await echo({ ca: CA });
    server.server.reloadTls(identity('server2'));
    for (const tls of [{}, identity('stranger-client')]) {
      await using c = await client(server.address, { ...CLIENT_TLS, ...tls });
      await c.events.closed.next();
    }
    expect(server.events.log).toEqual([]);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
    expect(thrown(() => server.server.reloadTls({ clientCertificate: 'none' })).message).toContain(
      'what it was at the start: "required"',
    );
    server.server.reloadTls({ ca: pem('stranger') });
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('stranger-client') });
    await using open = await echo();
    expect(thrown(() => open.server.reloadTls({ ca: CA }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('"none"'),
    });
  });

  it('minVersion stays', async () => {
    await using server = await echo({ minVersion: 'TLSv1.3' });
    server.server.reloadTls(identity('server2'));
    await expect(nodeClient(server.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/);
  });

  it.each(['tcp://127.0.0.1:0', 'memory://no-tls'])(
    '%s has no TLS: BAD_OPTION',
    async (address) => {
      await using server = await serve(address, { codec: lines(), listener: { onMessage() {} } });
      expect(thrown(() => server.reloadTls(SERVER_TLS))).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining(server.address),
      });
    },
  );
});

describe('peers who mean no good', () => {
  /** A TCP connection to a TLS server. */
  async function silent(port: number): Promise<Socket> {
    const socket = connectTcp({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.resume();
    await within(new Promise((resolve) => socket.once('connect', resolve)), 'the connection');
    return socket;
  }

  /** The first bytes that a TLS client sends. */
  async function clientHello(): Promise<Buffer> {
    let hello!: (bytes: Buffer) => void;
    const coming = new Promise<Buffer>((resolve) => {
      hello = resolve;
    });
    await using peer = await listening(
      createServer((socket) =>
        socket.on('error', () => {}).once('data', (bytes) => [hello(bytes), socket.destroy()]),
      ),
    );
    const socket = connectTls({ port: peer.port, host: '127.0.0.1', ca: CA });
    socket.on('error', () => {});
    await closed(socket);
    return coming;
  }

  it.each(['tls', 'wss'])(
    '%s: who says nothing is cut off after handshakeTimeout',
    async (scheme) => {
      await using server = await echo({}, { handshakeTimeout: 300 }, `${scheme}://127.0.0.1:0`);
      const before = performance.now();
      await closed(await silent(server.port));
      expect(performance.now() - before).toBeGreaterThan(290);
      await expectEcho(server.address);
    },
  );

  it.each(['tls', 'wss'])(
    '%s: who is slow is cut off too: the deadline is for the whole handshake',
    async (scheme) => {
      await using server = await echo({}, { handshakeTimeout: 300 }, `${scheme}://127.0.0.1:0`);
      const hello = await clientHello();
      const before = performance.now();
      const socket = await silent(server.port);
      let sent = 0;
      const drip = setInterval(() => void socket.write(hello.subarray(sent, ++sent)), 10);
      await closed(socket).finally(() => clearInterval(drip));
      expect(sent).toBeLessThan(hello.length);
      expect(performance.now() - before).toBeGreaterThan(290);
      await expectEcho(server.address);
    },
  );

  it('the deadline is not for the session: it lives on', async () => {
    await using server = await echo({}, { handshakeTimeout: 400 });
    await using c = await client(server.address);
    await closed(await silent(server.port));
    await closed(await silent(server.port));
    c.session.write('still here');
    expect(await c.events.messages.next()).toBe('still here');
  });

  it.each(['tls', 'wss'])(
    '%s: who goes within the handshake leaves nothing behind',
    async (scheme) => {
      await using server = await echo({}, {}, `${scheme}://127.0.0.1:0`);
      const hello = await clientHello();
      for (const first of [Buffer.alloc(0), hello.subarray(0, 50), hello]) {
        for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
          const socket = await silent(server.port);
          if (first.length > 0) await new Promise((resolve) => socket.write(first, resolve));
          socket[leave]();
          if (leave === 'end') await closed(socket);
        }
      }
      await expectEcho(server.address);
      expect(server.events.opened.all.length).toBe(1);
    },
  );

  it.each(['tls', 'wss'])(
    '%s: who is still in the handshake is not waited for when the server closes',
    async (scheme) => {
      const server = await echo({}, { handshakeTimeout: 300_000 }, `${scheme}://127.0.0.1:0`);
      await using c = await client(server.address);
      const hello = await clientHello();
      const sockets = [await silent(server.port), await silent(server.port)];
      await new Promise((resolve) => sockets[1]?.write(hello.subarray(0, 50), resolve));
      const closing = server.server.close();
      for (const socket of sockets) await closed(socket);
      await within(closing, 'the server to close');
      await c.events.closed.next();
      expect(c.events.errors.all).toEqual([]);
    },
  );

  it('garbage, plain text and strangers: no crash, no flood of warnings, and the server goes on', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await echo({ ca: CA }, { handshakeTimeout: 300 });
    for (let i = 0; i < 20; i++) {
      const socket = await silent(server.port);
      socket.write(i % 2 === 0 ? randomBytes(1 + 97 * i) : 'GET / HTTP/1.1\r\n\r\n');
      await closed(socket);
    }
    expect(warning).not.toHaveBeenCalled();
    expect(server.events.log).toEqual([]);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  it('garbage after the handshake breaks its session, and no other', async () => {
    await using server = await echo();
    await using middle = await forging(server.port, false);
    await using other = await client(server.address);
    await using c = await client(middle.address);
    c.session.write('this one arrives');
    await c.events.messages.next();
    middle.forge();
    expect((await server.events.errors.next()).code).toBe('CONNECTION_LOST');
    await c.events.closed.next();
    c.events.errors.dismiss();
    other.session.write('still here');
    expect(await other.events.messages.next()).toBe('still here');
  });

  it('a server that breaks the connection in the breath in which it completes the handshake does not crash its client', async () => {
    await using server = await echo({}, {}, ANY);
    await using middle = await forging(server.port, true);
    for (let i = 0; i < 5; i++) {
      const outcome = await client(middle.address).then(
        async (c) => {
          await c.events.closed.next();
          const error = c.events.errors.all[0];
          await c[Symbol.asyncDispose]();
          return error;
        },
        (error) => error,
      );
      expect(outcome?.code).toMatch(/CONNECTION_LOST|CONNECT_FAILED/);
    }
    await until(() => server.server.sessions.size === 0, 'the server closed them');
    server.events.errors.dismiss();
  });

  /**
   * Somebody in the middle who adds a forged record: to the first bytes that the server sends, or
   * to what the client sends at forge().
   */
  async function forging(port: number, toClient: boolean) {
    const forged = Buffer.concat([Buffer.from('1703030030', 'hex'), Buffer.alloc(48)]);
    let forge = (): void => {};
    const middle = await listening(
      createServer((near) => {
        const far = connectTcp({ port, host: '127.0.0.1' });
        near.on('error', () => far.destroy()).on('close', () => far.destroy());
        far.on('error', () => near.destroy()).on('close', () => near.destroy());
        let first = toClient;
        far.on('data', (bytes) => {
          near.write(first ? Buffer.concat([bytes, forged]) : bytes);
          first = false;
        });
        near.on('data', (bytes) => far.write(bytes));
        forge = () => void far.write(forged);
      }),
    );
    return Object.assign(middle, { forge: () => forge() });
  }
});

describe('the end', () => {
  it('the last answer is not lost: Node sends, ends its side, and reads', async () => {
    await using server = await echo();
    const socket = connectTls({
      port: server.port,
      host: '127.0.0.1',
      ca: CA,
      allowHalfOpen: true,
    } as ConnectionOptions);
    const sent = Array.from({ length: 2_000 }, (_, i) => `line ${i} ${'x'.repeat(i % 300)}\n`).join(
      '',
    );
    socket.end(sent);
    const got: Buffer[] = [];
    socket.on('data', (bytes) => got.push(bytes));
    await within(new Promise((resolve) => socket.once('end', resolve)), 'the end');
    expect(String(Buffer.concat(got)) === sent).toBe(true);
    await server.events.closed.next();
    expect(server.events.errors.all).toEqual([]);
    await closed(socket);
  });

  it('what the server writes before it closes arrives, and is followed by an orderly end', async () => {
    const events = new Recorder<Buffer, Uint8Array>('the server', {
      onOpen(session) {
        for (let i = 0; i < 20; i++) session.write(Buffer.alloc(50_000, i));
        void session.close();
      },
    });
    await using server = await serve(ANY, { codec: raw(), listener: events }, { tls: SERVER_TLS });
    const socket = await nodeClient(portOf(server.address));
    const errors: Error[] = [];
    socket.on('error', (error) => errors.push(error));
    let size = 0;
    socket.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    await closed(socket);
    expect(size).toBe(1_000_000);
    expect(errors).toEqual([]);
    await events.closed.next();
    expect(events.errors.all).toEqual([]);
  });

  it('a peer that goes without a word of TLS is gone all the same', async () => {
    await using server = await echo();
    const socket = connectTcp({ port: server.port, host: '127.0.0.1' });
    const secure = connectTls({ socket, ca: CA, host: '127.0.0.1' });
    secure.on('error', () => {});
    await within(new Promise((resolve) => secure.once('secureConnect', resolve)), 'the handshake');
    await server.events.opened.next();
    socket.resetAndDestroy();
    await server.events.closed.next();
    server.events.errors.dismiss();
    secure.destroy();
  });

  it('10 MB arrive as they were written, both ways at once', async () => {
    const total = 10_000_000;
    const sent = randomBytes(total);
    const setup = (events: Recorder<Buffer, Uint8Array>) => ({
      codec: lengthPrefixed(),
      listener: events,
      maxQueuedBytes: 3 * total,
    });
    const far = new Recorder<Buffer, Uint8Array>('the server', {
      onMessage: (session, message) => session.write(message),
    });
    await using server = await serve(ANY, setup(far), { tls: SERVER_TLS });
    const near = new Recorder<Buffer, Uint8Array>('the client');
    await using ours = await connect(server.address, setup(near), { tls: CLIENT_TLS });
    const session = await ours.session();
    let at = 0;
    for (
      let size = 1;
      at < total;
      at += size, size = Math.min(total - at, ((size * 7_919) % 400_000) + 1)
    ) {
      if (!session.write(sent.subarray(at, at + size))) await session.drained();
    }
    await until(() => session.stats.bytesRead === session.stats.bytesWritten, 'all has come back');
    await turns();
    expect(Buffer.concat(near.messages.all).equals(sent)).toBe(true);
  });
});
