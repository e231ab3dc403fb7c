/** WebSocket peers who break the protocol, its limits, or off. */
import type { Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it, test } from 'vitest';
import type { Connection, ConnectionEvents } from '../../src/transport/types.js';
import { WebSocketConnection } from '../../src/transport/websocket/connection.js';
import { noLeaks } from '../fixtures/leaks.js';
import { turns, within } from '../fixtures/waiting.js';
import { echo, ourClient, rawWebSocket, wsClient, wsServer } from '../fixtures/websocket.js';

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
    using peer = await rawWebSocket(server.address, ['Sec-WebSocket-Extensions: permessage-deflate']);
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
      expect(await server.events.errors.next()).toMatchObject({ code: 'BAD_FRAME', message: expect.stringContaining('inside a message') });
      await peer.ended;
    }
  });

  it('a message that takes too long: MESSAGE_TIMEOUT, pings or not', async () => {
    await using server = await echo({ messageTimeout: 60 });
    using peer = await rawWebSocket(server.address);
    peer.socket.write(sent('02 81 00000000 61'));
    const ping = setInterval(() => peer.socket.writable && peer.socket.write(sent('89 80 00000000')), 5);
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
    using peer = await rawWebSocket(server.address, ['Sec-WebSocket-Extensions: permessage-deflate']);
    const session = await server.events.opened.next();
    const inflated = deflateRawSync(Buffer.alloc(1_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0xc2fe);
    head.writeUInt16BE(inflated.length, 2);
    session.pause();
    peer.socket.write(Buffer.concat(Array.from({ length: 20 }, () => Buffer.concat([head, inflated]))));
    await turns(QUIET);
    expect(session.stats.bytesRead).toBe(0);
    session.resume();
    await server.events.messages.take(20);
    expect(session.stats.bytesRead).toBe(20_000_000);
  });
});

describe('a flood of pings', () => {
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
    pause(): void {}
    resume(): void {}
    end(): void {}
    destroy(): void {}
  }

  function stuck() {
    const stream = new Stuck();
    const connection = new WebSocketConnection(stream, { role: 'server', protocol: undefined, deflate: undefined, text: false });
    const nothing = (): void => {};
    const events = { onData: nothing, onMessage: nothing, onAlive: nothing, onTaken: nothing, onEnd: nothing, onClose: nothing };
    connection.attach(events, { maxMessageBytes: 1_000, maxInflatedBytes: 1_000, maxQueuedBytes: 1 });
    const ping = (byte: number): Buffer => Buffer.from([0x89, 0x81, 0, 0, 0, 0, byte]);
    return { stream, connection, ping };
  }

  it('whose pongs are not read is answered once, and once more when they are', () => {
    const { stream, ping } = stuck();
    for (let i = 0; i < 1_000; i++) stream.events?.onData(ping(i & 0xff));
    expect(stream.written).toEqual(['8a0100']);
    stream.take();
    expect(stream.written).toEqual(['8a0100', '8a01e7']);
    stream.take();
    expect(stream.written).toHaveLength(2);
  });

  it('in one chunk is answered once', () => {
    const { stream, ping } = stuck();
    stream.events?.onData(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => ping(i & 0xff))));
    expect(stream.written).toEqual(['8a01e7']);
  });

  it('a pong waits for no more than the pong before it: other writes may be stuck', () => {
    const { stream, connection, ping } = stuck();
    connection.write(Buffer.alloc(100));
    stream.events?.onData(ping(1));
    stream.bufferedBytes = 50;
    stream.events?.onData(ping(2));
    expect(stream.written.slice(1)).toEqual(['8a0101']);
    stream.take();
    stream.take();
    connection.write(Buffer.alloc(100));
    stream.events?.onData(ping(3));
    expect(stream.written.at(-1)).toBe('8a0103');
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
