/** WebSocket peers who break the protocol, its limits, or off. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { constants, deflateRawSync } from 'node:zlib';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { nextTurn } from '../../../src/core/turn.js';
import type { Connection, ConnectionEvents } from '../../../src/transport/types.js';
import { WebSocketConnection } from '../../../src/transport/websocket/websocket-connection.js';
import { bufferBytes } from '../../fixtures/garbage.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns, until, within } from '../../fixtures/waiting.js';
import { echo, ourClient, rawWebSocket, wsClient, wsServer } from '../../fixtures/websocket.js';

const QUIET = 20;

noLeaks();

describe('a peer who means no good', () => {
  const sent = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ''), 'hex');

  test.each([
    ['frames without a mask', '82 01 61', '8802 03ea', 'BAD_FRAME'],
    ['a reserved opcode', '83 80 00000000', '8802 03ea', 'BAD_FRAME'],
    ['text that is not UTF-8', '81 81 00000000 ff', '8802 03ef', 'BAD_FRAME'],
    ['a length bomb', '82 ff 7fffffffffffffff 00000000', '8802 03f1', 'MESSAGE_TOO_LARGE'],
    ['compression that was not agreed on', 'c2 80 00000000', '8802 03ea', 'BAD_FRAME'],
  ])('%s: told why, and closed; the server goes on', async (_what, bytes, answer, code) => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent(bytes));
    expect(await peer.frames(4)).toBe(answer.replace(' ', ''));
    expect((await server.events.errors.next()).code).toBe(code);
    await peer.ended;
    peer.socket.end();
    using other = wsClient(server.address);
    await other.opened;
    other.socket.send('still there?');
    await other.messages.next();
  });

  it('who goes on sending after that is cut off', async () => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    const gone = new Promise((resolve) => peer.socket.once('close', resolve));
    const flood = (): void => {
      while (peer.socket.writable && peer.socket.write(Buffer.alloc(65_536)));
    };
    peer.socket.on('drain', flood);
    flood();
    await server.events.closed.next();
    await within(gone, 'the peer to be cut off');
  });

  it('a client tells the server too', async () => {
    await using server = await wsServer();
    await using ours = await ourClient(server.address);
    const peer = await server.peers.next();
    // A masked frame of a server.
    (peer.socket as unknown as { _socket: Socket })._socket.write(sent('82 80 00000000'));
    expect(await peer.closed.next()).toBe('1002');
    expect((await ours.events.errors.next()).code).toBe('BAD_FRAME');
  });

  it('16: a message that inflates to too much is stopped, with 1009', async () => {
    await using server = await echo({ compression: 'deflate', maxMessageBytes: 1_000_000 });
    using peer = await rawWebSocket(server.address, [
      'Sec-WebSocket-Extensions: permessage-deflate',
    ]);
    const bomb = deflateRawSync(Buffer.alloc(50_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0xc2fe);
    head.writeUInt16BE(bomb.length, 2);
    peer.socket.write(Buffer.concat([head, bomb]));
    expect(await peer.frames(4)).toBe('880203f1');
    expect((await server.events.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
  });

  it('a peer that ends inside a message: BAD_FRAME', async () => {
    await using server = await echo();
    for (const bytes of ['82', '82 85 00000000 61', '02 80 00000000']) {
      using peer = await rawWebSocket(server.address);
      peer.socket.end(sent(bytes));
      expect(await server.events.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('inside a message'),
      });
      await peer.ended;
    }
  });

  it('a message that takes too long: MESSAGE_TIMEOUT, pings or not', async () => {
    await using server = await echo({ messageTimeout: 60 });
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent('02 81 00000000 61'));
    const ping = setInterval(
      () => peer.socket.writable && peer.socket.write(sent('89 80 00000000')),
      5,
    );
    try {
      expect((await server.events.errors.next()).code).toBe('MESSAGE_TIMEOUT');
    } finally {
      clearInterval(ping);
    }
  });

  it('nothing is read after a close', async () => {
    await using server = await echo();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent('82 81 00000000 61 88 82 00000000 03e8 82 81 00000000 62 ff ff'));
    expect(await peer.frames(7)).toBe('820161880203e8');
    await peer.ended;
    peer.socket.end();
    await server.events.closed.next();
    expect(server.events.messages.all.map(String)).toEqual(['a']);
    expect(server.events.errors.all).toEqual([]);
  });

  it('a peer that does not answer our close is gone after waitTime', async () => {
    await using server = await echo({ waitTime: 50 });
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    const before = performance.now();
    await session.close();
    expect(performance.now() - before).toBeGreaterThan(45);
    expect(await peer.frames(4)).toBe('880203e8');
  });

  it('a peer that ends the stream instead of answering our close is no error', async () => {
    await using server = await echo({ waitTime: 300_000 });
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    const closed = session.close();
    expect(await peer.frames(4)).toBe('880203e8');
    peer.socket.end();
    await within(closed, 'the close');
    expect(server.events.log).toEqual(['open', 'close']);
  });

  it('paused: what has come is neither inflated nor delivered', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = await rawWebSocket(server.address, [
      'Sec-WebSocket-Extensions: permessage-deflate',
    ]);
    const session = await server.events.opened.next();
    const inflated = deflateRawSync(Buffer.alloc(1_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0xc2fe);
    head.writeUInt16BE(inflated.length, 2);
    session.pause();
    peer.socket.write(
      Buffer.concat(Array.from({ length: 20 }, () => Buffer.concat([head, inflated]))),
    );
    await turns(QUIET);
    expect(session.stats.bytesRead).toBe(0);
    session.resume();
    await server.events.messages.take(20);
    expect(session.stats.bytesRead).toBe(20_000_000);
  });
});

describe('a compressed message of more than 64 KiB', () => {
  const DEFLATE = ['Sec-WebSocket-Extensions: permessage-deflate'];
  const large = randomBytes(300_000);
  /** With a mask of zeros. */
  function frame(first: number, payload: Buffer): Buffer {
    const header = Buffer.alloc(14);
    header.writeUInt16BE((first << 8) | 0xff);
    header.writeUInt32BE(payload.length, 6);
    return Buffer.concat([header, payload]);
  }
  const compressed = (message: Buffer): Buffer =>
    frame(0xc2, deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4));
  const small = (text: string): Buffer =>
    Buffer.concat([Buffer.from([0x82, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
  const close = Buffer.from('88820000000003e8', 'hex');

  it.each([
    ['in one chunk', 1_000_000],
    ['in chunks', 10_000],
  ])(
    'comes in order with what is around it, and before the end of the stream: %s',
    async (_what, size) => {
      await using server = await echo({ compression: 'deflate' });
      using peer = await rawWebSocket(server.address, DEFLATE);
      const bytes = Buffer.concat([
        small('first'),
        compressed(large),
        small('second'),
        compressed(large),
        small('third'),
        close,
      ]);
      for (let at = 0; at < bytes.length; at += size) {
        peer.socket.write(bytes.subarray(at, at + size));
        await turns(1);
      }
      peer.socket.end();
      await server.events.closed.next();
      expect(
        server.events.messages.all.map((message) =>
          message.length < 100 ? String(message) : message.equals(large),
        ),
      ).toEqual(['first', true, 'second', true, 'third']);
      expect(server.events.errors.all).toEqual([]);
    },
  );

  it('waits while the session is paused', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = await rawWebSocket(server.address, DEFLATE);
    const session = await server.events.opened.next();
    session.pause();
    peer.socket.write(Buffer.concat([compressed(large), small('second')]));
    await turns(QUIET);
    expect(session.stats.messagesRead).toBe(0);
    session.resume();
    expect((await server.events.messages.take(2)).map((message) => message.length)).toEqual([
      large.length,
      6,
    ]);
  });

  it('is not delivered to a session that was destroyed meanwhile', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = await rawWebSocket(server.address, DEFLATE);
    const session = await server.events.opened.next();
    peer.socket.write(Buffer.concat([small('first'), compressed(large)]));
    await server.events.messages.next();
    session.destroy();
    await server.events.closed.next();
    await turns(QUIET);
    expect(server.events.messages.all.length).toBe(1);
  });

  it('that cannot be inflated ends its session alone, with 1007', async () => {
    await using server = await echo({ compression: 'deflate' });
    using peer = await rawWebSocket(server.address, DEFLATE);
    using other = await rawWebSocket(server.address, DEFLATE);
    peer.socket.write(frame(0xc2, Buffer.alloc(70_000, 0xff)));
    expect(await peer.frames(4)).toBe('880203ef');
    expect((await server.events.errors.next()).code).toBe('BAD_FRAME');
    other.socket.write(small('a'));
    expect(await other.frames(3)).toBe('820161');
  });
});

/** A stream that takes nothing until it is told to. */
class Stuck implements Connection {
  readonly localAddress = 'test://here';
  readonly remoteAddress = 'test://there';
  readonly written: string[] = [];
  bufferedBytes = 0;
  events: ConnectionEvents | undefined;
  attach(events: ConnectionEvents): void {
    this.events = events;
  }
  write(bytes: Uint8Array): void {
    this.written.push(Buffer.from(bytes).toString('hex'));
    this.bufferedBytes += bytes.length;
  }
  take(): void {
    this.bufferedBytes = 0;
    this.events?.onTaken();
  }
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  end(): void {}
  destroy(): void {}
}

/** A turn of the event loop takes in more chunks than these. */
const CHUNKS_PER_TURN = 16;

// What a turn has read counts for all connections of the process, and so for all tests of a turn.
beforeEach(nextTurn);

function stuck() {
  const stream = new Stuck();
  const connection = new WebSocketConnection(stream, {
    role: 'server',
    protocol: undefined,
    deflate: undefined,
    isText: false,
  });
  const nothing = (): void => {};
  const messages: Uint8Array[] = [];
  const onMessage = (bytes: Uint8Array): void => void messages.push(bytes);
  const events = {
    onData: nothing,
    onMessage,
    onAlive: nothing,
    onTaken: nothing,
    onEnd: nothing,
    onClose: nothing,
  };
  connection.attach(events, {
    maxMessageBytes: 1_000_000,
    maxInflatedBytes: 1_000,
    maxQueuedBytes: 1,
  });
  const ping = (byte: number): Buffer => Buffer.from([0x89, 0x81, 0, 0, 0, 0, byte]);
  return { stream, connection, ping, messages };
}

describe('a flood of pings', () => {
  const PONG = 3;
  const LIMIT = 64 * 1024;

  it('is answered ping by ping while the peer reads', async () => {
    const { stream, ping } = stuck();
    for (let i = 0; i < 100; i++) {
      await nextTurn();
      stream.events?.onData(ping(i));
      stream.take();
    }
    expect(stream.written).toEqual(
      Array.from({ length: 100 }, (_, i) => `8a01${i.toString(16).padStart(2, '0')}`),
    );
  });

  it('in one chunk is answered in one write for each turn that reads it', async () => {
    const { stream, ping } = stuck();
    const answers = Array.from(
      { length: 1_000 },
      (_, i) => `8a01${(i & 0xff).toString(16).padStart(2, '0')}`,
    ).join('');
    stream.events?.onData(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => ping(i & 0xff))));
    await until(() => stream.written.join('').length >= answers.length, 'the pongs');
    expect(stream.written.join('')).toBe(answers);
    expect(stream.written.length).toBeLessThan(20);
  });

  it('whose pongs are not read is answered up to a limit, and then only the latest ping', async () => {
    const { stream, ping } = stuck();
    const most = Math.ceil(LIMIT / PONG);
    for (let i = 0; i < most + 1_000; i++) {
      if (i % CHUNKS_PER_TURN === 0) await nextTurn();
      stream.events?.onData(ping(i & 0xff));
    }
    await until(() => stream.written.length >= most, 'the pongs up to the limit');
    expect(stream.written).toHaveLength(most);
    const latest = ((most + 999) & 0xff).toString(16).padStart(2, '0');
    stream.take();
    expect(stream.written.slice(most)).toEqual([`8a01${latest}`]);
    stream.take();
    expect(stream.written).toHaveLength(most + 1);
    stream.events?.onData(ping(7));
    expect(stream.written.at(-1)).toBe('8a0107');
  });

  it('waits for no more than its own pongs: other writes may be stuck', async () => {
    const { stream, connection, ping } = stuck();
    for (let i = 0; i < Math.ceil(LIMIT / PONG) + 1; i++) {
      if (i % CHUNKS_PER_TURN === 0) await nextTurn();
      stream.events?.onData(ping(1));
    }
    stream.bufferedBytes = 0;
    connection.write(Buffer.alloc(100));
    stream.events?.onTaken();
    expect(stream.written.at(-1)).toBe('8a0101');
  });

  it('our own pings do not pile up behind what is not read', () => {
    const { stream, connection } = stuck();
    for (let i = 0; i < 100; i++) connection.ping();
    expect(stream.written).toEqual(['8900']);
  });

  it('after our close nothing follows', () => {
    const { stream, connection, ping } = stuck();
    connection.end();
    connection.end();
    connection.ping();
    stream.events?.onData(ping(1));
    expect(stream.written).toEqual(['880203e8']);
  });
});

describe('a session that does not read', () => {
  const empty = Buffer.from([0x82, 0x80, 0, 0, 0, 0]);

  it.each([
    ['empty messages', empty],
    ['small ones', Buffer.concat([Buffer.from([0x82, 0x84, 0, 0, 0, 0]), Buffer.from('abcd')])],
    [
      'large ones',
      Buffer.concat([Buffer.from([0x82, 0xfe, 0x27, 0x10, 0, 0, 0, 0]), Buffer.alloc(10_000)]),
    ],
    [
      'fragments of one',
      Buffer.concat([Buffer.from([0x00, 0xfe, 0x27, 0x10, 0, 0, 0, 0]), Buffer.alloc(10_000)]),
    ],
  ])('holds a bounded amount, and then stops the stream: %s', (what, message) => {
    const { stream, connection, messages } = stuck();
    connection.pause();
    if (what === 'fragments of one') stream.events?.onData(Buffer.from([0x02, 0x80, 0, 0, 0, 0]));
    let sent = 0;
    for (; !stream.isPaused && sent < 10_000; sent++) stream.events?.onData(Buffer.from(message));
    expect(sent * Math.max(message.length, 256)).toBeLessThan(100 * 1024);
    expect(sent).toBeGreaterThan(5);
    expect(messages).toEqual([]);
    connection.resume();
    expect(stream.isPaused).toBe(false);
    expect(messages).toHaveLength(what === 'fragments of one' ? 0 : sent);
  });

  it('keeps no chunk that holds little besides pongs', async () => {
    const { stream, connection, messages } = stuck();
    const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);
    const small = Buffer.concat([Buffer.from([0x82, 0x84, 0, 0, 0, 0]), Buffer.from('abcd')]);
    const chunk = Buffer.concat([small, ...Array.from({ length: 10_000 }, () => pong)]);
    connection.pause();
    const before = bufferBytes();
    let sent = 0;
    for (; !stream.isPaused; sent++) {
      await nextTurn();
      const own = Buffer.allocUnsafeSlow(chunk.length);
      chunk.copy(own);
      stream.events?.onData(own);
      // The pongs of a chunk may take several turns.
      await until(() => bufferBytes() - before < 1024 * 1024, 'the chunks to be free');
    }
    expect(sent).toBeGreaterThan(100);
    connection.resume();
    await until(() => messages.length === sent, 'the messages');
    expect(messages.every((message) => Buffer.from(message).toString() === 'abcd')).toBe(true);
  });

  it('stops the stream at once when it is paused inside a large message', () => {
    const { stream, connection } = stuck();
    stream.events?.onData(
      Buffer.concat([
        Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0, 0, 0, 0, 0, 0]),
        Buffer.alloc(100_000),
      ]),
    );
    expect(stream.isPaused).toBe(false);
    connection.pause();
    expect(stream.isPaused).toBe(true);
  });

  it('delivers one by one, and stops when the session pauses again', () => {
    const { stream, connection, messages } = stuck();
    connection.pause();
    stream.events?.onData(Buffer.concat([empty, empty, empty]));
    const push = messages.push.bind(messages);
    messages.push = (...more) => {
      connection.pause();
      return push(...more);
    };
    connection.resume();
    expect(messages).toHaveLength(1);
    connection.resume();
    expect(messages).toHaveLength(2);
  });
});
