/** The groups and ciphers of TLS: none in which one handshake takes long. */
import { createServer } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { describe, expect, it } from 'vitest';
import type { TlsIdentity } from '../../../src/transport/index.js';
import { identity, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { CA, connectLines, listenNode, serveEcho } from '../../fixtures/tls-endpoints.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, within } from '../../fixtures/waiting.js';

noLeaks();

const SLOW_GROUPS = ['ffdhe2048', 'ffdhe8192', 'X448'];

/** The error code of a TLS client of Node.js, or the version of TLS. */
function outcomeOf(options: object): Promise<string | undefined> {
  const done = gate<string | undefined>();
  const socket = connectTls({ host: '127.0.0.1', ca: CA, ...options });
  socket.once('error', (error: NodeJS.ErrnoException) => done.open(error.code));
  socket.once('secureConnect', () => {
    done.open(socket.getProtocol() ?? undefined);
    socket.destroy();
  });
  return within(done.promise, 'the handshake');
}

describe.each(['tls', 'wss'])('a server at %s://', (scheme) => {
  it.each(SLOW_GROUPS)('refuses the group %s', async (group) => {
    await using server = await serveEcho({}, {}, `${scheme}://127.0.0.1:0`);
    const { port } = server;
    expect(await outcomeOf({ port, ecdhCurve: group })).toMatch(/^ERR_SSL_.*_HANDSHAKE_FAILURE$/);
    expect(await outcomeOf({ port, ecdhCurve: `${group}:P-256` })).toBe('TLSv1.3');
  });
});

it.each(['TLSv1.2', 'TLSv1.3'])(
  'a certificate with the curve P-521 is used in %s',
  async (version) => {
    await using server = await serveEcho(identity('server-p521'));
    expect(await outcomeOf({ port: server.port, maxVersion: version })).toBe(version);
  },
);

it.each(['TLSv1.2', 'TLSv1.3'])(
  'a certificate of a name with the curve P-521 is used in %s',
  async (version) => {
    await using server = await serveEcho({
      hosts: { localhost: identity('server-p521') as TlsIdentity },
    });
    const options = { port: server.port, servername: 'localhost', maxVersion: version };
    expect(await outcomeOf(options)).toBe(version);
    server.endpoint.reloadTls({});
    expect(await outcomeOf(options)).toBe(version);
    expect(await outcomeOf({ ...options, ecdhCurve: 'X448' })).toMatch(/HANDSHAKE_FAILURE$/);
  },
);

describe('a client', () => {
  it.each(SLOW_GROUPS)('refuses a server with the group %s', async (group) => {
    await using server = await listenNode(createTlsServer({ ...SERVER_TLS, ecdhCurve: group }));
    expect(await rejection(connectLines(server.address))).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  it('offers no cipher with DHE', async () => {
    const hello = gate<Buffer>();
    await using server = await listenNode(
      createServer((socket) =>
        socket.on('error', () => {}).once('data', (bytes) => [hello.open(bytes), socket.destroy()]),
      ),
    );
    await rejection(connectLines(server.address));
    const bytes = await hello.promise;
    // Behind the headers of the record and the message, the version, the random bytes and the id of
    // the session.
    const start = 44 + (bytes[43] as number);
    const ciphers = bytes.subarray(start + 2, start + 2 + bytes.readUInt16BE(start));
    const numbers = Array.from({ length: ciphers.length / 2 }, (_, i) =>
      ciphers.readUInt16BE(2 * i),
    );
    expect(numbers).toContain(0x1301);
    // RFC 5246, 5288 and 7905: DHE with RSA.
    for (const dhe of [0x33, 0x39, 0x67, 0x6b, 0x9e, 0x9f, 0xccaa])
      expect(numbers).not.toContain(dhe);
  });
});
