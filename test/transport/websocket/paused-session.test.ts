/** Sessions that are paused: the messages wait, and control frames are handled. */
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { nextTurn } from '../../../src/core/turn.js';
import { serve } from '../../../src/transport/index.js';
import { FIN } from '../../../src/transport/websocket/frames/frame-header.js';
import { bufferBytes } from '../../fixtures/garbage.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { until } from '../../fixtures/waiting.js';
import { ANY, rawWebSocket } from '../../fixtures/websocket.js';
import { blockedConnection } from './blocked-stream.js';
import {
  closed,
  closeWith,
  ECHO_A,
  ECHO_ABC,
  echoServer,
  firstFragment,
  frame,
  lastFragment,
  type Message,
  messages,
  PONG,
  PROTOCOL_ERROR,
  ping,
  text,
} from './echo-server.js';

noLeaks();
// The budget of a turn belongs to the process, so each test begins with a new turn.
beforeEach(nextTurn);

describe('a paused session', () => {
  it('answers pings before it gets the messages in front of them', async () => {
    await using server = await echoServer();
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    session.pause();
    peer.socket.write(
      Buffer.concat([
        text('a'),
        ping('1'),
        firstFragment('ab'),
        ping('2'),
        lastFragment('c'),
        ping('3'),
      ]),
    );
    expect(await peer.frames(9)).toBe('8a01318a01328a0133');
    expect(server.events.messages.all).toEqual([]);
    session.resume();
    expect(await peer.frames(9 + 8)).toBe(`8a01318a01328a0133${ECHO_A}${ECHO_ABC}`);
  });

  it('answers pings while maxHandling messages are handled', async () => {
    let answer = (): void => {};
    const listener = new Recorder<Message>('the server', {
      onMessage: (from, message) =>
        new Promise<void>((resolve) => {
          answer = () => {
            from.write(message);
            resolve();
          };
        }),
    });
    await using server = await serve(ANY, { codec: messages, listener, maxHandling: 1 });
    using peer = await rawWebSocket(server.address);
    peer.socket.write(Buffer.concat([text('a'), text('abc'), ping()]));
    expect(await peer.frames(2)).toBe(PONG);
    expect(listener.messages.all).toHaveLength(1);
    answer();
    expect(await peer.frames(5)).toBe(PONG + ECHO_A);
    await listener.messages.take(2);
    answer();
    expect(await peer.frames(10)).toBe(PONG + ECHO_A + ECHO_ABC);
  });

  it.each([
    ['a close frame', closeWith(1000), closed(1000)],
    ['a violation', frame(FIN | 3), PROTOCOL_ERROR],
  ])('gets the messages before %s', async (_name, end, answer) => {
    await using server = await echoServer();
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    session.pause();
    peer.socket.write(Buffer.concat([text('a'), text('abc'), ping(), end]));
    expect(await peer.frames(2)).toBe(PONG);
    expect(session.closed).toBe(false);
    session.resume();
    const expected = PONG + ECHO_A + ECHO_ABC + answer;
    expect(await peer.frames(expected.length / 2)).toBe(expected);
    peer.socket.end();
    await server.events.closed.next();
  });
});

describe('a paused connection', () => {
  const emptyMessage = Buffer.from([0x82, 0x80, 0, 0, 0, 0]);
  const smallMessage = Buffer.concat([Buffer.from([0x82, 0x84, 0, 0, 0, 0]), Buffer.from('abcd')]);
  const withPayload = (opcode: number): Buffer =>
    Buffer.concat([Buffer.from([opcode, 0xfe, 0x27, 0x10, 0, 0, 0, 0]), Buffer.alloc(10_000)]);
  const FRAGMENTS = 'fragments of one message';

  it.each([
    ['empty messages', emptyMessage],
    ['small messages', smallMessage],
    ['large messages', withPayload(0x82)],
    [FRAGMENTS, withPayload(0)],
  ])('pauses its stream when it holds 64 KiB of %s', async (name, bytes) => {
    // On a slow machine the turn would end, and the rest of the bytes would wait for the next one.
    const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    onTestFinished(() => clock.mockRestore());
    await nextTurn();
    const { stream, connection, received } = blockedConnection();
    connection.pause();
    if (name === FRAGMENTS) stream.events?.onData(Buffer.from([0x02, 0x80, 0, 0, 0, 0]));
    let sent = 0;
    for (; !stream.isPaused && sent < 10_000; sent++) stream.events?.onData(Buffer.from(bytes));
    expect(sent * Math.max(bytes.length, 256)).toBeLessThan(100 * 1024);
    expect(sent).toBeGreaterThan(5);
    expect(received).toEqual([]);
    connection.resume();
    expect(stream.isPaused).toBe(false);
    expect(received).toHaveLength(name === FRAGMENTS ? 0 : sent);
  });

  it('keeps no chunk in memory that has mostly pongs', async () => {
    const { stream, connection, received } = blockedConnection();
    const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);
    const chunk = Buffer.concat([smallMessage, ...Array.from({ length: 2_000 }, () => pong)]);
    connection.pause();
    const before = bufferBytes();
    // Reading takes no time. On a slow machine chunks would wait for their turn.
    const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    onTestFinished(() => clock.mockRestore());
    let sent = 0;
    for (; !stream.isPaused; sent++) {
      await nextTurn();
      const own = Buffer.allocUnsafeSlow(chunk.length);
      chunk.copy(own);
      stream.events?.onData(own);
      // To collect garbage takes long.
      if (sent % 8 === 0)
        await until(() => bufferBytes() - before < 128 * 1024, 'the memory of the chunks');
    }
    expect(sent).toBeGreaterThan(100);
    connection.resume();
    await until(() => received.length === sent, 'the messages');
    expect(received.every((message) => Buffer.from(message).toString() === 'abcd')).toBe(true);
  });

  it('pauses its stream at once inside a large message', () => {
    const { stream, connection } = blockedConnection();
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

  it('delivers one message when the session pauses again in its handler', () => {
    const { stream, connection, received } = blockedConnection();
    connection.pause();
    stream.events?.onData(Buffer.concat([emptyMessage, emptyMessage, emptyMessage]));
    const push = received.push.bind(received);
    received.push = (...more) => {
      connection.pause();
      return push(...more);
    };
    connection.resume();
    expect(received).toHaveLength(1);
    connection.resume();
    expect(received).toHaveLength(2);
  });
});
