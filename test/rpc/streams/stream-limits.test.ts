/** The limits of streams: window, number of streams, waiting bytes. */
import { describe, expect, test } from 'vitest';
import { implement, RpcError, serve } from '../../../src/rpc/index.js';
import { StreamMemory } from '../../../src/rpc/streams/stream-memory.js';
import { StreamReader } from '../../../src/rpc/streams/stream-reader.js';
import { answersOf, endFrame, Feed, feedRequest, feedRig, itemFrame } from '../../fixtures/feed.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { connectOnce, freeMemoryAddress, outcome } from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { Inbox, turns, until } from '../../fixtures/waiting.js';

noLeaks();

/** The callbacks of a StreamReader of numbers, without a peer. */
const numberCall = {
  decode: (bytes: Uint8Array, start: number, end: number): number =>
    Number(Buffer.from(bytes.subarray(start, end)).toString()),
  onInvalidItem: RpcError.from,
  sendCredit() {},
  onReturn() {},
};

/** Adds `n` as an item in a frame of `size` bytes. */
function pushNumber(reader: StreamReader<number>, n: number, size: number): void {
  const body = Buffer.from(String(n));
  reader.push(body, 0, body.length, size);
}

describe('the window of a stream', () => {
  test('is a limit for many small messages', async () => {
    await using s = await feedRig({ streamWindow: 64 * 1024 });
    await s.peer.send(feedRequest('sum', 3n));
    const small = itemFrame(3n, '');
    const allowed = Math.ceil((64 * 1024) / small.length);
    await s.peer.send(Buffer.concat(Array.from({ length: allowed }, () => small)));
    await turns(5);
    expect(s.peer.frames.all).toEqual([]);
    await s.peer.send(small);
    expect((await answersOf(s.peer, 1)).get(3n)).toContain('without credit');
  });

  test('can be exceeded by the last message', async () => {
    await using s = await feedRig({ streamWindow: 64 * 1024 });
    await s.peer.send(
      feedRequest('sum', 3n),
      itemFrame(3n, 'x'.repeat(60_000)),
      itemFrame(3n, 'x'.repeat(1_000_000)),
      endFrame(3n),
    );
    s.startReading();
    expect((await answersOf(s.peer, 1)).get(3n)).toBe('ok');
  });

  test('is restored by credits, so that a peer that respects it is never refused', async () => {
    let credit = 64 * 1024;
    const reader = new StreamReader<number>(256 * 1024, new StreamMemory(2 ** 20), {
      ...numberCall,
      sendCredit(bytes) {
        credit += bytes;
      },
    });
    reader.open();
    const sizes = fc.sample(fc.integer({ min: 36, max: 50_000 }), 3_000);
    let read = 0;
    for (const [n, size] of sizes.entries()) {
      while (credit <= 0) expect(await reader.next()).toEqual({ done: false, value: read++ });
      pushNumber(reader, n, size);
      credit -= size;
    }
  });
});

describe('maxStreams', () => {
  test('does not count a stream of arguments whose deadline has passed', async () => {
    const errors = new Inbox<unknown>('the end of the arguments');
    const sum = async (texts: AsyncIterable<string>): Promise<number> => {
      let total = 0;
      try {
        for await (const text of texts) total += text.length;
      } catch (error) {
        errors.push(error);
        throw error;
      }
      return total;
    };
    const unused = (): never => {
      throw new Error('not called');
    };
    const service = implement(Feed, {
      sum,
      wait: unused,
      fail: unused,
      ask: unused,
      all: unused,
      chat: unused,
    });
    await using server = await serve(freeMemoryAddress(), [service], { maxStreams: 1 });
    await using client = await connectOnce(server.address);
    const endless: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }),
    };
    const stub = client.stub(Feed);
    // On a busy machine, long enough for the call to reach its handler.
    expect(await outcome(stub.sum(endless, { timeout: 1_000 }))).toBe('DEADLINE_EXCEEDED');
    expect(await errors.next()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await stub.sum(['ab', 'c'])).toBe(3);
  });

  test('limits the streams of a session that are in flight', async () => {
    await using s = await feedRig({ maxStreams: 3 });
    for (const sequence of [3n, 5n, 7n, 9n]) await s.peer.send(feedRequest('sum', sequence));
    expect([...(await answersOf(s.peer, 1)).keys()]).toEqual([9n]);
    expect((await answersOf(s.peer, 1)).get(9n)).toContain('maxStreams is 3');
    s.startReading();
    await s.peer.send(endFrame(3n));
    expect((await answersOf(s.peer, 2)).get(3n)).toBe('ok');
    await s.peer.send(feedRequest('chat', 11n), endFrame(11n));
    expect((await answersOf(s.peer, 3)).get(11n)).toBe('ok');
  });

  test('is 1,024 by default', async () => {
    await using s = await feedRig();
    await s.peer.send(
      Buffer.concat(
        Array.from({ length: 1_030 }, (_, n) => feedRequest('chat', BigInt(2 * n + 3))),
      ),
    );
    expect((await answersOf(s.peer, 6)).size).toBe(6);
    await turns(5);
    expect((await answersOf(s.peer, 6)).size).toBe(6);
  });
});

describe('maxStreamBytes', () => {
  test('limits the bytes that wait in all streams of a session', async () => {
    await using s = await feedRig({ maxStreamBytes: 1_000_000 });
    const part = 'x'.repeat(100_000);
    for (let n = 0; n < 12; n++)
      await s.peer.send(
        feedRequest('sum', BigInt(2 * n + 3)),
        itemFrame(BigInt(2 * n + 3), part),
        endFrame(BigInt(2 * n + 3)),
      );
    const refused = await answersOf(s.peer, 3);
    expect([...refused.keys()]).toEqual([21n, 23n, 25n]);
    expect(refused.get(21n)).toContain('maxStreamBytes is 1000000');
    s.startReading();
    expect(
      [...(await answersOf(s.peer, 12)).values()].filter((answer) => answer === 'ok'),
    ).toHaveLength(9);
    // Bytes that were read or discarded do not count.
    await s.peer.send(
      feedRequest('sum', 101n),
      itemFrame(101n, 'x'.repeat(900_000)),
      endFrame(101n),
    );
    expect((await answersOf(s.peer, 13)).get(101n)).toBe('ok');
  });

  test('does not count the unread items of a call that is over', async () => {
    const memory = new StreamMemory(10_000);
    for (const finish of ['end and discard', 'discard', 'return'] as const) {
      const reader = new StreamReader<number>(64 * 1024, memory, numberCall);
      pushNumber(reader, 1, 4_000);
      pushNumber(reader, 2, 4_000);
      expect(() => pushNumber(reader, 3, 4_000)).toThrow(
        'a message that counts 4256 bytes has arrived while 8512 bytes wait to be read in the streams of this session; maxStreamBytes is 10000',
      );
      if (finish === 'end and discard') reader.end();
      if (finish === 'return') await reader.return();
      else reader.discard(new Error('the call is over') as never);
      expect(memory.bytes).toBe(0);
      if (finish !== 'return') await expect(reader.next()).rejects.toThrow('the call is over');
    }
  });
});

describe('waiting items', () => {
  test('are copied, and decoded when they are read', async () => {
    let decoded = 0;
    const memory = new StreamMemory(2 ** 20);
    const reader = new StreamReader<number>(64 * 1024, memory, {
      ...numberCall,
      decode(bytes, start, end) {
        decoded++;
        return numberCall.decode(bytes, start, end);
      },
    });
    const waiting = reader.next();
    pushNumber(reader, 1, 40);
    expect(decoded).toBe(1);
    // Small bodies share a buffer, larger ones do not.
    const numbers = Array.from({ length: 300 }, (_, n) => n * 10 ** (n % 20));
    for (const n of numbers) pushNumber(reader, n, 40 + String(n).length);
    expect(decoded).toBe(1);
    expect(await waiting).toEqual({ done: false, value: 1 });
    for (const n of numbers) expect(await reader.next()).toEqual({ done: false, value: n });
    expect([decoded, memory.bytes]).toEqual([301, 0]);
  });

  test('are copied with any size of the body', async () => {
    const texts = [0, 47, 48, 49, 511, 512, 513, 4_095, 4_096, 4_097, 20_000].map((length) =>
      String.fromCharCode(97 + (length % 26)).repeat(length),
    );
    const reader = new StreamReader<string>(2 ** 20, new StreamMemory(2 ** 20), {
      ...numberCall,
      decode: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)).toString(),
    });
    reader.open();
    for (const text of texts) {
      const bytes = Buffer.from(text);
      reader.push(bytes, 0, bytes.length, bytes.length + 36);
      // The session overwrites its buffer.
      bytes.fill(0);
    }
    for (const text of texts) expect((await reader.next()).value).toBe(text);
  });

  test('take not much more memory than maxStreamBytes', async () => {
    await using s = await feedRig({ streamWindow: 2 ** 24, maxStreamBytes: 2 ** 24 });
    const before = process.memoryUsage();
    // A decoded item takes 40 times as much memory as its frame.
    const bomb = frameBytes({
      command: 5,
      sequence: 3n,
      serviceId: 1,
      body: `[${'[],'.repeat(10_000)}[]]`,
    });
    await s.peer.send(
      feedRequest('sum', 3n),
      Buffer.concat(Array.from({ length: 500 }, () => bomb)),
    );
    // The answer to a heartbeat shows that the server has received all items.
    await s.peer.send(frameBytes({ command: 1, sequence: 5n, serviceId: 1 }));
    await until(
      () => s.peer.frames.all.some(({ command }) => command === 2),
      'the heartbeat is answered',
    );
    const { heapUsed } = process.memoryUsage();
    expect(heapUsed - before.heapUsed).toBeLessThan(2 * 2 ** 24);
  });
});
