/** Snappy on a stream: its bytes on the wire, and invalid streams of peers. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { lengthPrefixed } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns, until } from '../../fixtures/waiting.js';
import { CompressedPairs, STREAM_TRANSPORTS, WORDS } from './compressed-pair.js';
import {
  A_HUNDRED_AS,
  chunk,
  compressed,
  HELLO,
  hex,
  IDENTIFIER,
  padding,
  stream,
  uncompressed,
} from './snappy-chunks.js';

describe.each(STREAM_TRANSPORTS)('snappy over $name', (row) => {
  noLeaks();
  const pairs = new CompressedPairs(row, 'snappy');

  it('writes the identifier once, and complete chunks for each write', async () => {
    await using p = await pairs.compressing();
    const wire = (): Buffer => Buffer.concat(p.serverEvents.messages.all);
    await p.clientSession.send('hello');
    await until(() => wire().length >= 24, 'the chunk arrived');
    expect(wire()).toEqual(hex(IDENTIFIER + HELLO));
    await p.clientSession.send('hello');
    await until(() => wire().length >= 38, 'the chunk arrived');
    expect(wire()).toEqual(hex(IDENTIFIER + HELLO + HELLO));
    p.clientSession.writeBytes(Buffer.alloc(50, 'a'));
    p.clientSession.writeBytes(Buffer.alloc(50, 'a'));
    await until(() => wire().length >= 38 + 17, 'the chunk arrived');
    expect(wire()).toEqual(hex(IDENTIFIER + HELLO + HELLO + A_HUNDRED_AS));
  });

  it('ignores padding in a stream that arrives byte by byte', async () => {
    await using p = await pairs.inflating();
    const wire = stream(
      uncompressed(Buffer.from('one\n')),
      padding(9),
      compressed(Buffer.from(`${WORDS}\ntwo\n`)),
    );
    for (const byte of wire) {
      p.clientSession.writeBytes(Buffer.of(byte));
      await turns();
    }
    expect(await p.serverEvents.messages.take(3)).toEqual(['one', WORDS, 'two']);
  });

  const valid = uncompressed(Buffer.from('valid\n'));
  describe.each([
    ['garbage', Buffer.alloc(100, 0x55)],
    ['a wrong checksum', chunk(1, Buffer.from('x\n'), Buffer.from('y\n'))],
    ['a chunk of an unknown type', chunk(3, Buffer.from('x'))],
  ])('%s', (_, invalid) => {
    it.each([false, true])(
      'ends with BAD_FRAME after the data before it, when the end of the peer follows: %s',
      async (isEndSent) => {
        await using p = await pairs.inflating();
        p.clientSession.writeBytes(stream(valid, invalid));
        if (isEndSent) void p.clientSession.close();
        expect(await p.serverEvents.errors.next()).toMatchObject({
          code: 'BAD_FRAME',
          message: expect.stringContaining('sent an invalid snappy stream'),
        });
        expect(p.serverEvents.messages.all).toEqual(['valid']);
        expect(p.serverEvents.errors.unread).toEqual([]);
        await pairs.expectServerContinues(p);
      },
    );
  });

  it('ends with BAD_FRAME at the first byte of another format', async () => {
    await using p = await pairs.inflating();
    p.clientSession.writeBytes(Buffer.from('h'));
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('does not begin with ff 06'),
    });
    await pairs.expectServerContinues(p);
  });

  it.each([
    ['a header', stream().subarray(0, 3)],
    ['the identifier', stream().subarray(0, 8)],
    ['the data of a chunk', stream(valid).subarray(0, -2)],
    ['padding', stream(padding(9)).subarray(0, -2)],
  ])('ends with BAD_FRAME when the peer ends inside %s', async (_, wire) => {
    await using p = await pairs.inflating();
    p.clientSession.writeBytes(wire);
    void p.clientSession.close();
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('ended inside a chunk'),
    });
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  });

  it('ends with MESSAGE_TIMEOUT inside a chunk, but not between chunks', async () => {
    await using p = await pairs.inflating({
      messageTimeout: 60,
      cronPeriod: 20,
      on: { onCron() {} },
    });
    p.clientSession.writeBytes(stream(uncompressed(Buffer.from('one\n'))));
    await p.serverEvents.crons.take(8);
    expect(p.serverSession.closed).toBe(false);
    p.clientSession.writeBytes(uncompressed(Buffer.from('two\n')).subarray(0, 10));
    expect((await p.serverEvents.errors.next()).code).toBe('MESSAGE_TIMEOUT');
    await pairs.expectServerContinues(p);
  });

  it('transfers 1 MB of random bytes, and 1 MB of zeros', async () => {
    await using p = await pairs.both<Buffer, Uint8Array>({ codec: lengthPrefixed() });
    for (const message of [randomBytes(1_000_000), Buffer.alloc(1_000_000)]) {
      expect(await p.clientSession.send(message)).toEqual({
        encodedBytes: 1_000_004,
        sentBytes: 1_000_004,
      });
      expect((await p.serverEvents.messages.next()).equals(message)).toBe(true);
    }
    expect(p.clientSession.queuedBytes).toBe(0);
  });
});
