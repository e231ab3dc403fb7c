/** Snappy: the bytes on the wire, what foreign and hostile peers send, and the order of the end. */
import { randomBytes } from 'node:crypto';
import { compress, uncompress } from 'snappyjs';
import { describe, expect, it } from 'vitest';
import { compress as compressConnection } from '../../../src/transport/compression/compress.js';
import {
  chunksOf,
  crc32c,
  inflateBlock,
  maskedChecksum,
  SnappyReader,
  STREAM_IDENTIFIER,
} from '../../../src/transport/compression/snappy-format.js';
import {
  connect,
  lengthPrefixed,
  lines,
  raw,
  type Session,
  serve,
} from '../../../src/transport/index.js';
import type { Connection } from '../../../src/transport/types.js';
import { cut, cuts, everySplit } from '../../fixtures/chunks.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  connectAs,
  type Pair,
  pair,
  rejection,
  setupOf,
  TRANSPORTS,
} from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const WORDS = 'the quick brown fox jumps over the lazy dog '.repeat(20);
const IDENTIFIER = 'ff060000 734e61507059';
/**
 * Made by hand: the checksums by a CRC of another making, the block by the description of the
 * format.
 */
const HELLO = '010a0000 5355ff53 68656c6c6f0a';
const A_HUNDRED_AS = '000d0000 1fa8b5fd 64 0061 fe0100 8a0100';

/** A chunk of any type, with the checksum of `data` where it has one. */
function chunk(type: number, body: Buffer, data?: Buffer): Buffer {
  const head = Buffer.alloc(data === undefined ? 4 : 8);
  head[0] = type;
  head.writeUIntLE(body.length + head.length - 4, 1, 3);
  if (data !== undefined) head.writeUInt32LE(maskedChecksum(data), 4);
  return Buffer.concat([head, body]);
}
const stored = (data: Buffer): Buffer => chunk(1, data, data);
const packed = (data: Buffer): Buffer => chunk(0, compress(data), data);
const stream = (...chunks: Buffer[]): Buffer => Buffer.concat([STREAM_IDENTIFIER, ...chunks]);

/** All data of a stream that comes in `chunks`. */
function readAll(
  chunks: readonly Buffer[],
  spend: (bytes: number) => void = () => {},
  reader = new SnappyReader(),
): Buffer {
  const data: Buffer[] = [];
  for (const each of chunks) {
    reader.feed(each);
    for (let bytes = reader.next(spend); bytes !== undefined; bytes = reader.next(spend))
      data.push(bytes);
  }
  return Buffer.concat(data);
}

describe('CRC-32C', () => {
  const rising = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  it.each([
    // RFC 3720, B.4.
    ['32 bytes of zeros', Buffer.alloc(32), 0x8a9136aa],
    ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['32 bytes that rise', rising, 0x46dd794e],
    ['32 bytes that fall', Buffer.from(rising).reverse(), 0x113fdb5c],
    [
      'an iSCSI read',
      hex(
        '01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000',
      ),
      0xd9963a56,
    ],
    ['the digits', Buffer.from('123456789'), 0xe3069283],
    ['nothing', Buffer.alloc(0), 0],
  ])('%s', (_, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc);
  });

  it('masked', () => {
    expect(maskedChecksum(Buffer.from('123456789'))).toBe(0xc78ab0e5);
    expect(maskedChecksum(Buffer.alloc(0))).toBe(0xa282ead8);
  });
});

describe('blocks', () => {
  it.each([
    ['nothing', '00', ''],
    ['a literal', '03 08616263', 'abc'],
    ['two literals', '03 0461620063', 'abc'],
    ['a copy of the shortest kind', '07 08616263 0103', 'abcabca'],
    ['a copy of two bytes of offset', '06 08616263 0a0300', 'abcabc'],
    ['a copy of four bytes of offset', '06 08616263 0b03000000', 'abcabc'],
    ['a copy that repeats itself', '64 0061 fe0100 8a0100', 'a'.repeat(100)],
    ['a literal with one byte of length', `3d f03c ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with two bytes of length', `3d f43c00 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with three bytes of length', `3d f83c0000 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a literal with four bytes of length', `3d fc3c000000 ${'61'.repeat(61)}`, 'a'.repeat(61)],
    ['a size in more bytes than it needs', '838000 08616263', 'abc'],
  ])('%s', (_, block, text) => {
    expect(inflateBlock(hex(block)).toString()).toBe(text);
  });

  it.each([
    ['nothing at all', ''],
    ['a size that does not end', '80'],
    ['a size that never ends', '808080808080'],
    ['a size over 65,536', '818004 00'],
    ['a huge size', 'ffffff7f'],
    ['more than it says', '02 08616263'],
    ['less than it says', '04 08616263'],
    ['less than it says, and nothing', '04'],
    ['a literal that is cut off', '03 086162'],
    ['a literal whose length is cut off', '03 f4ff'],
    ['a literal of a negative length', '0a fcf0ffffff 6162636465666768'],
    ['a literal of the longest length', '0a fcffffffff 6162636465666768'],
    ['a copy before anything', '04 0101'],
    ['a copy from before the beginning', '08 0461620103'],
    ['a copy of offset nothing', '08 0461620900'],
    ['a copy of offset nothing, long', '08 0461620a0000'],
    ['a copy of a negative offset', '08 0461620bffffffff'],
    ['a copy that is cut off', '08 04616201'],
    ['a long copy that is cut off', '08 0461620a01'],
    ['a longer copy that is cut off', '08 0461620b010000'],
    ['a copy past the end', '04 046162fe0100'],
  ])('2: %s is refused', (_, block) => {
    expect(() => inflateBlock(hex(block))).toThrow(/block/);
  });

  const data = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 300 }),
        fc.constant(WORDS),
      ),
      {
        maxLength: 12,
      },
    )
    .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part as string))));

  it('snappyjs and we agree', () => {
    fc.assert(
      fc.property(data, (bytes) => {
        const block = compress(bytes);
        expect(inflateBlock(block).equals(bytes)).toBe(true);
        expect(uncompress(block).equals(bytes)).toBe(true);
      }),
    );
  });

  it('random tags are inflated to what they say, or refused; they never hang', () => {
    const tag = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 6 }),
      fc.constantFrom(hex('0061'), hex('0101'), hex('fe0100'), hex('fcfeffffff')),
    );
    fc.assert(
      fc.property(fc.nat(200), fc.array(tag, { maxLength: 20 }), (size, tags) => {
        try {
          expect(
            inflateBlock(
              Buffer.concat([Buffer.from(size < 128 ? [size] : [(size & 127) | 128, 1]), ...tags]),
            ).length,
          ).toBe(size);
        } catch (error) {
          expect((error as Error).message).toMatch(/block/);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the framing', () => {
  it('what is short or does not shrink is stored, what shrinks is compressed', () => {
    expect(Buffer.concat([...chunksOf(Buffer.from('hello\n'))])).toEqual(hex(HELLO));
    expect(Buffer.concat([...chunksOf(Buffer.alloc(100, 'a'))])).toEqual(hex(A_HUNDRED_AS));
    expect([...chunksOf(randomBytes(65_536))].map((part) => [part.length, part[0]])).toEqual([
      [8, 1],
      [65_536, expect.any(Number)],
    ]);
    expect([...chunksOf(Buffer.alloc(0))]).toEqual([]);
  });

  it('at most 65,536 bytes are in one chunk', () => {
    for (const [size, count] of [
      [65_536, 1],
      [65_537, 2],
      [200_000, 4],
    ] as const) {
      const parts = [...chunksOf(Buffer.alloc(size, 7))];
      expect(parts.length).toBe(2 * count);
      expect(
        readAll([stream(...parts.map((part) => Buffer.from(part)))]).equals(Buffer.alloc(size, 7)),
      ).toBe(true);
    }
  });

  it('1: it is read however it is split', () => {
    const wire = stream(
      stored(Buffer.from('one ')),
      chunk(0xfe, Buffer.alloc(5)),
      packed(Buffer.alloc(80, 'x')),
      chunk(0x80, Buffer.from('passed over')),
      STREAM_IDENTIFIER,
      chunk(0xfd, Buffer.alloc(0)),
      stored(Buffer.alloc(0)),
      packed(Buffer.alloc(0)),
      stored(Buffer.from(' two')),
    );
    for (const chunks of everySplit(wire))
      expect(readAll(chunks).toString()).toBe(`one ${'x'.repeat(80)} two`);
  });

  it('random data over random chunks comes back as it was', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }),
      fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.alloc(70_000, byte)),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), cuts, (parts, places) => {
        const wire = stream(
          ...parts.flatMap((bytes) => [...chunksOf(bytes)].map((piece) => Buffer.from(piece))),
        );
        expect(readAll(cut(wire, places)).equals(Buffer.concat(parts))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('random bytes are refused, or wait for more', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.uint8Array({ maxLength: 200 }),
        cuts,
        (identified, bytes, places) => {
          const wire = identified ? stream(Buffer.from(bytes)) : Buffer.from(bytes);
          try {
            readAll(cut(wire, places));
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect(error).not.toBeInstanceOf(RangeError);
            expect(error).not.toBeInstanceOf(TypeError);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  const data = Buffer.from('data');
  const BAD: readonly [what: string, wire: Buffer, message: RegExp][] = [
    ['no identifier', stored(data), /does not begin with/],
    ['padding before the identifier', chunk(0xfe, data), /does not begin with/],
    ['text', Buffer.from('GET / HTTP/1.1\r\n'), /does not begin with/],
    ['another identifier', hex('ff060000 734e61507058'), /identifier is another/],
    ['an identifier of another length', hex('ff070000 734e6150705900'), /type 255 has 7 bytes/],
    [
      'a second identifier that is another',
      stream(hex('ff060000 000000000000')),
      /identifier is another/,
    ],
    ['a reserved type', stream(chunk(0x02, data)), /unknown type 2/],
    ['the last reserved type', stream(chunk(0x7f, data)), /unknown type 127/],
    ['no checksum', stream(chunk(1, Buffer.alloc(3))), /type 1 has 3 bytes/],
    ['no checksum, compressed', stream(chunk(0, Buffer.alloc(0))), /type 0 has 0 bytes/],
    [
      'a checksum and no block',
      stream(chunk(0, Buffer.alloc(0), Buffer.alloc(0))),
      /does not say how long/,
    ],
    ['a stored chunk that is too long', stream(hex('01 050001')), /type 1 has 65541 bytes/],
    ['a compressed chunk that is too long', stream(hex('00 ffffff')), /type 0 has 16777215 bytes/],
    ['a wrong checksum', stream(chunk(1, data, Buffer.from('else'))), /checksum/],
    [
      'a wrong checksum, compressed',
      stream(chunk(0, compress(data), Buffer.from('else'))),
      /checksum/,
    ],
    [
      'a checksum that is not masked',
      stream(Buffer.concat([hex('01 0d0000 839206e3'), Buffer.from('123456789')])),
      /checksum/,
    ],
    ['a block that says too much', stream(chunk(0, hex('818004'), data)), /too long/],
    [
      'a bad block',
      stream(chunk(0, hex('0a fcf0ffffff 6162636465666768'), data)),
      /longer than its block/,
    ],
  ];
  it.each(BAD)('23: %s is refused, however it is split', (_, wire, message) => {
    for (const chunks of everySplit(wire)) expect(() => readAll(chunks)).toThrow(message);
  });

  it('2: a chunk is refused by its first bytes, before it has come', () => {
    for (const beginning of ['02', '7f', '00 ffffff', '01 050001'])
      expect(() => readAll([stream(hex(beginning))])).toThrow(/chunk/);
  });

  it('what is passed over is not kept', () => {
    const reader = new SnappyReader();
    const padding = chunk(0xfe, Buffer.alloc(1_000_000));
    readAll([stream(), ...cut(padding, [0.1, 0.5, 0.7])], undefined, reader);
    expect(reader.partialSince).toBe(0);
    expect(readAll([stored(data)], undefined, reader)).toEqual(data);
  });

  it('the size is told before a block is inflated', () => {
    const sizes: number[] = [];
    const enough = (): never => {
      throw new Error('enough');
    };
    readAll([stream(stored(data), packed(Buffer.alloc(60_000)))], (size) => sizes.push(size));
    expect(sizes).toEqual([4, 60_000]);
    expect(() => readAll([stream(chunk(0, hex('e0d403'), data))], enough)).toThrow('enough');
  });
});

describe.each(TRANSPORTS.filter((row) => ['tcp', 'memory', 'tls'].includes(row.name)))(
  '$name',
  (row) => {
    noLeaks();
    const onTheWire = () =>
      pair<string, string, Buffer, Uint8Array>(row, {
        near: { compression: 'snappy' },
        far: { codec: raw() },
      });
    const bytesFor = (far: object = {}) =>
      pair<Buffer, Uint8Array, string, string>(row, {
        near: { codec: raw() },
        far: { compression: 'snappy', ...far },
      });

    async function expectServerGoesOn(p: Pair<Buffer, Uint8Array, string, string>): Promise<void> {
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
      const setup = {
        ...setupOf(row, new Recorder<string>('the second client')),
        compression: 'snappy' as const,
      };
      await using client = await connectAs(row, p.server.address, setup);
      (await client.session()).write('still there?');
      await until(
        () => p.farEvents.messages.all.includes('still there?'),
        'the server got a message of the second client',
      );
    }

    it('16: the identifier, then whole chunks for every write', async () => {
      await using p = await onTheWire();
      const wire = (): Buffer => Buffer.concat(p.farEvents.messages.all);
      await p.near.send('hello');
      await until(() => wire().length >= 24, 'it came');
      expect(wire()).toEqual(hex(IDENTIFIER + HELLO));
      await p.near.send('hello');
      await until(() => wire().length >= 38, 'it came');
      expect(wire()).toEqual(hex(IDENTIFIER + HELLO + HELLO));
      p.near.writeBytes(Buffer.alloc(50, 'a'));
      p.near.writeBytes(Buffer.alloc(50, 'a'));
      await until(() => wire().length >= 38 + 17, 'it came');
      expect(wire()).toEqual(hex(IDENTIFIER + HELLO + HELLO + A_HUNDRED_AS));
    });

    it('16: everything goes through it', async () => {
      await using p = await onTheWire();
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
      expect(wire.length).toBeLessThan(sent.length / 2);
      expect(readAll([wire]).toString()).toBe(sent);
    });

    it('1: it may be split anywhere, and padded', async () => {
      await using p = await bytesFor();
      const wire = stream(
        stored(Buffer.from('one\n')),
        chunk(0xfe, Buffer.alloc(9)),
        packed(Buffer.from(`${WORDS}\ntwo\n`)),
      );
      for (const byte of wire) {
        p.near.writeBytes(Buffer.of(byte));
        await turns();
      }
      expect(await p.farEvents.messages.take(3)).toEqual(['one', WORDS, 'two']);
    });

    it('16: a decompression bomb closes its session with INFLATE_LIMIT, and nothing is inflated beyond it', async () => {
      const maxInflatedBytes = 200_000;
      await using p = await bytesFor({ maxInflatedBytes });
      const block = packed(Buffer.alloc(65_536, '\n'));
      // In one chunk of the network: on a socket a larger write may come in several.
      p.near.writeBytes(stream(...Array<Buffer>(15).fill(block)));
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'INFLATE_LIMIT',
        message: expect.stringContaining('maxInflatedBytes, 200000'),
      });
      expect(p.far.stats.bytesRead).toBeLessThanOrEqual(maxInflatedBytes);
      await expectServerGoesOn(p);
    });

    it('the limit is for each chunk of the network: a long stream of modest ones goes through', async () => {
      await using p = await bytesFor({ maxInflatedBytes: 2_000 });
      p.near.writeBytes(stream());
      for (let i = 0; i < 20; i++) {
        p.near.writeBytes(packed(Buffer.from(`${WORDS}\n`)));
        await p.farEvents.messages.next();
      }
      expect(p.far.stats.bytesRead).toBeGreaterThan(10_000);
    });

    it.each([
      ['garbage', Buffer.alloc(100, 0x55)],
      ['a wrong checksum', chunk(1, Buffer.from('x\n'), Buffer.from('y\n'))],
      ['a chunk of an unknown type', chunk(3, Buffer.from('x'))],
    ])('%s: BAD_FRAME, after what came before it; the server goes on', async (_, bad) => {
      for (const ends of [false, true]) {
        await using p = await bytesFor();
        p.near.writeBytes(stream(stored(Buffer.from('fine\n')), bad));
        if (ends) void p.near.close();
        expect(await p.farEvents.errors.next()).toMatchObject({
          code: 'BAD_FRAME',
          message: expect.stringContaining('sent what is no snappy stream'),
        });
        expect(p.farEvents.messages.all).toEqual(['fine']);
        expect(p.farEvents.errors.unread).toEqual([]);
        await expectServerGoesOn(p);
      }
    });

    it('plain text, or DEFLATE, is BAD_FRAME at its first byte', async () => {
      await using p = await bytesFor();
      p.near.writeBytes(Buffer.from('h'));
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('does not begin with ff 06'),
      });
      await expectServerGoesOn(p);
    });

    it.each([
      ['in the head of a chunk', stream().subarray(0, 3)],
      ['in the identifier', stream().subarray(0, 8)],
      ['in the data', stream(stored(Buffer.from('fine\n'))).subarray(0, -2)],
      ['in padding', stream(chunk(0xfe, Buffer.alloc(9))).subarray(0, -2)],
    ])('a peer that ends %s: BAD_FRAME', async (_, wire) => {
      await using p = await bytesFor();
      p.near.writeBytes(wire);
      void p.near.close();
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('ended inside a chunk'),
      });
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('a peer that ends between chunks, but inside a message: BAD_FRAME', async () => {
      await using p = await bytesFor();
      p.near.writeBytes(stream(stored(Buffer.from('one\ntw'))));
      void p.near.close();
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'BAD_FRAME',
        message: expect.stringContaining('inside a message, after 2 bytes'),
      });
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('half a chunk is cut off with MESSAGE_TIMEOUT; who is between chunks is not', async () => {
      await using p = await bytesFor({ messageTimeout: 60, cronPeriod: 20, on: { onCron() {} } });
      p.near.writeBytes(stream(stored(Buffer.from('one\n'))));
      await p.farEvents.crons.take(8);
      expect(p.far.closed).toBe(false);
      p.near.writeBytes(stored(Buffer.from('two\n')).subarray(0, 10));
      expect((await p.farEvents.errors.next()).code).toBe('MESSAGE_TIMEOUT');
      await expectServerGoesOn(p);
    });

    it('back-pressure: a paused session inflates no further, and all of it comes after resume', async () => {
      const count = 4_000;
      const pauseOnce = {
        onMessage: (session: Session<string>, line: string) =>
          line.startsWith('0 ') && session.pause(),
      };
      await using p = await pair(row, {
        near: { compression: 'snappy' },
        far: { compression: 'snappy', on: pauseOnce },
      });
      for (let i = 0; i < count; i++) p.near.write(`${i} ${WORDS}`);
      await p.farEvents.messages.next();
      await turns(100);
      expect(p.farEvents.messages.all.length).toBe(1);
      // Besides the chunk in hand the session may have read what waited for its turn.
      expect(p.far.stats.bytesRead).toBeLessThan(500_000);
      p.far.resume();
      expect((await p.farEvents.messages.take(count - 1)).at(-1)).toBe(`${count - 1} ${WORDS}`);
    });

    it('what came before an orderly end is read, however slowly', async () => {
      const stutter = (session: Session<Buffer, Uint8Array>): void => {
        session.pause();
        setImmediate(() => session.resume());
      };
      await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
        near: { compression: 'snappy', codec: lengthPrefixed() },
        far: { compression: 'snappy', codec: lengthPrefixed(), on: { onMessage: stutter } },
      });
      const sent = Array.from({ length: 150 }, (_, i) => Buffer.alloc(10_000, i));
      for (const message of sent) p.near.write(message);
      await p.near.close();
      await p.farEvents.closed.next();
      expect(Buffer.concat(p.farEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
      expect(p.farEvents.errors.all).toEqual([]);
    });

    it('a message of 1 MB of noise, and one of zeros', async () => {
      await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
        near: { compression: 'snappy', codec: lengthPrefixed() },
        far: { compression: 'snappy', codec: lengthPrefixed() },
      });
      for (const message of [randomBytes(1_000_000), Buffer.alloc(1_000_000)]) {
        expect(await p.near.send(message)).toEqual({
          encodedBytes: 1_000_004,
          sentBytes: 1_000_004,
        });
        expect((await p.farEvents.messages.next()).equals(message)).toBe(true);
      }
      expect(p.near.queuedBytes).toBe(0);
    });

    it('queuedBytes are bytes of the codec', async () => {
      await using p = await onTheWire();
      for (let i = 0; i < 50; i++) p.near.write(WORDS);
      expect(p.near.queuedBytes).toBe(50 * (WORDS.length + 1));
      await p.near.send('last');
      expect(p.near.queuedBytes).toBe(0);
    });
  },
);

describe('a large write', () => {
  const LARGE = Buffer.from(randomBytes(8 * 1024 * 1024).toString('hex'));

  class Inner extends HoldingConnection {
    ended = false;
    override end(): void {
      this.ended = true;
    }
  }

  function start(): { inner: Inner; connection: Connection; counts: { taken: number } } {
    const inner = new Inner();
    const connection = compressConnection(inner, 'snappy', Number.POSITIVE_INFINITY);
    const counts = { taken: 0 };
    const ignore = (): void => {};
    const events = {
      onData: ignore,
      onMessage: ignore,
      onAlive: ignore,
      onEnd: ignore,
      onClose: ignore,
      onTaken: () => void counts.taken++,
    };
    connection.attach(events, { maxMessageBytes: 1, maxInflatedBytes: 1, maxQueuedBytes: 1 });
    return { inner, connection, counts };
  }
  const sizeOf = (chunks: readonly Buffer[]): number =>
    chunks.reduce((sum, bytes) => sum + bytes.length, 0);

  it('is compressed in several turns of the event loop, in order, and before the end', async () => {
    const { inner, connection, counts } = start();
    connection.write(LARGE);
    connection.write(Buffer.from('behind it'));
    connection.end();
    expect(sizeOf(inner.taken)).toBeLessThan(LARGE.length / 4);
    expect(connection.bufferedBytes).toBe(LARGE.length + 9);
    expect(inner.ended).toBe(false);
    await until(() => inner.ended, 'the end');
    expect(counts.taken).toBeGreaterThan(1);
    expect(connection.bufferedBytes).toBe(0);
    expect(readAll(inner.taken).equals(Buffer.concat([LARGE, Buffer.from('behind it')]))).toBe(
      true,
    );
  });

  it('is compressed no further when the connection is destroyed', async () => {
    const { inner, connection } = start();
    connection.write(LARGE);
    connection.destroy();
    const size = sizeOf(inner.taken);
    await turns(5);
    expect(sizeOf(inner.taken)).toBe(size);
  });
});

describe('where there is no stream it is BAD_OPTION', () => {
  noLeaks();
  const setup = { codec: lines(), listener: { onMessage() {} }, compression: 'snappy' as const };
  const message = expect.stringContaining('given "snappy"');

  it('WebSocket', async () => {
    expect(await rejection(serve('ws://127.0.0.1:0', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
    expect(await rejection(connect('ws://127.0.0.1:1', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
    await using server = await serve('ws://127.0.0.1:0', { ...setup, compression: 'none' });
    expect(await rejection(connect(server.address, () => setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
  });

  it('UDP', async () => {
    expect(await rejection(connect('udp://127.0.0.1:1', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
  });
});

describe('a stream that inflates to much', () => {
  /** What came with each event, and the end as -1. */
  function receiver() {
    const inner = new HoldingConnection();
    const connection = compressConnection(inner, 'snappy', Number.POSITIVE_INFINITY);
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

  it('is inflated in many turns of the event loop when many come at once, in order and up to the end', async () => {
    const receivers = Array.from({ length: 200 }, receiver);
    for (const { events } of receivers) {
      events.onData(Buffer.from(stream));
      events.onEnd();
      events.onClose();
    }
    const inflated = (): number => receivers.reduce((sum, each) => sum + each.inflated(), 0);
    expect(inflated()).toBeLessThan((receivers.length * SIZE) / 2);
    await until(() => receivers.every(({ sizes }) => sizes.at(-1) === -2), 'all are closed');
    for (const { sizes } of receivers)
      expect(sizes).toEqual([...Array.from({ length: SIZE / 65_536 }, () => 65_536), -1, -2]);
  });

  it.each<[what: string, act: (of: ReturnType<typeof receiver>) => void]>([
    ['destroyed', ({ connection }) => connection.destroy()],
    ['lost', ({ events }) => events.onClose()],
  ])('delivers nothing after it is %s while it waits for its turn', async (_what, act) => {
    const receivers = Array.from({ length: 200 }, receiver);
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
