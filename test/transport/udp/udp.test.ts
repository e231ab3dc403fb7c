/** What is UDP's own; what it shares with the other transports is in the behaviour tables. */
import { createSocket, Socket } from 'node:dgram';
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Client,
  type ClientOptions,
  type Codec,
  connect,
  type EventListener,
  lines,
  raw,
  type SendError,
  type Server,
  type ServerOptions,
  type Session,
  serve,
  UDP_DEFAULTS,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { Inbox, turns, until, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const QUIET = 20;
const HERE = 'udp://127.0.0.1:0';
const LARGEST = 65_507;
const IPV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);
const bytes = (text: string): Buffer => Buffer.from(text);
const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** Somebody with a plain socket. */
class Stranger implements Disposable {
  readonly got = new Inbox<Buffer>('a datagram for the stranger');
  readonly socket = createSocket('udp4');
  readonly #to: number;

  constructor(to: string | number) {
    this.#to = typeof to === 'string' ? portOf(to) : to;
    this.socket.on('message', (datagram) => this.got.push(datagram));
  }

  send(datagram: string | Buffer, to = this.#to): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(datagram, to, '127.0.0.1', (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }

  /** Send, and wait for an answer. */
  async ask(datagram: string | Buffer): Promise<string> {
    await this.send(datagram);
    return String(await this.got.next());
  }

  get address(): string {
    return `udp://127.0.0.1:${this.socket.address().port}`;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

/** A server of raw bytes that writes down what happens. */
async function served(
  on: Partial<EventListener<Buffer>> = {},
  options: ServerOptions & { idleTimeout?: number } = {},
  address = HERE,
) {
  const { idleTimeout, ...rest } = options;
  const events = new Recorder<Buffer>('the server', on);
  const server = await serve<Buffer>(
    address,
    { codec: raw(), listener: events, idleTimeout },
    rest,
  );
  return { server, events, [Symbol.asyncDispose]: () => server.close() };
}

async function connected(
  address: string,
  on: Partial<EventListener<Buffer>> = {},
  options: ClientOptions = {},
) {
  const events = new Recorder<Buffer>('the client', on);
  const client = await connect<Buffer>(
    address,
    { codec: raw(), listener: events },
    { reconnect: false, ...options },
  );
  return {
    client,
    events,
    session: await client.session(),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

const echo: Partial<EventListener<Buffer>> = {
  onMessage: (session, datagram) => session.write(datagram),
};

/** Lets faked time pass in steps: a jump would look as if the process had stood still. */
async function timePasses(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    vi.advanceTimersByTime(1_000);
    await turns(2);
  }
}

describe('datagrams that came together', () => {
  it('are read in several turns of the event loop when they take long', async () => {
    const handledIn: number[] = [];
    let turn = 0;
    let isOver = false;
    const count = (): void => {
      turn++;
      if (!isOver) setImmediate(count);
    };
    count();
    const spin = (ms: number): void => {
      for (const end = performance.now() + ms; performance.now() < end; );
    };
    const onMessage = (): void => {
      handledIn.push(turn);
      spin(12);
    };
    await using server = await serve(HERE, { codec: raw(), listener: { onMessage } });
    using stranger = new Stranger(server.address);
    await stranger.send('first');
    await until(() => handledIn.length === 1, 'the server knows the stranger');
    const large = Buffer.alloc(4_200);
    const sent = Array.from({ length: 12 }, () => stranger.send(large));
    spin(20);
    await Promise.all(sent);
    await until(() => handledIn.length === 13, 'all are handled');
    isOver = true;
    // The first turn is timed only from its second message on.
    expect(new Set(handledIn.slice(1)).size).toBeGreaterThanOrEqual(6);
  });
});

describe('sessions', () => {
  it('each peer has its own, made by its first datagram', async () => {
    await using s = await served(echo);
    using one = new Stranger(s.server.address);
    using other = new Stranger(s.server.address);
    expect([await one.ask('a'), await other.ask('b'), await one.ask('c')]).toEqual(['a', 'b', 'c']);
    expect([...s.server.sessions].map((session) => session.remoteAddress)).toEqual([
      one.address,
      other.address,
    ]);
    expect([...s.server.sessions].map((session) => session.stats.messagesRead)).toEqual([2, 1]);
  });

  it('connect-ping makes a session and is no message', async () => {
    await using s = await served();
    using one = new Stranger(s.server.address);
    await one.send('connect-ping');
    const session = await s.events.opened.next();
    await one.send('connect-ping');
    await one.send('connect-ping!');
    expect(String(await s.events.messages.next())).toBe('connect-ping!');
    expect(s.events.messages.all.length).toBe(1);
    expect(session.stats.messagesRead).toBe(1);
    expect(one.got.all).toEqual([]);
  });

  it('a client opens with connect-ping, unless connectPing is false', async () => {
    using far = new Stranger(0);
    await new Promise<void>((done) => far.socket.bind(0, '127.0.0.1', done));
    await using pinging = await connected(far.address);
    expect(String(await far.got.next())).toBe('connect-ping');
    await using silent = await connected(far.address, {}, { udp: { connectPing: false } });
    silent.session.write(bytes('first'));
    expect(String(await far.got.next())).toBe('first');
    expect(pinging.session.remoteAddress).toBe(far.address);
  });

  it('17: a message is a datagram: never split, never merged, empty or as large as they come', async () => {
    await using s = await served(echo, { udp: { amplification: 2 } });
    await using c = await connected(s.server.address);
    const sizes = [0, 1, 1_472, 1_473, LARGEST];
    for (const size of sizes) {
      c.session.write(Buffer.alloc(size, size));
      c.session.write(bytes('next'));
      const got = await c.events.messages.take(2);
      expect(got.map((datagram) => datagram.length).sort((a, b) => a - b)).toEqual(
        [4, size].sort((a, b) => a - b),
      );
      expect(got.some((datagram) => datagram.equals(Buffer.alloc(size, size)))).toBe(true);
    }
    expect(c.session.stats).toEqual(([...s.server.sessions][0] as Session<Buffer>).stats);
    c.session.writeBytesArray([bytes('one '), bytes('datagram')]);
    expect(String(await c.events.messages.next())).toBe('one datagram');
  });

  it('all of a burst that the system has room for arrives, in whatever order', async () => {
    await using s = await served(echo);
    await using c = await connected(s.server.address);
    const sent = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const text of sent) c.session.write(bytes(text));
    const got = (await c.events.messages.take(100)).map(String);
    expect(new Set(got)).toEqual(new Set(sent));
  });

  it('a client hears nobody but its server', async () => {
    await using s = await served(echo);
    await using c = await connected(s.server.address);
    using stranger = new Stranger(c.session.localAddress);
    await stranger.send('I am the server, believe me');
    c.session.write(bytes('who is there?'));
    expect(String(await c.events.messages.next())).toBe('who is there?');
    await turns(QUIET);
    expect(c.events.messages.all.length).toBe(1);
  });

  it.each(['udp://:0', 'udp://localhost:0', ...(IPV6 ? ['udp://[::1]:0'] : [])])(
    '%s serves',
    async (address) => {
      await using s = await served(echo, {}, address);
      expect(s.server.address).toBe(address.replace(/0$/, `${portOf(s.server.address)}`));
      await using c = await connected(s.server.address);
      c.session.write(bytes('hello'));
      expect(String(await c.events.messages.next())).toBe('hello');
      expect([...s.server.sessions][0]?.remoteAddress.slice(-6)).toBe(
        c.session.localAddress.slice(-6),
      );
    },
  );

  it('all interfaces are those of IPv4 too', async () => {
    await using s = await served(echo, { udp: { amplification: 3 } }, 'udp://:0');
    using one = new Stranger(s.server.address);
    expect(await one.ask('hello')).toBe('hello');
    expect(s.server.writeTo(bytes('and you'), one.address)).toBe(true);
    expect(String(await one.got.next())).toBe('and you');
    expect(s.server.sessions.size).toBe(1);
  });

  it('what no peer can have sent makes no session: port 0, and our own address', async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    await using s = await served(echo);
    const [socket] = bind.mock.contexts as Socket[];
    const forged = (port: number): unknown =>
      socket?.emit('message', bytes('x'), { address: '127.0.0.1', family: 'IPv4', port, size: 1 });
    forged(0);
    forged(portOf(s.server.address));
    expect(s.server.sessions.size).toBe(0);
  });
});

describe('the echo package, byte for byte', () => {
  interface Package {
    readonly head: Buffer;
    readonly text: string;
  }

  const codec: Codec<Package> = {
    read(input) {
      if (input.length < 32) return undefined;
      if (input.view.getUint32(input.position, true) !== 0x20160905) throw new Error('wrong magic');
      if (input.length < 32 + input.view.getUint16(input.position + 24, true)) return undefined;
      const head = input.take(32);
      return { head, text: input.takeText(input.take(1)[0] as number) };
    },
    write(output, { head, text }) {
      output.append(head);
      output.uint8(text.length);
      output.text(text);
    },
  };

  it("what a Go client sent is answered as Go's server did", async () => {
    const file = new URL('../../fixtures/vectors/echo-udp.jsonl', import.meta.url);
    type Vector = { peer: number; direction: string; datagramHex: string };
    const vectors = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Vector);
    const of = (peer: number, direction: string): string[] =>
      vectors
        .filter((vector) => vector.peer === peer && vector.direction === direction)
        .map((vector) => vector.datagramHex);

    const events = new Recorder<Package>('the server', {
      onMessage: (session, message) =>
        session.write(message.head.readUInt32LE(16) === 0 ? { ...message, text: 'pong' } : message),
    });
    await using server = await serve(HERE, { codec, listener: events });
    const peers = [...new Set(vectors.map((vector) => vector.peer))];
    expect(peers.length).toBe(3);
    await Promise.all(
      peers.map(async (peer) => {
        using client = new Stranger(server.address);
        for (const datagram of of(peer, 'client-to-server'))
          await client.send(Buffer.from(datagram, 'hex'));
        const answers = await client.got.take(of(peer, 'server-to-client').length);
        expect(answers.map((answer) => answer.toString('hex')).sort()).toEqual(
          of(peer, 'server-to-client').sort(),
        );
        await turns(2);
        expect(client.got.unread).toEqual([]);
      }),
    );
    expect(server.sessions.size).toBe(3);
    expect(events.errors.all).toEqual([]);
  });
});

describe('22: amplification', () => {
  /** Answers each message with so many bytes as it says, in so many datagrams. */
  const generous: Partial<EventListener<Buffer>> = {
    onMessage(session, datagram) {
      const [size = 0, count = 1] = String(datagram).trim().split(' ').map(Number);
      for (let i = 0; i < count; i++) session.write(Buffer.alloc(size));
    },
  };
  const blocked = {
    code: 'HANDLER_FAILED',
    cause: expect.objectContaining({ code: 'PEER_NOT_TRUSTED' }),
  };

  it('by default an answer is never larger than what came', async () => {
    await using s = await served(generous);
    using peer = new Stranger(s.server.address);
    expect((await peer.ask('10'.padEnd(10))).length).toBe(10);
    await peer.send('11'.padEnd(10));
    const error = await s.events.errors.next();
    expect(error).toMatchObject(blocked);
    expect((error.cause as Error).message).toMatch(
      /11 bytes .*may get 10 bytes in 1 datagrams .*trust\(\).*udp\.amplification/,
    );
    expect([...s.server.sessions].map((session) => session.closed)).toEqual([false]);
    await peer.send('1');
    expect((await peer.got.next()).length).toBe(1);
    await turns(QUIET);
    expect(peer.got.unread).toEqual([]);
  });

  it('nor are there more answers than datagrams that came, for each has its own cost', async () => {
    await using s = await served(generous);
    using peer = new Stranger(s.server.address);
    await peer.send('1 2'.padEnd(1_000));
    expect(await s.events.errors.next()).toMatchObject(blocked);
    expect((await peer.got.next()).length).toBe(1);
    await turns(QUIET);
    expect(peer.got.unread).toEqual([]);
  });

  it('a forger gets a third party no more than it pays for, however it goes about it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(200), fc.nat(5), fc.nat(100)), { minLength: 1, maxLength: 15 }),
        async (requests) => {
          // A server of its own: a stranger may get the port of one before, and what that one has
          // paid for.
          await using s = await served(generous);
          using peer = new Stranger(s.server.address);
          let sent = 0;
          for (const [size, count, padding] of requests) {
            const request = `${size} ${count}`.padEnd(padding);
            sent += request.length;
            await peer.send(request);
          }
          // What went into the server's socket before this has been answered when this is.
          using last = new Stranger(s.server.address);
          await last.ask('1');
          await turns(2);
          const got = peer.got.all.reduce((sum, datagram) => sum + datagram.length, 0);
          expect(got).toBeLessThanOrEqual(sent);
          expect(peer.got.all.length).toBeLessThanOrEqual(requests.length);
          s.events.errors.dismiss();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('connect-ping counts as what came: a greeting in onOpen may have its 12 bytes, and no more', async () => {
    let size = 12;
    await using s = await served({ onOpen: (session) => void session.write(Buffer.alloc(size)) });
    using peer = new Stranger(s.server.address);
    await peer.send('connect-ping');
    expect((await peer.got.next()).length).toBe(12);
    size = 13;
    using other = new Stranger(s.server.address);
    await other.send('connect-ping');
    expect(await s.events.errors.next()).toMatchObject({
      code: 'SESSION_REFUSED',
      cause: { code: 'PEER_NOT_TRUSTED' },
    });
    await s.events.closed.next();
    expect(other.got.all).toEqual([]);
  });

  it('the factor can be raised, and lifted', async () => {
    await using s = await served(generous, { udp: { amplification: 3 } });
    using peer = new Stranger(s.server.address);
    await peer.send('2 3'.padEnd(10));
    expect((await peer.got.take(3)).length).toBe(3);
    await peer.send('55'.padEnd(10));
    expect(await s.events.errors.next()).toMatchObject(blocked);

    await using open = await served(generous, { udp: { amplification: Number.POSITIVE_INFINITY } });
    using other = new Stranger(open.server.address);
    await other.send('5000 20');
    expect((await other.got.take(20)).every((datagram) => datagram.length === 5_000)).toBe(true);
  });

  it('a factor of 0: nobody gets anything who is not trusted', async () => {
    await using s = await served(echo, { udp: { amplification: 0 } });
    using peer = new Stranger(s.server.address);
    await peer.send('hello');
    expect(await s.events.errors.next()).toMatchObject(blocked);
  });

  it('trust(): a peer that has shown who it is gets what it asks for', async () => {
    const SECRET = 'the word that we sent it';
    await using s = await served({
      onMessage(session, datagram) {
        if (String(datagram) === SECRET) session.trust();
        session.write(Buffer.alloc(10_000));
      },
    });
    using peer = new Stranger(s.server.address);
    await peer.send('let me in');
    expect(await s.events.errors.next()).toMatchObject(blocked);
    await peer.send(SECRET);
    expect((await peer.got.next()).length).toBe(10_000);
  });

  it('send() rejects with the same code, and nothing is sent', async () => {
    await using s = await served();
    using peer = new Stranger(s.server.address);
    await peer.send('hi');
    const session = await s.events.opened.next();
    await s.events.messages.next();
    expect(await rejection<SendError>(session.send(bytes('hello')))).toMatchObject({
      code: 'PEER_NOT_TRUSTED',
      encodedBytes: 0,
      sentBytes: 0,
    });
    expect(session.stats).toMatchObject({ messagesWritten: 0, bytesWritten: 0 });
    expect(await session.send(bytes('hi'))).toEqual({ encodedBytes: 2, sentBytes: 2 });
  });
});

describe('floods', () => {
  it('1,000 peers: maxSessions stay, they are still served, and there is one warning', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using s = await served(echo, { maxSessions: 50 });
    using first = new Stranger(s.server.address);
    expect(await first.ask('I was here first')).toBe('I was here first');
    for (let batch = 0; batch < 10; batch++) {
      const peers = Array.from({ length: 100 }, () => new Stranger(s.server.address));
      await Promise.all(peers.map((peer) => peer.send('me too')));
      // The socket is a queue: when this is answered, all before it have been seen.
      expect(await first.ask(`still there, ${batch}?`)).toBe(`still there, ${batch}?`);
      for (const peer of peers) peer.socket.close();
    }
    expect(s.server.sessions.size).toBe(50);
    expect(s.events.opened.all.length).toBe(50);
    expect(warning.mock.calls.length).toBe(1);
    expect(warning.mock.calls[0]?.[0]).toMatchObject({
      code: 'SESSION_REFUSED',
      message: expect.stringMatching(/^1 refused at udp:.*maxSessions, 50,/),
    });

    using late = new Stranger(s.server.address);
    await late.send('hello?');
    await first.ask('x');
    expect(late.got.all).toEqual([]);
    await s.events.opened.all[7]?.close();
    expect(await late.ask('now?')).toBe('now?');
  });

  it('maxSessions holds on other transports too', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const setup = { codec: lines(), listener: { onMessage: () => {} } };
    await using server = await serve('memory://full', setup, { maxSessions: 1 });
    await using _one = await connect(server.address, setup, { reconnect: false });
    const events = new Recorder<string>('the second client');
    await using _other = await connect(
      server.address,
      { codec: lines(), listener: events },
      { reconnect: false },
    );
    await events.closed.next();
    expect(server.sessions.size).toBe(1);
    expect(warning.mock.calls[0]?.[0]).toMatchObject({ code: 'SESSION_REFUSED' });
  });

  it('an address with many ports, and a port with many addresses: all told apart, none left behind', async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    await using s = await served({}, { maxSessions: 10_000 });
    const [socket] = bind.mock.contexts as Socket[];
    for (let i = 0; i < 2_000; i++) {
      const address = i % 2 === 0 ? '10.0.0.1' : `10.1.${i >> 8}.${i & 255}`;
      socket?.emit('message', bytes(`${i}`), {
        address,
        family: 'IPv4',
        port: i % 2 === 0 ? 1 + i : 53,
        size: 4,
      });
    }
    expect(s.server.sessions.size).toBe(2_000);
    expect(new Set([...s.server.sessions].map((session) => session.remoteAddress)).size).toBe(
      2_000,
    );
  });

  it('paused: what it keeps is bounded, empty datagrams too; the rest is lost, and later ones come', async () => {
    await using s = await served({ onOpen: (session) => session.pause() });
    using peer = new Stranger(s.server.address);
    await peer.send('first');
    const session = await s.events.opened.next();
    for (let i = 0; i < 40; i++) {
      for (let n = 0; n < 25; n++) await peer.send(n % 5 === 0 ? Buffer.alloc(2_000) : '');
      await turns(2);
    }
    session.resume();
    const kept = s.events.messages.all;
    expect(kept.length).toBeGreaterThan(50);
    expect(kept.length).toBeLessThan(260);
    expect(kept.reduce((sum, datagram) => sum + datagram.length, 0)).toBeLessThan(70_000);
    await peer.send('last');
    await until(() => String(s.events.messages.all.at(-1)) === 'last', 'the last datagram came');
  });

  it('a listener that pauses at each message, and resumes later, does not gather them elsewhere', async () => {
    await using s = await served({ onMessage: (session) => session.pause() });
    using peer = new Stranger(s.server.address);
    await peer.send('0');
    const session = await s.events.opened.next();
    for (let i = 1; i <= 20; i++) await peer.send(`${i}`);
    await turns(QUIET);
    for (let i = 1; i <= 20; i++) {
      expect(s.events.messages.all.length).toBe(i);
      session.resume();
    }
    expect(s.events.messages.all.length).toBe(21);
  });
});

describe('idle', () => {
  it('a server forgets a peer after 60 s of silence, though nobody asked for it', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      await using s = await served(echo);
      using peer = new Stranger(s.server.address);
      await peer.ask('hello');
      await timePasses(59_000);
      await turns(QUIET);
      expect(s.server.sessions.size).toBe(1);
      expect(await peer.ask('I am here')).toBe('I am here');
      await timePasses(59_000);
      await turns(QUIET);
      expect(s.server.sessions.size).toBe(1);
      await timePasses(20_000);
      await s.events.closed.next();
      expect(s.events.errors.all).toMatchObject([
        { code: 'IDLE_TIMEOUT', message: expect.stringContaining('idleTimeout is 60000 ms') },
      ]);
      expect(s.server.sessions.size).toBe(0);
      expect(await peer.ask('hello again')).toBe('hello again');
      expect(s.events.opened.all.length).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('a system clock that is set an hour on makes nobody silent', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    try {
      await using s = await served(echo);
      using peer = new Stranger(s.server.address);
      await peer.ask('hello');
      vi.setSystemTime(Date.now() + 3_600_000);
      await timePasses(30_000);
      await turns(QUIET);
      expect(s.server.sessions.size).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it("the setup's own idleTimeout goes before; a client has none", async () => {
    await using s = await served(echo, { idleTimeout: 40 });
    await using c = await connected(s.server.address);
    expect(await s.events.errors.next()).toMatchObject({
      code: 'IDLE_TIMEOUT',
      message: expect.stringContaining('idleTimeout is 40 ms'),
    });
    await s.events.closed.next();
    c.session.write(bytes('a new session'));
    expect(String(await c.events.messages.next())).toBe('a new session');
    expect(s.events.opened.all.length).toBe(2);
    s.events.errors.dismiss();
  });
});

describe('22: what cannot be read or sent is seen', () => {
  it('a datagram over maxDatagramBytes: MESSAGE_TOO_LARGE, nothing is sent, the session lives', async () => {
    await using s = await served(echo);
    await using c = await connected(s.server.address, {}, { udp: { maxDatagramBytes: 100 } });
    const error = thrown(() => c.session.write(Buffer.alloc(101)));
    expect(error).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringMatching(/101 bytes .*udp\.maxDatagramBytes, 100/),
    });
    expect(thrown(() => c.session.writeBytes(Buffer.alloc(101))).code).toBe('MESSAGE_TOO_LARGE');
    expect(await rejection<SendError>(c.session.send(Buffer.alloc(101)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      sentBytes: 0,
    });
    c.session.write(Buffer.alloc(100));
    expect((await c.events.messages.next()).length).toBe(100);
    expect(c.session.stats.messagesWritten).toBe(1);

    await using large = await connected(s.server.address);
    expect(thrown(() => large.session.write(Buffer.alloc(LARGEST + 1)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    expect(UDP_DEFAULTS.maxDatagramBytes).toBe(LARGEST);
  });

  it('23: a datagram that is no message, not whole, more than one, or too large is reported, and the session goes on', async () => {
    const events = new Recorder<string>('the server');
    const codec: Codec<string> = {
      read(input, session) {
        if (input.peek(0) === 0) throw new TypeError('a zero');
        return lines().read(input, session);
      },
      write: lines().write,
    };
    await using server = await serve(HERE, { codec, listener: events, maxMessageBytes: 10 });
    using peer = new Stranger(server.address);
    await peer.send('good\n');
    expect(await events.messages.next()).toBe('good');
    const bad: [datagram: string, code: string, says: string][] = [
      ['\0', 'BAD_FRAME', 'a zero'],
      ['half', 'BAD_FRAME', 'it is incomplete'],
      ['', 'BAD_FRAME', 'it is incomplete'],
      ['one\ntwo\n', 'BAD_FRAME', '4 of its bytes are left over'],
      ['too long a line\n', 'MESSAGE_TOO_LARGE', 'maxMessageBytes is 10'],
    ];
    for (const [datagram, code, says] of bad) {
      await peer.send(datagram);
      expect(await events.errors.next()).toMatchObject({
        code,
        message: expect.stringContaining(says),
      });
      await peer.send('good\n');
      expect(await events.messages.next()).toBe('good');
    }
    expect(events.log.filter((event) => event === 'open' || event === 'close')).toEqual(['open']);
  });

  it('random garbage harms nobody', async () => {
    const events = new Recorder<string>('the server', {
      onMessage: (session, line) => session.write(line),
    });
    await using server = await serve(HERE, { codec: lines(), listener: events });
    await using client = await connect(server.address, {
      codec: lines(),
      listener: new Recorder<string>('the client'),
    });
    using peer = new Stranger(server.address);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), async (garbage) => {
        await peer.send(Buffer.from(garbage));
        await peer.send('ping\n');
        let answer: string;
        do answer = String(await peer.got.next());
        while (answer !== 'ping\n');
      }),
      { numRuns: 100 },
    );
    expect((await client.session()).closed).toBe(false);
    expect(server.sessions.size).toBe(2);
    events.errors.dismiss();
  });

  it('nobody there: the system says so, and the session is lost with CONNECTION_LOST', async () => {
    const { server } = await served();
    await server.close();
    for (const connectPing of [true, false]) {
      await using c = await connected(server.address, {}, { udp: { connectPing } });
      if (!connectPing) c.session.write(bytes('anybody?'));
      expect(await c.events.errors.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expect.stringContaining(`${server.address} cannot be reached: `),
        cause: { code: 'ECONNREFUSED' },
      });
      await c.events.closed.next();
      expect(await rejection(c.client.session())).toMatchObject({ code: 'CONNECTION_LOST' });
    }
  });

  it('nobody there: send() does not succeed for a datagram that did not leave', async () => {
    const { server } = await served();
    await server.close();
    await using c = await connected(server.address, {}, { udp: { connectPing: false } });
    // On loopback the refusal of the first is there when the second is to be sent, and the system
    // does not send it then.
    const sends = ['one', 'two', 'three'].map((text) =>
      c.session.send(bytes(text)).catch((error: SendError) => error),
    );
    const [, second] = await within(Promise.all(sends), 'the sends to settle');
    expect(second).toMatchObject({
      code: 'SESSION_CLOSED',
      sentBytes: 0,
      cause: { cause: { code: 'CONNECTION_LOST' } },
    });
    expect(c.session.closed).toBe(true);
    c.events.errors.dismiss();
  });

  it('18: a client dials again with backoff until somebody is there', async () => {
    const { server } = await served();
    await server.close();
    const events = new Recorder<Buffer>('the client');
    const opened = performance.now();
    await using client = await connect<Buffer>(
      server.address,
      { codec: raw(), listener: events },
      { reconnect: { initialDelay: 16, maxDelay: 10_000 } },
    );
    await events.opened.take(4);
    expect(performance.now() - opened).toBeGreaterThan(8 + 16 + 32 - 4);
    await using again = await served(echo, {}, server.address);
    await again.events.opened.next();
    const session = await client.session();
    session.write(bytes('there you are'));
    expect(String(await events.messages.next())).toBe('there you are');
    events.errors.dismiss();
  });

  it('a peer that cannot be sent to loses its session, and the server goes on', async () => {
    await using s = await served(echo);
    // The system does not let us broadcast.
    s.server.writeTo(bytes('everybody!'), 'udp://255.255.255.255:9');
    expect(await s.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      cause: { code: 'EACCES' },
    });
    await s.events.closed.next();
    expect(s.server.sessions.size).toBe(0);

    s.server.writeTo(bytes('everybody!'), 'udp://255.255.255.255:9');
    const session = [...s.server.sessions][0] as Session<Buffer>;
    const sent = await Promise.all(
      [1, 2].map(() => rejection<SendError>(session.send(bytes('again')))),
    );
    for (const error of sent)
      expect(error).toMatchObject({
        code: 'SESSION_CLOSED',
        encodedBytes: 5,
        sentBytes: 0,
        cause: { cause: { code: 'CONNECTION_LOST' } },
      });
    s.events.errors.dismiss();
    using peer = new Stranger(s.server.address);
    expect(await peer.ask('and me?')).toBe('and me?');
  });

  const withLookup = async (
    lookup: (host: string, done: (error: Error | null) => void) => void,
    action: () => Promise<void>,
  ): Promise<void> => {
    const fake = (host: string, _options: object, done: (error: Error | null) => void): void =>
      lookup(host, done);
    vi.spyOn(dns, 'lookup').mockImplementation(fake as unknown as typeof dns.lookup);
    await action();
  };
  const setup = { codec: raw(), listener: { onMessage: () => {} } };

  it('a name that nobody knows: CONNECT_FAILED and LISTEN_FAILED, with the reason', () =>
    withLookup(
      (host, done) =>
        done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })),
      async () => {
        expect(await rejection(connect('udp://nowhere.example:1', setup))).toMatchObject({
          code: 'CONNECT_FAILED',
          message:
            'cannot connect to udp://nowhere.example:1: getaddrinfo ENOTFOUND nowhere.example',
          cause: { code: 'ENOTFOUND' },
        });
        expect(await rejection(serve('udp://nowhere.example:1', setup))).toMatchObject({
          code: 'LISTEN_FAILED',
          message:
            'cannot listen at udp://nowhere.example:1: getaddrinfo ENOTFOUND nowhere.example',
        });
      },
    ));

  it('a name server that is silent: connectTimeout, or the signal', () =>
    withLookup(
      () => {},
      async () => {
        expect(
          await rejection(connect('udp://silent.example:1', setup, { connectTimeout: 30 })),
        ).toMatchObject({
          code: 'CONNECT_FAILED',
          message:
            'cannot connect to udp://silent.example:1: no connection within connectTimeout, 30 ms',
        });
        const caller = new AbortController();
        const connecting = rejection(
          connect('udp://silent.example:1', setup, { signal: caller.signal }),
        );
        await turns(2);
        caller.abort('enough');
        expect(await connecting).toMatchObject({ code: 'ABORTED_BY_CALLER' });
      },
    ));

  it('an address that is not ours, or cannot be connected to', async () => {
    expect(await rejection(serve('udp://192.0.2.1:0', setup))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRNOTAVAIL' },
    });
    expect(await rejection(connect('udp://127.0.0.1:0', setup))).toMatchObject({
      code: 'CONNECT_FAILED',
    });
    expect(await rejection(connect('udp://255.255.255.255:9', setup))).toMatchObject({
      code: 'CONNECT_FAILED',
      cause: { code: 'EACCES' },
    });
  });
});

describe('writeTo', () => {
  it('makes the session of a peer that was never heard, and trusts it', async () => {
    await using s = await served();
    using peer = new Stranger(s.server.address);
    await new Promise<void>((done) => peer.socket.bind(0, '127.0.0.1', done));
    expect(s.server.writeTo(Buffer.alloc(5_000), peer.address)).toBe(true);
    expect((await peer.got.next()).length).toBe(5_000);
    const session = await s.events.opened.next();
    expect(session.remoteAddress).toBe(peer.address);
    expect(
      await peer
        .send('short')
        .then(() => s.events.messages.next())
        .then(String),
    ).toBe('short');
    s.server.writeTo(Buffer.alloc(6_000), peer.address);
    expect((await peer.got.next()).length).toBe(6_000);
    expect(s.server.sessions.size).toBe(1);
  });

  it('finds the session of a peer that was heard first, and does not trust it for that', async () => {
    await using s = await served();
    using peer = new Stranger(s.server.address);
    await peer.send('hi');
    await s.events.messages.next();
    expect(thrown(() => s.server.writeTo(bytes('a long answer'), peer.address)).code).toBe(
      'PEER_NOT_TRUSTED',
    );
    s.server.writeTo(bytes('hi'), peer.address);
    expect(String(await peer.got.next())).toBe('hi');
    expect(s.server.sessions.size).toBe(1);
  });

  it.skipIf(!IPV6)('an IPv6 address may be written in any form', async () => {
    await using s = await served(echo, {}, 'udp://[::1]:0');
    await using c = await connected(s.server.address);
    await s.events.opened.next();
    s.server.writeTo(bytes('hello'), `udp://[0:0::0001]:${portOf(c.session.localAddress)}`);
    expect(String(await c.events.messages.next())).toBe('hello');
    expect(s.server.sessions.size).toBe(1);
  });

  it('an address that is none, or not of this server', async () => {
    await using s = await served();
    for (const peer of [
      '',
      'udp://localhost:53',
      'udp://127.0.0.1:0',
      'udp://[::1]:53',
      'tcp://127.0.0.1:53',
      '127.0.0.1:53',
    ]) {
      expect([peer, thrown(() => s.server.writeTo(bytes('x'), peer)).code]).toEqual([
        peer,
        'BAD_ADDRESS',
      ]);
    }
    expect(s.server.sessions.size).toBe(0);
    if (!IPV6) return;
    await using six = await served({}, {}, 'udp://[::1]:0');
    expect(thrown(() => six.server.writeTo(bytes('x'), 'udp://127.0.0.1:53')).message).toContain(
      'an IPv6 address',
    );
  });

  it('refused by maxSessions or the setup, a closed server, and a server of another transport', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using s = await served(echo, { maxSessions: 1 });
    using peer = new Stranger(s.server.address);
    await peer.ask('x');
    expect(thrown(() => s.server.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'SESSION_REFUSED',
    );
    void s.server.stopListening();
    expect(thrown(() => s.server.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'ENDPOINT_CLOSED',
    );
    await s.server.close();
    expect(thrown(() => s.server.writeTo(bytes('x'), peer.address)).code).toBe('ENDPOINT_CLOSED');

    await using refusing = await serve<Buffer>(HERE, () => {
      throw new Error('nobody');
    });
    expect(thrown(() => refusing.writeTo(bytes('x'), 'udp://127.0.0.1:9')).code).toBe(
      'SESSION_REFUSED',
    );
    await using memory = await serve('memory://', {
      codec: raw(),
      listener: { onMessage: () => {} },
    });
    expect(thrown(() => memory.writeTo(bytes('x'), 'memory://x'))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('udp://'),
    });
  });
});

describe('the end', () => {
  it('close() sends what was written and waits for nobody', async () => {
    await using s = await served();
    const events = new Recorder<Buffer>('the client');
    await using client = await connect<Buffer>(
      s.server.address,
      { codec: raw(), listener: events, waitTime: 300_000 },
      { reconnect: false },
    );
    const session = await client.session();
    session.write(bytes('last words'));
    await within(session.close(), 'the close');
    expect(String(await s.events.messages.next())).toBe('last words');
    expect(events.log).toEqual(['open', 'close']);
    expect(s.server.sessions.size).toBe(1);
  });

  it('a session that the server closed is forgotten: the next datagram makes a new one', async () => {
    await using s = await served(echo);
    using peer = new Stranger(s.server.address);
    await peer.ask('one');
    await (await s.events.opened.next()).close();
    expect(s.server.sessions.size).toBe(0);
    expect(await peer.ask('two')).toBe('two');
    (await s.events.opened.next()).destroy();
    expect(await peer.ask('three')).toBe('three');
    expect(s.events.log.filter((event) => event !== 'message')).toEqual([
      'open',
      'close',
      'open',
      'close',
      'open',
    ]);
  });

  it('19: a refused session leaves nothing, and the server goes on', async () => {
    let refuse = true;
    await using s = await served({
      onOpen: () => {
        if (refuse) throw new Error('not now');
      },
      ...echo,
    });
    using peer = new Stranger(s.server.address);
    await peer.send('one');
    expect((await s.events.errors.next()).code).toBe('SESSION_REFUSED');
    await s.events.closed.next();
    expect([s.server.sessions.size, peer.got.all.length, s.events.messages.all.length]).toEqual([
      0, 0, 0,
    ]);
    refuse = false;
    expect(await peer.ask('two')).toBe('two');
  });

  it('stopListening: no new peers, those that are there go on, and the port is free when the last has gone', async () => {
    await using s = await served(echo);
    using peer = new Stranger(s.server.address);
    await peer.ask('hello');
    let free = false;
    const stopped = s.server.stopListening().then(() => {
      free = true;
    });
    using late = new Stranger(s.server.address);
    await late.send('me too');
    expect(await peer.ask('still here')).toBe('still here');
    expect([s.server.sessions.size, late.got.all.length, free]).toEqual([1, 0, false]);
    await s.events.opened.all[0]?.close();
    await within(stopped, 'the port to be free');
    await using again = await served(echo, {}, s.server.address);
    expect(await peer.ask('hello again')).toBe('hello again');
    expect(again.server.address).toBe(s.server.address);
  });

  it('19: a closed server closes its sessions, and its address is free', async () => {
    const s = await served(echo);
    using one = new Stranger(s.server.address);
    using other = new Stranger(s.server.address);
    await Promise.all([one.ask('x'), other.ask('x')]);
    await within(s.server.close(), 'the server to close');
    expect(s.events.log.filter((event) => event === 'close').length).toBe(2);
    await using again = await served(echo, {}, s.server.address);
    again.server.destroy();
    await again.server.close();
  });
});

describe('the queue of the socket', () => {
  /** Until it is opened, the system seems to take nothing. */
  function jam(bytesQueued: number): { open(): void } {
    const size = vi.spyOn(Socket.prototype, 'getSendQueueSize').mockReturnValue(bytesQueued);
    return { open: () => void size.mockReturnValue(0) };
  }

  it('counts: write answers false, drained() and send() wait, the hard limit blocks, and all is well again', async () => {
    await using s = await served();
    const events = new Recorder<Buffer>('the client');
    const limits = { highWaterMark: 1_000, maxQueuedBytes: 2_000 };
    await using client = await connect<Buffer>(s.server.address, {
      codec: raw(),
      listener: events,
      ...limits,
    });
    const session = await client.session();
    const queue = jam(5_000);
    expect(session.write(Buffer.alloc(900))).toBe(true);
    expect(session.write(Buffer.alloc(900))).toBe(false);
    expect(session.queuedBytes).toBe(1_800);
    let drained = false;
    const draining = session.drained().then(() => {
      drained = true;
    });
    const sending = session.send(Buffer.alloc(300));
    expect(thrown(() => session.write(Buffer.alloc(1))).code).toBe('SESSION_BLOCKED');
    await turns(QUIET);
    expect([drained, session.queuedBytes]).toEqual([false, 2_100]);
    queue.open();
    await within(draining, 'drained()');
    expect(await within(sending, 'send()')).toEqual({ encodedBytes: 300, sentBytes: 300 });
    expect(session.queuedBytes).toBe(0);
    expect(session.write(Buffer.alloc(100))).toBe(true);
    expect(
      (await s.events.messages.take(4)).map((datagram) => datagram.length).sort((a, b) => a - b),
    ).toEqual([100, 300, 900, 900]);
  });

  it('who waits for it is told even when a write finds it empty first', async () => {
    await using s = await served();
    const events = new Recorder<Buffer>('the client');
    await using client = await connect<Buffer>(s.server.address, {
      codec: raw(),
      listener: events,
      highWaterMark: 100,
    });
    const session = await client.session();
    const queue = jam(500);
    expect(session.write(Buffer.alloc(200))).toBe(false);
    const draining = session.drained();
    queue.open();
    session.write(Buffer.alloc(1));
    await within(draining, 'drained()');
    expect(session.queuedBytes).toBe(0);
    await s.events.messages.take(2);
  });

  it('close() waits for it, and waitTime ends that', async () => {
    await using s = await served();
    await using c = await connected(s.server.address);
    let queue = jam(100);
    c.session.write(bytes('x'));
    let closed = false;
    const closing = c.session.close().then(() => {
      closed = true;
    });
    await turns(QUIET);
    expect(closed).toBe(false);
    queue.open();
    await within(closing, 'the close');
    await s.events.messages.next();

    const events = new Recorder<Buffer>('the client');
    await using stuck = await connect<Buffer>(
      s.server.address,
      { codec: raw(), listener: events, waitTime: 30 },
      { reconnect: false },
    );
    queue = jam(100);
    (await stuck.session()).write(bytes('x'));
    await within(stuck.close(), 'the close');
    expect(events.log).toEqual(['open', 'close']);
  });
});

describe('options', () => {
  const setup = { codec: raw(), listener: { onMessage: () => {} } };
  const WRONG: [given: object | unknown, says: string][] = [
    [7, 'given 7'],
    [{ maxDatagramBytes: 0 }, 'maxDatagramBytes: given 0, expected a number from 1 to 65507'],
    [{ maxDatagramBytes: LARGEST + 1 }, 'maxDatagramBytes: given 65508'],
    [{ amplification: -1 }, 'amplification: given -1'],
    [{ amplification: Number.NaN }, 'amplification: given NaN'],
    [{ connectPing: 'no' }, 'connectPing: given "no", expected a boolean'],
    [{ broadcast: 1 }, 'broadcast: given 1, expected a boolean'],
    [{ multicast: '239.1.2.3' }, 'multicast: given "239.1.2.3"'],
    [
      { multicast: ['127.0.0.1'] },
      'udp.multicast: given an array, expected a list of multicast addresses',
    ],
    [{ multicast: ['ff02::1', 7] }, 'udp.multicast: given an array'],
    [{ multicastInterface: 'eth0' }, 'udp.multicastInterface: given "eth0"'],
    [{ multicastTtl: 256 }, 'multicastTtl: given 256, expected a number from 0 to 255'],
    [{ multicastTtl: 1.5 }, 'udp.multicastTtl: given 1.5, expected an integer from 0 to 255'],
    [{ multicastLoopback: null }, 'multicastLoopback: given null, expected a boolean'],
    [{ receiveBufferBytes: -1 }, 'receiveBufferBytes: given -1'],
    [{ sendBufferBytes: '1 MB' }, 'sendBufferBytes: given "1 MB"'],
  ];

  it.each(WRONG)('udp: %o is refused by serve and connect', async (udp, says) => {
    const attempts: Promise<Server<Buffer> | Client<Buffer>>[] = [
      serve(HERE, setup, { udp } as ServerOptions),
      connect('udp://127.0.0.1:1', setup, { udp } as ClientOptions),
    ];
    for (const attempt of attempts)
      expect(await rejection(attempt)).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining(says),
      });
  });

  it.each([0, -1, Number.NaN, '10'])('maxSessions: %o is refused', async (maxSessions) => {
    const error = await rejection(serve(HERE, setup, { maxSessions } as ServerOptions));
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('maxSessions: given'),
    });
  });

  it("the system's buffers get the size that is asked for", async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    const sizes = { receiveBufferBytes: 20_000, sendBufferBytes: 30_000 };
    await using s = await served(echo, { udp: sizes });
    await using _c = await connected(s.server.address, {}, { udp: sizes });
    for (const socket of bind.mock.contexts as Socket[]) {
      expect(socket.getRecvBufferSize()).toBeGreaterThanOrEqual(20_000);
      expect(socket.getRecvBufferSize()).toBeLessThan(100_000);
      expect(socket.getSendBufferSize()).toBeGreaterThanOrEqual(30_000);
    }
    expect(bind.mock.contexts.length).toBe(2);
  });

  it('compression of a stream is none for datagrams', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serve(HERE, { ...setup, compression: 'deflate' });
    expect(
      await rejection(connect(server.address, { ...setup, compression: 'deflate' })),
    ).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('compression'),
    });
    using peer = new Stranger(server.address);
    for (let i = 0; i < 3; i++) await peer.send('hello');
    await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
    await turns(QUIET);
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['BAD_OPTION']);
    expect(server.sessions.size).toBe(0);
  });
});
