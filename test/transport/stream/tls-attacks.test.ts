/** Peers that violate TLS, do not complete the handshake, or send slowly. */
import { randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RefusedError } from '../../../src/transport/index.js';
import { CLIENT_TLS, identity } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  ANY_TLS,
  CA,
  connectLines,
  connectTcp,
  expectEcho,
  listenNode,
  recordClientHello,
  serveEcho,
  untilClosed,
} from '../../fixtures/tls-endpoints.js';
import { Inbox, turns, until, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('a hostile peer', () => {
  it.each(['tls', 'wss'])(
    'that sends nothing is disconnected after handshakeTimeout (%s)',
    async (scheme) => {
      await using server = await serveEcho(
        {},
        { handshakeTimeout: 1_000 },
        `${scheme}://127.0.0.1:0`,
      );
      const before = performance.now();
      await untilClosed(await connectTcp(server.port));
      expect(performance.now() - before).toBeGreaterThan(990);
      await expectEcho(server.address);
    },
  );

  it.each(['tls', 'wss'])(
    'that sends slowly is disconnected when the whole handshake exceeds handshakeTimeout (%s)',
    async (scheme) => {
      await using server = await serveEcho(
        {},
        { handshakeTimeout: 1_000 },
        `${scheme}://127.0.0.1:0`,
      );
      const hello = await recordClientHello();
      const before = performance.now();
      const socket = await connectTcp(server.port);
      let sent = 0;
      const drip = setInterval(() => void socket.write(hello.subarray(sent, ++sent)), 10);
      await untilClosed(socket).finally(() => clearInterval(drip));
      expect(sent).toBeLessThan(hello.length);
      expect(performance.now() - before).toBeGreaterThan(990);
      await expectEcho(server.address);
    },
  );

  it('does not end the open sessions of others with its handshakeTimeout', async () => {
    await using server = await serveEcho({}, { handshakeTimeout: 1_000 });
    await using client = await connectLines(server.address);
    await untilClosed(await connectTcp(server.port));
    await untilClosed(await connectTcp(server.port));
    client.session.write('hello');
    expect(await client.events.messages.next()).toBe('hello');
  });

  it.each(['tls', 'wss'])(
    'that disconnects within the handshake leaves no session (%s)',
    async (scheme) => {
      await using server = await serveEcho({}, {}, `${scheme}://127.0.0.1:0`);
      const hello = await recordClientHello();
      for (const first of [Buffer.alloc(0), hello.subarray(0, 50), hello]) {
        for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
          const socket = await connectTcp(server.port);
          if (first.length > 0) await new Promise((resolve) => socket.write(first, resolve));
          socket[leave]();
          if (leave === 'end') await untilClosed(socket);
        }
      }
      await expectEcho(server.address);
      expect(server.events.opened.all.length).toBe(1);
    },
  );

  it.each(['tls', 'wss'])(
    'whose handshake is not complete does not delay the close of the server (%s)',
    async (scheme) => {
      const server = await serveEcho({}, { handshakeTimeout: 300_000 }, `${scheme}://127.0.0.1:0`);
      await using client = await connectLines(server.address);
      const hello = await recordClientHello();
      const sockets = [await connectTcp(server.port), await connectTcp(server.port)];
      await new Promise((resolve) => sockets[1]?.write(hello.subarray(0, 50), resolve));
      const closing = server.endpoint.close();
      for (const socket of sockets) await untilClosed(socket);
      await within(closing, 'the server to close');
      await client.events.closed.next();
      expect(client.events.errors.all).toEqual([]);
    },
  );

  it('that sends random bytes or plain text gets no session, and causes no warning', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serveEcho({ ca: CA }, { handshakeTimeout: 1_000 });
    for (let i = 0; i < 20; i++) {
      const socket = await connectTcp(server.port);
      socket.write(i % 2 === 0 ? randomBytes(1 + 97 * i) : 'GET / HTTP/1.1\r\n\r\n');
      await untilClosed(socket);
    }
    expect(warning).not.toHaveBeenCalled();
    expect(server.events.log).toEqual([]);
    await expectEcho(server.address, { ...CLIENT_TLS, ...identity('client') });
  });

  it.each(['tls', 'wss'])(
    'that divides its ClientHello among packets gets a session (%s)',
    async (scheme) => {
      await using server = await serveEcho({}, {}, `${scheme}://127.0.0.1:0`);
      await using proxy = await serveDivider(server.port);
      await expectEcho(proxy.address.replace('tls:', `${scheme}:`));
    },
  );

  it('that announces a ClientHello of more than 16 KiB is disconnected', async () => {
    const refusals = new Inbox<string>('a refusal');
    const onRefused = (_: unknown, { reason, message }: RefusedError): void =>
      refusals.push(`${reason}: ${message}`);
    await using server = await serveEcho({}, { handshakeTimeout: 300_000, onRefused });
    const socket = await connectTcp(server.port);
    // A record with the header of the message.
    socket.write(Buffer.from('160301000401004001', 'hex'));
    await untilClosed(socket);
    expect(await refusals.next()).toBe(
      'tls: the TLS handshake failed: the ClientHello of the peer has more than 16384 bytes',
    );
  });

  it('that sends random bytes after the handshake ends its own session only', async () => {
    await using server = await serveEcho();
    await using forger = await serveForger(server.port, false);
    await using other = await connectLines(server.address);
    await using client = await connectLines(forger.address);
    client.session.write('hello');
    await client.events.messages.next();
    forger.forge();
    expect((await server.events.errors.next()).code).toBe('CONNECTION_LOST');
    await client.events.closed.next();
    client.events.errors.dismiss();
    other.session.write('hello');
    expect(await other.events.messages.next()).toBe('hello');
  });

  it('that breaks the connection as it completes the handshake does not end the process of its client', async () => {
    await using server = await serveEcho({}, {}, ANY_TLS);
    await using forger = await serveForger(server.port, true);
    for (let i = 0; i < 5; i++) {
      const outcome = await connectLines(forger.address).then(
        async (client) => {
          await client.events.closed.next();
          const error = client.events.errors.all[0];
          await client[Symbol.asyncDispose]();
          return error;
        },
        (error) => error,
      );
      expect(outcome?.code).toMatch(/CONNECTION_LOST|CONNECT_FAILED/);
    }
    await until(() => server.endpoint.sessions.size === 0, 'the server has no session');
    server.events.errors.dismiss();
  });

  /** A proxy in front of a server that passes on the first bytes of a client one by one. */
  async function serveDivider(port: number) {
    return await listenNode(
      createServer((client) => {
        const server = connect({ port, host: '127.0.0.1', noDelay: true });
        client.on('error', () => server.destroy()).on('close', () => server.destroy());
        server.on('error', () => client.destroy()).on('close', () => client.destroy());
        server.on('data', (bytes) => client.write(bytes));
        client.once('data', async (hello) => {
          client.pause();
          for (const byte of hello) {
            await new Promise((resolve) => server.write(Buffer.of(byte), resolve));
            await turns();
          }
          client.on('data', (bytes) => server.write(bytes)).resume();
        });
      }),
    );
  }

  /**
   * A proxy in front of a server. It sends a forged TLS record: to the client after the first bytes
   * of the server, or to the server when forge() is called.
   */
  async function serveForger(port: number, toClient: boolean) {
    const forged = Buffer.concat([Buffer.from('1703030030', 'hex'), Buffer.alloc(48)]);
    let forge = (): void => {};
    const proxy = await listenNode(
      createServer((client) => {
        const server = connect({ port, host: '127.0.0.1' });
        client.on('error', () => server.destroy()).on('close', () => server.destroy());
        server.on('error', () => client.destroy()).on('close', () => client.destroy());
        let isForging = toClient;
        server.on('data', (bytes) => {
          client.write(isForging ? Buffer.concat([bytes, forged]) : bytes);
          isForging = false;
        });
        client.on('data', (bytes) => server.write(bytes));
        forge = () => void server.write(forged);
      }),
    );
    return Object.assign(proxy, { forge: () => forge() });
  }
});
