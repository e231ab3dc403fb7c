/** What broadcast() does with the sessions of a server. The same on every transport. */
import { expect } from 'vitest';
import {
  BroadcastError,
  broadcast,
  type Codec,
  lengthPrefixed,
  lines,
  topics,
} from '../../../src/transport/index.js';
import { room } from '../../fixtures/rooms.js';
import { failingCodec, fillQueues, untilQuiet } from '../../fixtures/session-probes.js';
import { runForEveryTransport, setupOf, thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

const ALL = { sent: 0, skipped: 0, waiting: 0, closed: 0, failed: 0 };
/** More is queued at once than this mark, and less than the first portion that is sent early. */
const SLOW = { highWaterMark: 100 };
const FILLING = 'x'.repeat(500);

/** lines(), with the number of its write() calls. */
function countingCodec(): Codec<string> & { calls: number } {
  const inner = lines();
  return {
    calls: 0,
    read: (input, session) => inner.read(input, session),
    write(output, line, session) {
      this.calls++;
      inner.write(output, line, session);
    },
  };
}

runForEveryTransport({
  async 'broadcasts a message once to each session, and encodes it once'(row) {
    const codec = countingCodec();
    await using r = await room(row, 3, { serverSide: { codec } });
    expect(broadcast(r.server.sessions, 'hello')).toEqual({ ...ALL, sent: 3 });
    for (const { messages } of r.events) expect(await messages.next()).toBe('hello');
    expect(codec.calls).toBe(1);
    expect(r.sessions.map(({ stats }) => stats.messagesWritten)).toEqual([1, 1, 1]);
    expect(r.sessions.map(({ stats }) => stats.bytesWritten)).toEqual([6, 6, 6]);
    await untilQuiet();
    for (const { messages } of r.events) expect(messages.unread).toEqual([]);
  },

  async 'broadcasts from the sessions of clients'(row) {
    await using r = await room(row, 3);
    expect(broadcast(r.peers, 'hello')).toEqual({ ...ALL, sent: 3 });
    expect(await r.serverEvents.messages.take(3)).toEqual(['hello', 'hello', 'hello']);
  },

  async 'broadcasts in order with other writes, whatever the sizes of the messages'(row) {
    await using r = await room(row, 2);
    const expected: string[] = [];
    const [first] = r.sessions;
    // 2,047, 16,383 and 81,919 are the sizes of pooled buffers without the line feed.
    for (const size of [1, 2_047, 16_383, 30_000, 81_919, 3, 100_000, 0]) {
      const line = `${size % 10}`.repeat(size);
      first?.write('before');
      broadcast(r.sessions, line);
      first?.write('');
      broadcast(r.sessions, `${line}!`);
      first?.write(`after ${size}`);
      expected.push('before', line, '', `${line}!`, `after ${size}`);
      // Below highWaterMark again.
      await until(() => r.sessions.every(({ queuedBytes }) => queuedBytes === 0), 'all is sent');
    }
    expect(await r.events[0]?.messages.take(expected.length)).toEqual(expected);
    const common = expected.filter((_, i) => i % 5 === 1 || i % 5 === 3);
    expect(await r.events[1]?.messages.take(common.length)).toEqual(common);
  },

  async 'leaves out the sessions in except, and closed sessions'(row) {
    await using r = await room(row, 4);
    const [first, second, third] = r.sessions;
    if (first === undefined || second === undefined || third === undefined) expect.fail();
    expect(broadcast(r.sessions, 'a', { except: first })).toEqual({ ...ALL, sent: 3 });
    expect(broadcast(r.sessions, 'b', { except: [first, second] })).toEqual({ ...ALL, sent: 2 });
    expect(broadcast(r.sessions, 'c', { except: new Set([second]) })).toEqual({ ...ALL, sent: 3 });
    void third.close();
    expect(broadcast(r.sessions, 'd')).toEqual({ ...ALL, sent: 3 });
    for (const [at, expected] of ['cd', 'ad', 'abc', 'abcd'].entries())
      expect((await r.events[at]?.messages.take(expected.length))?.toSorted().join('')).toBe(
        expected,
      );
  },

  async 'skips slow sessions'(row) {
    await using r = await room(row, 2, { serverSide: SLOW });
    r.sessions[0]?.write(FILLING);
    expect(broadcast(r.sessions, 'a')).toEqual({ ...ALL, sent: 1, skipped: 1 });
    await r.sessions[0]?.drained();
    expect(broadcast(r.sessions, 'b')).toEqual({ ...ALL, sent: 2 });
    expect(await r.events[0]?.messages.take(2)).toEqual([FILLING, 'b']);
    expect(await r.events[1]?.messages.take(2)).toEqual(['a', 'b']);
  },

  async "sends slow sessions only the latest message with slow: 'latest'"(row) {
    await using r = await room(row, 2, { serverSide: SLOW });
    r.sessions[0]?.write(FILLING);
    for (const line of ['a', 'b', 'c'])
      expect(broadcast(r.sessions, line, { slow: 'latest' })).toEqual({
        ...ALL,
        sent: 1,
        waiting: 1,
      });
    expect(await r.events[0]?.messages.take(2)).toEqual([FILLING, 'c']);
    expect(await r.events[1]?.messages.take(3)).toEqual(['a', 'b', 'c']);
    expect(broadcast(r.sessions, 'd', { slow: 'latest' })).toEqual({ ...ALL, sent: 2 });
    expect(await r.events[0]?.messages.next()).toBe('d');
  },

  async "keeps one message for each slow session and topic with slow: 'latest'"(row) {
    await using r = await room(row, 1, { serverSide: SLOW });
    const [session] = r.sessions;
    if (session === undefined) expect.fail();
    const rooms = topics<string>();
    for (const name of ['x', 'y', 'z']) rooms.subscribe(session, name);
    session.write(FILLING);
    for (const line of ['1', '2'])
      for (const name of ['x', 'y', 'z'])
        expect(rooms.publish(name, name + line, { slow: 'latest' }).waiting).toBe(1);
    rooms.unsubscribe(session, 'z');
    expect(await r.events[0]?.messages.take(3)).toEqual([FILLING, 'x2', 'y2']);
    await untilQuiet();
    expect(r.events[0]?.messages.unread).toEqual([]);
  },

  async "destroys slow sessions with SESSION_BLOCKED with slow: 'close'"(row) {
    await using r = await room(row, 2, { serverSide: SLOW });
    r.sessions[0]?.write(FILLING);
    expect(broadcast(r.sessions, 'a', { slow: 'close' })).toEqual({ ...ALL, sent: 1, closed: 1 });
    expect(await r.serverEvents.errors.next()).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(/too slow for a broadcast: \d+ bytes .* highWaterMark is 100/),
    });
    expect(await r.serverEvents.closed.next()).toBe(r.sessions[0]);
    await r.events[0]?.closed.next();
    r.events[0]?.errors.dismiss();
    expect(await r.events[1]?.messages.next()).toBe('a');
    expect(broadcast(r.sessions, 'b', { slow: 'close' })).toEqual({ ...ALL, sent: 1 });
    expect(await r.events[1]?.messages.next()).toBe('b');
  },

  async 'queues no more for a peer that does not read than its policy permits'(row) {
    await using r = await room<Buffer, Uint8Array>(row, 1, {
      serverSide: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      clientSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const [session] = r.sessions;
    if (session === undefined) expect.fail();
    const count = await fillQueues(session);
    const before = session.queuedBytes;
    for (let i = 0; i < 1_000; i++) {
      expect(broadcast(r.sessions, Buffer.alloc(10_000, i))).toEqual({ ...ALL, skipped: 1 });
      expect(broadcast(r.sessions, Buffer.alloc(10_000, i), { slow: 'latest' })).toEqual({
        ...ALL,
        waiting: 1,
      });
    }
    expect(session.queuedBytes).toBeLessThanOrEqual(before);
    r.peers[0]?.resume();
    await r.events[0]?.messages.take(count);
    expect(await r.events[0]?.messages.next()).toEqual(Buffer.alloc(10_000, 999));
  },

  async 'throws one BroadcastError when a codec fails, and serves other codecs'(row) {
    const failing = failingCodec();
    let opened = 0;
    await using r = await room(row, 4, {
      setup: (events) => () => ({
        ...setupOf(row, events),
        codec: opened++ % 2 === 0 ? failing : lines(),
      }),
    });
    const error = thrown<BroadcastError>(() => broadcast(r.sessions, 'bad'));
    expect(error).toBeInstanceOf(BroadcastError);
    expect(error).toMatchObject({ ...ALL, code: 'ENCODE_FAILED', sent: 2, failed: 2 });
    expect(error.cause).toMatchObject({ message: 'a bad word' });
    expect(thrown(() => broadcast(r.sessions, 'worse')).code).toBe('BAD_ADDRESS');
    broadcast(r.sessions, 'good');
    expect(await r.events[0]?.messages.next()).toBe('good');
    expect((await r.events[1]?.messages.take(3))?.toSorted()).toEqual(['bad', 'good', 'worse']);
  },

  async 'throws MESSAGE_TOO_LARGE for the sessions whose maxMessageBytes is too small'(row) {
    let opened = 0;
    await using r = await room(row, 2, {
      setup: (events) => () => ({
        ...setupOf(row, events),
        maxMessageBytes: opened++ === 0 ? 100 : 1_000,
      }),
    });
    const error = thrown(() => broadcast(r.sessions, FILLING));
    expect(error).toMatchObject({ code: 'MESSAGE_TOO_LARGE', failed: 1, sent: 1 });
    expect(await r.events[1]?.messages.next()).toBe(FILLING);
  },
});
