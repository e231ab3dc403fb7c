/**
 * WebSocket with itself and with the `ws` package. The behaviour tables hold what all transports
 * share.
 */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import {
  type ByteWriter,
  type Codec,
  connect,
  lengthPrefixed,
  lines,
  raw,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';
import {
  ANY,
  echo,
  ourClient,
  type RawEvents,
  wsClient,
  wsServer,
} from '../../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('with itself', () => {
  const codecs: Record<string, () => Codec<unknown>> = {
    raw: () => raw() as unknown as Codec<unknown>,
    lines: () => lines() as unknown as Codec<unknown>,
    lengthPrefixed: () => lengthPrefixed() as unknown as Codec<unknown>,
  };
  test.each(Object.keys(codecs))('echo with %s', async (name) => {
    const codec = codecs[name] as () => Codec<unknown>;
    const events = new Recorder<unknown>('the server', {
      onMessage: (session, message) => session.write(message),
    });
    await using server = await serve(ANY, { codec: codec(), listener: events });
    const mine = new Recorder<unknown>('the client');
    await using ours = await connect(server.address, { codec: codec(), listener: mine });
    const sent = ['', 'a', 'hello', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(70_000)];
    const session = await ours.session();
    for (const message of sent) session.write(name === 'lines' ? message : Buffer.from(message));
    expect((await mine.messages.take(sent.length)).map(String)).toEqual(sent);
  });

  it('all messages of a tick leave in one write', async () => {
    await using server = await echo();
    await using ours = await ourClient(server.address);
    const writes = vi.spyOn(Socket.prototype, 'write');
    for (let i = 0; i < 10; i++) ours.session.write(Buffer.from(`message ${i}`));
    expect(writes).not.toHaveBeenCalled();
    await turns(1);
    expect(
      writes.mock.calls.filter(([bytes]) => (bytes as unknown as Buffer).length === 10 * (6 + 9)),
    ).toHaveLength(1);
    expect((await ours.events.messages.take(10)).map(String)).toEqual(
      Array.from({ length: 10 }, (_, i) => `message ${i}`),
    );
    expect(writes.mock.calls.length).toBeLessThanOrEqual(3);
  });

  it('compression is agreed on when both want it, by the setup or by the option', async () => {
    for (const [far, near, less] of [
      ['deflate', 'deflate', true],
      ['deflate', 'none', false],
      ['none', 'deflate', false],
    ] as const) {
      await using server = await echo({}, { websocket: { compression: far } });
      await using ours = await ourClient(server.address, { compression: near });
      const { encodedBytes } = await ours.session.send(Buffer.alloc(100_000, 'again '));
      expect(encodedBytes).toBe(100_000);
      const { bytes } = await seen(ours.session, Buffer.alloc(100_000, 'again '));
      expect(bytes < 1_000).toBe(less);
      expect(await ours.events.messages.take(2)).toEqual([
        Buffer.alloc(100_000, 'again '),
        Buffer.alloc(100_000, 'again '),
      ]);
    }
  });

  it("a server's setup function sees the request, and may refuse it", async () => {
    const events = new Recorder<Buffer>('the server');
    const setup = { codec: raw(), listener: events };
    await using server = await serve<Buffer, Uint8Array>(ANY, ({ request }) => {
      if (request?.headers.authorization !== 'Bearer sesame')
        throw new Error(`who asks for ${request?.url}?`);
      return { ...setup, name: request.url };
    });
    const options = {
      reconnect: false,
      websocket: { headers: { Authorization: 'Bearer sesame' } },
    };
    await using _welcome = await connect(`${server.address}/room?seat=4`, setup, options);
    expect((await events.opened.next()).name).toBe('/room?seat=4');
    expect(await rejection(connect(server.address, setup, { reconnect: false }))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('403 Forbidden'),
    });
    expect(server.sessions.size).toBe(1);
  });

  it('a setup function cannot be asked before the handshake: the option counts', async () => {
    const setup = {
      codec: raw(),
      listener: new Recorder<Buffer, Uint8Array>('the server'),
      compression: 'deflate',
    } as const;
    for (const [options, less] of [
      [{}, false],
      [{ websocket: { compression: 'deflate' } }, true],
    ] as const) {
      await using server = await serve<Buffer, Uint8Array>(ANY, () => setup, options);
      await using ours = await ourClient(server.address, { compression: 'deflate' });
      expect((await seen(ours.session, Buffer.alloc(100_000))).bytes < 1_000).toBe(less);
    }
  });

  it('text that is not UTF-8 is ENCODE_FAILED', async () => {
    await using server = await echo({}, { websocket: { text: true } });
    await using ours = await ourClient(server.address, {}, { websocket: { text: true } });
    expect(() => ours.session.write(Buffer.of(0xff))).toThrow(
      expect.objectContaining({ code: 'ENCODE_FAILED' }),
    );
    ours.session.write(Buffer.from('grün'));
    expect(String(await ours.events.messages.next())).toBe('grün');
    expect(ours.session.stats).toMatchObject({ messagesWritten: 1, bytesWritten: 5 });
  });

  it('pings itself each cronPeriod, and pongs keep an idle session alive', async () => {
    await using server = await echo({ idleTimeout: 1_000, cronPeriod: 10_000 });
    let crons = 0;
    await using ours = await connect(server.address, {
      codec: raw(),
      cronPeriod: 20,
      idleTimeout: 1_000,
      listener: { onMessage: () => {}, onCron: () => void crons++ },
    });
    const session = await ours.session();
    const before = session.active;
    await until(() => crons >= 60, 'sixty crons');
    expect(session.closed).toBe(false);
    expect(session.active).toBeGreaterThan(before + 1_000);
    expect(server.events.errors.all).toEqual([]);
    expect(server.events.messages.all).toEqual([]);
  });
});

/** How many bytes go out on the socket for a message. */
async function seen(
  session: { write(message: Uint8Array): boolean },
  message: Uint8Array,
): Promise<{ bytes: number }> {
  const writes = vi.spyOn(Socket.prototype, 'write');
  session.write(message);
  await new Promise((resolve) => process.nextTick(resolve));
  const bytes = writes.mock.calls.reduce(
    (sum, [chunk]) => sum + (chunk as unknown as Buffer).length,
    0,
  );
  writes.mockRestore();
  return { bytes };
}

describe('with the ws package', () => {
  const MESSAGES: [what: string, sent: string | Buffer, echoed: string][] = [
    ['text', 'grün', `binary ${Buffer.from('grün').toString('hex')}`],
    ['binary', Buffer.of(1, 2, 3), 'binary 010203'],
    ['nothing', Buffer.alloc(0), 'binary'],
    ['126 bytes', Buffer.alloc(126, 7), `binary ${'07'.repeat(126)}`],
    ['65,536 bytes', Buffer.alloc(65_536, 7), `binary ${'07'.repeat(65_536)}`],
    ['1 MiB', Buffer.alloc(1024 * 1024, 7), `binary ${'07'.repeat(1024 * 1024)}`],
  ];

  for (const compression of ['none', 'deflate'] as const) {
    const perMessageDeflate = compression === 'deflate' ? { threshold: 0 } : false;

    test.each(MESSAGES)(
      `as a client, compression ${compression}: %s`,
      async (_what, sent, echoed) => {
        await using server = await echo({ compression });
        using peer = wsClient(server.address, { perMessageDeflate });
        await peer.opened;
        expect(peer.socket.extensions).toBe(compression === 'none' ? '' : 'permessage-deflate');
        peer.socket.send(sent);
        expect((await peer.messages.next()).trim()).toBe(echoed);
      },
    );

    test.each(MESSAGES)(
      `as a server, compression ${compression}: %s`,
      async (_what, sent, echoed) => {
        await using server = await wsServer({ perMessageDeflate });
        await using ours = await ourClient(server.address, { compression });
        const peer = await server.peers.next();
        expect(peer.socket.extensions).toBe(compression === 'none' ? '' : 'permessage-deflate');
        ours.session.write(Buffer.from(sent));
        expect((await peer.messages.next()).trim()).toBe(echoed);
        peer.socket.send(sent);
        expect((await ours.events.messages.next()).equals(Buffer.from(sent))).toBe(true);
      },
    );
  }

  it('what only one side asks for is off', async () => {
    await using server = await echo();
    using peer = wsClient(server.address, { perMessageDeflate: true });
    await peer.opened;
    expect(peer.socket.extensions).toBe('');
    await using theirs = await wsServer({ perMessageDeflate: true });
    await using _ours = await ourClient(theirs.address);
    expect((await theirs.peers.next()).socket.extensions).toBe('');
  });

  it('a smaller window that the peer asks for is kept', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = wsClient(server.address, { perMessageDeflate: { serverMaxWindowBits: 9 } });
    await peer.opened;
    const sent = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * i) % 97));
    peer.socket.send(sent);
    expect(await peer.messages.next()).toBe(`binary ${sent.toString('hex')}`);
  });

  it('each message is one message; text where it is asked for', async () => {
    await using server = await wsServer();
    await using ours = await ourClient(server.address, {}, { websocket: { text: true } });
    const peer = await server.peers.next();
    for (const message of ['one', '', 'three']) ours.session.write(Buffer.from(message));
    ours.session.writeBytesArray([Buffer.from('fo'), Buffer.from('ur')]);
    expect(await peer.messages.take(4)).toEqual(['text one', 'text ', 'text three', 'text four']);
  });

  it('messages in fragments, with a ping between', async () => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.send('one, ', { fin: false });
    peer.socket.ping('between');
    peer.socket.send('two', { fin: true });
    expect(await peer.pongs.next()).toBe('between');
    expect(await peer.messages.next()).toBe(`binary ${Buffer.from('one, two').toString('hex')}`);
  });

  it('pings of ours are answered, and their pongs are heard', async () => {
    await using server = await wsServer();
    await using ours = await ourClient(server.address, { cronPeriod: 20, idleTimeout: 1_000 });
    const peer = await server.peers.next();
    const before = ours.session.active;
    await peer.pings.take(60);
    expect(ours.session.closed).toBe(false);
    expect(ours.session.active).toBeGreaterThan(before);
  });

  it('a peer that does not answer pings is idle', async () => {
    await using server = await wsServer({ autoPong: false });
    await using ours = await ourClient(server.address, { cronPeriod: 20, idleTimeout: 100 });
    expect((await ours.events.errors.next()).code).toBe('IDLE_TIMEOUT');
    expect(await (await server.peers.next()).closed.next()).toBe('1006');
  });

  it('close() of ours is code 1000', async () => {
    await using server = await wsServer();
    await using ours = await ourClient(server.address);
    ours.session.write(Buffer.from('last words'));
    await ours.session.close();
    const peer = await server.peers.next();
    expect(await peer.closed.next()).toBe('1000');
    expect(peer.messages.all).toHaveLength(1);
    expect(ours.events.log).toEqual(['open', 'close']);

    await using mine = await echo();
    using other = wsClient(mine.address);
    await other.opened;
    await mine.server.close();
    expect(await other.closed.next()).toBe('1000');
    expect(mine.events.log).toEqual(['open', 'close']);
  });

  test.each([
    [undefined, '1005', []],
    [1000, '1000', []],
    [1001, '1001', []],
    [1011, '1011', ['CONNECTION_LOST']],
    [4001, '4001', ['CONNECTION_LOST']],
  ] as const)(
    'close of the peer with code %s is answered; what is not orderly is told',
    async (code, answered, errors) => {
      await using server = await echo();
      using peer = wsClient(server.address);
      await peer.opened;
      peer.socket.close(code, code === undefined ? undefined : 'that is "why"');
      // The package says what was answered.
      expect((await peer.closed.next()).split(' ')[0]).toBe(answered);
      await server.events.closed.next();
      expect(server.events.errors.all.map((error) => error.code)).toEqual(errors);
      if (errors.length > 0)
        expect(server.events.errors.all[0]?.message).toMatch(
          / closed with code \d+: "that is \\"why\\""$/,
        );
    },
  );

  it('a peer that goes without a close is CONNECTION_LOST', async () => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.terminate();
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('without a close'),
    });
    await server.events.closed.next();
  });

  it('a message over the limit is answered with 1009', async () => {
    await using server = await echo({ maxMessageBytes: 1_000 });
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.send(Buffer.alloc(1_001));
    expect(await peer.closed.next()).toBe('1009');
    expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
  });

  it('their limit is told to us', async () => {
    await using server = await wsServer({ maxPayload: 1_000 });
    await using ours = await ourClient(server.address);
    ours.session.write(Buffer.alloc(1_001));
    expect(await ours.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('code 1009'),
    });
  });

  it('subprotocols: the first of the client that the server knows', async () => {
    const seen: (string | undefined)[] = [];
    const setup = { codec: raw(), listener: { onMessage: () => {} } };
    const note = (peer: { readonly protocol?: string }) => {
      seen.push(peer.protocol);
      return setup;
    };
    await using server = await serve(ANY, note, { websocket: { protocols: ['v2', 'v1'] } });
    using peer = wsClient(server.address, {}, ['v0', 'v1', 'v2']);
    await peer.opened;
    expect(peer.socket.protocol).toBe('v1');
    await using _ours = await connect(server.address, note, { websocket: { protocols: ['v2'] } });
    expect(seen).toEqual(['v1', 'v2', 'v2']);
    const error = await rejection(
      ourClient(server.address, {}, { websocket: { protocols: ['v3', 'v4'] } }),
    );
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('the server chose none of the protocols v3, v4'),
    });
  });
});

test('a frame that a codec fails to write leaves nothing behind', async () => {
  await using server = await echo();
  const failing: Codec<Buffer, Uint8Array> = {
    read: raw().read,
    write(output: ByteWriter, message) {
      output.append(message);
      if (message.length === 0) throw new TypeError('nothing');
    },
  };
  const events: RawEvents = new Recorder('the client');
  await using ours = await connect(server.address, { codec: failing, listener: events });
  const session = await ours.session();
  session.write(Buffer.from('one'));
  expect(() => session.write(Buffer.alloc(0))).toThrow(TypeError);
  session.write(Buffer.from('two'));
  expect((await events.messages.take(2)).map(String)).toEqual(['one', 'two']);
});
