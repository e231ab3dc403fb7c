/** TLS handshakes that fail: what onRefused and the counters report. */
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { connect } from '../../src/transport/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { portOf } from '../fixtures/ports.js';
import { RAW_SETUP, refusalCounts, serveRecording, silentPeer } from '../fixtures/refusals.js';
import { untilQuiet } from '../fixtures/session-probes.js';

noLeaks();

const MUTUAL_TLS = { ...SERVER_TLS, ca: pem('authority') };

describe('a TLS handshake that fails', () => {
  it.each(['tls', 'wss'])(
    '%s: is reported and counted for plain text, a missing certificate and an early end',
    async (scheme) => {
      await using server = await serveRecording(`${scheme}://127.0.0.1:0`, {
        tls: MUTUAL_TLS,
        handshakeTimeout: 5_000,
      });
      const port = portOf(server.address);
      const plain = silentPeer(server.address);
      plain.write('GET / HTTP/1.1\r\n\r\n');
      expect((await server.refusals.next()).error).toMatchObject({
        reason: 'tls',
        cause: expect.any(Error),
      });
      const withoutCertificate = connectTls({
        port,
        host: '127.0.0.1',
        ...CLIENT_TLS,
      } as object).on('error', () => {});
      expect((await server.refusals.next()).error).toMatchObject({
        reason: 'tls',
        message: expect.stringContaining('certificate'),
      });
      const leaving = silentPeer(server.address);
      leaving.once('connect', () => leaving.end());
      const { peer, error } = await server.refusals.next();
      expect(error.reason).toBe('tls');
      expect(peer.remoteAddress).toMatch(new RegExp(`^${scheme}://127\\.0\\.0\\.1:[1-9]`));
      for (const socket of [plain, withoutCertificate, leaving]) socket.destroy();
      await untilQuiet();
      expect(refusalCounts(server.server)).toEqual({ tls: 3 });
    },
  );

  it.each(['tls', 'wss'])('%s: is refused as timeout after handshakeTimeout', async (scheme) => {
    await using server = await serveRecording(`${scheme}://127.0.0.1:0`, {
      tls: SERVER_TLS,
      handshakeTimeout: 50,
    });
    const socket = silentPeer(server.address);
    expect((await server.refusals.next()).error).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('handshakeTimeout, 50 ms'),
    });
    await untilQuiet();
    expect(refusalCounts(server.server)).toEqual({ timeout: 1 });
    socket.destroy();
  });

  it('is not reported for a peer with a valid certificate', async () => {
    await using server = await serveRecording('tls://127.0.0.1:0', { tls: MUTUAL_TLS });
    await using client = await connect(server.address, RAW_SETUP, {
      tls: { ...CLIENT_TLS, ...identity('client') },
      reconnect: false,
    });
    await client.session();
    expect(refusalCounts(server.server)).toEqual({});
  });
});
