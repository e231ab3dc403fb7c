/**
 * What a session does, the same on every transport. Names that begin with a number carry the rule
 * of PITFALLS.md.
 */
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';
import { expect, vi } from 'vitest';
import {
  type Codec,
  GettyError,
  lengthPrefixed,
  lines,
  raw,
  SendError,
  type Session,
} from '../../src/transport/index.js';
import { Recorder } from '../fixtures/recorder.js';
import {
  connectAs,
  pair,
  rejection,
  runForEveryTransport,
  setupOf,
  type TransportRow,
  thrown,
} from '../fixtures/transports.js';
import { gate, turns, until, Inbox as Waiting, within } from '../fixtures/waiting.js';

/** Turns of the loop after which whatever could come has come. */
const QUIET = 20;
const CHUNK = 64 * 1024;

/** A lines codec that throws on the words 'bad' and 'worse'. */
function touchy(): Codec<string> {
  const inner = lines();
  const check = (word: string): void => {
    if (word === 'bad') throw new TypeError('a bad word');
    if (word === 'worse') throw new GettyError('BAD_ADDRESS', 'a worse word');
  };
  return {
    read(input, session) {
      const word = inner.read(input, session);
      if (word !== undefined) check(word);
      return word;
    },
    write(output, word, session) {
      inner.write(output, word, session);
      check(word);
    },
  };
}

const compressSomething = promisify(deflateRaw);

/**
 * Fill what the operating system holds for a peer that does not read, until the session itself has
 * to queue.
 */
async function fillUp(session: Session<Buffer, Uint8Array>): Promise<number> {
  const noise = randomBytes(CHUNK);
  for (let count = 1; ; count++) {
    if (session.write(noise)) continue;
    let moved = false;
    const onMoved = (): void => {
      moved = true;
    };
    session.drained().then(onMoved, onMoved);
    // Long enough for everything that is on its way, compression in zlib's threads too.
    for (let i = 0; i < 10 && !moved; i++) {
      await compressSomething(noise);
      await turns(QUIET);
    }
    if (!moved) return count;
  }
}

/** A second client of the pair's server: proof that the server goes on. */
async function expectServerGoesOn(
  row: TransportRow,
  address: string,
  farEvents: Recorder<string>,
): Promise<void> {
  await using client = await connectAs(
    row,
    address,
    setupOf(row, new Recorder<string>('the second client')),
  );
  (await client.session()).write('still there?');
  await until(
    () => farEvents.messages.all.includes('still there?'),
    'the server got a message of the second client',
  );
}

runForEveryTransport({
  async 'onOpen comes first, then messages, then onClose, once and last'(row) {
    await using p = await pair(row);
    p.near.write('one');
    await p.farEvents.messages.next();
    await p.near.close();
    await p.farEvents.closed.next();
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open', 'message', 'close']);
    expect(p.nearEvents.log).toEqual(['open', 'close']);
  },

  async 'a message written in onOpen arrives'(row) {
    const greet = { onOpen: (session: Session<string>) => void session.write('hello') };
    await using p = await pair(row, { near: { on: greet }, far: { on: greet } });
    expect(await p.farEvents.messages.next()).toBe('hello');
    expect(await p.nearEvents.messages.next()).toBe('hello');
  },

  async 'messages arrive in order, both ways'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => session.write(`${line} back`) } },
    });
    for (let i = 0; i < 300; i++) {
      p.near.write(`${i}`);
      if (i % 7 === 0) await turns();
    }
    expect(await p.nearEvents.messages.take(300)).toEqual(
      Array.from({ length: 300 }, (_, i) => `${i} back`),
    );
  },

  async 'many messages of one tick arrive in order'(row) {
    await using p = await pair(row);
    const sent = Array.from({ length: 5_000 }, (_, i) => `message ${i} ${'x'.repeat(i % 97)}`);
    for (const line of sent) p.near.write(line);
    expect(await p.farEvents.messages.take(sent.length)).toEqual(sent);
  },

  async 'split: a message that comes in pieces arrives whole, at every split'(row) {
    await using p = await pair(row, { near: { codec: raw() } });
    const line = Buffer.from('grün!\r\n');
    for (let at = 0; at <= line.length; at++) {
      p.near.writeBytes(line.subarray(0, at));
      await turns(2);
      p.near.writeBytes(line.subarray(at));
      expect(await p.farEvents.messages.next()).toBe('grün!');
    }
    for (const byte of line) {
      p.near.writeBytes(Uint8Array.of(byte));
      await turns();
    }
    expect(await p.farEvents.messages.next()).toBe('grün!');
  },

  async 'merged: messages that come in one piece arrive one by one'(row) {
    await using p = await pair(row, { near: { codec: raw() } });
    p.near.writeBytesArray([Buffer.from('a\nb'), Buffer.from('b\n'), Buffer.from('c\nd')]);
    expect(await p.farEvents.messages.take(3)).toEqual(['a', 'bb', 'c']);
    p.near.writeBytes(Buffer.from('d\n'));
    expect(await p.farEvents.messages.next()).toBe('dd');
  },

  async 'an empty message is a message'(row) {
    await using p = await pair(row);
    p.near.write('');
    p.near.write('after');
    expect(await p.farEvents.messages.take(2)).toEqual(['', 'after']);
  },

  async 'a message of maxMessageBytes arrives unharmed'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed() },
      far: { codec: lengthPrefixed() },
    });
    const sent = randomBytes(p.near.maxMessageBytes - 4);
    p.near.write(sent);
    expect((await p.farEvents.messages.next()).equals(sent)).toBe(true);
  },

  async 'bytes that a handler keeps are not recycled under it (4)'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed() },
      far: { codec: lengthPrefixed() },
    });
    const sent = Array.from({ length: 200 }, (_, i) => Buffer.alloc(1 + ((i * 379) % 3_000), i));
    for (const message of sent) {
      p.near.write(message);
      if (message[0] === 100) await turns(3);
    }
    const kept = await p.farEvents.messages.take(sent.length);
    expect(kept.every((message, i) => message.equals(sent[i] as Buffer))).toBe(true);
  },

  async 'bytes given to write are copied: the caller may use them again'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed() },
      far: { codec: lengthPrefixed() },
    });
    const mine = Buffer.alloc(100, 1);
    p.near.write(mine);
    mine.fill(2);
    p.near.write(mine);
    mine.fill(3);
    expect((await p.farEvents.messages.take(2)).map((message) => message[99])).toEqual([1, 2]);
  },

  async 'pause: no message comes while paused, and none is lost'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => line === 'stop' && session.pause() } },
    });
    p.near.write('stop');
    for (let i = 0; i < 50; i++) p.near.write(`${i}`);
    await p.farEvents.messages.next();
    for (let i = 50; i < 100; i++) {
      p.near.write(`${i}`);
      await turns();
    }
    await turns(QUIET);
    expect(p.farEvents.messages.unread).toEqual([]);
    p.far.resume();
    expect(await p.farEvents.messages.take(100)).toEqual(
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
  },

  async 'resume from within onMessage goes on, in order'(row) {
    const toggle = (session: Session<string>): void => {
      session.pause();
      session.resume();
    };
    await using p = await pair(row, { far: { on: { onMessage: toggle } } });
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const line of sent) p.near.write(line);
    expect(await p.farEvents.messages.take(sent.length)).toEqual(sent);
  },

  async 'paused in onOpen: messages wait for resume'(row) {
    await using p = await pair(row, { far: { on: { onOpen: (session) => session.pause() } } });
    p.near.write('patience');
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open']);
    p.far.resume();
    expect(await p.farEvents.messages.next()).toBe('patience');
  },

  async 'write answers false at the high-water mark, and drained settles below it'(row) {
    await using p = await pair(row, { near: { highWaterMark: 1_000 } });
    expect(p.near.write('x'.repeat(500))).toBe(true);
    await p.near.drained();
    expect(p.near.write('x'.repeat(600))).toBe(false);
    expect(p.near.queuedBytes).toBeGreaterThan(1_000);
    await within(p.near.drained(), 'drained()');
    expect(p.near.queuedBytes).toBeLessThan(1_000);
    expect(p.near.write('more')).toBe(true);
    expect(await p.farEvents.messages.take(3)).toEqual(['x'.repeat(500), 'x'.repeat(600), 'more']);
  },

  async 'a reader that does not read: drained waits for it, and nothing is lost'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillUp(p.near);
    let drained = false;
    const draining = p.near.drained().then(() => {
      drained = true;
    });
    await turns(QUIET);
    expect(drained).toBe(false);
    p.far.resume();
    await within(draining, 'drained()');
    const got = await p.farEvents.messages.take(count);
    expect(got.every((message) => message.equals(got[0] as Buffer))).toBe(true);
  },

  async 'SESSION_BLOCKED when maxQueuedBytes are queued already, within a tick too'(row) {
    await using p = await pair(row, { near: { maxQueuedBytes: 1_000 } });
    const accepted: string[] = [];
    const error = thrown(() => {
      for (let i = 0; i < 1_000; i++) {
        p.near.write(`${i}`.padStart(99, '0'));
        accepted.push(`${i}`.padStart(99, '0'));
      }
    });
    expect(error).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(/1\d\d\d bytes are queued, maxQueuedBytes is 1000/),
    });
    expect(accepted.length).toBe(10);
    expect(await p.farEvents.messages.take(10)).toEqual(accepted);
    await until(() => p.near.queuedBytes === 0, 'the queue is empty');
    p.near.write('free again');
    expect(await p.farEvents.messages.next()).toBe('free again');
  },

  async 'each send() that waits counts as 512 bytes, after the first 64: SESSION_BLOCKED'(row) {
    await using p = await pair(row, { near: { maxQueuedBytes: 40_000 } });
    const outcomes = await within(
      Promise.allSettled(Array.from({ length: 1_000 }, () => p.near.send('x'))),
      'all are settled',
    );
    const sent = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(sent).toBeGreaterThan(120);
    expect(sent).toBeLessThan(150);
    const blocked = outcomes.filter(
      (outcome) => outcome.status === 'rejected' && outcome.reason.code === 'SESSION_BLOCKED',
    );
    expect(blocked).toHaveLength(1_000 - sent);
    await p.farEvents.messages.take(sent);
    await p.near.send('free again');
    expect(await p.farEvents.messages.next()).toBe('free again');
  },

  async 'a slow reader cannot grow our memory: SESSION_BLOCKED'(row) {
    const maxQueuedBytes = 256 * 1024;
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillUp(p.near);
    const error = thrown(() => {
      for (;;) p.near.write(randomBytes(CHUNK));
    });
    expect(error.code).toBe('SESSION_BLOCKED');
    await turns(QUIET);
    expect(p.near.queuedBytes).toBeLessThanOrEqual(maxQueuedBytes + CHUNK + 4);
    p.far.resume();
    await p.farEvents.messages.take(count);
    expect(p.near.closed).toBe(false);
  },

  async 'MESSAGE_TOO_LARGE on write: nothing of it is sent, the session lives'(row) {
    await using p = await pair(row, { near: { maxMessageBytes: 1_000 } });
    p.near.write('before');
    const error = thrown(() => p.near.write('x'.repeat(1_000)));
    expect(error).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringMatching(/1001 bytes.*maxMessageBytes is 1000/),
    });
    p.near.write('after');
    expect(await p.farEvents.messages.take(2)).toEqual(['before', 'after']);
    expect(p.near.stats).toMatchObject({ messagesWritten: 2, bytesWritten: 13 });
  },

  async '2: a message over maxMessageBytes closes its session with MESSAGE_TOO_LARGE; the server goes on'(
    row,
  ) {
    await using p = await pair(row, { far: { maxMessageBytes: 1_000 } });
    p.near.write('x'.repeat(999));
    expect((await p.farEvents.messages.next()).length).toBe(999);
    p.near.write('x'.repeat(1_000));
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringContaining('maxMessageBytes is 1000'),
    });
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
    await expectServerGoesOn(row, p.server.address, p.farEvents);
  },

  async '23: a message that never ends is bounded by maxMessageBytes'(row) {
    await using p = await pair(row, { near: { codec: raw() }, far: { maxMessageBytes: 10_000 } });
    for (let i = 0; i < 10; i++) p.near.writeBytes(Buffer.alloc(1_000, 'x'));
    await turns(QUIET);
    expect(p.far.closed).toBe(false);
    p.near.writeBytes(Buffer.from('x'));
    expect((await p.farEvents.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
    await p.farEvents.closed.next();
  },

  async 'bytes that a codec drops are no message, and do not count against the next one'(row) {
    // A one-byte keep-alive before each message, dropped by answering undefined.
    const inner = lines();
    const dropping: Codec<string> = {
      read(input, session) {
        if (input.peek(0) !== 0) return inner.read(input, session);
        input.skip(1);
        return undefined;
      },
      write: inner.write,
    };
    await using p = await pair(row, {
      near: { codec: raw() },
      far: { codec: dropping, maxMessageBytes: 100 },
    });
    const line = `${'x'.repeat(60)}\n`;
    p.near.writeBytes(Buffer.from(`\0${line}\0\0${line}\0${line}`));
    expect(await p.farEvents.messages.take(3)).toEqual(Array(3).fill('x'.repeat(60)));
  },

  async '13: a codec that throws on write: the caller gets its error, nothing is sent'(row) {
    await using p = await pair(row, { near: { codec: touchy() } });
    p.near.write('good');
    expect(thrown(() => p.near.write('bad'))).toBeInstanceOf(TypeError);
    expect(thrown(() => p.near.write('worse')).code).toBe('BAD_ADDRESS');
    const refused = await rejection<SendError>(p.near.send('bad'));
    expect(refused).toBeInstanceOf(SendError);
    expect(refused).toMatchObject({
      code: 'ENCODE_FAILED',
      encodedBytes: 0,
      sentBytes: 0,
      cause: expect.any(TypeError),
    });
    expect((await rejection(p.near.send('worse'))).code).toBe('BAD_ADDRESS');
    p.near.write('good again');
    expect(await p.farEvents.messages.take(2)).toEqual(['good', 'good again']);
    expect(p.near.stats.messagesWritten).toBe(2);
  },

  async '23: a codec that throws on read closes its session with BAD_FRAME and nothing else'(row) {
    await using p = await pair(row, { far: { codec: touchy() } });
    p.near.write('bad');
    p.near.write('never read');
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('a bad word'),
      cause: expect.any(TypeError),
    });
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual([]);
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
    await expectServerGoesOn(row, p.server.address, p.farEvents);
  },

  async 'what was answered before bytes that the codec cannot read still leaves'(row) {
    const answer = {
      onMessage: (session: Session<string>, word: string) => void session.write(word),
    };
    await using p = await pair(row, { far: { codec: touchy(), on: answer } });
    for (const word of ['one', 'two', 'bad']) p.near.write(word);
    expect(await p.nearEvents.messages.take(2)).toEqual(['one', 'two']);
    await p.nearEvents.closed.next();
    expect((await p.farEvents.errors.next()).code).toBe('BAD_FRAME');
    p.nearEvents.errors.dismiss();
  },

  async "a codec's own GettyError reaches onError as it is"(row) {
    await using p = await pair(row, { far: { codec: touchy() } });
    p.near.write('worse');
    expect((await p.farEvents.errors.next()).code).toBe('BAD_ADDRESS');
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'a codec that takes nothing, or an impossible count, is BAD_FRAME and not a loop or a crash'(
    row,
  ) {
    for (const take of [
      () => 'nothing taken',
      (input: { take(n: number): Buffer }) => input.take(Number.NaN).toString(),
      (input: { take(n: number): Buffer }) => input.take(0.5).toString(),
    ]) {
      await using p = await pair(row, { far: { codec: { read: take, write: () => {} } } });
      p.near.write('x');
      expect((await p.farEvents.errors.next()).code).toBe('BAD_FRAME');
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    }
  },

  async 'send settles when the bytes are taken, and says how many'(row) {
    await using p = await pair(row);
    expect(await Promise.all([p.near.send('hello'), p.near.send(''), p.near.send('grün')])).toEqual(
      [
        { encodedBytes: 6, sentBytes: 6 },
        { encodedBytes: 1, sentBytes: 1 },
        { encodedBytes: 6, sentBytes: 6 },
      ],
    );
    expect(p.near.queuedBytes).toBe(0);
    expect(await p.farEvents.messages.take(3)).toEqual(['hello', '', 'grün']);
  },

  async '14: send times out by itself or is aborted, says how far it got, and the session lives'(
    row,
  ) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillUp(p.near);
    const caller = new AbortController();
    const late = rejection<SendError>(p.near.send(Buffer.from('late'), { timeout: 30 }));
    const unwanted = rejection<SendError>(
      p.near.send(Buffer.from('unwanted'), { signal: caller.signal }),
    );
    const patient = p.near.send(Buffer.from('patient'));
    expect(await late).toMatchObject({
      name: 'SendError',
      code: 'SEND_TIMEOUT',
      encodedBytes: 8,
      sentBytes: 0,
      message: expect.stringMatching(/within 30 ms; 0 of 8 bytes/),
    });
    caller.abort('changed my mind');
    expect(await unwanted).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      encodedBytes: 12,
      sentBytes: 0,
      cause: 'changed my mind',
    });
    p.far.resume();
    expect(await within(patient, 'the send without a limit')).toEqual({
      encodedBytes: 11,
      sentBytes: 11,
    });
    const got = await p.farEvents.messages.take(count + 3);
    expect(got.slice(-3).map(String)).toEqual(['late', 'unwanted', 'patient']);
  },

  async 'send with a signal that is aborted already, or a bad timeout, sends nothing'(row) {
    await using p = await pair(row);
    expect(
      await rejection(p.near.send('never', { signal: AbortSignal.abort('no') })),
    ).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      encodedBytes: 0,
      sentBytes: 0,
      cause: 'no',
    });
    expect(await rejection(p.near.send('never', { timeout: -1 }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('timeout: given -1'),
    });
    p.near.write('first');
    expect(await p.farEvents.messages.next()).toBe('first');
  },

  async '13: send never succeeds for bytes that were lost: the session is destroyed'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    await fillUp(p.near);
    const sends = Array.from({ length: 20 }, () =>
      rejection<SendError>(p.near.send(randomBytes(1_000))),
    );
    const drained = rejection(p.near.drained());
    await turns(QUIET);
    p.near.destroy();
    for (const error of await within(Promise.all(sends), 'the sends to fail')) {
      expect(error).toMatchObject({ code: 'SESSION_CLOSED', encodedBytes: 1_004, sentBytes: 0 });
    }
    expect((await drained).code).toBe('SESSION_CLOSED');
  },

  async '13: send never succeeds for bytes that were lost: the peer is destroyed'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    await fillUp(p.near);
    const sends = Array.from({ length: 20 }, () =>
      rejection<SendError>(p.near.send(randomBytes(1_000))),
    );
    await turns(QUIET);
    p.far.destroy();
    // Writing on before the loss is noticed must not make the lost bytes look taken.
    for (let i = 0; i < QUIET && !p.near.closed; i++) {
      p.near.write(randomBytes(50_000));
      await turns();
    }
    for (const error of await within(Promise.all(sends), 'the sends to fail'))
      expect(error).toMatchObject({ code: 'SESSION_CLOSED', sentBytes: 0 });
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'writing to a closed session throws SESSION_CLOSED, each way of writing'(row) {
    await using p = await pair(row);
    await p.near.close();
    for (const write of [
      () => p.near.write('x'),
      () => p.near.writeBytes(Buffer.from('x')),
      () => p.near.writeBytesArray([]),
    ]) {
      expect(thrown(write)).toMatchObject({
        code: 'SESSION_CLOSED',
        message: expect.stringContaining(p.near.remoteAddress),
      });
    }
    expect(await rejection(p.near.send('x'))).toMatchObject({
      code: 'SESSION_CLOSED',
      encodedBytes: 0,
      sentBytes: 0,
    });
    expect((await rejection(p.near.drained())).code).toBe('SESSION_CLOSED');
  },

  async '19: a session that onOpen refuses is fully closed: connect rejects with SESSION_REFUSED'(
    row,
  ) {
    const refusals = {
      throws: () => {
        throw new Error('not you');
      },
      rejects: async () => {
        await turns();
        throw new Error('not you');
      },
    };
    for (const onOpen of Object.values(refusals)) {
      const events = new Recorder<string>('the client', { onOpen });
      const error = await rejection(pair(row, { near: { on: events } }));
      expect(error).toMatchObject({
        code: 'SESSION_REFUSED',
        message: expect.stringContaining('not you'),
        cause: expect.any(Error),
      });
      const session = await events.closed.next();
      expect(session.closed).toBe(true);
      expect(events.log).toEqual(['open', 'error SESSION_REFUSED', 'close']);
    }
  },

  async '19: a server that refuses a session closes it, and goes on'(row) {
    for (const wait of [undefined, () => turns(2)]) {
      let refuse = true;
      const onOpen = (): void | Promise<void> => {
        if (!refuse) return;
        if (wait === undefined) throw new Error('full');
        return wait().then(() => {
          throw new Error('full');
        });
      };
      await using p = await pair(row, { far: { on: { onOpen } } });
      expect((await p.farEvents.errors.next()).code).toBe('SESSION_REFUSED');
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
      expect(p.server.sessions.size).toBe(0);
      expect(p.farEvents.log).toEqual(['open', 'error SESSION_REFUSED', 'close']);
      refuse = false;
      await expectServerGoesOn(row, p.server.address, p.farEvents);
    }
  },

  async 'messages wait for an asynchronous onOpen'(row) {
    const opening = gate();
    await using p = await pair(row, { far: { on: { onOpen: () => opening.promise } } });
    p.near.write('one');
    p.near.write('two');
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open']);
    p.far.write('an answer already');
    expect(await p.nearEvents.messages.next()).toBe('an answer already');
    opening.open();
    expect(await p.farEvents.messages.take(2)).toEqual(['one', 'two']);
  },

  async 'close while onOpen is still at work: messages still wait for it, and what was written goes out'(
    row,
  ) {
    const opening = gate();
    await using p = await pair(row, { far: { on: { onOpen: () => opening.promise } } });
    p.near.write('question');
    p.far.write('goodbye');
    p.far.pause();
    const closed = p.far.close();
    expect(await p.nearEvents.messages.next()).toBe('goodbye');
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open']);
    opening.open();
    expect(await p.farEvents.messages.next()).toBe('question');
    await within(closed, 'the close');
    expect(p.farEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'a session destroyed while onOpen is at work: connect rejects, and a late failure of onOpen harms nobody'(
    row,
  ) {
    const opening = gate();
    const events = new Recorder<string>('the client', { onOpen: () => opening.promise });
    const connecting = rejection(pair(row, { near: { on: events } }));
    (await events.opened.next()).destroy();
    expect((await within(connecting, 'connect to reject')).code).toBe('CONNECTION_LOST');
    opening.fail(new Error('too late'));
    await events.closed.next();
    await turns(2);
    expect(events.log).toEqual(['open', 'close']);
  },

  async '24: a throw or rejection in onMessage reaches onError as HANDLER_FAILED with its cause; the session lives'(
    row,
  ) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('oh');
      },
      rejects: () => Promise.reject(new RangeError('oh')),
    };
    for (const fail of Object.values(handlers)) {
      await using p = await pair(row, {
        far: { on: { onMessage: (_, line) => (line === 'fail' ? fail() : undefined) } },
      });
      p.near.write('fail');
      p.near.write('go on');
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining('oh'),
        cause: expect.any(RangeError),
      });
      expect(await p.farEvents.messages.take(2)).toEqual(['fail', 'go on']);
      expect(p.far.closed).toBe(false);
    }
  },

  async '24: a throw or rejection in onCron and onClose reaches onError, not the process'(row) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('oh');
      },
      rejects: (): Promise<never> => Promise.reject(new RangeError('oh')),
    };
    for (const fail of Object.values(handlers)) {
      await using p = await pair(row, {
        far: { cronPeriod: 10, on: { onCron: fail, onClose: fail } },
      });
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'HANDLER_FAILED',
        cause: expect.any(RangeError),
      });
      expect(p.far.closed).toBe(false);
      await p.near.close();
      await p.farEvents.closed.next();
      await turns(2);
      expect(p.farEvents.log.slice(p.farEvents.log.lastIndexOf('close'))).toEqual([
        'close',
        'error HANDLER_FAILED',
      ]);
      p.farEvents.errors.dismiss();
    }
  },

  async '24: an onError that itself fails becomes a warning of the process'(row) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('onError too');
      },
      rejects: (): Promise<never> => Promise.reject(new RangeError('onError too')),
    };
    for (const onError of Object.values(handlers)) {
      const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      try {
        await using p = await pair(row, {
          far: {
            on: {
              onError: onError as () => void,
              onMessage: () => Promise.reject(new Error('first')),
            },
          },
        });
        p.near.write('x');
        await p.farEvents.errors.next();
        await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
        expect(warning.mock.calls[0]?.[0]).toMatchObject({
          code: 'HANDLER_FAILED',
          message: expect.stringContaining('onError too'),
        });
        expect(p.far.closed).toBe(false);
      } finally {
        warning.mockRestore();
      }
    }
  },

  async '24: without onError a failing handler becomes a warning of the process'(row) {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      await using p = await pair(row);
      const bare = {
        codec: lines(),
        listener: { onMessage: () => Promise.reject(new Error('unheard')) },
        ...row.options,
      };
      await using client = await connectAs(row, p.server.address, bare);
      await client.session();
      (await p.farEvents.opened.next()).write('x');
      await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
      expect(warning.mock.calls[0]?.[0]).toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining('unheard'),
      });
    } finally {
      warning.mockRestore();
    }
  },

  async 'close by the client closes both sides, once, without an error'(row) {
    await using p = await pair(row);
    const closing = p.near.close();
    expect(p.near.closed).toBe(true);
    expect(p.near.close()).toBe(closing);
    await closing;
    expect(p.nearEvents.log).toEqual(['open', 'close']);
    await p.farEvents.closed.next();
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open', 'close']);
    await p.near.close();
    p.near.destroy();
  },

  async 'close by the server closes both sides, once, without an error'(row) {
    await using p = await pair(row);
    await p.far.close();
    await p.nearEvents.closed.next();
    await turns(QUIET);
    expect(p.nearEvents.log).toEqual(['open', 'close']);
    expect(p.farEvents.log).toEqual(['open', 'close']);
  },

  async 'close by both sides in the same tick'(row) {
    await using p = await pair(row);
    p.near.write('last words');
    p.far.write('last words');
    await Promise.all([p.near.close(), p.far.close()]);
    expect(p.nearEvents.log).toEqual(['open', 'message', 'close']);
    expect(p.farEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'close sends what is queued and takes what the peer still sends'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed() },
      far: {
        codec: lengthPrefixed(),
        on: { onMessage: (session, message) => void session.write(message) },
      },
    });
    const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, i));
    for (const message of sent) p.near.write(message);
    await p.near.close();
    expect(Buffer.concat(p.farEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
    expect(Buffer.concat(p.nearEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
  },

  async 'close of a paused session is not stuck'(row) {
    await using p = await pair(row, { near: { waitTime: 300_000 } });
    p.near.pause();
    p.far.write('unread');
    await turns(QUIET);
    await within(p.near.close(), 'the close');
    expect(p.nearEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'close ends at waitTime when the peer does not: what is left is destroyed'(row) {
    await using p = await pair(row, {
      near: { waitTime: 40 },
      far: { on: { onOpen: (session) => session.pause() } },
    });
    const before = performance.now();
    p.near.write('never read');
    await within(p.near.close(), 'the close');
    expect(performance.now() - before).toBeGreaterThan(35);
    expect(p.far.closed).toBe(false);
    p.far.resume();
    await p.farEvents.closed.next();
    p.farEvents.errors.dismiss();
  },

  async 'destroy(error): the error reaches onError, the session is over at once, the peer sees it'(
    row,
  ) {
    await using p = await pair(row);
    const reason = new Error('enough');
    p.near.destroy(reason);
    expect(p.near.closed).toBe(true);
    expect(thrown(() => p.near.write('x')).code).toBe('SESSION_CLOSED');
    p.near.destroy(new Error('a second reason is not heard'));
    await p.nearEvents.closed.next();
    expect(p.nearEvents.errors.all).toMatchObject([{ code: 'SESSION_DESTROYED', cause: reason }]);
    expect(p.nearEvents.log).toEqual(['open', 'error SESSION_DESTROYED', 'close']);
    p.nearEvents.errors.dismiss();
    await p.farEvents.closed.next();
    p.farEvents.errors.dismiss();
  },

  async 'destroy in onMessage: nothing more is read'(row) {
    await using p = await pair(row, { far: { on: { onMessage: (session) => session.destroy() } } });
    for (const line of ['one', 'two', 'three']) p.near.write(line);
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual(['one']);
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'a peer that ends inside a message: BAD_FRAME, and the server goes on'(row) {
    await using p = await pair(row, { near: { codec: raw() } });
    p.near.writeBytes(Buffer.from('whole\nhal'));
    void p.near.close();
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringMatching(/ended the stream inside a message, after 3 bytes/),
    });
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual(['whole']);
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
    await expectServerGoesOn(row, p.server.address, p.farEvents);
  },

  async 'onEnd is called once, after the last message, and the session closes when all is handled'(
    row,
  ) {
    const ended = new Waiting<boolean>('the end');
    const working = gate();
    await using p = await pair(row, {
      near: { waitTime: 60_000 },
      far: {
        on: {
          onMessage: (_, line) => (line === 'one' ? working.promise : undefined),
          onEnd: (session) => ended.push(session.closed),
        },
      },
    });
    p.near.write('one');
    p.near.write('two');
    const closing = p.near.close();
    expect(await ended.next()).toBe(false);
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open', 'message', 'message', 'end']);
    working.open();
    await within(closing, 'the client to close');
    await p.farEvents.closed.next();
    expect(p.farEvents.log).toEqual(['open', 'message', 'message', 'end', 'close']);
  },

  async 'allowHalfOpen: answers can be written after the peer has ended its side, until the session is closed'(
    row,
  ) {
    const ended = new Waiting<Session<string>>('the end');
    await using p = await pair(row, {
      near: { waitTime: 60_000 },
      far: { allowHalfOpen: true, on: { onEnd: (session) => ended.push(session) } },
    });
    p.near.write('question');
    const closing = p.near.close();
    expect(await ended.next()).toBe(p.far);
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open', 'message', 'end']);
    for (const line of ['first answer', 'second answer']) {
      p.far.write(line);
      expect(await p.nearEvents.messages.next()).toBe(line);
    }
    await within(p.far.close(), 'the server to close');
    await within(closing, 'the client to close');
    expect(p.farEvents.log).toEqual(['open', 'message', 'end', 'close']);
    expect(p.nearEvents.log).toEqual(['open', 'message', 'message', 'close']);
  },

  async 'allowHalfOpen: idleTimeout ends a session that nobody closes'(row) {
    await using p = await pair(row, {
      near: { waitTime: 60_000 },
      far: { allowHalfOpen: true, idleTimeout: 200 },
    });
    void p.near.close();
    expect(await p.farEvents.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'what came before the end is read, even by a session that was paused'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => line === 'one' && session.pause() } },
    });
    for (const line of ['one', 'two', 'three']) p.near.write(line);
    const closing = p.near.close();
    await p.farEvents.messages.next();
    await turns(QUIET);
    expect(p.farEvents.log).toEqual(['open', 'message']);
    p.far.resume();
    expect(await p.farEvents.messages.take(2)).toEqual(['two', 'three']);
    await closing;
    await p.farEvents.closed.next();
  },

  async 'an asynchronous handler still answers after the peer ended its side'(row) {
    const working = gate();
    await using p = await pair(row, {
      far: {
        on: {
          onMessage: async (session, line) => {
            await working.promise;
            session.write(`${line}, answered`);
          },
        },
      },
    });
    p.near.write('one');
    p.near.write('two');
    const closing = p.near.close();
    await p.farEvents.messages.take(2);
    await turns(QUIET);
    expect(p.far.closed).toBe(false);
    working.open();
    expect(await p.nearEvents.messages.take(2)).toEqual(['one, answered', 'two, answered']);
    await closing;
    await p.farEvents.closed.next();
  },

  async 'idle: a session that has not heard its peer for idleTimeout is closed with IDLE_TIMEOUT'(
    row,
  ) {
    await using p = await pair(row, { far: { idleTimeout: 40 } });
    const before = p.far.active;
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'IDLE_TIMEOUT',
      message: expect.stringMatching(/silent for \d+ ms; idleTimeout is 40 ms/),
    });
    expect(Date.now() - before).toBeGreaterThanOrEqual(40);
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'idle: a session that is heard lives, and so does one that is told so'(row) {
    const beat = (session: Session<string>): void => {
      session.updateActive();
      session.write('beat');
    };
    await using p = await pair(row, {
      near: { cronPeriod: 80, idleTimeout: 1_200, on: { onCron: beat } },
      far: { idleTimeout: 1_200 },
    });
    await p.nearEvents.crons.take(17);
    expect(p.far.closed).toBe(false);
    expect(p.near.closed).toBe(false);
  },

  async 'idle: a session that does not read cannot call its peer silent'(row) {
    await using p = await pair(row, {
      near: { cronPeriod: 20, on: { onCron: (session) => session.write('beat') } },
      far: { idleTimeout: 40 },
    });
    p.far.pause();
    await p.nearEvents.crons.take(8);
    expect(p.far.closed).toBe(false);
    p.far.resume();
    expect(await p.farEvents.messages.next()).toBe('beat');
  },

  async 'onCron comes every cronPeriod until the close, not after it'(row) {
    await using p = await pair(row, { near: { cronPeriod: 20, on: { onCron: () => {} } } });
    const [first = 0, , third = 0] = await p.nearEvents.crons.take(3);
    expect(third - first).toBeGreaterThan(30);
    await p.near.close();
    expect(p.nearEvents.log.at(-1)).toBe('close');
  },

  async 'stats count bytes and messages both ways'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => session.write(line) } },
    });
    expect(p.near.stats).toEqual({
      bytesRead: 0,
      messagesRead: 0,
      bytesWritten: 0,
      messagesWritten: 0,
    });
    p.near.write('four');
    p.near.write('grün');
    p.near.writeBytes(Buffer.from('raw\n'));
    await p.nearEvents.messages.take(3);
    expect(p.near.stats).toEqual({
      bytesRead: 15,
      messagesRead: 3,
      bytesWritten: 15,
      messagesWritten: 2,
    });
    expect(p.far.stats).toEqual({
      bytesRead: 15,
      messagesRead: 3,
      bytesWritten: 15,
      messagesWritten: 3,
    });
  },

  async 'active is when the peer was last heard'(row) {
    await using p = await pair(row);
    const updating = Date.now();
    p.far.updateActive();
    const before = p.far.active;
    expect(before).toBeGreaterThan(updating - 1_000);
    const heard = performance.now();
    await until(() => performance.now() > heard + 1, 'the clock ticks');
    p.far.write('speaking is not hearing');
    await p.nearEvents.messages.next();
    expect(p.far.active).toBe(before);
    p.near.write('hear me');
    await p.farEvents.messages.next();
    expect(p.far.active).toBeGreaterThan(before);
  },

  async 'name, id, addresses and attributes'(row) {
    await using p = await pair(row, { near: { name: 'lamp' } });
    expect(p.near.name).toBe('lamp');
    expect(p.far.name).toBe(`session-${p.far.id}`);
    expect(p.far.id).not.toBe(p.near.id);
    expect(p.near.remoteAddress).toBe(p.server.address);
    expect(p.far.localAddress).toBe(p.server.address);
    expect(p.near.localAddress).not.toBe(p.near.remoteAddress);
    expect(p.far.maxMessageBytes).toBe(1024 * 1024);
    p.near.attributes.set('room', 7);
    expect(p.near.attributes.get('room')).toBe(7);
    expect(p.far.attributes.size).toBe(0);
  },

  async 'each side calls the other as the other calls itself'(row) {
    await using p = await pair(row);
    expect(p.far.remoteAddress).toBe(p.near.localAddress);
    expect(p.near.remoteAddress).toBe(p.far.localAddress);
  },

  async "an endpoint's sessions are those that are not closed yet"(row) {
    await using p = await pair(row);
    expect([...p.server.sessions]).toEqual([p.far]);
    expect([...p.client.sessions]).toEqual([p.near]);
    expect(p.far.endpoint).toBe(p.server);
    expect(p.near.endpoint).toBe(p.client);
    await p.near.close();
    await p.farEvents.closed.next();
    expect(p.server.sessions.size).toBe(0);
    expect(p.client.sessions.size).toBe(0);
  },
});
