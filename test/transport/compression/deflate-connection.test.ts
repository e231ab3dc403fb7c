/**
 * DEFLATE on a stream: the bytes on the wire, what foreign and hostile peers send, and the order of
 * the end.
 */
import { randomBytes } from 'node:crypto';
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  type Compression,
  lengthPrefixed,
  lines,
  raw,
  type Session,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  connectAs,
  type Pair,
  pair,
  setupOf,
  TRANSPORTS,
  type TransportRow,
} from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

const SYNC_FLUSH = '0000ffff';
const WORDS = 'the quick brown fox jumps over the lazy dog '.repeat(20);
const PLAIN = TRANSPORTS.filter((row) => row.options.compression === undefined && !row.whole);

/** zlib's own compressor and inflater, used as a peer would. */
function foreignDeflate(level = -1): (text: string | Buffer) => Promise<Buffer> {
  const stream = createDeflateRaw({ level });
  const out: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => out.push(bytes));
  return (text) =>
    new Promise((resolve) => {
      stream.write(text);
      stream.flush(constants.Z_SYNC_FLUSH, () => {
        while (stream.read() !== null);
        resolve(Buffer.concat(out.splice(0)));
      });
    });
}

async function foreignInflate(wire: Buffer): Promise<Buffer> {
  const stream = createInflateRaw();
  const out: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => out.push(bytes));
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject);
    stream.write(wire);
    stream.flush(constants.Z_SYNC_FLUSH, () => resolve());
  });
  while (stream.read() !== null);
  stream.close();
  return Buffer.concat(out);
}

/** The near side compresses, the far side sees the bytes on the wire. */
const onTheWire = (row: TransportRow, compression: Compression) =>
  pair<string, string, Buffer, Uint8Array>(row, { near: { compression }, far: { codec: raw() } });

/** The far side inflates, the near side sends it bytes of its own making. */
const bytesFor = (row: TransportRow, far: object = {}) =>
  pair<Buffer, Uint8Array, string, string>(row, {
    near: { codec: raw() },
    far: { compression: 'deflate', ...far },
  });

async function expectServerGoesOn(
  row: TransportRow,
  p: Pair<Buffer, Uint8Array, string, string>,
): Promise<void> {
  await p.farEvents.closed.next();
  await p.nearEvents.closed.next();
  p.nearEvents.errors.dismiss();
  await using client = await connectAs(row, p.server.address, {
    ...setupOf(row, new Recorder<string>('the second client')),
    compression: 'deflate',
  });
  (await client.session()).write('still there?');
  await until(
    () => p.farEvents.messages.all.includes('still there?'),
    'the server got a message of the second client',
  );
}

describe.each(PLAIN)('$name', (row) => {
  noLeaks();

  it('16: it is flushed per write: the bytes of each end 00 00 ff ff', async () => {
    await using p = await onTheWire(row, 'deflate');
    for (const line of ['one', 'two', '', WORDS]) {
      p.farEvents.messages.dismiss();
      const before = p.farEvents.messages.all.length;
      await p.near.send(line);
      await until(
        () =>
          Buffer.concat(p.farEvents.messages.all.slice(before))
            .toString('hex')
            .endsWith(SYNC_FLUSH),
        `the flush of ${JSON.stringify(line.slice(0, 10))} came`,
      );
      expect(
        (await foreignInflate(Buffer.concat(p.farEvents.messages.all)))
          .toString()
          .endsWith(`${line}\n`),
      ).toBe(true);
    }
  });

  it('the messages of one tick are one write', async () => {
    await using p = await onTheWire(row, 'deflate');
    for (let i = 0; i < 100; i++) p.near.write(`message ${i}`);
    await p.near.send('last');
    const wire = (): string => Buffer.concat(p.farEvents.messages.all).toString('hex');
    await until(() => wire().endsWith(SYNC_FLUSH), 'the flush came');
    expect(wire().split(SYNC_FLUSH).length - 1).toBe(1);
  });

  it('16: everything goes through it, and zlib inflates the whole stream', async () => {
    await using p = await onTheWire(row, 'deflate');
    let sent = '';
    for (let i = 0; i < 200; i++) {
      const line = `${i} ${WORDS.slice(0, i)}`;
      p.near.write(line);
      p.near.writeBytes(Buffer.from('raw '));
      p.near.writeBytesArray([Buffer.from('and '), Buffer.from('array\n')]);
      sent += `${line}\nraw and array\n`;
      if (i % 10 === 0) await turns(2);
    }
    await p.near.close();
    const wire = Buffer.concat(p.farEvents.messages.all);
    expect(wire.subarray(-4).toString('hex')).toBe(SYNC_FLUSH);
    expect(wire.length).toBeLessThan(sent.length / 2);
    expect((await foreignInflate(wire)).toString()).toBe(sent);
  });

  it('16: none is none', async () => {
    await using p = await onTheWire(row, 'none');
    p.near.write('as it is');
    expect((await p.farEvents.messages.next()).toString()).toBe('as it is\n');
  });

  it.each([-1, 0, 1, 6, 9])('level %d: zlib inflates ours, we inflate zlib’s', async (level) => {
    await using ours = await onTheWire(row, { deflate: level });
    await ours.near.send(WORDS);
    await ours.near.close();
    const wire = Buffer.concat(ours.farEvents.messages.all);
    expect((await foreignInflate(wire)).toString()).toBe(`${WORDS}\n`);
    if (level === 0) expect(wire.length).toBeGreaterThan(WORDS.length);
    else expect(wire.length).toBeLessThan(WORDS.length / 4);

    await using theirs = await bytesFor(row);
    const deflate = foreignDeflate(level);
    for (const line of ['one', WORDS]) theirs.near.writeBytes(await deflate(`${line}\n`));
    expect(await theirs.farEvents.messages.take(2)).toEqual(['one', WORDS]);
  });

  it('1: compressed bytes may be split anywhere', async () => {
    await using p = await bytesFor(row);
    const wire = Buffer.concat([await foreignDeflate()(`one\n${WORDS}\ntwo\n`)]);
    for (const byte of wire) {
      p.near.writeBytes(Buffer.of(byte));
      await turns();
    }
    expect(await p.farEvents.messages.take(3)).toEqual(['one', WORDS, 'two']);
  });

  it('16: a decompression bomb closes its session with INFLATE_LIMIT, and nothing is inflated far beyond it', async () => {
    const maxInflatedBytes = 100_000;
    await using p = await bytesFor(row, { maxInflatedBytes, codec: lines() });
    const bomb = deflateRawSync(Buffer.alloc(50 * 1024 * 1024, '\n'), {
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    expect(bomb.length).toBeLessThan(60_000);
    p.near.writeBytes(bomb);
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'INFLATE_LIMIT',
      message: expect.stringContaining('maxInflatedBytes, 100000'),
    });
    expect(p.far.stats.bytesRead).toBeLessThanOrEqual(maxInflatedBytes);
    await expectServerGoesOn(row, p);
  });

  it('the limit is for each chunk: a long stream of modest ones goes through', async () => {
    await using p = await bytesFor(row, { maxInflatedBytes: 2_000 });
    const deflate = foreignDeflate();
    for (let i = 0; i < 20; i++) {
      p.near.writeBytes(await deflate(`${WORDS}\n`));
      await p.farEvents.messages.next();
    }
    expect(p.far.stats.bytesRead).toBeGreaterThan(10_000);
  });

  it('garbage closes its session with BAD_FRAME, whether the peer ends or not; the server goes on', async () => {
    for (const ends of [false, true]) {
      await using p = await bytesFor(row);
      p.near.writeBytes(await foreignDeflate()('fine\n'));
      expect(await p.farEvents.messages.next()).toBe('fine');
      p.near.writeBytes(Buffer.alloc(100, 0xff));
      if (ends) void p.near.close();
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('cannot be inflated'),
      });
      expect(p.farEvents.errors.unread).toEqual([]);
      await expectServerGoesOn(row, p);
    }
  });

  it('random bytes never do worse than close their session', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 5 }),
        async (chunks) => {
          await using p = await bytesFor(row);
          for (const chunk of chunks) {
            if (!p.near.closed) p.near.writeBytes(chunk);
            await turns();
          }
          void p.near.close();
          await p.farEvents.closed.next();
          for (const error of p.farEvents.errors.all)
            expect(['BAD_FRAME', 'CONNECTION_LOST']).toContain(error.code);
          p.farEvents.errors.dismiss();
          await p.nearEvents.closed.next();
          p.nearEvents.errors.dismiss();
        },
      ),
      { numRuns: 25 },
    );
  });

  it('what comes after the end of the compressed stream is BAD_FRAME, not dropped without a word', async () => {
    for (const together of [true, false]) {
      await using p = await bytesFor(row);
      const finished = deflateRawSync('the end\n');
      if (together) p.near.writeBytes(Buffer.concat([finished, Buffer.from('more')]));
      else {
        p.near.writeBytes(finished);
        expect(await p.farEvents.messages.next()).toBe('the end');
        p.near.writeBytes(Buffer.from('more'));
      }
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('after the end of its compressed stream'),
      });
      await expectServerGoesOn(row, p);
    }
  });

  it('a peer that finishes its compressed stream and ends is in order', async () => {
    await using p = await bytesFor(row);
    p.near.writeBytes(deflateRawSync(`one\n${WORDS}\n`));
    await p.near.close();
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual(['one', WORDS]);
    expect(p.farEvents.errors.all).toEqual([]);
  });

  it('a peer that ends inside a message: BAD_FRAME', async () => {
    await using p = await bytesFor(row);
    p.near.writeBytes(await foreignDeflate()('one\ntw'));
    void p.near.close();
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('inside a message, after 2 bytes'),
    });
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  });

  it('back-pressure: a paused session inflates no further, and all of it comes after resume', async () => {
    const count = 4_000;
    const pauseOnce = {
      onMessage: (session: Session<string>, line: string) =>
        line.startsWith('0 ') && session.pause(),
    };
    await using p = await pair(row, {
      near: { compression: 'deflate' },
      far: { compression: 'deflate', on: pauseOnce },
    });
    // About 4 MB that are a few KB on the wire: one chunk brings nearly all of it.
    for (let i = 0; i < count; i++) p.near.write(`${i} ${WORDS}`);
    await p.farEvents.messages.next();
    await turns(200);
    expect(p.farEvents.messages.all.length).toBe(1);
    expect(p.far.stats.bytesRead).toBeLessThan(200_000);
    p.far.resume();
    expect((await p.farEvents.messages.take(count - 1)).at(-1)).toBe(`${count - 1} ${WORDS}`);
  });

  it('pause and resume at every message lose nothing', async () => {
    const stutter = (session: Session<string>): void => {
      session.pause();
      setImmediate(() => session.resume());
    };
    await using p = await pair(row, {
      near: { compression: 'deflate' },
      far: { compression: 'deflate', on: { onMessage: stutter } },
    });
    const sent = Array.from({ length: 500 }, (_, i) => `${i} ${WORDS.slice(0, i)}`);
    for (const line of sent) p.near.write(line);
    expect(await p.farEvents.messages.take(sent.length)).toEqual(sent);
  });

  it('what came before an orderly end is read, however slowly', async () => {
    const stutter = (session: Session<Buffer, Uint8Array>): void => {
      session.pause();
      setImmediate(() => session.resume());
    };
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      near: { compression: 'deflate', codec: lengthPrefixed() },
      far: { compression: 'deflate', codec: lengthPrefixed(), on: { onMessage: stutter } },
    });
    const sent = Array.from({ length: 150 }, (_, i) => Buffer.alloc(10_000, i));
    for (const message of sent) p.near.write(message);
    await p.near.close();
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all.length).toBe(sent.length);
    expect(Buffer.concat(p.farEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
    expect(p.farEvents.errors.all).toEqual([]);
  });

  it('queuedBytes are bytes of the codec, and go down to nothing when all is taken', async () => {
    await using p = await onTheWire(row, 'deflate');
    for (let i = 0; i < 50; i++) p.near.write(WORDS);
    expect(p.near.queuedBytes).toBe(50 * (WORDS.length + 1));
    await p.near.send('last');
    expect(p.near.queuedBytes).toBe(0);
  });

  it('13: send tells the truth although the compressed bytes are fewer than the message', async () => {
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      near: { compression: 'deflate', codec: raw(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: raw(), on: { onOpen: (session) => session.pause() } },
    });
    // Noise fills the peer's buffers; the zeros behind it shrink to next to nothing, and are not
    // taken all the same.
    const noise = randomBytes(64 * 1024);
    for (let i = 0; i < 160; i++) p.near.writeBytes(noise);
    let taken = 0;
    for (let i = 0; i < 20; i++) {
      p.near.send(new Uint8Array(1_000_000)).then(
        () => taken++,
        () => {},
      );
    }
    for (let last = -1; last !== p.near.queuedBytes; ) {
      last = p.near.queuedBytes;
      await foreignDeflate()(randomBytes(1024 * 1024));
      await turns(20);
    }
    expect(p.near.queuedBytes).toBeGreaterThanOrEqual(20_000_000);
    expect(taken).toBe(0);
    p.far.resume();
    await until(() => taken === 20, 'all were taken');
    expect(p.near.queuedBytes).toBe(0);
  });
});
