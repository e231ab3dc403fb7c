/** Which certificates and TLS versions the sides of a TLS connection accept. */
import { X509Certificate } from 'node:crypto';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type TlsOptions as NodeTlsOptions,
  type TLSSocket,
} from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  connect,
  lines,
  type Peer,
  type PeerCertificate,
  raw,
  type SessionSetup,
  serve,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  CA,
  connectError,
  connectLines,
  connectNodeTls,
  expectEcho,
  listenNode,
  pemPath,
  serveEcho,
  untilClosed,
} from '../../fixtures/tls-endpoints.js';
import { rejection } from '../../fixtures/transports.js';
import { until, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('the certificate of a server', () => {
  it('is rejected by default if no known CA signed it', async () => {
    await using server = await serveEcho();
    for (const tls of [undefined, {}, { ca: pem('other-authority') }]) {
      expect(await connectError(server.address, tls ?? {})).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringMatching(
          /cannot connect to tls:\/\/127\.0\.0\.1:\d+: unable to verify the first certificate/,
        ),
        cause: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
      });
    }
    expect(server.events.log).toEqual([]);
  });

  it('is rejected if it has another name', async () => {
    await using server = await serveEcho(identity('elsewhere'));
    expect(await connectError(server.address, CLIENT_TLS)).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining("does not match certificate's altnames"),
      cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
    expect(
      (await connectError(server.address.replace('127.0.0.1', 'localhost'), CLIENT_TLS)).cause.code,
    ).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('is accepted with a CA of its own, for a name and for an address', async () => {
    await using server = await serveEcho();
    await expectEcho(server.address);
    await expectEcho(server.address.replace('127.0.0.1', 'localhost'));
    await expectEcho(server.address, { ca: pemPath('authority') });
    await expectEcho(server.address, { ca: String(CA) });
    await expectEcho(server.address, { ca: Buffer.concat([pem('other-authority'), CA]) });
  });

  it('is verified for an IPv6 address', async () => {
    await using server = await serveEcho({}, {}, 'tls://[::1]:0');
    expect(server.address).toMatch(/^tls:\/\/\[::1\]:\d+$/);
    await expectEcho(server.address);
    await using other = await serveEcho(identity('elsewhere'), {}, 'tls://[::1]:0');
    expect((await connectError(other.address, CLIENT_TLS)).cause.code).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
  });

  it('is verified for localhost if the address has no host', async () => {
    await using server = await serveEcho({}, {}, 'tls://:0');
    await expectEcho(server.address);
  });

  it('must have the name serverName, which is also sent as SNI', async () => {
    const names: unknown[] = [];
    await using peer = await listenNode(
      createTlsServer({ ...identity('elsewhere') } as NodeTlsOptions, (socket) => {
        names.push((socket as TLSSocket & { servername: unknown }).servername);
        socket.end();
      }),
    );
    const warning = vi.spyOn(process, 'emitWarning');
    await using _client = await connectLines(peer.address, {
      ca: CA,
      serverName: 'elsewhere.example',
    });
    await until(() => names.length === 1, 'the server has a connection');
    expect(names).toEqual(['elsewhere.example']);
    for (const serverName of ['localhost', '127.0.0.1', 'example']) {
      expect((await connectError(peer.address, { ca: CA, serverName })).cause.code).toBe(
        'ERR_TLS_CERT_ALTNAME_INVALID',
      );
    }
    // An IP address in serverName is verified too, whatever address the client connects to.
    await using server = await serveEcho();
    for (const serverName of ['127.0.0.1', '::1', 'localhost'])
      await expectEcho(server.address, { ca: CA, serverName });
    expect(warning).not.toHaveBeenCalled();
  });

  it('is required: a server without TLS is CONNECT_FAILED', async () => {
    await using server = await serve('tcp://127.0.0.1:0', {
      codec: lines(),
      listener: { onOpen: (s) => void s.write('hello'), onMessage() {} },
    });
    expect((await connectError(server.address.replace('tcp', 'tls'), CLIENT_TLS)).code).toBe(
      'CONNECT_FAILED',
    );
  });

  it('is required within connectTimeout', async () => {
    await using server = await serve('tcp://127.0.0.1:0', {
      codec: raw(),
      listener: { onMessage() {} },
    });
    const error = await rejection(
      connectLines(server.address.replace('tcp', 'tls'), CLIENT_TLS, { connectTimeout: 40 }),
    );
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('connectTimeout, 40 ms'),
    });
  });
});

describe('the TLS version', () => {
  it('is 1.2 or 1.3, and not lower', async () => {
    await using server = await serveEcho();
    const socket = await connectNodeTls(server.port, { maxVersion: 'TLSv1.2' });
    expect(socket.getProtocol()).toBe('TLSv1.2');
    socket.destroy();
    await using peer = await listenNode(
      createTlsServer({ ...SERVER_TLS, maxVersion: 'TLSv1.2' } as NodeTlsOptions, (s) => s.end()),
    );
    await using _client = await connectLines(peer.address);
    for (const version of ['TLSv1', 'TLSv1.1']) {
      await expect(
        connectNodeTls(server.port, {
          minVersion: version,
          maxVersion: version,
          ciphers: 'DEFAULT@SECLEVEL=0',
        }),
      ).rejects.toThrow();
    }
  });

  it('is at least minVersion, of the server and of the client', async () => {
    await using server = await serveEcho({ minVersion: 'TLSv1.3' });
    await expectEcho(server.address);
    await expect(connectNodeTls(server.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/);
    await using old = await listenNode(
      createTlsServer({ ...SERVER_TLS, maxVersion: 'TLSv1.2' } as NodeTlsOptions, (s) => s.end()),
    );
    expect(await connectError(old.address, { ...CLIENT_TLS, minVersion: 'TLSv1.3' })).toMatchObject(
      {
        code: 'CONNECT_FAILED',
      },
    );
  });
});

describe('the certificate of a client', () => {
  it('is accepted if `ca` signed it', async () => {
    await using server = await serveEcho({ ca: CA });
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  // With TLS 1.3 the client completes its handshake before the server verifies its certificate.
  it.each([
    ['is missing', {}, /alert certificate required/],
    ['has another CA', identity('other-client'), undefined],
    ['has another CA, and is that of a server', identity('other-authority'), undefined],
  ])('%s: the server opens no session, and the client is informed', async (_, tls, alert) => {
    await using server = await serveEcho({ ca: CA });
    await using client = await connectLines(server.address, { ...CLIENT_TLS, ...tls });
    await client.events.closed.next();
    expect(await rejection(client.endpoint.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringMatching(
        /was lost \d+ ms after it was opened; did the server refuse it\?/,
      ),
    });
    if (alert !== undefined)
      expect(await client.events.errors.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expect.stringMatching(alert),
      });
    expect(server.events.log).toEqual([]);
    expect(server.endpoint.sessions.size).toBe(0);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  it('is verified under TLS 1.2 too', async () => {
    await using server = await serveEcho({ ca: CA });
    for (const tls of [{}, identity('other-client')]) {
      const socket = connectTls({
        port: server.port,
        host: '127.0.0.1',
        ca: CA,
        maxVersion: 'TLSv1.2',
        ...tls,
      });
      socket.on('error', () => {});
      await untilClosed(socket);
    }
    expect(server.events.log).toEqual([]);
  });

  it('is required for a resumed TLS session too', async () => {
    await using open = await serveEcho();
    const first = connectTls({ port: open.port, host: '127.0.0.1', ca: CA });
    const ticket = await within(
      new Promise<Buffer>((resolve) => first.once('session', resolve)),
      'a session ticket',
    );
    first.destroy();
    await using strict = await serveEcho({ ca: CA });
    const second = connectTls({ port: strict.port, host: '127.0.0.1', ca: CA, session: ticket });
    second.on('error', () => {});
    await untilClosed(second);
    expect(strict.events.log).toEqual([]);
  });

  it.each(['tls://127.0.0.1:0', 'wss://127.0.0.1:0/chat'])(
    'is given to the setup function of %s if it was verified',
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
        await until(() => peers.length === 2, 'both setup functions were called');
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

  it('is not requested without `ca` or with clientCertificate none', async () => {
    await using server = await serveEcho({ ca: CA, clientCertificate: 'none' });
    await expectEcho(server.address);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('other-client') });
  });
});
