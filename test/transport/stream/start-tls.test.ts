/** Session.startTls(): sessions that continue with TLS. */
import { connect as connectTls, TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import {
  connect,
  lines,
  raw,
  type StartTlsOptions,
  type TlsIdentity,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, identity, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import {
  ANY_TCP,
  connectStartTls,
  serveStartTls,
  serveText,
  TextSocket,
} from '../../fixtures/start-tls-endpoints.js';
import { CA, connectLines, serveEcho } from '../../fixtures/tls-endpoints.js';
import { rejection } from '../../fixtures/transports.js';
import { useSocketPath } from '../../fixtures/unix-endpoints.js';
import { gate, until, within } from '../../fixtures/waiting.js';

noLeaks();

describe('a session after startTls()', () => {
  const socket = useSocketPath();

  it.each(['tcp', 'unix'])('is encrypted in both directions (%s)', async (scheme) => {
    const address = scheme === 'tcp' ? ANY_TCP : socket.address;
    await using server = await serveStartTls({}, address);
    await using client = await connectStartTls(server.address);
    const { remoteAddress, certificate } = await client.peer;
    expect(remoteAddress).toBe(client.session.remoteAddress);
    expect(certificate?.altNames).toContain('DNS:localhost');
    expect((await server.peers.next()).certificate).toBeUndefined();
    for (const line of ['one', 'x'.repeat(300_000)]) {
      client.session.write(line);
      expect(await server.events.messages.next()).toBe(line === 'one' ? 'STARTTLS' : 'one');
    }
    await client.events.messages.take(3);
    expect(client.events.messages.all.map((line) => line.length)).toEqual([5, 3, 300_000]);
    const [far] = server.events.opened.all;
    expect([client.session.encrypted, far?.encrypted]).toEqual([true, true]);
    await client.session.close();
    await server.events.closed.next();
    expect(client.events.log.at(-1)).toBe('close');
    expect([...client.events.errors.all, ...server.events.errors.all]).toEqual([]);
  });

  it('has the verified certificate of a client that the server requires', async () => {
    const ca = CA;
    await using server = await serveStartTls({ ca });
    await using client = await connectStartTls(server.address, { ca, ...identity('client') });
    await client.peer;
    expect((await server.peers.next()).certificate?.commonName).toBe('client');
  });

  it('has the certificate of the name that the client requests', async () => {
    const hosts = { 'elsewhere.example': identity('elsewhere') as TlsIdentity };
    await using server = await serveStartTls({ hosts });
    for (const serverName of ['elsewhere.example', 'localhost']) {
      await using client = await connectStartTls(server.address, { ca: CA, serverName });
      expect((await client.peer).certificate?.altNames).toContain(`DNS:${serverName}`);
    }
  });

  it('is TLS for a client of Node.js, which resumes it in a second session', async () => {
    await using server = await serveStartTls();
    const connectNode = async (options: object): Promise<TLSSocket> => {
      const peer = await TextSocket.connect(server.port);
      peer.socket.write('STARTTLS\n');
      await peer.receive('ready\n');
      const socket = peer.stopReading();
      return connectTls({ socket, ca: CA, servername: 'localhost', ...options });
    };
    const first = await connectNode({});
    const ticket = new Promise<Buffer>((resolve) => first.once('session', resolve));
    const session = await within(ticket, 'a ticket');
    const second = await connectNode({ session });
    second.write('hello\n');
    const answer = new Promise((resolve) => second.once('data', resolve));
    expect(String(await within(answer, 'the answer'))).toBe('hello\n');
    expect([first.isSessionReused(), second.isSessionReused()]).toEqual([false, true]);
    first.end();
    second.end();
    await server.events.closed.take(2);
  });

  it('is TLS for a server of Node.js', async () => {
    await using server = await serveText((peer) => {
      peer.socket.write('ready\n');
      const options = { isServer: true, ...(SERVER_TLS as object) };
      const secure = new TLSSocket(peer.stopReading(), options);
      secure.on('error', () => {}).pipe(secure);
    });
    await using client = await connectStartTls(server.address);
    await client.peer;
    client.session.write('hello');
    await client.events.messages.take(2);
    expect(client.events.messages.all).toEqual(['ready', 'hello']);
  });

  it('sends what was written before in plain text, also to a slow peer', async () => {
    const line = 'x'.repeat(1000);
    const count = 4_000;
    await using server = await serveStartTls({}, ANY_TCP, {
      onMessage(session) {
        for (let i = 0; i < count; i++) session.write(line);
        void session.startTls(SERVER_TLS).catch(() => {});
        session.write('secret');
      },
    });
    const plain = await TextSocket.connect(server.port);
    await using peer = plain;
    peer.socket.pause();
    peer.socket.write('STARTTLS\n');
    await server.events.messages.next();
    const [session] = server.endpoint.sessions;
    expect(session?.queuedBytes).toBeGreaterThan(0);
    peer.socket.resume();
    await until(() => peer.text.length >= count * 1001, 'all plain text has arrived');
    expect(peer.text).not.toContain('secret');
    const secure = connectTls({ socket: peer.stopReading(), ca: CA, servername: 'localhost' });
    const answer = await within(
      new Promise((resolve) => secure.once('data', resolve)),
      'the encrypted line',
    );
    expect(String(answer)).toBe('secret\n');
  });

  it('sends what is written during the handshake after it, and then ends', async () => {
    await using server = await serveStartTls();
    await using client = await connectStartTls(server.address, CLIENT_TLS, {
      onMessage(session, line) {
        if (line !== 'ready') return;
        void session.startTls(CLIENT_TLS);
        session.write('first');
        session.write('second');
        expect(session.queuedBytes).toBe('first\nsecond\n'.length);
        void session.close();
      },
    });
    await server.events.messages.take(3);
    expect(server.events.messages.all).toEqual(['STARTTLS', 'first', 'second']);
    await client.events.closed.next();
    expect(client.events.messages.all).toEqual(['ready', 'first', 'second']);
  });

  it('keeps what is written during the handshake in its queue', async () => {
    const begun = gate<void>();
    await using server = await serveText(() => begun.open());
    await using client = await connect(
      server.address,
      { codec: lines(), listener: new Recorder<string>('the client') },
      { reconnect: false },
    );
    const session = await client.session();
    await session.send('STARTTLS');
    const secured = rejection(session.startTls(CLIENT_TLS));
    await within(begun.promise, 'the message');
    const sent = rejection(session.send('secret'));
    await untilQuiet();
    expect(session.queuedBytes).toBe('secret\n'.length);
    session.destroy();
    expect(await sent).toMatchObject({ code: 'SESSION_CLOSED', sentBytes: 0 });
    expect(await secured).toMatchObject({ code: 'SESSION_CLOSED' });
  });

  it('has an empty queue when what it wrote during the handshake is sent', async () => {
    await using server = await serveStartTls();
    let sent: Promise<unknown> = Promise.resolve();
    await using client = await connectStartTls(server.address, CLIENT_TLS, {
      onMessage(session, line) {
        if (line !== 'ready') return;
        void session.startTls(CLIENT_TLS);
        sent = session.send('secret');
      },
    });
    await server.events.messages.take(2);
    expect(await sent).toEqual({ encodedBytes: 7, sentBytes: 7 });
    expect(client.session.queuedBytes).toBe(0);
  });

  it('stays paused until resume()', async () => {
    await using server = await serveStartTls({}, ANY_TCP, {
      async onMessage(session, line) {
        if (line !== 'STARTTLS') return;
        session.pause();
        session.write('ready');
        await session.startTls(SERVER_TLS);
      },
    });
    await using client = await connectStartTls(server.address);
    await client.peer;
    await client.session.send('hello');
    expect(server.events.messages.all).toEqual(['STARTTLS']);
    const [session] = server.endpoint.sessions;
    session?.resume();
    await server.events.messages.take(2);
    expect(server.events.messages.all).toEqual(['STARTTLS', 'hello']);
  });
});

describe('startTls() rejects with BAD_OPTION and leaves the session as it is', () => {
  it.each<[string, StartTlsOptions, string]>([
    ['an unknown option', { reloadPeriod: 1 } as StartTlsOptions, 'reloadPeriod is not an option'],
    ['a handshakeTimeout of 0', { handshakeTimeout: 0 }, 'handshakeTimeout: got 0'],
    ['a key without a certificate', { key: CA }, 'a cert and a key'],
    ['an empty serverName', { serverName: '' }, 'tls.serverName'],
  ])('for %s', async (_, options, message) => {
    await using server = await serveStartTls();
    await using client = await connectStartTls(server.address, options);
    const error = await rejection(client.peer);
    expect(error).toMatchObject({ code: 'BAD_OPTION' });
    expect(error.message).toContain(message);
    expect(client.session.closed).toBe(false);
  });

  it('on a server without a certificate', async () => {
    await using server = await serveStartTls({ cert: undefined, key: undefined });
    const peer = await TextSocket.connect(server.port);
    await using _ = peer;
    peer.socket.write('STARTTLS\n');
    expect(await server.failures.next()).toMatchObject({ code: 'BAD_OPTION' });
    peer.socket.write('hello\n');
    await peer.receive('hello\n');
  });

  it('on a session that is encrypted, or is beginning TLS', async () => {
    await using echo = await serveEcho();
    await using secure = await connectLines(echo.address);
    expect(await rejection(secure.session.startTls())).toMatchObject({ code: 'BAD_OPTION' });
    await using server = await serveStartTls();
    await using client = await connectStartTls(server.address);
    await client.events.messages.next();
    expect(await rejection(client.session.startTls(CLIENT_TLS))).toMatchObject({
      code: 'BAD_OPTION',
    });
    await client.peer;
    expect(await rejection(client.session.startTls(CLIENT_TLS))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('on a session with compression', async () => {
    await using server = await serveStartTls();
    await using client = await connect(
      server.address,
      { codec: lines(), compression: 'snappy', listener: new Recorder<string>('the client') },
      { reconnect: false },
    );
    const session = await client.session();
    expect(await rejection(session.startTls())).toMatchObject({ code: 'BAD_OPTION' });
    session.destroy();
    expect(await rejection(session.startTls())).toMatchObject({ code: 'BAD_OPTION' });
  });

  it('and with SESSION_CLOSED on a closed session', async () => {
    await using server = await serveStartTls();
    await using client = await connect(
      server.address,
      { codec: raw(), listener: new Recorder<Buffer>('the client') },
      { reconnect: false },
    );
    const session = await client.session();
    session.destroy();
    expect(await rejection(session.startTls())).toMatchObject({ code: 'SESSION_CLOSED' });
  });
});
