/** DEFLATE on a stream: its bytes on the wire, and invalid streams of peers. */
import { randomBytes } from 'node:crypto';
import type { Transform } from 'node:stream';
import { DeflateRaw, deflateRawSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { raw } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { pair } from '../../fixtures/transports.js';
import { elapse, turns, until } from '../../fixtures/waiting.js';
import { CompressedPairs, STREAM_TRANSPORTS, WORDS } from './compressed-pair.js';
import { SYNC_FLUSH, zlibCompressor, zlibInflate } from './zlib-peer.js';

describe.each(STREAM_TRANSPORTS)('DEFLATE over $name', (row) => {
  noLeaks();
  const pairs = new CompressedPairs(row, 'deflate');

  it('ends each write with a sync flush', async () => {
    await using p = await pairs.compressing();
    for (const line of ['one', 'two', '', WORDS]) {
      p.serverEvents.messages.dismiss();
      const before = p.serverEvents.messages.all.length;
      await p.clientSession.send(line);
      await until(
        () =>
          Buffer.concat(p.serverEvents.messages.all.slice(before))
            .toString('hex')
            .endsWith(SYNC_FLUSH),
        `the flush of ${JSON.stringify(line.slice(0, 10))} arrived`,
      );
      expect(
        (await zlibInflate(Buffer.concat(p.serverEvents.messages.all)))
          .toString()
          .endsWith(`${line}\n`),
      ).toBe(true);
    }
    await p.clientSession.close();
    const wire = Buffer.concat(p.serverEvents.messages.all);
    expect(wire.subarray(-4).toString('hex')).toBe(SYNC_FLUSH);
  });

  it('writes the messages of one tick with one flush', async () => {
    await using p = await pairs.compressing();
    for (let i = 0; i < 100; i++) p.clientSession.write(`message ${i}`);
    await p.clientSession.send('last');
    const wire = (): string => Buffer.concat(p.serverEvents.messages.all).toString('hex');
    await until(() => wire().endsWith(SYNC_FLUSH), 'the flush arrived');
    expect(wire().split(SYNC_FLUSH).length - 1).toBe(1);
  });

  it("does not compress with 'none'", async () => {
    await using p = await pairs.compressing('none');
    p.clientSession.write('as it is');
    expect((await p.serverEvents.messages.next()).toString()).toBe('as it is\n');
  });

  it.each([-1, 0, 1, 6, 9])('exchanges data with zlib at level %d', async (level) => {
    await using ours = await pairs.compressing({ deflate: level });
    await ours.clientSession.send(WORDS);
    await ours.clientSession.close();
    const wire = Buffer.concat(ours.serverEvents.messages.all);
    expect((await zlibInflate(wire)).toString()).toBe(`${WORDS}\n`);
    if (level === 0) expect(wire.length).toBeGreaterThan(WORDS.length);
    else expect(wire.length).toBeLessThan(WORDS.length / 4);

    await using theirs = await pairs.inflating();
    const compress = zlibCompressor(level);
    for (const line of ['one', WORDS]) theirs.clientSession.writeBytes(await compress(`${line}\n`));
    expect(await theirs.serverEvents.messages.take(2)).toEqual(['one', WORDS]);
  });

  it.each([false, true])(
    'ends with BAD_FRAME for invalid data, when the end of the peer follows: %s',
    async (isEndSent) => {
      await using p = await pairs.inflating();
      p.clientSession.writeBytes(await zlibCompressor()('valid\n'));
      expect(await p.serverEvents.messages.next()).toBe('valid');
      p.clientSession.writeBytes(Buffer.alloc(100, 0xff));
      if (isEndSent) void p.clientSession.close();
      expect(await p.serverEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('sent invalid DEFLATE data'),
      });
      expect(p.serverEvents.errors.unread).toEqual([]);
      await pairs.expectServerContinues(p);
    },
  );

  it('does not blame the peer when its own compressor fails', async () => {
    await using p = await pairs.compressing();
    const failure = new Error('no memory');
    const zlib = DeflateRaw.prototype as unknown as Transform;
    const transform = vi.spyOn(zlib, '_transform');
    transform.mockImplementationOnce((_chunk, _encoding, callback) => callback(failure));
    p.clientSession.write('lost');
    expect(await p.clientEvents.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('cannot be compressed: no memory'),
      cause: failure,
    });
    transform.mockRestore();
  });

  it('ends with no other error than BAD_FRAME and CONNECTION_LOST for random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 5 }),
        async (chunks) => {
          await using p = await pairs.inflating();
          for (const chunk of chunks) {
            if (!p.clientSession.closed) p.clientSession.writeBytes(chunk);
            await turns();
          }
          void p.clientSession.close();
          await p.serverEvents.closed.next();
          for (const error of p.serverEvents.errors.all)
            expect(['BAD_FRAME', 'CONNECTION_LOST']).toContain(error.code);
          p.serverEvents.errors.dismiss();
          await p.clientEvents.closed.next();
          p.clientEvents.errors.dismiss();
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each([
    ['in the same chunk', true],
    ['in a later chunk', false],
  ])('ends with BAD_FRAME for bytes after the last block, %s', async (_, isSameChunk) => {
    await using p = await pairs.inflating();
    const finished = deflateRawSync('the end\n');
    if (isSameChunk) p.clientSession.writeBytes(Buffer.concat([finished, Buffer.from('more')]));
    else {
      p.clientSession.writeBytes(finished);
      expect(await p.serverEvents.messages.next()).toBe('the end');
      p.clientSession.writeBytes(Buffer.from('more'));
    }
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('after the end of its compressed stream'),
    });
    await pairs.expectServerContinues(p);
  });

  it.each([1, 4, 5, 10, 25])(
    'ends with BAD_FRAME when the last %d bytes of the stream are missing',
    async (missing) => {
      await using p = await pairs.inflating();
      const compress = zlibCompressor();
      const text = randomBytes(20).toString('hex');
      const wire = Buffer.concat([await compress('first\n'), await compress(`${text}\n`)]);
      p.clientSession.writeBytes(wire.subarray(0, -missing));
      void p.clientSession.close();
      expect(await p.serverEvents.messages.next()).toBe('first');
      expect(await p.serverEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('ended inside'),
      });
      await pairs.expectServerContinues(p);
    },
  );

  it('ends with MESSAGE_TIMEOUT when a write stays incomplete, not between writes', async () => {
    await using p = await pairs.inflating({ messageTimeout: 200 });
    const compress = zlibCompressor();
    p.clientSession.writeBytes(await compress('first\n'));
    expect(await p.serverEvents.messages.next()).toBe('first');
    await elapse(500);
    expect(p.serverSession.closed).toBe(false);
    const wire = await compress(`${randomBytes(20).toString('hex')}\n`);
    p.clientSession.writeBytes(wire.subarray(0, 15));
    expect(await p.serverEvents.errors.next()).toMatchObject({ code: 'MESSAGE_TIMEOUT' });
  });

  it('ends without an error when the peer sends its last block and ends', async () => {
    await using p = await pairs.inflating();
    p.clientSession.writeBytes(deflateRawSync(`one\n${WORDS}\n`));
    await p.clientSession.close();
    await p.serverEvents.closed.next();
    expect(p.serverEvents.messages.all).toEqual(['one', WORDS]);
    expect(p.serverEvents.errors.all).toEqual([]);
  });

  it('does not resolve send() before the last compressed byte of the message is taken', async () => {
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      clientSide: {
        compression: 'deflate',
        codec: raw(),
        maxQueuedBytes: Number.POSITIVE_INFINITY,
      },
      serverSide: { codec: raw(), on: { onOpen: (session) => session.pause() } },
    });
    // The random bytes fill the buffers of the peer. The zeros compress to few bytes behind them.
    const noise = randomBytes(64 * 1024);
    for (let i = 0; i < 160; i++) p.clientSession.writeBytes(noise);
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      p.clientSession.send(new Uint8Array(1_000_000)).then(
        () => sent++,
        () => {},
      );
    }
    for (let last = -1; last !== p.clientSession.queuedBytes; ) {
      last = p.clientSession.queuedBytes;
      // Takes as long as the zlib of the session needs.
      await zlibCompressor()(randomBytes(1024 * 1024));
      await turns(20);
    }
    expect(p.clientSession.queuedBytes).toBeGreaterThanOrEqual(20_000_000);
    expect(sent).toBe(0);
    p.serverSession.resume();
    await until(() => sent === 20, 'send() has resolved 20 times');
    expect(p.clientSession.queuedBytes).toBe(0);
  });
});
