/** Data and the end of TLS sessions. The behavior tables have the tests for all transports. */
import { randomBytes } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { connect, lengthPrefixed, raw, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  ANY_TLS,
  CA,
  connectNodeTls,
  serveEcho,
  untilClosed,
} from '../../fixtures/tls-endpoints.js';
import { turns, until, within } from '../../fixtures/waiting.js';

noLeaks();

describe('a TLS session', () => {
  it('answers all messages of a peer that has ended its side', async () => {
    await using server = await serveEcho();
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
    const received: Buffer[] = [];
    socket.on('data', (bytes) => received.push(bytes));
    await within(new Promise((resolve) => socket.once('end', resolve)), 'the end');
    expect(String(Buffer.concat(received)) === sent).toBe(true);
    await server.events.closed.next();
    expect(server.events.errors.all).toEqual([]);
    await untilClosed(socket);
  });

  it('sends what was written before close(), and ends without an error', async () => {
    const events = new Recorder<Buffer, Uint8Array>('the server', {
      onOpen(session) {
        for (let i = 0; i < 20; i++) session.write(Buffer.alloc(50_000, i));
        void session.close();
      },
    });
    await using server = await serve(
      ANY_TLS,
      { codec: raw(), listener: events },
      { tls: SERVER_TLS },
    );
    const socket = await connectNodeTls(portOf(server.address));
    const errors: Error[] = [];
    socket.on('error', (error) => errors.push(error));
    let receivedBytes = 0;
    socket.on('data', (bytes: Buffer) => {
      receivedBytes += bytes.length;
    });
    await untilClosed(socket);
    expect(receivedBytes).toBe(1_000_000);
    expect(errors).toEqual([]);
    await events.closed.next();
    expect(events.errors.all).toEqual([]);
  });

  it('closes when the peer resets the TCP connection without a TLS alert', async () => {
    await using server = await serveEcho();
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

  it('transfers 10 MB unchanged in both directions at the same time', async () => {
    const total = 10_000_000;
    const sent = randomBytes(total);
    const setup = (events: Recorder<Buffer, Uint8Array>) => ({
      codec: lengthPrefixed(),
      listener: events,
      maxQueuedBytes: 3 * total,
    });
    const serverEvents = new Recorder<Buffer, Uint8Array>('the server', {
      onMessage: (session, message) => session.write(message),
    });
    await using server = await serve(ANY_TLS, setup(serverEvents), { tls: SERVER_TLS });
    const clientEvents = new Recorder<Buffer, Uint8Array>('the client');
    await using client = await connect(server.address, setup(clientEvents), { tls: CLIENT_TLS });
    const session = await client.session();
    let offset = 0;
    for (
      let size = 1;
      offset < total;
      offset += size, size = Math.min(total - offset, ((size * 7_919) % 400_000) + 1)
    ) {
      if (!session.write(sent.subarray(offset, offset + size))) await session.drained();
    }
    await until(
      () => session.stats.bytesRead === session.stats.bytesWritten,
      'all bytes are echoed',
    );
    await turns();
    expect(Buffer.concat(clientEvents.messages.all).equals(sent)).toBe(true);
  });
});
