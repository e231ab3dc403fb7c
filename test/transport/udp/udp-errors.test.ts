/** Errors of UDP: datagrams that cannot be read or sent, and addresses that cannot be used. */
import dns from 'node:dns';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Codec,
  connect,
  lines,
  raw,
  type SendError,
  type Session,
  serve,
  UDP_DEFAULTS,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import {
  ANY_UDP,
  bytes,
  connectRaw,
  ECHO,
  LARGEST_DATAGRAM,
  PlainPeer,
  serveRaw,
} from '../../fixtures/udp-endpoints.js';
import { turns, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

/** An address of this machine without a server. */
async function unusedAddress(): Promise<string> {
  const { address, endpoint } = await serveRaw();
  await endpoint.close();
  return address;
}

describe('a datagram', () => {
  it('over maxDatagramBytes is MESSAGE_TOO_LARGE and is not sent, and the session stays open', async () => {
    await using server = await serveRaw(ECHO);
    await using client = await connectRaw(server.address, { udp: { maxDatagramBytes: 100 } });
    const error = thrown(() => client.session.write(Buffer.alloc(101)));
    expect(error).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringMatching(/101 bytes .*larger than udp\.maxDatagramBytes, 100/),
    });
    expect(thrown(() => client.session.writeBytes(Buffer.alloc(101))).code).toBe(
      'MESSAGE_TOO_LARGE',
    );
    expect(await rejection<SendError>(client.session.send(Buffer.alloc(101)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      sentBytes: 0,
    });
    client.session.write(Buffer.alloc(100));
    expect((await client.events.messages.next()).length).toBe(100);
    expect(client.session.stats.messagesWritten).toBe(1);

    await using large = await connectRaw(server.address);
    expect(thrown(() => large.session.write(Buffer.alloc(LARGEST_DATAGRAM + 1)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    expect(UDP_DEFAULTS.maxDatagramBytes).toBe(LARGEST_DATAGRAM);
  });

  it('that is not exactly one valid message is reported, and the session stays open', async () => {
    const events = new Recorder<string>('the server');
    const codec: Codec<string> = {
      read(input, session) {
        if (input.peek(0) === 0) throw new TypeError('a zero');
        return lines().read(input, session);
      },
      write: lines().write,
    };
    await using server = await serve(ANY_UDP, { codec, listener: events, maxMessageBytes: 10 });
    using peer = new PlainPeer(server.address);
    await peer.send('good\n');
    expect(await events.messages.next()).toBe('good');
    const invalid: [datagram: string, code: string, message: string][] = [
      ['\0', 'BAD_FRAME', 'a zero'],
      ['half', 'BAD_FRAME', 'it is incomplete'],
      ['', 'BAD_FRAME', 'it is incomplete'],
      ['one\ntwo\n', 'BAD_FRAME', '4 of its bytes are left over'],
      ['too long a line\n', 'MESSAGE_TOO_LARGE', 'maxMessageBytes is 10'],
    ];
    for (const [datagram, code, message] of invalid) {
      await peer.send(datagram);
      expect(await events.errors.next()).toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
      await peer.send('good\n');
      expect(await events.messages.next()).toBe('good');
    }
    expect(events.log.filter((event) => event === 'open' || event === 'close')).toEqual(['open']);
  });

  it('of random bytes affects no session', async () => {
    const events = new Recorder<string>('the server', {
      onMessage: (session, line) => session.write(line),
    });
    await using server = await serve(ANY_UDP, { codec: lines(), listener: events });
    await using client = await connect(server.address, {
      codec: lines(),
      listener: new Recorder<string>('the client'),
    });
    using peer = new PlainPeer(server.address);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), async (garbage) => {
        await peer.send(Buffer.from(garbage));
        await peer.send('ping\n');
        while (String(await peer.received.next()) !== 'ping\n');
      }),
      { numRuns: 100 },
    );
    expect((await client.session()).closed).toBe(false);
    expect(server.sessions.size).toBe(2);
    events.errors.dismiss();
  });

  it('to a port without a server ends the session of a client with CONNECTION_LOST', async () => {
    const address = await unusedAddress();
    for (const connectPing of [true, false]) {
      await using client = await connectRaw(address, { udp: { connectPing } });
      if (!connectPing) client.session.write(bytes('hello'));
      expect(await client.events.errors.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expect.stringContaining(`${address} cannot be reached: `),
        cause: { code: 'ECONNREFUSED' },
      });
      await client.events.closed.next();
      expect(await rejection(client.endpoint.session())).toMatchObject({ code: 'CONNECTION_LOST' });
    }
  });

  it('that the system rejects makes send() reject', async () => {
    const address = await unusedAddress();
    await using client = await connectRaw(address, { udp: { connectPing: false } });
    // On loopback the first datagram is refused before the second one is sent, and the system then
    // rejects the second one.
    const sends = ['one', 'two', 'three'].map((text) =>
      client.session.send(bytes(text)).catch((error: SendError) => error),
    );
    const [, second] = await within(Promise.all(sends), 'the sends to settle');
    expect(second).toMatchObject({
      code: 'SESSION_CLOSED',
      sentBytes: 0,
      cause: { cause: { code: 'CONNECTION_LOST' } },
    });
    expect(client.session.closed).toBe(true);
    client.events.errors.dismiss();
  });

  it('to a port without a server makes a client reconnect with backoff until there is a server', async () => {
    const address = await unusedAddress();
    const events = new Recorder<Buffer>('the client');
    const startedAt = performance.now();
    await using client = await connect<Buffer>(
      address,
      { codec: raw(), listener: events },
      { reconnect: { initialDelay: 16, maxDelay: 10_000 } },
    );
    await events.opened.take(4);
    // At least half of 16, 32 and 64 ms: see backoffDelay(). Timers may be a little early.
    expect(performance.now() - startedAt).toBeGreaterThan(8 + 16 + 32 - 4);
    await using server = await serveRaw(ECHO, {}, address);
    await server.events.opened.next();
    const session = await client.session();
    session.write(bytes('hello'));
    expect(String(await events.messages.next())).toBe('hello');
    events.errors.dismiss();
  });

  it('that a server cannot send ends the session of that peer only', async () => {
    await using server = await serveRaw(ECHO);
    // Without udp.broadcast the system does not permit this address.
    server.endpoint.writeTo(bytes('hello'), 'udp://255.255.255.255:9');
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      cause: { code: 'EACCES' },
    });
    await server.events.closed.next();
    expect(server.endpoint.sessions.size).toBe(0);

    server.endpoint.writeTo(bytes('hello'), 'udp://255.255.255.255:9');
    const session = [...server.endpoint.sessions][0] as Session<Buffer>;
    const sent = await Promise.all(
      [1, 2].map(() => rejection<SendError>(session.send(bytes('hello')))),
    );
    for (const error of sent)
      expect(error).toMatchObject({
        code: 'SESSION_CLOSED',
        encodedBytes: 5,
        sentBytes: 0,
        cause: { cause: { code: 'CONNECTION_LOST' } },
      });
    server.events.errors.dismiss();
    using peer = new PlainPeer(server.address);
    expect(await peer.request('hello')).toBe('hello');
  });
});

describe('an address', () => {
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

  it('with an unknown name is CONNECT_FAILED or LISTEN_FAILED, with the reason', () =>
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

  it('whose name server does not answer is tried until connectTimeout, or until the signal aborts', () =>
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
        caller.abort('aborted');
        expect(await connecting).toMatchObject({ code: 'ABORTED_BY_CALLER' });
      },
    ));

  it('of another machine is LISTEN_FAILED; port 0 and a broadcast address are CONNECT_FAILED', async () => {
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
