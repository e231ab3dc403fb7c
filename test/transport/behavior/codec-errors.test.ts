/**
 * What a session does with messages that are too large, and with codecs that fail. The same on
 * every transport.
 */
import { expect } from 'vitest';
import { type Codec, lines, raw, SendError, type Session } from '../../../src/transport/index.js';
import { expectServerContinues, failingCodec, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, rejection, runForEveryTransport, thrown } from '../../fixtures/transports.js';

runForEveryTransport({
  async 'throws MESSAGE_TOO_LARGE on write, sends nothing of the message, and stays open'(row) {
    await using p = await pair(row, { clientSide: { maxMessageBytes: 1_000 } });
    p.clientSession.write('before');
    const error = thrown(() => p.clientSession.write('x'.repeat(1_000)));
    expect(error).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringMatching(/1001 bytes.*maxMessageBytes is 1000/),
    });
    p.clientSession.write('after');
    expect(await p.serverEvents.messages.take(2)).toEqual(['before', 'after']);
    expect(p.clientSession.stats).toMatchObject({ messagesWritten: 2, bytesWritten: 13 });
  },

  async 'closes with MESSAGE_TOO_LARGE when a message over maxMessageBytes arrives'(row) {
    await using p = await pair(row, { serverSide: { maxMessageBytes: 1_000 } });
    p.clientSession.write('x'.repeat(999));
    expect((await p.serverEvents.messages.next()).length).toBe(999);
    p.clientSession.write('x'.repeat(1_000));
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringContaining('maxMessageBytes is 1000'),
    });
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
    await expectServerContinues(row, p.server.address, p.serverEvents);
  },

  async 'closes with MESSAGE_TOO_LARGE when an incomplete message exceeds maxMessageBytes'(row) {
    await using p = await pair(row, {
      clientSide: { codec: raw() },
      serverSide: { maxMessageBytes: 10_000 },
    });
    for (let i = 0; i < 10; i++) p.clientSession.writeBytes(Buffer.alloc(1_000, 'x'));
    await untilQuiet();
    expect(p.serverSession.closed).toBe(false);
    p.clientSession.writeBytes(Buffer.from('x'));
    expect((await p.serverEvents.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
    await p.serverEvents.closed.next();
  },

  async 'does not count bytes that a codec skips toward maxMessageBytes'(row) {
    // The codec skips a keep-alive byte before each message, and returns undefined.
    const inner = lines();
    const skippingCodec: Codec<string> = {
      read(input, session) {
        if (input.peek(0) !== 0) return inner.read(input, session);
        input.skip(1);
        return undefined;
      },
      write: inner.write,
    };
    await using p = await pair(row, {
      clientSide: { codec: raw() },
      serverSide: { codec: skippingCodec, maxMessageBytes: 100 },
    });
    const line = `${'x'.repeat(60)}\n`;
    p.clientSession.writeBytes(Buffer.from(`\0${line}\0\0${line}\0${line}`));
    expect(await p.serverEvents.messages.take(3)).toEqual(Array(3).fill('x'.repeat(60)));
  },

  async 'passes the error of Codec.write() to the caller, and sends nothing'(row) {
    await using p = await pair(row, { clientSide: { codec: failingCodec() } });
    p.clientSession.write('good');
    expect(thrown(() => p.clientSession.write('bad'))).toBeInstanceOf(TypeError);
    expect(thrown(() => p.clientSession.write('worse')).code).toBe('BAD_ADDRESS');
    const refused = await rejection<SendError>(p.clientSession.send('bad'));
    expect(refused).toBeInstanceOf(SendError);
    expect(refused).toMatchObject({
      code: 'ENCODE_FAILED',
      encodedBytes: 0,
      sentBytes: 0,
      cause: expect.any(TypeError),
    });
    expect((await rejection(p.clientSession.send('worse'))).code).toBe('BAD_ADDRESS');
    p.clientSession.write('good again');
    expect(await p.serverEvents.messages.take(2)).toEqual(['good', 'good again']);
    expect(p.clientSession.stats.messagesWritten).toBe(2);
  },

  async 'sends nothing that an asynchronous codec writes later'(row) {
    const inner = lines();
    const written: Promise<unknown>[] = [];
    const asynchronous: Codec<string> = {
      read: (input, session) => inner.read(input, session),
      write(output, word, session) {
        if (word !== 'secret') return inner.write(output, word, session);
        const later = Promise.resolve().then(() => inner.write(output, word, session));
        written.push(later);
        return later as never;
      },
    };
    await using p = await pair(row, { clientSide: { codec: asynchronous } });
    await using q = await pair(row);
    p.clientSession.write('before');
    expect(thrown(() => p.clientSession.write('secret')).code).toBe('ENCODE_FAILED');
    p.clientSession.write('after');
    // A session that begins to write in the same tick gets a writer of the pool.
    q.clientSession.write('other');
    await Promise.all(written);
    expect(await p.serverEvents.messages.take(2)).toEqual(['before', 'after']);
    q.clientSession.write('more');
    expect(await q.serverEvents.messages.take(2)).toEqual(['other', 'more']);
    p.clientSession.write('last');
    expect(await p.serverEvents.messages.next()).toBe('last');
  },

  async 'throws for a number of bytes that is no length, and sends nothing'(row) {
    const inner = lines();
    let count: unknown;
    const codec: Codec<string> = {
      read: (input, session) => inner.read(input, session),
      write(output, message, session) {
        if (message === 'count') output.reserve(count as number);
        else inner.write(output, message, session);
      },
    };
    await using p = await pair(row);
    await using q = await pair(row, { clientSide: { codec } });
    p.clientSession.write('of another session');
    for (count of [-5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '7', undefined])
      expect(thrown(() => q.clientSession.write('count'))).toBeInstanceOf(RangeError);
    q.clientSession.write('after');
    expect(await q.serverEvents.messages.next()).toBe('after');
    expect(q.clientSession.stats).toMatchObject({ messagesWritten: 1, bytesWritten: 6 });
  },

  async 'throws BAD_OPTION for bytes that are no Uint8Array, and sends nothing of them'(row) {
    await using p = await pair(row);
    p.clientSession.write('before');
    for (const bytes of ['abc', 7, null, undefined, {}, { length: -5 }, new ArrayBuffer(4)])
      expect(thrown(() => p.clientSession.writeBytes(bytes as never)).code).toBe('BAD_OPTION');
    for (const chunks of [7, null, 'abc', [new Uint8Array(2), 'abc']])
      expect(thrown(() => p.clientSession.writeBytesArray(chunks as never)).code).toBe(
        'BAD_OPTION',
      );
    p.clientSession.write('after');
    expect(await p.serverEvents.messages.take(2)).toEqual(['before', 'after']);
    expect(p.clientSession.stats.bytesWritten).toBe(13);
    expect(p.clientSession.queuedBytes).toBeGreaterThanOrEqual(0);
  },

  async 'closes with BAD_FRAME when Codec.read() throws, and the server continues'(row) {
    await using p = await pair(row, { serverSide: { codec: failingCodec() } });
    p.clientSession.write('bad');
    p.clientSession.write('never read');
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('a bad word'),
      cause: expect.any(TypeError),
    });
    await p.serverEvents.closed.next();
    expect(p.serverEvents.messages.all).toEqual([]);
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
    await expectServerContinues(row, p.server.address, p.serverEvents);
  },

  async 'sends the answers that precede a BAD_FRAME'(row) {
    const echo = {
      onMessage: (session: Session<string>, word: string) => void session.write(word),
    };
    await using p = await pair(row, { serverSide: { codec: failingCodec(), on: echo } });
    for (const word of ['one', 'two', 'bad']) p.clientSession.write(word);
    expect(await p.clientEvents.messages.take(2)).toEqual(['one', 'two']);
    await p.clientEvents.closed.next();
    expect((await p.serverEvents.errors.next()).code).toBe('BAD_FRAME');
    p.clientEvents.errors.dismiss();
  },

  async 'passes a GettyError of the codec to onError unchanged'(row) {
    await using p = await pair(row, { serverSide: { codec: failingCodec() } });
    p.clientSession.write('worse');
    expect((await p.serverEvents.errors.next()).code).toBe('BAD_ADDRESS');
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'closes with BAD_FRAME when a codec takes no bytes or an invalid number of bytes'(row) {
    for (const take of [
      () => 'nothing taken',
      (input: { take(n: number): Buffer }) => input.take(Number.NaN).toString(),
      (input: { take(n: number): Buffer }) => input.take(0.5).toString(),
    ]) {
      await using p = await pair(row, { serverSide: { codec: { read: take, write: () => {} } } });
      p.clientSession.write('x');
      expect((await p.serverEvents.errors.next()).code).toBe('BAD_FRAME');
      await p.serverEvents.closed.next();
      await p.clientEvents.closed.next();
      p.clientEvents.errors.dismiss();
    }
  },
});
