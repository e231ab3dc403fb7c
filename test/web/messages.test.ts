/**
 * Messages of a page: the bundle `getty-ts/web` with a server of this package and one of the
 * package `ws`. The WebSocket class of `ws` replaces that of a browser. test/transport has the
 * behavior of all transports.
 */
import { describe, expect, it } from 'vitest';
import {
  type ByteReader,
  type ByteWriter,
  type Session,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { Inbox } from '../fixtures/waiting.js';
import { loadWeb } from '../fixtures/web.js';
import { echo, wsServer } from '../fixtures/websocket.js';
import { connectPage, decodeText, encodeText } from './page-client.js';

noLeaks();

describe('a session of a page', () => {
  it('sends and receives messages of every size in order, as plain Uint8Arrays', async () => {
    await using server = await echo();
    await using page = await connectPage(
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
      const received = await page.events.messages.next();
      expect(Object.getPrototypeOf(received)).toBe(Uint8Array.prototype);
      expect(Buffer.compare(received, message)).toBe(0);
    }
    expect(page.session.stats).toMatchObject({
      messagesRead: sent.length,
      messagesWritten: sent.length,
      messagesDropped: 0,
    });
    expect(page.session.localAddress).toBe('http://page.example');
    expect(page.session.remoteAddress).toBe(server.address);
  });

  it('copies a message in write(), so that the caller may change the bytes afterwards', async () => {
    await using server = await echo();
    await using page = await connectPage(server.address);
    for (const size of [10, 10_000, 100_000]) {
      const written = new Uint8Array(size).fill(1);
      page.session.write(written);
      written.fill(2);
      expect((await page.events.messages.next()).every((byte) => byte === 1)).toBe(true);
    }
  });

  it('receives text and binary messages, and sends the kind that the option `text` selects', async () => {
    await using server = await wsServer();
    for (const [asText, kind] of [
      [false, `binary ${Buffer.from('grün').toString('hex')}`],
      [true, 'text grün'],
    ] as const) {
      await using page = await connectPage(server.address, {}, { websocket: { text: asText } });
      const peer = await server.peers.next();
      page.session.write(encodeText('grün'));
      expect(await peer.messages.next()).toBe(kind);
      peer.socket.send('schön');
      expect(decodeText(await page.events.messages.next())).toBe('schön');
      peer.socket.send(Buffer.from('\ufeffgrau'));
      expect(await page.events.messages.next()).toEqual(encodeText('\ufeffgrau'));
      if (!asText) continue;
      expect(thrown(() => page.session.write(Uint8Array.of(0xff)))).toMatchObject({
        code: 'ENCODE_FAILED',
        message: 'a text message must be UTF-8',
      });
      page.session.writeBytes(encodeText('\ufeffstill here'));
      expect(await peer.messages.next()).toBe('text \ufeffstill here');
    }
  });

  it('shows the kind of each message to the codec, and sends the kind that the codec sets', async () => {
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
    peer.socket.ping('after four messages');
    await peer.pongs.next();
    session.resume();
    expect((await events.messages.take(2)).map((message) => message.text)).toEqual([true, false]);
    for (const asText of [true, false, true, undefined])
      session.write({ text: asText, bytes: encodeText('hi') });
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

  it('rejects a message over maxMessageBytes in write(), and ends the session for a received one', async () => {
    await using server = await wsServer();
    await using page = await connectPage(server.address, { maxMessageBytes: 1_000 });
    const peer = await server.peers.next();
    expect(thrown(() => page.session.write(new Uint8Array(1_001)))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    peer.socket.send(Buffer.alloc(1_000));
    expect((await page.events.messages.next()).length).toBe(1_000);
    peer.socket.send(Buffer.alloc(1_001));
    expect(await page.events.errors.next()).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    await page.events.closed.next();
    expect(await peer.closed.next()).toBe('4000 MESSAGE_TOO_LARGE');
  });

  it('leaves permessage-deflate to the browser, and rejects snappy with BAD_OPTION', async () => {
    const web = await loadWeb();
    await using server = await echo({ compression: 'deflate' });
    await using page = await connectPage(server.address, { compression: { deflate: 9 } });
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

  it('uses one codec object and one listener for a server in Node.js and a page', async () => {
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
});
