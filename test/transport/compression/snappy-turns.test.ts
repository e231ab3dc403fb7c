/** Snappy divides long work among turns of the event loop. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compress } from '../../../src/transport/compression/compress.js';
import { chunksOf, STREAM_IDENTIFIER } from '../../../src/transport/compression/snappy-format.js';
import type { Connection } from '../../../src/transport/types.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { turns, until } from '../../fixtures/waiting.js';
import { readAll } from './snappy-chunks.js';

describe('a large write', () => {
  const LARGE = Buffer.from(randomBytes(8 * 1024 * 1024).toString('hex'));

  class InnerConnection extends HoldingConnection {
    isEnded = false;
    override end(): void {
      this.isEnded = true;
    }
  }

  function start(): { inner: InnerConnection; connection: Connection; calls: { onTaken: number } } {
    const inner = new InnerConnection();
    const connection = compress(inner, 'snappy', Number.POSITIVE_INFINITY);
    const calls = { onTaken: 0 };
    const ignore = (): void => {};
    const events = {
      onData: ignore,
      onMessage: ignore,
      onAlive: ignore,
      onEnd: ignore,
      onClose: ignore,
      onTaken: () => void calls.onTaken++,
    };
    connection.attach(events, { maxMessageBytes: 1, maxInflatedBytes: 1, maxQueuedBytes: 1 });
    return { inner, connection, calls };
  }
  const sizeOf = (chunks: readonly Buffer[]): number =>
    chunks.reduce((sum, bytes) => sum + bytes.length, 0);

  it('is compressed in several turns of the event loop, before later writes and the end', async () => {
    const { inner, connection, calls } = start();
    connection.write(LARGE);
    connection.write(Buffer.from('the next write'));
    connection.end();
    expect(sizeOf(inner.taken)).toBeLessThan(LARGE.length / 4);
    expect(connection.bufferedBytes).toBe(LARGE.length + 14);
    expect(inner.isEnded).toBe(false);
    await until(() => inner.isEnded, 'the inner connection is ended');
    expect(calls.onTaken).toBeGreaterThan(1);
    expect(connection.bufferedBytes).toBe(0);
    expect(readAll(inner.taken).equals(Buffer.concat([LARGE, Buffer.from('the next write')]))).toBe(
      true,
    );
  });

  it('is not compressed further after destroy()', async () => {
    const { inner, connection } = start();
    connection.write(LARGE);
    connection.destroy();
    const size = sizeOf(inner.taken);
    await turns(5);
    expect(sizeOf(inner.taken)).toBe(size);
  });
});

describe('a stream that inflates to many bytes', () => {
  /** The size of each onData(), then -1 for onEnd() and -2 for onClose(). */
  function startReceiver() {
    const inner = new HoldingConnection();
    const connection = compress(inner, 'snappy', Number.POSITIVE_INFINITY);
    const sizes: number[] = [];
    const ignore = (): void => {};
    connection.attach(
      {
        onData: (bytes) => void sizes.push(bytes.length),
        onMessage: ignore,
        onAlive: ignore,
        onTaken: ignore,
        onEnd: () => void sizes.push(-1),
        onClose: () => void sizes.push(-2),
      },
      { maxMessageBytes: 1, maxInflatedBytes: 1, maxQueuedBytes: 1 },
    );
    const events = connection as unknown as {
      onData(bytes: Buffer): void;
      onEnd(): void;
      onClose(): void;
    };
    return {
      connection,
      events,
      sizes,
      inflated: () => sizes.reduce((sum, size) => sum + Math.max(0, size), 0),
    };
  }

  const SIZE = 2 ** 20;
  const stream = Buffer.concat([STREAM_IDENTIFIER, ...chunksOf(Buffer.alloc(SIZE))]);

  it('is inflated in many turns of the event loop when many arrive at once', async () => {
    const receivers = Array.from({ length: 200 }, startReceiver);
    for (const { events } of receivers) {
      events.onData(Buffer.from(stream));
      events.onEnd();
      events.onClose();
    }
    const inflated = (): number => receivers.reduce((sum, each) => sum + each.inflated(), 0);
    expect(inflated()).toBeLessThan((receivers.length * SIZE) / 2);
    await until(
      () => receivers.every(({ sizes }) => sizes.at(-1) === -2),
      'all connections are closed',
    );
    for (const { sizes } of receivers)
      expect(sizes).toEqual([...Array.from({ length: SIZE / 65_536 }, () => 65_536), -1, -2]);
  });

  it.each([
    ['skipped chunks', Buffer.of(0xfe, 0, 0, 0)],
    ['stream identifiers', STREAM_IDENTIFIER],
    // An uncompressed chunk of the checksum of no bytes.
    ['empty chunks', Buffer.of(1, 4, 0, 0, 0xd8, 0xea, 0x82, 0xa2)],
  ])('is read in many turns of the event loop when it has only %s', async (_, chunk) => {
    const count = Math.floor(2 ** 18 / chunk.length);
    const flood = Buffer.concat([STREAM_IDENTIFIER, ...Array(count).fill(chunk)]);
    const receivers = Array.from({ length: 40 }, startReceiver);
    for (const { events } of receivers) {
      events.onData(Buffer.from(flood));
      events.onEnd();
      events.onClose();
    }
    const open = (): number => receivers.filter(({ sizes }) => sizes.at(-1) !== -2).length;
    expect(open()).toBeGreaterThan(receivers.length / 2);
    await until(() => open() === 0, 'all connections are closed');
    expect(receivers.every(({ sizes }) => sizes.join() === '-1,-2')).toBe(true);
  });

  it.each<[event: string, act: (receiver: ReturnType<typeof startReceiver>) => void]>([
    ['destroyed', ({ connection }) => connection.destroy()],
    ['lost', ({ events }) => events.onClose()],
  ])('delivers nothing after the connection is %s while it waits for a turn', async (_, act) => {
    const receivers = Array.from({ length: 200 }, startReceiver);
    for (const { events } of receivers) events.onData(Buffer.from(stream));
    const waiting = receivers.filter(({ sizes }) => sizes.length < SIZE / 65_536);
    expect(waiting.length).toBeGreaterThan(0);
    for (const each of waiting) act(each);
    const before = waiting.map(({ sizes }) => [...sizes]);
    expect(before.every((sizes) => sizes.at(-1) === -2)).toBe(true);
    await turns(20);
    expect(waiting.map(({ sizes }) => sizes)).toEqual(before);
  });
});
