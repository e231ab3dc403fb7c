/** The option `socket`, and Session.socket. */
import { Socket as DatagramSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type ClientOptions,
  connect,
  lines,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { hasReusePort } from '../../src/transport/socket-options.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { portOf } from '../fixtures/ports.js';
import { Recorder } from '../fixtures/recorder.js';
import { rejection } from '../fixtures/transports.js';
import { HAS_IPV6 } from '../fixtures/udp-endpoints.js';
import { useSocketPath } from '../fixtures/unix-endpoints.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const SETUP: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
const loopback = (scheme: string): string => `${scheme}://127.0.0.1:0`;
const tlsOf = (address: string, tls: object): object =>
  /^(tls|wss):/.test(address) ? { tls } : {};

describe('the option socket', () => {
  const unix = useSocketPath();

  it.each<[string, Record<string, unknown>, string]>([
    ['tcp', { keepAlive: 1 }, 'socket.keepAlive: got 1, expected a boolean'],
    ['tcp', { keepAliveDelay: 999 }, 'socket.keepAliveDelay: got 999, expected a number from 1000'],
    ['tcp', { noDelay: 'yes' }, 'socket.noDelay: got "yes", expected a boolean'],
    ['tcp', { sendBufferBytes: 1_000 }, 'socket.sendBufferBytes: got 1000, expected none at tcp:'],
    ['udp', { receiveBufferBytes: -1 }, 'socket.receiveBufferBytes: got -1'],
    ['udp', { sendBufferBytes: '1 MB' }, 'socket.sendBufferBytes: got "1 MB"'],
    ['udp', { noDelay: true }, 'socket.noDelay: got true, expected none at udp:'],
    ['memory', { keepAlive: true }, 'socket.keepAlive: got true, expected none at memory:'],
    ['tcp', { nodelay: true }, 'nodelay is not an option of socket; did you mean noDelay?'],
  ])('is checked by serve() and connect(): %s, %o', async (scheme, socket, message) => {
    const address = scheme === 'memory' ? 'memory://none' : `${scheme}://127.0.0.1:1`;
    for (const attempt of [
      serve(address, SETUP, { socket } as ServerOptions),
      connect(address, SETUP, { socket } as ClientOptions),
    ])
      expect(await rejection(attempt)).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining(message),
      });
  });

  it.each<[string, ServerOptions['socket'], string]>([
    ['tcp', { backlog: 0 }, 'socket.backlog: got 0, expected an integer from 1 to 65535'],
    ['tcp', { backlog: 1e6 }, 'socket.backlog: got 1000000'],
    ['udp', { backlog: 5 }, 'socket.backlog: got 5, expected none at udp:'],
    ['memory', { reusePort: false }, 'socket.reusePort: got false, expected none at memory:'],
  ])('is checked by serve(): %s, %o', async (scheme, socket, message) => {
    const address = scheme === 'memory' ? 'memory://none' : loopback(scheme);
    expect(await rejection(serve(address, SETUP, { socket }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it('has no options of listening sockets on an HTTP server', async () => {
    const address = { server: createServer(), path: '/live' };
    expect(await rejection(serve(address, SETUP, { socket: { backlog: 5 } }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('socket.backlog: got 5, expected none at /live'),
    });
    const server = await serve(address, SETUP, { socket: { noDelay: false } });
    await server.close();
  });

  it.each(['tcp', 'tls', 'ws', 'wss'])('sets noDelay and keepAlive at %s://', async (scheme) => {
    const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay');
    const keepAlive = vi.spyOn(Socket.prototype, 'setKeepAlive');
    const socket = { noDelay: false, keepAliveDelay: 5_000 };
    const address = loopback(scheme);
    const events = new Recorder<string>('the server');
    await using server = await serve(
      address,
      { codec: lines(), listener: events },
      { socket, ...tlsOf(address, SERVER_TLS) },
    );
    const options = { socket: { ...socket, keepAlive: false }, ...tlsOf(address, CLIENT_TLS) };
    await using client = await connect(server.address, SETUP, options);
    const far = await events.opened.next();
    const { socket: own } = await client.session();
    /** The arguments of the last call of a method of the socket. */
    const lastCall = (mock: typeof noDelay | typeof keepAlive, of: unknown): unknown =>
      mock.mock.calls[mock.mock.contexts.lastIndexOf(of as Socket)];
    expect([lastCall(noDelay, own), lastCall(noDelay, far.socket)]).toEqual([[false], [false]]);
    expect(lastCall(keepAlive, own)).toEqual([false, 5_000]);
    expect(lastCall(keepAlive, far.socket)).toEqual([true, 5_000]);
  });

  it.each(['tcp', 'tls', 'ws', 'unix'])('sets the backlog at %s://', async (scheme) => {
    const listen = vi.spyOn(Server.prototype, 'listen');
    const address = scheme === 'unix' ? unix.address : loopback(scheme);
    const options = { socket: { backlog: 7 }, ...tlsOf(address, SERVER_TLS) };
    await using _server = await serve(address, SETUP, options);
    expect(listen.mock.calls[0]?.[0]).toMatchObject({ backlog: 7 });
  });

  it.skipIf(!HAS_IPV6).each(['tcp://:0', 'tcp://[::]:0', 'ws://:0'])(
    'accepts no IPv4 with ipv6Only: %s',
    async (address) => {
      await using server = await serve(address, SETUP, { socket: { ipv6Only: true } });
      const scheme = address.slice(0, address.indexOf(':'));
      const port = portOf(server.address);
      await using _client = await connect(`${scheme}://[::1]:${port}`, SETUP);
      expect(await rejection(connect(`${scheme}://127.0.0.1:${port}`, SETUP))).toMatchObject({
        code: 'CONNECT_FAILED',
      });
    },
  );

  it.skipIf(!HAS_IPV6)('accepts no IPv4 with ipv6Only: udp://:0', async () => {
    await using server = await serve('udp://:0', SETUP, { socket: { ipv6Only: true } });
    // The port of IPv4 is free.
    const sameOfIpv4 = server.address.replace('udp://', 'udp://127.0.0.1');
    await using _other = await serve(sameOfIpv4, SETUP);
  });

  it.each([
    ['20.19.0', false],
    ['22.11.0', false],
    ['22.12.0', true],
    ['23.0.0', false],
    ['23.1.0', true],
    ['24.0.0', true],
  ])('knows whether Node.js %s has reusePort', (version, expected) => {
    expect(hasReusePort(version)).toBe(expected);
  });

  const isSupported = hasReusePort(process.versions.node);
  it.skipIf(isSupported)('refuses reusePort if Node.js would ignore it', async () => {
    const attempt = serve(loopback('tcp'), SETUP, { socket: { reusePort: true } });
    expect(await rejection(attempt)).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringMatching(/^socket.reusePort: got true, expected false: Node.js /),
    });
  });

  it.skipIf(!isSupported || process.platform !== 'linux').each(['tcp', 'udp', 'ws'])(
    'lets two servers listen at one port with reusePort: %s',
    async (scheme) => {
      const options = { socket: { reusePort: true } };
      await using server = await serve(loopback(scheme), SETUP, options);
      await using _other = await serve(server.address, SETUP, options);
      expect(await rejection(serve(server.address, SETUP))).toMatchObject({
        code: 'LISTEN_FAILED',
      });
    },
  );
});

describe('Session.socket', () => {
  const unix = useSocketPath();

  it.each<[string, object, ((new (...args: never[]) => unknown) | undefined)?]>([
    ['tcp://127.0.0.1:0', {}, Socket],
    ['tcp://127.0.0.1:0', { compression: 'snappy' }, Socket],
    ['tls://127.0.0.1:0', {}, TLSSocket],
    ['ws://127.0.0.1:0', {}, Socket],
    ['wss://127.0.0.1:0', {}, TLSSocket],
    ['udp://127.0.0.1:0', {}, DatagramSocket as never],
    ['memory://socket', {}, undefined],
  ])('is the socket of both sides at %s %o', async (address, session, expected) => {
    const events = new Recorder<string>('the server');
    await using server = await serve(
      address,
      { codec: lines(), listener: events, ...session },
      tlsOf(address, SERVER_TLS),
    );
    await using client = await connect(
      server.address,
      { ...SETUP, ...session },
      tlsOf(address, CLIENT_TLS),
    );
    for (const { socket } of [await client.session(), await events.opened.next()]) {
      if (expected === undefined) expect(socket).toBeUndefined();
      else expect(socket).toBeInstanceOf(expected);
    }
  });

  it('is that of node:net at unix://', async () => {
    await using server = await serve(unix.address, SETUP);
    await using client = await connect(server.address, SETUP);
    expect((await client.session()).socket).toBeInstanceOf(Socket);
  });
});
