/**
 * The addresses of UDP: names with several IP addresses, broadcast, multicast, zones, and the
 * address of the server itself.
 */
import { Socket } from 'node:dgram';
import dns from 'node:dns';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Client,
  type ClientOptions,
  connect,
  type EventListener,
  raw,
  type ServerOptions,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { ANY_UDP, bytes, HAS_IPV6 } from '../../fixtures/udp-endpoints.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const LINUX = process.platform === 'linux';
const GROUP = '239.255.77.12';

/** A server that echoes messages and records their texts. */
async function serveEcho(
  address = ANY_UDP,
  options: ServerOptions = {},
  handlers: Partial<EventListener<Buffer>> = {},
) {
  const received = new Inbox<string>('a message for the server');
  const events = new Recorder<Buffer>('the server', {
    onMessage(session, message) {
      received.push(String(message));
      session.write(message);
    },
    ...handlers,
  });
  const endpoint = await serve<Buffer>(address, { codec: raw(), listener: events }, options);
  return {
    endpoint,
    received,
    events,
    address: endpoint.address,
    port: portOf(endpoint.address),
    [Symbol.asyncDispose]: () => endpoint.close(),
  };
}

/** A client that begins with the message `hi`, and records the texts of messages. */
async function connectGreeter(address: string, options: ClientOptions = {}) {
  const received = new Inbox<string>('a message for the client');
  const errors: Error[] = [];
  const endpoint: Client<Buffer> = await connect<Buffer>(
    address,
    {
      codec: raw(),
      listener: {
        onOpen: (session) => void session.write(bytes('hi')),
        onMessage: (_, message) => received.push(String(message)),
        onError: (_, error) => void errors.push(error),
      },
    },
    options,
  );
  return { endpoint, received, errors, [Symbol.asyncDispose]: () => endpoint.close() };
}

/** Makes dns.lookup() return these addresses for every name. */
function resolveTo(...ips: string[]): void {
  const lookup = (
    _name: string,
    _options: object,
    done: (error: null, found: object[]) => void,
  ): void =>
    done(
      null,
      ips.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  vi.spyOn(dns, 'lookup').mockImplementation(lookup as never);
}

describe('a client of a name with several addresses', () => {
  const RECONNECT = { reconnect: { initialDelay: 1, maxDelay: 20 } };

  it.each([
    ['has no server at the first address', ['127.0.0.2', '127.0.0.1']],
    ['has no server at the first two addresses', ['127.0.0.2', '127.0.0.3', '127.0.0.1']],
    ['has no route to the first address', ['255.255.255.255', '127.0.0.1']],
    ...(HAS_IPV6
      ? ([['has no server at the first address, of IPv6', ['::1', '127.0.0.1']]] as const)
      : []),
  ] as const)('that %s connects to the next address', async (_, ips) => {
    await using server = await serveEcho();
    resolveTo(...ips);
    await using client = await connectGreeter(`udp://several.test:${server.port}`, RECONNECT);
    expect(await client.received.next()).toBe('hi');
    expect((await client.endpoint.session()).remoteAddress).toBe(`udp://127.0.0.1:${server.port}`);
  });

  it('that has no route to any address rejects with CONNECT_FAILED and the last reason', async () => {
    resolveTo('255.255.255.255', '255.255.255.255');
    const error = await rejection(connectGreeter('udp://several.test:9', { reconnect: false }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('cannot connect to udp://several.test:9: '),
    });
  });
});

describe.runIf(LINUX)('broadcast', () => {
  it('reaches a server for all interfaces with udp.broadcast', async () => {
    await using server = await serveEcho('udp://0.0.0.0:0');
    await using sender = await serveEcho(ANY_UDP, { udp: { broadcast: true } });
    expect(sender.endpoint.writeTo(bytes('hello'), `udp://127.255.255.255:${server.port}`)).toBe(
      true,
    );
    expect(await server.received.next()).toBe('hello');
    expect(sender.events.errors.all).toEqual([]);
    await using client = await connectGreeter(`udp://127.255.255.255:${server.port}`, {
      udp: { broadcast: true },
      reconnect: false,
    });
    expect(await server.received.next()).toBe('hi');
    expect(client.errors).toEqual([]);
  });

  it('without udp.broadcast is an error that names the option', async () => {
    const failed = new Inbox<Error>('an error of the sender');
    await using sender = await serveEcho(
      ANY_UDP,
      {},
      { onError: (_, error) => failed.push(error) },
    );
    sender.endpoint.writeTo(bytes('hello'), 'udp://127.255.255.255:9');
    expect(await failed.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message:
        'udp://127.255.255.255:9 cannot be reached: send EACCES 127.255.255.255:9; a broadcast address needs the option udp.broadcast',
      cause: expect.objectContaining({ code: 'EACCES' }),
    });
    expect(
      await rejection(connectGreeter('udp://127.255.255.255:9', { reconnect: false })),
    ).toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

describe('multicast', () => {
  const LOOPBACK = { multicastInterface: '127.0.0.1' };

  it.each(['udp://0.0.0.0:0', 'udp://:0'])(
    'reaches a server at %s that has joined the groups, and is answered',
    async (address) => {
      await using server = await serveEcho(address, {
        udp: { ...LOOPBACK, multicast: [GROUP, '239.255.77.13'] },
      });
      await using sender = await serveEcho(
        ANY_UDP,
        { udp: { ...LOOPBACK, amplification: Number.POSITIVE_INFINITY } },
        { onMessage: (_, m) => void answers.push(String(m)) },
      );
      const answers = new Inbox<string>('an answer of the member');
      for (const group of [GROUP, '239.255.77.13']) {
        sender.endpoint.writeTo(bytes(group), `udp://${group}:${server.port}`);
        expect([await server.received.next(), await answers.next()]).toEqual([group, group]);
      }
    },
  );

  it('reaches a group from a client', async () => {
    await using server = await serveEcho('udp://0.0.0.0:0', {
      udp: { ...LOOPBACK, multicast: [GROUP] },
    });
    await using _client = await connectGreeter(`udp://${GROUP}:${server.port}`, {
      udp: LOOPBACK,
      reconnect: false,
    });
    expect(await server.received.next()).toBe('hi');
  });

  // The loopback interface has no route to groups of IPv6, so the test sends nothing.
  it.runIf(HAS_IPV6 && LINUX)('uses multicastInterface for a group of IPv6', async () => {
    const join = vi.spyOn(Socket.prototype, 'addMembership');
    await using _server = await serveEcho('udp://[::]:0', {
      udp: { multicastInterface: '::%lo', multicast: ['ff02::77:12'] },
    });
    expect(join.mock.calls).toEqual([['ff02::77:12', '::%lo']]);
  });

  it('does not reach the server that has sent the datagram', async () => {
    await using server = await serveEcho('udp://0.0.0.0:0', {
      udp: { ...LOOPBACK, multicast: [GROUP] },
    });
    await using sender = await serveEcho(ANY_UDP, { udp: LOOPBACK });
    server.endpoint.writeTo(bytes('mine'), `udp://${GROUP}:${server.port}`);
    sender.endpoint.writeTo(bytes('theirs'), `udp://${GROUP}:${server.port}`);
    expect(await server.received.next()).toBe('theirs');
    expect(server.received.all).toEqual(['theirs']);
  });

  it('uses multicastTtl and multicastLoopback', async () => {
    const ttl = vi.spyOn(Socket.prototype, 'setMulticastTTL');
    const loopback = vi.spyOn(Socket.prototype, 'setMulticastLoopback');
    await using server = await serveEcho(ANY_UDP, {
      udp: { multicastTtl: 3, multicastLoopback: false },
    });
    await using _client = await connectGreeter(server.address, {
      udp: { multicastTtl: 4, multicastLoopback: false },
    });
    expect(ttl.mock.calls).toEqual([[3], [4]]);
    expect(loopback.mock.calls).toEqual([[false], [false]]);
  });

  it('is LISTEN_FAILED if a group cannot be joined', async () => {
    const error = await rejection(
      serveEcho(ANY_UDP, { udp: { multicast: [GROUP], multicastInterface: '203.0.113.9' } }),
    );
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('cannot listen at udp://127.0.0.1:0: '),
    });
  });

  it('is BAD_OPTION for a client that joins groups', async () => {
    const error = await rejection(
      connectGreeter('udp://127.0.0.1:9', { udp: { multicast: [GROUP] } }),
    );
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('udp.multicast: got an array, expected none for a client'),
    });
  });
});

describe.runIf(HAS_IPV6 && LINUX)('an IPv6 address with a zone', () => {
  it.each(['::1%lo', '::1%25lo'])(
    '[%s] is an address of serve(), connect() and writeTo()',
    async (host) => {
      await using server = await serveEcho(`udp://[${host}]:0`);
      expect(server.address).toBe(`udp://[::1%lo]:${server.port}`);
      await using client = await connectGreeter(server.address);
      expect([await server.received.next(), await client.received.next()]).toEqual(['hi', 'hi']);
      await using other = await serveEcho('udp://[::1]:0');
      server.endpoint.writeTo(bytes('zone'), `udp://[${host}]:${other.port}`);
      expect(await other.received.next()).toBe('zone');
    },
  );
});

describe('the address of the server itself', () => {
  it.each(['udp://0.0.0.0:0', ...(HAS_IPV6 ? ['udp://[::]:0', 'udp://:0'] : [])])(
    'creates no session on a server at %s',
    async (address) => {
      const bind = vi.spyOn(Socket.prototype, 'bind');
      await using server = await serveEcho(address);
      const socket = bind.mock.contexts.at(-1) as Socket;
      const own = [
        '127.0.0.1',
        '127.1.2.3',
        '::ffff:127.0.0.1',
        ...Object.values(networkInterfaces()).flatMap((all) =>
          (all ?? []).map((one) => one.address),
        ),
      ];
      for (const ip of own)
        socket.emit('message', bytes('x'), {
          address: ip,
          family: 'IPv4',
          port: server.port,
          size: 1,
        });
      expect(server.endpoint.sessions.size).toBe(0);
      // The same port on another machine is a peer.
      const send = vi.spyOn(socket, 'send').mockImplementation(() => {});
      socket.emit('message', bytes('x'), {
        address: '203.0.113.9',
        family: 'IPv4',
        port: server.port,
        size: 1,
      });
      expect(server.endpoint.sessions.size).toBe(1);
      send.mockRestore();
      server.endpoint.destroy();
    },
  );
});
