/**
 * Where UDP sends and from where it hears: names with several addresses, broadcast, multicast,
 * zones, and our own address.
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
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const HERE = 'udp://127.0.0.1:0';
const IPV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);
const LINUX = process.platform === 'linux';
const GROUP = '239.255.77.12';
const bytes = (text: string): Buffer => Buffer.from(text);
const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** A server that answers its peers, and takes down the messages. */
async function served(
  address = HERE,
  options: ServerOptions = {},
  on: Partial<EventListener<Buffer>> = {},
) {
  const got = new Inbox<string>('a message for the server');
  const events = new Recorder<Buffer>('the server', {
    onMessage(session, message) {
      got.push(String(message));
      session.write(message);
    },
    ...on,
  });
  const server = await serve<Buffer>(address, { codec: raw(), listener: events }, options);
  return {
    server,
    got,
    events,
    port: portOf(server.address),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

async function connected(address: string, options: ClientOptions = {}) {
  const got = new Inbox<string>('a message for the client');
  const errors: Error[] = [];
  const client: Client<Buffer> = await connect<Buffer>(
    address,
    {
      codec: raw(),
      listener: {
        onOpen: (session) => void session.write(bytes('hi')),
        onMessage: (_, message) => got.push(String(message)),
        onError: (_, error) => void errors.push(error),
      },
    },
    options,
  );
  return { client, got, errors, [Symbol.asyncDispose]: () => client.close() };
}

/** Names resolve to these addresses. */
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

describe('a name with several addresses', () => {
  const quick = { reconnect: { initialDelay: 1, maxDelay: 20 } };

  it.each([
    ['no server at the first', ['127.0.0.2', '127.0.0.1']],
    ['no server at the first two', ['127.0.0.2', '127.0.0.3', '127.0.0.1']],
    ['no route to the first', ['255.255.255.255', '127.0.0.1']],
    ...(IPV6 ? ([['no server at the first, of IPv6', ['::1', '127.0.0.1']]] as const) : []),
  ] as const)('%s: a client reaches the server at another', async (_, ips) => {
    await using s = await served();
    resolveTo(...ips);
    await using c = await connected(`udp://several.test:${s.port}`, quick);
    expect(await c.got.next()).toBe('hi');
    expect((await c.client.session()).remoteAddress).toBe(`udp://127.0.0.1:${s.port}`);
  });

  it('no route to any: CONNECT_FAILED with the reason of the last', async () => {
    resolveTo('255.255.255.255', '255.255.255.255');
    const error = await rejection(connected('udp://several.test:9', { reconnect: false }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('cannot connect to udp://several.test:9: '),
    });
  });
});

describe('connect-ping', () => {
  it('is delivered where connectPing is off', async () => {
    await using s = await served(HERE, { udp: { connectPing: false } });
    await using c = await connected(s.server.address, { udp: { connectPing: false } });
    (await c.client.session()).write(bytes('connect-ping'));
    expect([await s.got.next(), await s.got.next()]).toEqual(['hi', 'connect-ping']);
    expect([await c.got.next(), await c.got.next()]).toEqual(['hi', 'connect-ping']);
  });

  it('is delivered to clients in any case', async () => {
    await using s = await served(
      HERE,
      {},
      { onMessage: (session) => void session.write(bytes('connect-ping')) },
    );
    await using c = await connected(s.server.address, { udp: {} });
    // The opening datagram and the message pay for the answer.
    expect(await c.got.next()).toBe('connect-ping');
  });
});

describe.runIf(LINUX)('broadcast', () => {
  it('reaches a server of all interfaces, with udp.broadcast', async () => {
    await using s = await served('udp://0.0.0.0:0');
    await using sender = await served(HERE, { udp: { broadcast: true } });
    expect(sender.server.writeTo(bytes('all'), `udp://127.255.255.255:${s.port}`)).toBe(true);
    expect(await s.got.next()).toBe('all');
    expect(sender.events.errors.all).toEqual([]);
    await using c = await connected(`udp://127.255.255.255:${s.port}`, {
      udp: { broadcast: true },
      reconnect: false,
    });
    expect(await s.got.next()).toBe('hi');
    expect(c.errors).toEqual([]);
  });

  it('without udp.broadcast onError hears what is missing', async () => {
    const failed = new Inbox<Error>('an error of the sender');
    await using sender = await served(HERE, {}, { onError: (_, error) => failed.push(error) });
    sender.server.writeTo(bytes('all'), 'udp://127.255.255.255:9');
    expect(await failed.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message:
        'udp://127.255.255.255:9 cannot be reached: send EACCES 127.255.255.255:9; a broadcast address needs the option udp.broadcast',
      cause: expect.objectContaining({ code: 'EACCES' }),
    });
    expect(
      await rejection(connected('udp://127.255.255.255:9', { reconnect: false })),
    ).toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

describe('multicast', () => {
  const local = { multicastInterface: '127.0.0.1' };

  it.each(['udp://0.0.0.0:0', 'udp://:0'])(
    'a server at %s hears the groups that it joins, and answers the sender',
    async (address) => {
      await using s = await served(address, {
        udp: { ...local, multicast: [GROUP, '239.255.77.13'] },
      });
      await using sender = await served(
        HERE,
        { udp: { ...local, amplification: Number.POSITIVE_INFINITY } },
        { onMessage: (_, m) => void answers.push(String(m)) },
      );
      const answers = new Inbox<string>('an answer of the member');
      for (const group of [GROUP, '239.255.77.13']) {
        sender.server.writeTo(bytes(group), `udp://${group}:${s.port}`);
        expect([await s.got.next(), await answers.next()]).toEqual([group, group]);
      }
    },
  );

  it('a client writes to a group', async () => {
    await using s = await served('udp://0.0.0.0:0', { udp: { ...local, multicast: [GROUP] } });
    await using _c = await connected(`udp://${GROUP}:${s.port}`, { udp: local, reconnect: false });
    expect(await s.got.next()).toBe('hi');
  });

  // The loopback interface has no route to groups of IPv6, so nothing can be sent here.
  it.runIf(IPV6 && LINUX)('joins a group of IPv6 at its interface', async () => {
    const join = vi.spyOn(Socket.prototype, 'addMembership');
    await using _s = await served('udp://[::]:0', {
      udp: { multicastInterface: '::%lo', multicast: ['ff02::77:12'] },
    });
    expect(join.mock.calls).toEqual([['ff02::77:12', '::%lo']]);
  });

  it('a server that writes to its own group does not hear itself', async () => {
    await using s = await served('udp://0.0.0.0:0', { udp: { ...local, multicast: [GROUP] } });
    await using sender = await served(HERE, { udp: local });
    s.server.writeTo(bytes('mine'), `udp://${GROUP}:${s.port}`);
    sender.server.writeTo(bytes('theirs'), `udp://${GROUP}:${s.port}`);
    expect(await s.got.next()).toBe('theirs');
    expect(s.got.all).toEqual(['theirs']);
  });

  it('sets the TTL and the loopback of the socket', async () => {
    const ttl = vi.spyOn(Socket.prototype, 'setMulticastTTL');
    const loopback = vi.spyOn(Socket.prototype, 'setMulticastLoopback');
    await using s = await served(HERE, { udp: { multicastTtl: 3, multicastLoopback: false } });
    await using _c = await connected(s.server.address, {
      udp: { multicastTtl: 4, multicastLoopback: false },
    });
    expect(ttl.mock.calls).toEqual([[3], [4]]);
    expect(loopback.mock.calls).toEqual([[false], [false]]);
  });

  it('a group that cannot be joined: LISTEN_FAILED, and the port is free', async () => {
    const error = await rejection(
      served(HERE, { udp: { multicast: [GROUP], multicastInterface: '203.0.113.9' } }),
    );
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('cannot listen at udp://127.0.0.1:0: '),
    });
  });

  it('a client cannot join groups', async () => {
    const error = await rejection(connected('udp://127.0.0.1:9', { udp: { multicast: [GROUP] } }));
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('udp.multicast: given an array, expected none for a client'),
    });
  });
});

describe.runIf(IPV6 && LINUX)('an IPv6 address with a zone', () => {
  it.each(['::1%lo', '::1%25lo'])(
    '[%s] is listened at, connected to, and written to',
    async (host) => {
      await using s = await served(`udp://[${host}]:0`);
      expect(s.server.address).toBe(`udp://[::1%lo]:${s.port}`);
      await using c = await connected(s.server.address);
      expect([await s.got.next(), await c.got.next()]).toEqual(['hi', 'hi']);
      await using other = await served('udp://[::1]:0');
      s.server.writeTo(bytes('zone'), `udp://[${host}]:${other.port}`);
      expect(await other.got.next()).toBe('zone');
    },
  );
});

describe('our own address', () => {
  it.each(['udp://0.0.0.0:0', ...(IPV6 ? ['udp://[::]:0', 'udp://:0'] : [])])(
    'a server at %s makes no session with itself',
    async (address) => {
      const bind = vi.spyOn(Socket.prototype, 'bind');
      await using s = await served(address);
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
        socket.emit('message', bytes('x'), { address: ip, family: 'IPv4', port: s.port, size: 1 });
      expect(s.server.sessions.size).toBe(0);
      // The same port of another machine is a peer like any other.
      const lost = vi.spyOn(socket, 'send').mockImplementation(() => {});
      socket.emit('message', bytes('x'), {
        address: '203.0.113.9',
        family: 'IPv4',
        port: s.port,
        size: 1,
      });
      expect(s.server.sessions.size).toBe(1);
      lost.mockRestore();
      s.server.destroy();
    },
  );
});

describe('a socket that does not tell what it has queued', () => {
  it('messages arrive, send() settles, close() waits', async () => {
    const queueSize = Socket.prototype.getSendQueueSize;
    Object.assign(Socket.prototype, { getSendQueueSize: undefined });
    try {
      await using s = await served(HERE);
      await using c = await connected(s.server.address);
      const session = await c.client.session();
      await session.send(bytes('one'));
      expect(session.queuedBytes).toBe(0);
      session.write(bytes('two'));
      expect(session.queuedBytes).toBe(3);
      await session.drained();
      expect([await c.got.next(), await c.got.next(), await c.got.next()].sort()).toEqual([
        'hi',
        'one',
        'two',
      ]);
    } finally {
      Object.assign(Socket.prototype, { getSendQueueSize: queueSize });
    }
  });
});
