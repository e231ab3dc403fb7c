/**
 * The build of `getty-ts/web`, where nothing of Node.js is there, against our own server and that
 * of the `ws` package; the `ws` package's class stands for the browser's. What holds on all
 * transports alike is in the behaviour tables.
 */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  type ByteReader,
  type ByteWriter,
  raw,
  type Session,
  type SessionOptions,
  serve,
} from '../../src/transport/index.js';
import type { WebClientOptions } from '../../src/web/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { Inbox, turns, until, within } from '../fixtures/waiting.js';
import { loadWeb, type Page } from '../fixtures/web.js';
import { echo, wsServer } from '../fixtures/websocket.js';

noLeaks();

type Events = Recorder<Uint8Array, Uint8Array>;

/** A client of the build and its session. */
async function webClient(
  address: string,
  setup: SessionOptions & { on?: ConstructorParameters<typeof Recorder>[1] } = {},
  options: WebClientOptions = {},
  page: Page = {},
) {
  const { on, ...session } = setup;
  const web = await loadWeb(page);
  const events: Events = new Recorder('the page', on as never);
  const client = await web.connect<Uint8Array>(
    address,
    { codec: web.raw(), listener: events, ...session },
    { reconnect: false, ...options },
  );
  return {
    web,
    client,
    events,
    session: await client.session(),
    [Symbol.asyncDispose]: () => {
      client.destroy();
      return client.close();
    },
  };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

describe('a session', () => {
  it('messages go both ways in order, of every size, also empty, and are Uint8Arrays', async () => {
    await using server = await echo();
    await using page = await webClient(
      server.address,
      { maxQueuedBytes: Number.POSITIVE_INFINITY },
      {},
      { location: { origin: 'http://page.example' } },
    );
    const sizes = [
      0,
      1,
      125,
      126,
      4_096,
      4_097,
      16_384,
      65_535,
      65_536,
      1_000_000,
      ...Array.from({ length: 1_000 }, (_, i) => i),
    ];
    const sent = sizes.map((size, i) => new Uint8Array(size).fill(i));
    for (const message of sent) page.session.write(message);
    for (const message of sent) {
      const came = await page.events.messages.next();
      expect(Object.getPrototypeOf(came)).toBe(Uint8Array.prototype);
      expect(Buffer.compare(came, message)).toBe(0);
    }
    expect(page.session.stats).toMatchObject({
      messagesRead: sent.length,
      messagesWritten: sent.length,
    });
    expect(page.session.localAddress).toBe('http://page.example');
    expect(page.session.remoteAddress).toBe(server.address);
  });

  it('the bytes that were written are the caller’s again: a change afterwards changes nothing', async () => {
    await using server = await echo();
    await using page = await webClient(server.address);
    for (const size of [10, 10_000, 100_000]) {
      const mine = new Uint8Array(size).fill(1);
      page.session.write(mine);
      mine.fill(2);
      expect((await page.events.messages.next()).every((byte) => byte === 1)).toBe(true);
    }
  });

  it('text or binary: both come, and `text` says what is sent; what is not UTF-8 is ENCODE_FAILED', async () => {
    await using server = await wsServer();
    for (const [asText, kind] of [
      [false, `binary ${Buffer.from('grün').toString('hex')}`],
      [true, 'text grün'],
    ] as const) {
      await using page = await webClient(server.address, {}, { websocket: { text: asText } });
      const peer = await server.peers.next();
      page.session.write(bytes('grün'));
      expect(await peer.messages.next()).toBe(kind);
      peer.socket.send('schön');
      expect(text(await page.events.messages.next())).toBe('schön');
      peer.socket.send(Buffer.from('\ufeffgrau'));
      expect(await page.events.messages.next()).toEqual(bytes('\ufeffgrau'));
      if (!asText) continue;
      expect(thrown(() => page.session.write(Uint8Array.of(0xff)))).toMatchObject({
        code: 'ENCODE_FAILED',
        message: 'a text message must be UTF-8',
      });
      page.session.writeBytes(bytes('\ufeffstill here'));
      expect(await peer.messages.next()).toBe('text \ufeffstill here');
    }
  });

  it('a codec is told the kind of each message, also of one that waits, and chooses it', async () => {
    await using server = await wsServer();
    const web = await loadWeb();
    const kinds = {
      read: (input: ByteReader) => ({ text: input.text, bytes: input.take(input.length) }),
      write(output: ByteWriter, message: { text: boolean | undefined; bytes: Uint8Array }) {
        if (message.text !== undefined) output.asText = message.text;
        output.append(message.bytes);
      },
    };
    const events = new Recorder<{ text: boolean | undefined; bytes: Uint8Array }>('the page');
    await using client = await web.connect(
      server.address,
      { codec: kinds, listener: events },
      { reconnect: false },
    );
    const session = await client.session();
    const peer = await server.peers.next();
    peer.socket.send('one');
    peer.socket.send(Buffer.from('two'));
    expect((await events.messages.take(2)).map((message) => message.text)).toEqual([true, false]);
    session.pause();
    peer.socket.send('three');
    peer.socket.send(Buffer.from('four'));
    peer.socket.ping('all sent');
    await peer.pongs.next();
    session.resume();
    expect((await events.messages.take(2)).map((message) => message.text)).toEqual([true, false]);
    for (const asText of [true, false, true, undefined])
      session.write({ text: asText, bytes: bytes('hi') });
    expect(await peer.messages.take(4)).toEqual([
      'text hi',
      'binary 6869',
      'text hi',
      'binary 6869',
    ]);
    expect(thrown(() => session.write({ text: true, bytes: Uint8Array.of(0xff) }))).toMatchObject({
      code: 'ENCODE_FAILED',
    });
  });

  it('protocols: the one that both speak is told to the setup function; a server that speaks none is no server for us', async () => {
    const web = await loadWeb();
    const peers: (string | undefined)[] = [];
    const setup = ({ protocol }: { protocol?: string }) => {
      peers.push(protocol);
      return { codec: web.raw(), listener: { onMessage() {} } };
    };
    await using server = await echo({}, { websocket: { protocols: ['v2', 'v1'] } });
    await using client = await web.connect(server.address, setup, {
      websocket: { protocols: ['v1', 'v0'] },
    });
    expect(client.sessions.size).toBe(1);
    expect(peers).toEqual(['v1']);
    expect(
      await rejection(web.connect(server.address, setup, { websocket: { protocols: ['v9'] } })),
    ).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  it('23: a message over maxMessageBytes ends the session, and is not sent', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address, { maxMessageBytes: 1_000 });
    const peer = await server.peers.next();
    expect(thrown(() => page.session.write(new Uint8Array(1_001)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    peer.socket.send(Buffer.alloc(1_000));
    expect((await page.events.messages.next()).length).toBe(1_000);
    peer.socket.send(Buffer.alloc(1_001));
    expect(await page.events.errors.next()).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    await page.events.closed.next();
    expect(await peer.closed.next()).toBe('4000 destroyed');
  });

  it('a compression that a WebSocket does not have is refused; permessage-deflate is left to the browser', async () => {
    const web = await loadWeb();
    await using server = await echo({ compression: 'deflate' });
    await using page = await webClient(server.address, { compression: { deflate: 9 } });
    page.session.write(new Uint8Array(10_000));
    expect((await page.events.messages.next()).length).toBe(10_000);
    const snappy = {
      codec: web.raw(),
      listener: { onMessage() {} },
      compression: 'snappy',
    } as const;
    for (const setup of [snappy, () => snappy]) {
      expect(await rejection(web.connect(server.address, setup))).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('compression'),
      });
    }
  });

  it('onCron sends heartbeats, for a browser has no pings', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address, {
      cronPeriod: 10,
      on: { onCron: (session) => void session.write(bytes('beat')) },
    });
    const peer = await server.peers.next();
    expect(await peer.messages.take(2)).toEqual(
      Array(2).fill(`binary ${Buffer.from('beat').toString('hex')}`),
    );
    expect(peer.pings.all).toEqual([]);
    expect(page.session.closed).toBe(false);
  });

  it('idleTimeout: a server that says nothing', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address, { idleTimeout: 20 });
    const peer = await server.peers.next();
    expect(await page.events.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    expect(await peer.closed.next()).toBe('4000 destroyed');
  });

  it('24: a callback that fails without an onError, or in it, is an uncaught error of the page; the session lives', async () => {
    const uncaught = new Inbox<unknown>('an uncaught error');
    const web = await loadWeb({ reportError: (error) => uncaught.push(error) });
    await using server = await echo();
    const failing = (what: string) => () => {
      throw new Error(what);
    };
    for (const listener of [
      { onMessage: failing('first') },
      { onMessage: failing('first'), onError: failing('second') },
      { onMessage: failing('first'), onError: () => Promise.reject(new Error('second')) as never },
    ]) {
      await using client = await web.connect(
        server.address,
        { codec: web.raw(), listener },
        { reconnect: false },
      );
      (await client.session()).write(bytes('a'));
      const message =
        'onError' in listener
          ? 'onError failed: second'
          : 'a callback of the listener failed: first';
      expect(await uncaught.next()).toMatchObject({
        name: 'GettyError',
        code: 'HANDLER_FAILED',
        message,
      });
      expect((await client.session()).closed).toBe(false);
    }
  });
});

describe('queues', () => {
  /** Writes until the page's socket takes no more; answers how many messages of 64 KiB. */
  async function fillUp(session: Session<Uint8Array>): Promise<number> {
    const chunk = new Uint8Array(65_536);
    for (let count = 1; ; count++) {
      if (session.write(chunk)) continue;
      await turns(20);
      if (session.queuedBytes >= 256 * 1024) return count;
    }
  }

  it('a peer that does not read: write() says so, drained() and send() wait, and nothing is lost', async () => {
    await using server = await echo();
    await using page = await webClient(server.address, {
      maxQueuedBytes: Number.POSITIVE_INFINITY,
    });
    const far = await server.events.opened.next();
    far.pause();
    const count = await fillUp(page.session);
    expect(page.session.write(bytes('more'))).toBe(false);
    const order: string[] = [];
    const waiting = Promise.all([
      page.session.drained().then(() => order.push('drained')),
      page.session.send(bytes('the last')).then((sent) => order.push(`sent ${sent.sentBytes}`)),
    ]);
    const late = await rejection(page.session.send(bytes('late'), { timeout: 20 }));
    expect(late).toMatchObject({ code: 'SEND_TIMEOUT', encodedBytes: 4, sentBytes: 0 });
    expect(order).toEqual([]);
    far.resume();
    await within(waiting, 'the queue to drain');
    expect(order).toEqual(['drained', 'sent 8']);
    const came = await server.events.messages.take(count + 3);
    expect(came.slice(-3).map(String)).toEqual(['more', 'the last', 'late']);
    await until(() => page.session.queuedBytes === 0, 'the queue is empty');
  });

  it('SESSION_BLOCKED: a peer that does not read cannot make the queue grow', async () => {
    const maxQueuedBytes = 1024 * 1024;
    await using server = await echo({}, {});
    await using page = await webClient(server.address, { maxQueuedBytes });
    (await server.events.opened.next()).pause();
    await fillUp(page.session);
    const chunk = new Uint8Array(65_536);
    const error = thrown(() => {
      for (;;) page.session.write(chunk);
    });
    expect(error).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringContaining('maxQueuedBytes is 1048576'),
    });
    expect(page.session.queuedBytes).toBeLessThan(maxQueuedBytes + 2 * 65_536);
  });

  it('a session that is paused keeps what comes, in order, as long as it takes less than maxQueuedBytes', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address, { maxQueuedBytes: 10_000 });
    const peer = await server.peers.next();
    page.session.pause();
    for (let i = 0; i < 20; i++) peer.socket.send(`${i}`);
    // Whoever echoes a ping has read what came before it.
    peer.socket.ping();
    await peer.pongs.next();
    await turns(5);
    expect(page.events.messages.all).toEqual([]);
    page.session.resume();
    expect((await page.events.messages.take(20)).map(text)).toEqual(
      Array.from({ length: 20 }, (_, i) => `${i}`),
    );
    page.session.pause();
    // Empty ones cost memory too.
    for (let i = 0; i < 100; i++) peer.socket.send('');
    expect(await page.events.errors.next()).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(
        /sent \d+ bytes while the session was paused; maxQueuedBytes is 10000/,
      ),
    });
    expect(await peer.closed.next()).toBe('4000 destroyed');
  });

  it('a listener may pause at any message, and takes one at a time then', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address, {
      on: { onMessage: (session) => session.pause() },
    });
    const peer = await server.peers.next();
    for (let i = 0; i < 5; i++) peer.socket.send(`${i}`);
    for (let i = 0; i < 5; i++) {
      expect(text(await page.events.messages.next())).toBe(`${i}`);
      await turns(3);
      expect(page.events.messages.all.length).toBe(i + 1);
      page.session.resume();
    }
  });
});

describe('the end', () => {
  it('close(): what is queued arrives, and the peer is told in order', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    const peer = await server.peers.next();
    for (let i = 0; i < 50; i++) page.session.write(new Uint8Array(10_000));
    const sent = page.session.send(bytes('bye'));
    await page.session.close();
    expect(await sent).toEqual({ encodedBytes: 3, sentBytes: 3 });
    expect((await peer.messages.take(51)).at(-1)).toBe(
      `binary ${Buffer.from('bye').toString('hex')}`,
    );
    expect(await peer.closed.next()).toBe('1000');
    expect(page.events.log.at(-1)).toBe('close');
    expect(thrown(() => page.session.write(bytes('late')))).toMatchObject({
      code: 'SESSION_CLOSED',
    });
  });

  it.each([[1000], [1001], [undefined]])(
    'the peer closes with %s: an orderly end',
    async (code) => {
      await using server = await wsServer();
      await using page = await webClient(server.address);
      const peer = await server.peers.next();
      peer.socket.send('last words');
      peer.socket.close(code);
      await page.events.closed.next();
      expect(page.events.log).toEqual(['open', 'message', 'close']);
    },
  );

  it.each([
    [{ code: 4001, reason: 'grün' }, '4001 grün'],
    [{ code: 3000 }, '3000'],
    [{ reason: 'done' }, '1000 done'],
  ])('close(%o) tells the peer', async (options, told) => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    await page.session.close(options);
    expect(await (await server.peers.next()).closed.next()).toBe(told);
  });

  it.each([[{ code: 1001 }], [{ code: 1006 }], [{ code: 5000 }], [{ reason: 'ü'.repeat(62) }]])(
    'close(%o) is a BAD_OPTION in a browser, and the session stays open',
    async (options) => {
      await using server = await wsServer();
      await using page = await webClient(server.address);
      expect(thrown(() => page.session.close(options))).toMatchObject({ code: 'BAD_OPTION' });
      expect(page.session.closed).toBe(false);
    },
  );

  it('the peer’s code and reason are properties of the session', async () => {
    await using server = await wsServer();
    for (const [code, reason] of [
      [1000, 'done'],
      [4001, 'why'],
      [undefined, ''],
    ] as const) {
      await using page = await webClient(server.address);
      (await server.peers.next()).socket.close(code, reason);
      await page.events.closed.next();
      expect([page.session.closeCode, page.session.closeReason]).toEqual([code, reason]);
      if (code === 4001)
        expect(await page.events.errors.next()).toMatchObject({
          closeCode: 4001,
          closeReason: 'why',
        });
    }
    await using page = await webClient(server.address);
    (await server.peers.next()).socket.terminate();
    await page.events.closed.next();
    expect([page.session.closeCode, page.session.closeReason]).toEqual([undefined, undefined]);
  });

  it('what came before the peer’s end is still read after a pause', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    const peer = await server.peers.next();
    page.session.pause();
    for (let i = 0; i < 5; i++) peer.socket.send(`${i}`);
    peer.socket.close(1000);
    await peer.closed.next();
    await turns(5);
    expect(page.events.log).toEqual(['open']);
    page.session.resume();
    await page.events.closed.next();
    expect(page.events.log).toEqual(['open', ...Array(5).fill('message'), 'close']);
  });

  it('a paused session whose peer is gone closes too', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    const peer = await server.peers.next();
    page.session.pause();
    peer.socket.close(1000);
    await peer.closed.next();
    // Nobody is there to take it, and nothing says that somebody did.
    await until(() => !page.session.write(new Uint8Array(65_536)), 'the queue grows');
    const sending = rejection(page.session.send(bytes('nobody hears')));
    await within(page.session.close(), 'the session to close');
    expect(await sending).toMatchObject({ code: 'SESSION_CLOSED', sentBytes: 0 });
  });

  it.each([
    [1009, 'too much', 'closed with code 1009: "too much"'],
    [4001, '', /closed with code 4001$/],
  ] as const)('the peer closes with %d: CONNECTION_LOST says so', async (code, reason, message) => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    (await server.peers.next()).socket.close(code, reason);
    const expected =
      typeof message === 'string'
        ? expect.stringContaining(message)
        : expect.stringMatching(message);
    expect(await page.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expected,
    });
    await page.events.closed.next();
  });

  it('the connection breaks: CONNECTION_LOST, also while paused, and whoever waits for the queue is told', async () => {
    await using server = await wsServer();
    await using page = await webClient(server.address);
    page.session.pause();
    (await server.peers.next()).socket.terminate();
    expect(await page.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('failed; a browser does not report the reason'),
    });
    await page.events.closed.next();
    await expect(page.session.drained()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  });

  it('destroy(): nothing comes any more, and the peer is told that it was no orderly end', async () => {
    await using server = await echo();
    await using page = await webClient(server.address);
    page.session.write(bytes('a'));
    page.session.destroy(new Error('enough'));
    await page.events.closed.next();
    expect(page.events.errors.all).toMatchObject([
      { code: 'SESSION_DESTROYED', cause: { message: 'enough' } },
    ]);
    expect(await server.events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('closed with code 4000'),
    });
    await turns(20);
    expect(page.events.log).toEqual(['open', 'error SESSION_DESTROYED', 'close']);
  });

  it('18: a lost session is dialled again; closing the client ends that', async () => {
    await using server = await echo();
    await using page = await webClient(
      server.address,
      {},
      { reconnect: { initialDelay: 1, maxDelay: 5 } },
    );
    (await server.events.opened.next()).destroy();
    await page.events.closed.next();
    const second = await server.events.opened.next();
    await until(() => page.client.sessions.size === 1, 'a session is there again');
    const session = await page.client.session();
    session.write(bytes('again'));
    expect(text(await page.events.messages.next())).toBe('again');
    await page.client.close();
    await server.events.closed.take(2);
    expect(second.closed).toBe(true);
    expect(page.events.opened.all.length).toBe(2);
    page.events.errors.dismiss();
  });
});

describe('connect()', () => {
  const connectTo = async (address: string, options: WebClientOptions = {}, page: Page = {}) => {
    const web = await loadWeb(page);
    return web.connect(
      address,
      { codec: web.raw(), listener: { onMessage() {} } },
      { reconnect: false, ...options },
    );
  };

  it.each([
    'tcp://127.0.0.1:80',
    'http://127.0.0.1/',
    '127.0.0.1:80',
    'memory://here',
    'ws://host:99999',
    'ws://host#part',
    '',
    undefined,
  ])('BAD_ADDRESS: %s', async (address) => {
    expect(await rejection(connectTo(address as string))).toMatchObject({
      code: 'BAD_ADDRESS',
      message: expect.stringContaining('expected ws://host:port/path or wss://host:port/path'),
    });
  });

  it('CONNECT_FAILED: nobody is there, another path, no WebSocket server, what the browser itself refuses', async () => {
    await using server = await echo({}, {}, 'ws://127.0.0.1:0/live');
    const address = new URL(server.address);
    const fails = async (where: string): Promise<void> => {
      expect(await rejection(connectTo(where))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringContaining(`cannot connect to ${where}: `),
        cause: expect.any(Error),
      });
    };
    await fails(`ws://${address.host}/dead`);
    await server.server.stopListening();
    await fails(server.address);
  });

  it('gives the browser the user information and the query, and shows them in no error', async () => {
    const given: string[] = [];
    class Refusing {
      constructor(url: string) {
        given.push(url);
        throw new DOMException(`the URL ${url} is refused`, 'SyntaxError');
      }
    }
    const error = await rejection(
      connectTo('ws://me:se%3Acret@127.0.0.1:1/path?token=secret', {}, { WebSocket: Refusing }),
    );
    expect(given).toEqual(['ws://me:se%3Acret@127.0.0.1:1/path?token=secret']);
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message:
        'cannot connect to ws://***@127.0.0.1:1/path?***: the browser refused the URL: SyntaxError',
    });
    expect(String(error.cause)).not.toContain('secret');
  });

  it('reaches a server with a query, and shows it in no address', async () => {
    const urls: unknown[] = [];
    const web = await loadWeb();
    await using server = await serve('ws://127.0.0.1:0/live', ({ request }) => {
      urls.push(request?.url);
      return { codec: raw(), listener: { onMessage() {} } };
    });
    await using client = await web.connect(`${server.address}?token=secret`, {
      codec: web.raw(),
      listener: { onMessage() {} },
    });
    expect(urls).toEqual(['/live?token=secret']);
    expect([client.address, (await client.session()).remoteAddress]).toEqual([
      `${server.address}?***`,
      server.address,
    ]);
  });

  it('CONNECT_FAILED: a page may not connect there, or has no WebSocket', async () => {
    class Forbidding {
      constructor() {
        throw new DOMException(
          'an insecure WebSocket may not be made from a page loaded over HTTPS',
          'SecurityError',
        );
      }
    }
    expect(
      await rejection(connectTo('ws://127.0.0.1:1', {}, { WebSocket: Forbidding })),
    ).toMatchObject({
      code: 'CONNECT_FAILED',
      message:
        'cannot connect to ws://127.0.0.1:1: an insecure WebSocket may not be made from a page loaded over HTTPS',
    });
    expect(
      await rejection(connectTo('ws://127.0.0.1:1', {}, { WebSocket: undefined })),
    ).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('there is no global WebSocket'),
    });
  });

  it('a server that does not answer the handshake: connectTimeout and the caller’s signal end the wait', async () => {
    const sockets = new Inbox<{ destroy(): void }>('a connection');
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = `ws://127.0.0.1:${(silent.address() as { port: number }).port}`;
    try {
      expect(await rejection(connectTo(address, { connectTimeout: 30 }))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: expect.stringContaining('no connection within connectTimeout, 30 ms'),
      });
      const caller = new AbortController();
      const given = rejection(connectTo(address, { signal: caller.signal }));
      await sockets.take(2);
      caller.abort(new Error('never mind'));
      expect(await given).toMatchObject({ code: 'ABORTED_BY_CALLER' });
      expect(await rejection(connectTo(address, { signal: AbortSignal.abort() }))).toMatchObject({
        code: 'ABORTED_BY_CALLER',
      });
    } finally {
      for (const socket of sockets.all) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  it.each([
    [{ tls: { ca: 'x' } }, 'tls: given an object'],
    [{ udp: {} }, 'udp: given an object'],
    [{ websocket: { headers: { Cookie: 'a' } } }, 'websocket.headers: given an object'],
    [{ websocket: { allowOrigin: [] } }, 'websocket.allowOrigin: given an array'],
    [{ websocket: { protocols: ['a b'] } }, 'websocket.protocols: given an array'],
    [{ websocket: { text: 1 } }, 'websocket.text: given 1'],
    [{ connections: 0 }, 'connections: given 0'],
    [{ connectTimeout: -1 }, 'connectTimeout: given -1'],
  ])('BAD_OPTION: %j', async (options, message) => {
    expect(await rejection(connectTo('ws://127.0.0.1:1', options as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
  });
});

it('one codec object and one listener serve Node.js and the page alike', async () => {
  const web = await loadWeb();
  const codec = web.jsonLines<{ n: number }>();
  const numbers = new Inbox<number>('a number');
  const listener = {
    onMessage: (session: Session<{ n: number }>, { n }: { n: number }) => {
      numbers.push(n);
      if (n < 10) session.write({ n: n + 1 });
    },
  };
  await using server = await serve('ws://127.0.0.1:0', { codec: codec as never, listener });
  await using client = await web.connect(server.address, { codec, listener: listener as never });
  (await client.session()).write({ n: 0 });
  expect(await numbers.take(11)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
