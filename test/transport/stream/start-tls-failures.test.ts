/** Failures of Session.startTls(): injected plain text, invalid certificates, late handshakes. */
import { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import {
  type EventListener,
  RefusedError,
  type StartTlsOptions,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  ANY_TCP,
  connectStartTls,
  serveStartTls,
  serveText,
  TextSocket,
} from '../../fixtures/start-tls-endpoints.js';
import { CA } from '../../fixtures/tls-endpoints.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

describe('plain text behind the message that begins TLS', () => {
  it.each(['inject\n', 'incomplete', '\n'])(
    'ends the session of a server, which does not read %j',
    async (injected) => {
      await using server = await serveStartTls();
      await using peer = await TextSocket.connect(server.port);
      peer.socket.write(`STARTTLS\n${injected}`);
      const error = await server.failures.next();
      expect(error).toMatchObject({ code: 'BAD_FRAME' });
      expect(error.message).toContain(`${injected.length} bytes in plain text`);
      await peer.closed;
      await server.events.closed.next();
      expect(server.events.log).toEqual(['open', 'message', 'error BAD_FRAME', 'close']);
      // What the server wrote before is not lost, and no handshake follows.
      expect(peer.text).toBe('ready\n');
    },
  );

  it('ends the session of a client', async () => {
    await using server = await serveText((peer) => peer.socket.write('ready\ninject\n'));
    await using client = await connectStartTls(server.address);
    expect(await rejection(client.peer)).toMatchObject({ code: 'BAD_FRAME' });
    await client.events.closed.next();
    expect(client.events.messages.all).toEqual(['ready']);
  });

  it('is no TLS record if it arrives later, so the handshake fails', async () => {
    await using server = await serveStartTls();
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\n');
    await peer.receive('ready\n');
    peer.socket.write('inject\n');
    const error = await server.failures.next();
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', reason: 'tls' });
    await server.events.closed.next();
    expect(server.events.messages.all).toEqual(['STARTTLS']);
    expect(server.events.log).toEqual(['open', 'message', 'error SESSION_REFUSED', 'close']);
    expect(server.endpoint.refusals.tls).toBe(0);
  });

  it('that waits in a paused session is a failed handshake too', async () => {
    const paused = gate();
    const begin = gate();
    await using server = await serveStartTls({}, ANY_TCP, {
      async onMessage(session) {
        session.pause();
        paused.open();
        await begin.promise;
        await session.startTls(SERVER_TLS);
      },
    });
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\n');
    await paused.promise;
    await new Promise((resolve) => peer.socket.write('inject\n', resolve));
    begin.open();
    const codes = [await server.events.errors.next(), await server.events.errors.next()];
    expect(codes.map(({ code }) => code)).toEqual(['SESSION_REFUSED', 'HANDLER_FAILED']);
    await peer.closed;
    expect(server.events.messages.all).toEqual(['STARTTLS']);
  });
});

describe('the certificate of the server', () => {
  it.each([
    ['is for another name', 'elsewhere', { ca: CA }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['is not signed by the CA', 'server', {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ])('%s: CONNECT_FAILED, and nothing is sent to it', async (_, name, options, code) => {
    const received: string[] = [];
    await using server = await serveText((peer) => {
      peer.socket.write('ready\n');
      const tls = { isServer: true, ...(identity(name) as object) };
      new TLSSocket(peer.stopReading(), tls)
        .on('error', () => {})
        .on('data', (bytes) => received.push(String(bytes)));
    });
    await using client = await connectStartTls(server.address, options, {
      onMessage(session) {
        void session.startTls(options);
        session.write('password');
      },
    });
    const error = await client.events.errors.next();
    expect(error).toMatchObject({ code: 'CONNECT_FAILED', cause: { code } });
    await client.events.closed.next();
    await server.peers[0]?.closed;
    expect(received).toEqual([]);
  });

  it('is accepted for serverName', async () => {
    await using server = await serveStartTls(identity('elsewhere'));
    const serverName = 'elsewhere.example';
    await using client = await connectStartTls(server.address, { ca: CA, serverName });
    expect((await client.peer).certificate?.altNames).toEqual([`DNS:${serverName}`]);
  });
});

it.each([
  ['without a certificate', {}],
  ['with one of another CA', identity('other-client')],
])('a client %s is refused by a server that requires one', async (_, own) => {
  await using server = await serveStartTls({ ca: CA });
  await using client = await connectStartTls(server.address, { ca: CA, ...own });
  expect(await server.failures.next()).toMatchObject({ reason: 'tls' });
  await server.events.closed.next();
  await client.events.closed.next();
  await client.peer.catch(() => {});
});

describe('the handshake', () => {
  it('of a server ends after handshakeTimeout, with the reason timeout', async () => {
    await using server = await serveStartTls({ handshakeTimeout: 100 });
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\n');
    expect(await server.failures.next()).toMatchObject({
      code: 'SESSION_REFUSED',
      reason: 'timeout',
    });
    await server.events.closed.next();
    expect(server.events.log.slice(-2)).toEqual(['error SESSION_REFUSED', 'close']);
  });

  it('of a client ends after handshakeTimeout with CONNECT_FAILED', async () => {
    await using server = await serveText((peer) => peer.socket.write('ready\n'));
    await using client = await connectStartTls(server.address, { handshakeTimeout: 100 });
    const error = await rejection(client.peer);
    expect(error).toMatchObject({ code: 'CONNECT_FAILED' });
    expect(error.message).toContain('longer than handshakeTimeout, 100 ms');
    await client.events.closed.next();
  });

  it('ends after handshakeTimeout too if the peer does not read the plain text', async () => {
    await using server = await serveStartTls({}, ANY_TCP, {
      onMessage(session) {
        for (let i = 0; i < 15; i++) session.write('x'.repeat(1_000_000));
        void session.startTls({ ...SERVER_TLS, handshakeTimeout: 100 });
      },
    });
    await using peer = await TextSocket.connect(server.port);
    peer.socket.pause();
    peer.socket.write('STARTTLS\n');
    expect(await server.events.errors.next()).toMatchObject({ reason: 'timeout' });
    await server.events.closed.next();
  });

  /** Begins TLS with plain text in the queue. */
  const beginBehind = (tls: StartTlsOptions): Partial<EventListener<string>> => ({
    onMessage(session) {
      session.writeBytes(new Uint8Array(1_000_000));
      void session.startTls(tls);
    },
  });

  it('of a server does not begin if the plain text before it fails', async () => {
    await using server = await serveStartTls({}, ANY_TCP, beginBehind(SERVER_TLS));
    for (let round = 1; round <= 5; round++) {
      const { socket } = await TextSocket.connect(server.port);
      socket.pause();
      socket.write('STARTTLS\n', () => socket.resetAndDestroy());
      expect(await server.events.errors.next()).toMatchObject({ reason: 'tls' });
      await server.events.closed.next();
    }
  });

  it('of a client does not begin if the plain text before it fails', async () => {
    await using server = await serveText(({ socket }) => {
      socket.pause();
      socket.write('ready\n', () => socket.resetAndDestroy());
    });
    for (let round = 1; round <= 5; round++) {
      await using client = await connectStartTls(server.address, {}, beginBehind(CLIENT_TLS));
      expect(await client.events.errors.next()).toMatchObject({ code: 'CONNECT_FAILED' });
      await client.events.closed.next();
    }
  });

  it('fails when the peer closes the connection', async () => {
    await using server = await serveStartTls();
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\n');
    await peer.receive('ready\n');
    peer.socket.end();
    expect(await server.failures.next()).toMatchObject({ reason: 'tls' });
    await server.events.closed.next();
    await using closing = await serveText(({ socket }) => socket.end('ready\n'));
    await using client = await connectStartTls(closing.address);
    expect(await rejection(client.peer)).toMatchObject({ code: 'CONNECT_FAILED' });
    await client.events.closed.next();
  });

  it('ends with SESSION_CLOSED when the session is destroyed', async () => {
    await using server = await serveText((peer) => peer.socket.write('ready\n'));
    await using client = await connectStartTls(server.address);
    await client.events.messages.next();
    client.session.destroy();
    expect(await rejection(client.peer)).toMatchObject({ code: 'SESSION_CLOSED' });
    await client.events.closed.next();
    expect(client.events.errors.all).toEqual([]);
  });

  it('fails without an unhandled rejection if the caller does not await it', async () => {
    await using server = await serveStartTls({}, ANY_TCP, {
      onMessage: (session) => void session.startTls(SERVER_TLS),
    });
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\nx');
    await peer.closed;
    expect((await server.events.errors.next()).code).toBe('BAD_FRAME');
  });

  it('is for one session: a failed one does not disturb others', async () => {
    await using server = await serveStartTls();
    await using client = await connectStartTls(server.address);
    await using peer = await TextSocket.connect(server.port);
    peer.socket.write('STARTTLS\n');
    await peer.receive('ready\n');
    peer.socket.write(Buffer.alloc(1_000, 0x16));
    await server.failures.next();
    await client.peer;
    client.session.write('hello');
    await client.events.messages.take(2);
    await until(() => server.endpoint.sessions.size === 1, 'the failed session has ended');
  });
});
