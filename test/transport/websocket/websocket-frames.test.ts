/**
 * WebSocket frames as tables: hex in, event out. The cases are those of RFC 6455, and of the
 * attacks on it.
 */
import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync, inflateRawSync, type ZlibOptions } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { ByteWriter } from '../../../src/transport/index.js';
import { MessageDeflater } from '../../../src/transport/websocket/deflate/message-deflater.js';
import { MessageInflater } from '../../../src/transport/websocket/deflate/message-inflater.js';
import { FrameError } from '../../../src/transport/websocket/frames/frame-error.js';
import { COMPRESSED, FIN, OPCODE } from '../../../src/transport/websocket/frames/frame-header.js';
import {
  FrameParser,
  type FrameRules,
  type Inflater,
} from '../../../src/transport/websocket/frames/frame-parser.js';
import {
  closePayload,
  completeFrame,
  controlFrame,
  minHeaderBytes,
} from '../../../src/transport/websocket/frames/frame-writer.js';
import { applyMask, newMask } from '../../../src/transport/websocket/frames/mask.js';
import { cut, cuts, everySplit } from '../../fixtures/chunks.js';
import { collectGarbage } from '../../fixtures/garbage.js';
import { thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

const FROM_CLIENT: FrameRules = { isMasked: true, maxMessageBytes: 100_000 };
const FROM_SERVER: FrameRules = { isMasked: false, maxMessageBytes: 100_000 };
const deflater = new MessageDeflater('deflate');
const inflaterTo = (limit: number): MessageInflater => new MessageInflater(limit, limit, false);
const inflater = inflaterTo(100_000);
const COMPRESSING: FrameRules = { ...FROM_SERVER, inflater };

/** `inflater` with other functions. */
const inflaterWith = (functions: Partial<Inflater>, base: Inflater = inflater): Inflater => ({
  inflate: (bytes) => base.inflate(bytes),
  inflateStart: (bytes) => base.inflateStart(bytes),
  inflateOnThread: (bytes, done) => base.inflateOnThread(bytes, done),
  ...functions,
});

const messageOf = ({ bytes, start, end }: { bytes: Buffer; start: number; end: number }): Buffer =>
  bytes.subarray(start, end);

/** What the parser makes of the chunks, in words, up to and with the error that it throws. */
function read(chunks: readonly Buffer[], rules: FrameRules): string[] {
  const parser = new FrameParser(rules);
  const said: string[] = [];
  try {
    for (const chunk of chunks) {
      parser.feed(chunk);
      for (let event = parser.next(); event !== undefined; event = parser.next()) {
        if (event.type === 'close') said.push(`close ${event.code} ${event.reason}`.trim());
        else if (event.type === 'message') {
          const bytes = messageOf(event);
          said.push(
            event.isText ? `text ${bytes}`.trim() : `binary ${bytes.toString('hex')}`.trim(),
          );
        } else said.push(`${event.type} ${event.bytes}`.trim());
      }
    }
    if (parser.isInMessage) said.push('...');
  } catch (error) {
    said.push(error instanceof FrameError ? `${error.code} ${error.closeCode}` : String(error));
  }
  return said;
}

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

/** The server's frames are the simplest, so most rows are theirs. */
type Row = [what: string, bytes: string, events: string[], rules?: FrameRules];

const LONG = 'ab'.repeat(126);
const ROWS: readonly Row[] = [
  // The examples of section 5.7.
  ['an unmasked text', '81 05 48656c6c6f', ['text Hello']],
  ['a masked text', '81 85 37fa213d 7f9f4d5158', ['text Hello'], FROM_CLIENT],
  ['a text in two fragments', '01 03 48656c 80 02 6c6f', ['text Hello']],
  ['an unmasked ping', '89 05 48656c6c6f', ['ping Hello']],
  ['its masked pong', '8a 85 37fa213d 7f9f4d5158', ['pong Hello'], FROM_CLIENT],
  [
    '256 bytes with a length of 16 bits',
    `82 7e 0100 ${'5a'.repeat(256)}`,
    [`binary ${'5a'.repeat(256)}`],
  ],
  [
    '64 KiB with a length of 64 bits',
    `82 7f 0000000000010000 ${'5a'.repeat(65536)}`,
    [`binary ${'5a'.repeat(65536)}`],
  ],

  ['several frames in a row', '81 01 61 82 01 ff 89 00', ['text a', 'binary ff', 'ping']],
  ['125 bytes with a short length', `82 7d ${'ab'.repeat(125)}`, [`binary ${'ab'.repeat(125)}`]],
  ['126 bytes', `82 7e 007e ${LONG}`, [`binary ${LONG}`]],
  [
    'masked, with a length of 16 bits',
    `82 fe 007e 00000000 ${LONG}`,
    [`binary ${LONG}`],
    FROM_CLIENT,
  ],
  ['a frame that is not whole', '81 05 4865', ['...']],
  ['half a header', '81', ['...']],

  // Empty ones.
  ['an empty text', '81 00', ['text']],
  ['an empty binary, masked', '82 80 01020304', ['binary'], FROM_CLIENT],
  ['a message of empty fragments', '02 00 00 00 80 00', ['binary']],
  ['an empty fragment first, and last', '01 00 00 01 61 80 00', ['text a']],
  ['an empty ping, and pong', '89 00 8a 00', ['ping', 'pong']],

  // Fragments.
  ['three fragments', '02 01 01 00 01 02 80 01 03', ['binary 010203']],
  [
    'masked fragments, each with its own mask',
    '01 81 01010101 60 80 81 02020202 60',
    ['text ab'],
    FROM_CLIENT,
  ],
  [
    'control frames between fragments',
    '01 01 61 89 01 70 00 01 62 8a 00 80 01 63',
    ['ping p', 'pong', 'text abc'],
  ],
  ['a close between fragments', '01 01 61 88 02 03e8', ['close 1000', '...']],
  ['a message that is not ended', '01 01 61', ['...']],
  ['a continuation of nothing', '80 01 61', ['BAD_FRAME 1002']],
  ['a continuation of nothing that is not the last', '00 01 61', ['BAD_FRAME 1002']],
  ['a continuation after a whole message', '81 01 61 80 01 62', ['text a', 'BAD_FRAME 1002']],
  ['a message inside another', '01 01 61 81 01 62', ['BAD_FRAME 1002']],
  ['a binary inside a text', '01 01 61 02 01 62', ['BAD_FRAME 1002']],

  // Masks.
  ['a client that does not mask', '81 05 48656c6c6f', ['BAD_FRAME 1002'], FROM_CLIENT],
  ['a client that does not mask a ping', '89 00', ['BAD_FRAME 1002'], FROM_CLIENT],
  ['a server that masks', '81 85 37fa213d 7f9f4d5158', ['BAD_FRAME 1002']],

  // Reserved bits and opcodes.
  ['the first reserved bit', 'c1 00', ['BAD_FRAME 1002']],
  ['the second reserved bit', 'a1 00', ['BAD_FRAME 1002']],
  ['the third reserved bit', '91 00', ['BAD_FRAME 1002']],
  [
    'the second reserved bit where the first is agreed on',
    'e1 00',
    ['BAD_FRAME 1002'],
    COMPRESSING,
  ],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
    (opcode): Row => [`opcode ${opcode}`, `${(FIN | opcode).toString(16)}00`, ['BAD_FRAME 1002']],
  ),

  // Control frames.
  ['a ping of 125 bytes', `89 7d ${'61'.repeat(125)}`, [`ping ${'a'.repeat(125)}`]],
  ['a ping of 126 bytes', `89 7e 007e ${'61'.repeat(126)}`, ['BAD_FRAME 1002']],
  ['a ping in fragments', '09 01 61', ['BAD_FRAME 1002']],
  ['a close in fragments', '08 00', ['BAD_FRAME 1002']],
  ['a pong with a length of 64 bits', '8a 7f 0000000000000001 61', ['BAD_FRAME 1002']],

  // Lengths.
  ['125 in 16 bits', '82 7e 007d', ['BAD_FRAME 1002']],
  ['0 in 16 bits', '82 7e 0000', ['BAD_FRAME 1002']],
  ['65,535 in 64 bits', '82 7f 000000000000ffff', ['BAD_FRAME 1002']],
  ['0 in 64 bits', '82 7f 0000000000000000', ['BAD_FRAME 1002']],
  ['64 bits, the highest set', '82 7f 8000000000000000', ['BAD_FRAME 1002']],
  ['all 64 bits', '82 7f ffffffffffffffff', ['BAD_FRAME 1002']],
  ['63 bits: more than is allowed', '82 7f 7fffffffffffffff', ['MESSAGE_TOO_LARGE 1009']],
  ['4 GiB', '82 7f 0000000100000000', ['MESSAGE_TOO_LARGE 1009']],
  ['as much as is allowed', '82 7f 00000000000186a0', ['...']],
  ['a byte more than is allowed', '82 7f 00000000000186a1', ['MESSAGE_TOO_LARGE 1009']],
  [
    'a fragment that makes it too much',
    `02 05 0102030405 00 04 06070809 80 02`,
    ['MESSAGE_TOO_LARGE 1009'],
    { ...FROM_SERVER, maxMessageBytes: 10 },
  ],
  [
    'fragments that are just not too much',
    '02 05 0102030405 80 05 0607080900',
    ['binary 01020304050607080900'],
    { ...FROM_SERVER, maxMessageBytes: 10 },
  ],
  [
    'control frames do not count',
    '02 05 0102030405 89 05 0102030405 80 00',
    ['ping \x01\x02\x03\x04\x05', 'binary 0102030405'],
    { ...FROM_SERVER, maxMessageBytes: 5 },
  ],

  // UTF-8.
  ['text of two, three and four bytes a character', '81 09 c3bc e282ac f09f9880', ['text ü€😀']],
  ['a character split between fragments', '01 01 c3 80 01 bc', ['text ü']],
  [
    'a character split between three fragments, a ping between',
    '01 01 e2 89 00 00 01 82 80 01 ac',
    ['ping', 'text €'],
  ],
  ['half a character', '81 01 c3', ['BAD_FRAME 1007']],
  ['half a character and no more', '01 01 c3 80 00', ['BAD_FRAME 1007']],
  ['a byte that begins nothing', '81 02 61ff', ['BAD_FRAME 1007']],
  ['an overlong slash', '81 02 c0af', ['BAD_FRAME 1007']],
  ['an overlong zero', '81 03 e08080', ['BAD_FRAME 1007']],
  ['a surrogate', '81 03 eda080', ['BAD_FRAME 1007']],
  ['a pair of surrogates', '81 06 eda0bdedb880', ['BAD_FRAME 1007']],
  ['past the last character', '81 04 f4908080', ['BAD_FRAME 1007']],
  ['the last character', '81 04 f48fbfbf', ['text \u{10ffff}']],
  ['a noncharacter is one', '81 03 efbfbf', ['text \uffff']],
  ['a zero', '81 01 00', ['text \0']],
  ['binary need not be UTF-8', '82 02 c0af', ['binary c0af']],
  ['a bad byte in a fragment that is not the last', '01 02 61ff', ['BAD_FRAME 1007']],
  [
    'past the last character, in the second of three fragments',
    '01 01 61 00 02 f490',
    ['BAD_FRAME 1007'],
  ],
  ['a bad byte in a frame of which the rest never comes', '81 7e 1000 61ff', ['BAD_FRAME 1007']],
  [
    'a masked bad byte in a frame of which the rest never comes',
    '81 fe 1000 37fa213d 569b9dc1',
    ['BAD_FRAME 1007'],
    FROM_CLIENT,
  ],
  ['half a character in a frame of which the rest never comes', '81 7e 1000 61e282', ['...']],
  ['a surrogate, as soon as its second byte is there', '01 02 eda0', ['BAD_FRAME 1007']],
  ['a bad byte in a binary frame that is not whole', '82 7e 1000 61ff', ['...']],
  [
    'a bad byte in the second fragment of a binary message',
    '02 01 61 00 01 ff 80 00',
    ['binary 61ff'],
  ],
  ['a text after a binary in fragments', '02 01 ff 80 01 ff 81 01 61', ['binary ffff', 'text a']],

  // Closes.
  ['a close without a code', '88 00', ['close undefined']],
  ['a close with a code', '88 02 03e8', ['close 1000']],
  ['a close with a code and a reason', '88 07 03e9 67c3b66e65', ['close 1001 göne']],
  ['a masked close', '88 82 01020304 02ea', ['close 1000'], FROM_CLIENT],
  ['a close of one byte', '88 01 03', ['BAD_FRAME 1002']],
  ['a reason that is not UTF-8', '88 04 03e8 c0af', ['BAD_FRAME 1007']],
  ['a reason that ends in half a character', '88 03 03e8 c3', ['BAD_FRAME 1007']],
  ['a reason of 123 bytes', `88 7d 03e8 ${'61'.repeat(123)}`, [`close 1000 ${'a'.repeat(123)}`]],
];

const hexCode = (code: number): string => code.toString(16).padStart(4, '0');
const GOOD_CODES = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];
const BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];

describe('what arrives', () => {
  test.each(ROWS)('%s', (_what, bytes, events, rules = FROM_SERVER) => {
    const whole = hex(bytes);
    if (whole.length > 1_000) expect(read([whole], rules)).toEqual(events);
    else for (const chunks of everySplit(whole)) expect(read(chunks, rules)).toEqual(events);
  });

  test.each(GOOD_CODES)('close code %i is good', (code) => {
    expect(read([hex(`8802${hexCode(code)}`)], FROM_SERVER)).toEqual([`close ${code}`]);
  });

  test.each(BAD_CODES)('close code %i must not be sent', (code) => {
    expect(read([hex(`8802${hexCode(code)}`)], FROM_SERVER)).toEqual(['BAD_FRAME 1002']);
  });

  it("reads the close of Go's getty as an orderly one, and no other with its code", () => {
    const close = Buffer.concat([hex('880b'), Buffer.from('bye-bye!!!!')]);
    for (const chunks of everySplit(close))
      expect(read(chunks, FROM_SERVER)).toEqual(['close 1000']);
    expect(read([Buffer.concat([hex('880b'), Buffer.from('bye-bye!!!?')])], FROM_SERVER)).toEqual([
      'BAD_FRAME 1002',
    ]);
  });

  it('bounds empty fragments by the bytes of their headers', () => {
    const parser = new FrameParser({ ...FROM_SERVER, maxMessageBytes: 1_000 });
    const flood = (frames: number): void => {
      for (let i = 0; i < frames; i++) parser.feed(hex('0000'));
    };
    const most = (1_000 + 64 * 1024) / 2;
    parser.feed(hex('0200'));
    flood(most - 1);
    expect(parser.next()).toBeUndefined();
    expect(parser.bufferedBytes).toBe(0);
    parser.feed(hex('0000'));
    expect(thrown<FrameError>(() => parser.next())).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      closeCode: 1009,
    });
  });

  it('begins to count headers anew with each message', () => {
    const parser = new FrameParser({ ...FROM_SERVER, maxMessageBytes: 1_000 });
    for (let message = 0; message < 5; message++) {
      parser.feed(hex(`0200 ${'0000'.repeat(20_000)} 8000`));
      expect(parser.next()).toMatchObject({ type: 'message' });
    }
  });

  it('makes no room for what is only announced', () => {
    const parser = new FrameParser({ isMasked: false, maxMessageBytes: 2 ** 31 - 1 });
    const before = process.memoryUsage().arrayBuffers;
    parser.feed(hex('82 7f 000000007fffffff 01'));
    expect(parser.next()).toBeUndefined();
    parser.feed(hex('02'));
    expect(parser.next()).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it('hands out a view of the chunk when the message lies within it', () => {
    const parser = new FrameParser(FROM_CLIENT);
    const chunk = hex('82 83 01010101 000302 82 81 00000000 07');
    parser.feed(chunk);
    const event = parser.next();
    if (event?.type !== 'message') throw new Error('no message');
    expect(event.bytes).toBe(chunk);
    expect(event.start).toBe(6);
    expect(messageOf(event)).toEqual(hex('010203'));
  });
});

describe('compressed messages', () => {
  const HELLO = 'f248cdc9c90700';

  test.each<Row>([
    ['the example of RFC 7692', `c1 07 ${HELLO}`, ['text Hello']],
    [
      'in two fragments, of which the first says so',
      '41 03 f248cd 89 00 80 04 c9c90700',
      ['ping', 'text Hello'],
    ],
    ['stored, not compressed', 'c1 0b 000500faff48656c6c6f00', ['text Hello']],
    ['a final block', 'c1 08 f348cdc9c9070000', ['text Hello']],
    ['two blocks', 'c1 0d f248050000 00ffffcac9c90700', ['text Hello']],
    ['an empty message', 'c1 01 00', ['text']],
    [
      'not compressed, beside those that are',
      `81 05 48656c6c6f c1 07 ${HELLO}`,
      ['text Hello', 'text Hello'],
    ],
    ['text that is not UTF-8 within', 'c1 03 fa0700', ['BAD_FRAME 1007']],
    ['what cannot be inflated', 'c2 03 ffffff', ['BAD_FRAME 1007']],
    ['cut short', 'c1 06 f248cdc9c907', ['BAD_FRAME 1007']],
    ['a final block without the empty one behind it', 'c1 07 f348cdc9c90700', ['text Hello']],
    ['a final block that is cut short', 'c1 04 f348cdc9', ['BAD_FRAME 1007']],
    ['continued after a final block', 'c1 0e f348cdc9c90700f348cdc9c90700', ['BAD_FRAME 1007']],
    ['a byte after a final block', 'c1 08 f348cdc9c9070001', ['BAD_FRAME 1007']],
    ['nothing, not even an empty block', 'c1 00', ['BAD_FRAME 1007']],
    ['a compressed continuation', '41 03 f248cd c0 04 c9c90700', ['BAD_FRAME 1002']],
    ['a compressed ping', 'c9 00', ['BAD_FRAME 1002']],
    ['a compressed close', 'c8 00', ['BAD_FRAME 1002']],
  ])('%s', (_what, bytes, events) => {
    for (const chunks of everySplit(hex(bytes))) expect(read(chunks, COMPRESSING)).toEqual(events);
  });

  /** A message as a peer would send it, of blocks that zlib chooses. */
  const deflated = (message: Buffer, options: ZlibOptions = {}): Buffer =>
    deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH, ...options }).subarray(0, -4);
  const inflate = (bytes: Buffer): Buffer => inflater.inflate(bytes);

  test('a small message does not keep the large buffer that it was inflated into', () => {
    const message = inflate(deflated(Buffer.from('a')));
    expect(message.toString()).toBe('a');
    expect(message.buffer.byteLength).toBe(1);
  });

  it.each([0, 1, 6, 9])('refuses a message that is cut short at any byte, at level %i', (level) => {
    const messages = [
      Buffer.from('Hello world, hello world'),
      randomBytes(300),
      Buffer.from(JSON.stringify(Array.from({ length: 200 }, (_, i) => i * i))),
    ];
    for (const message of messages) {
      const whole = deflated(message, { level });
      expect(inflate(whole)).toEqual(message);
      // A stored block begins with a byte that by itself is an empty message.
      for (let end = whole[0] === 0 ? 2 : 0; end < whole.length; end++)
        expect(thrown<FrameError>(() => inflate(whole.subarray(0, end)))).toMatchObject({
          code: 'BAD_FRAME',
          closeCode: 1007,
        });
    }
  });

  test('any message is whole, and cut short it is not', () => {
    const content = fc.array(fc.constantFrom('a', 'b', 'hello ', '00', '\0', 'é', '{"key":'), {
      maxLength: 400,
    });
    const property = fc.property(
      content,
      fc.integer({ min: 0, max: 9 }),
      fc.nat(),
      (words, level, at) => {
        const message = Buffer.from(words.join(''));
        const whole = deflated(message, { level });
        expect(inflate(whole).equals(message)).toBe(true);
        const end = at % whole.length;
        // One zero is an empty message.
        if (end === 1 && whole[0] === 0) return;
        expect(() => inflate(whole.subarray(0, end))).toThrow(FrameError);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  it('checks compressed text in fragments before it is whole, and in few steps', () => {
    let steps = 0;
    const rules: FrameRules = {
      ...FROM_SERVER,
      inflater: inflaterWith({
        inflateStart(bytes) {
          steps++;
          return inflater.inflateStart(bytes);
        },
      }),
    };
    const good = 'ü€😀'.repeat(30) + randomBytes(3_000).toString('hex');
    const fragments = (message: Buffer): Buffer[] => {
      const bytes = deflated(message);
      return Array.from(bytes, (byte, i) =>
        Buffer.of((i === 0 ? 0x41 : 0) | (i === bytes.length - 1 ? FIN : 0), 1, byte),
      );
    };
    const whole = fragments(Buffer.from(good));
    expect(read(whole, rules)).toEqual([`text ${good}`]);
    expect(whole.length).toBeGreaterThan(3_000);
    expect(steps).toBeLessThan(15);
    const bad = fragments(Buffer.concat([hex('ff'), Buffer.from(good)]));
    expect(read(bad.slice(0, bad.length / 2), rules)).toEqual(['BAD_FRAME 1007']);
    const bomb = fragments(Buffer.alloc(10_000_000));
    expect(read(bomb.slice(0, (bomb.length * 3) / 4), rules)).toEqual(['MESSAGE_TOO_LARGE 1009']);
  });

  it.each(['1000efff', '0f00f0ff', '0000ffff', '010000ffff'])(
    'a message may end in bytes that look like an end: %s',
    (end) => {
      for (const level of [0, 6]) {
        const message = Buffer.concat([randomBytes(50), hex(end)]);
        expect(inflate(deflated(message, { level }))).toEqual(message);
      }
    },
  );

  it('understands a peer that refers to the messages before, for as much as its window holds', () => {
    const keeping = new MessageInflater(100_000, 100_000, true);
    const noise = randomBytes(20_000);
    const messages = [
      Buffer.from('one'),
      noise,
      noise,
      Buffer.from('two'),
      randomBytes(40_000),
      noise,
      noise.subarray(0, 10_000),
      noise,
    ];
    let before = Buffer.alloc(0);
    for (const message of messages) {
      const bytes =
        before.length === 0
          ? deflated(message)
          : deflated(message, { dictionary: before.subarray(-32_768) });
      expect(keeping.inflate(bytes).equals(message)).toBe(true);
      before = Buffer.concat([before, message]);
    }
    expect(() => inflate(deflated(noise, { dictionary: before.subarray(-32_768) }))).toThrow(
      FrameError,
    );
  });

  it.each([8, 9, 15])('what is sent fits in a window of %i bits', (bits) => {
    const made = new MessageDeflater('deflate', bits);
    // Each block repeats what came 300 bytes ago, which a window of 256 bytes does not hold.
    const block = randomBytes(300);
    const message = Buffer.concat([block, block, Buffer.alloc(2_000, 7), block]);
    const bytes = made.deflate(message) as Buffer;
    expect(inflate(bytes).equals(message)).toBe(true);
    // zlib inflates with no window below 512 bytes; so the first half must have found nothing to
    // refer to.
    if (bits === 8) expect(bytes.length).toBeGreaterThan(900);
    else
      expect(
        inflateRawSync(bytes, { windowBits: bits, finishFlush: constants.Z_SYNC_FLUSH }).equals(
          message,
        ),
      ).toBe(true);
  });

  it('round trip, at each level and window', () => {
    const noise = randomBytes(5_000);
    for (const message of [
      Buffer.alloc(50_000, 'compress me '),
      noise,
      Buffer.concat([noise, Buffer.alloc(5_000)]),
    ]) {
      for (const level of [-1, 0, 1, 6, 9]) {
        for (const window of [9, 12, 15]) {
          const made = new MessageDeflater({ deflate: level }, window).deflate(message);
          if (made !== undefined) expect(inflater.inflate(made).equals(message)).toBe(true);
        }
      }
    }
  });

  it('sends small messages, and what would not get smaller, as they are', () => {
    expect(deflater.deflate(Buffer.alloc(1_023))).toBeUndefined();
    expect(deflater.deflate(Buffer.alloc(1_024))?.length).toBeLessThan(30);
    expect(deflater.deflate(randomBytes(5_000))).toBeUndefined();
  });

  /** Four letters in random order: at level 6 zlib needs ten times as long for them as for JSON. */
  const slow = (size: number): Buffer => randomBytes(size).map((byte) => 97 + (byte & 3)) as Buffer;
  const KIB = 1024;

  it.each([
    [9, 16 * KIB, 9],
    [9, 16 * KIB + 1, 6],
    [7, 64 * KIB, 6],
    [-1, 64 * KIB, 6],
    [3, 64 * KIB, 3],
    [-1, 64 * KIB + 1, 1],
    [9, 512 * KIB, 1],
    [0, 512 * KIB, 0],
  ])(
    'at level %i a message of %i bytes is compressed at level %i, to bound its time',
    (level, size, used) => {
      const message = Buffer.concat([slow(size - 100), Buffer.alloc(100)]);
      const expected = deflated(message, { level: used });
      const made = new MessageDeflater({ deflate: level }).deflate(message);
      if (used === 0) expect(made).toBeUndefined();
      else expect(made?.equals(expected)).toBe(true);
    },
  );

  it('sends a message of more than maxCompressBytes as it is', () => {
    expect(deflater.deflate(Buffer.alloc(512 * KIB))?.length).toBeLessThan(10_000);
    expect(deflater.deflate(Buffer.alloc(512 * KIB + 1))).toBeUndefined();
    const small = new MessageDeflater('deflate', 15, 2_000);
    expect(small.deflate(Buffer.alloc(2_000))?.length).toBeLessThan(30);
    expect(small.deflate(Buffer.alloc(2_001))).toBeUndefined();
    const large = new MessageDeflater('deflate', 15, Number.POSITIVE_INFINITY);
    expect(large.deflate(Buffer.alloc(2_000_000))?.length).toBeLessThan(20_000);
  });

  it('checks of compressed text inflate no more than twice what came, and the limit once', () => {
    const limit = 4_000_000;
    let inflated = 0;
    const rules: FrameRules = {
      isMasked: false,
      maxMessageBytes: limit,
      inflater: inflaterWith(
        {
          inflateStart(bytes) {
            const start = inflaterTo(limit).inflateStart(bytes);
            inflated += start.length;
            return start;
          },
        },
        inflaterTo(limit),
      ),
    };
    // All of the text comes first. Then come blocks that hold nothing.
    const start = deflateRawSync(Buffer.alloc(limit, 'a'), { finishFlush: constants.Z_SYNC_FLUSH });
    const nothing = hex('000000ffff');
    const fragment = (first: number, bytes: Buffer): Buffer =>
      Buffer.concat([Buffer.of(first, 126, bytes.length >>> 8, bytes.length & 0xff), bytes]);
    const fragments = [fragment(0x41, start)];
    let came = start.length;
    for (; came < 60_000; came += 1_000) fragments.push(fragment(0, Buffer.alloc(1_000, nothing)));
    expect(read(fragments, rules)).toEqual(['...']);
    expect(inflated).toBeGreaterThanOrEqual(limit);
    expect(inflated).toBeLessThanOrEqual(2 * came + limit);
  });

  it.each<[what: string, bytes: () => Buffer, said: string]>([
    ['what cannot be inflated', () => Buffer.alloc(70_000, 0xff), 'BAD_FRAME 1007'],
    ['noise', () => deflated(randomBytes(90_000)), 'binary of 90000 bytes'],
    [
      'noise that is cut short',
      () => deflated(randomBytes(90_000)).subarray(0, -1),
      'BAD_FRAME 1007',
    ],
    ['more than the limit', () => deflated(randomBytes(100_001)), 'MESSAGE_TOO_LARGE 1009'],
  ])(
    'inflates a message of more than 64 KiB on another thread, and what follows it after it: %s',
    async (_what, bytes, said) => {
      const told = new Inbox<string>('the parser');
      const rules: FrameRules = {
        ...FROM_SERVER,
        inflater: inflaterWith({ inflate: () => expect.fail('it was inflated in this turn') }),
        onInflated: () => told.push(parser.isInflating ? 'inflating' : 'inflated'),
      };
      const parser = new FrameParser(rules);
      const payload = bytes();
      const header = Buffer.concat([hex('c2 7f 00000000'), Buffer.alloc(4)]);
      header.writeUInt32BE(payload.length, 6);
      parser.feed(Buffer.concat([header, payload, hex('8900 8201 61')]));
      expect(parser.next()).toBeUndefined();
      expect(parser.isInflating && parser.isInMessage).toBe(true);
      expect(parser.next()).toBeUndefined();
      expect(await told.next()).toBe('inflated');
      if (said.startsWith('binary')) {
        expect(parser.next()).toMatchObject({
          type: 'message',
          isText: false,
          bytes: { length: 90_000 },
        });
        expect(parser.next()).toMatchObject({ type: 'ping' });
        const next = parser.next();
        expect(next?.type === 'message' && messageOf(next)).toEqual(Buffer.from('a'));
        expect(parser.isInMessage).toBe(false);
      } else {
        const error = thrown<FrameError>(() => parser.next());
        expect(`${error.code} ${error.closeCode}`).toBe(said);
      }
    },
  );

  it('a bomb is stopped at the limit, whichever is lower', () => {
    const bomb = deflated(Buffer.alloc(50_000_000));
    expect(bomb.length).toBeLessThan(50_000);
    const before = process.memoryUsage().arrayBuffers;
    expect(
      thrown<FrameError>(() => new MessageInflater(100_000, 1_000_000, false).inflate(bomb)),
    ).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      closeCode: 1009,
    });
    expect(
      thrown<FrameError>(() => new MessageInflater(1_000_000, 100_000, false).inflate(bomb)),
    ).toMatchObject({
      code: 'INFLATE_LIMIT',
      closeCode: 1009,
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3_000_000);
    expect(inflater.inflate(deflater.deflate(Buffer.alloc(100_000)) as Buffer).length).toBe(
      100_000,
    );
  });
});

describe('a message in fragments that does not end', () => {
  const MIB = 1024 * 1024;
  const LIMIT = 4 * MIB;
  const CHUNK = 64 * 1024;
  const RULES: FrameRules = { isMasked: false, maxMessageBytes: LIMIT };

  /** A fragment that is not the last one. */
  function fragment(first: boolean, size: number): Buffer {
    const output = new ByteWriter(size + 16);
    output.reserve(minHeaderBytes(false));
    output.append(Buffer.alloc(size));
    completeFrame(output, 0, first ? OPCODE.binary : OPCODE.continuation, false);
    return output.written;
  }

  /** By itself, so that no variable of the test refers to the single fragments. */
  function fragments(sizes: readonly number[]): Buffer {
    return Buffer.concat(sizes.map((size, i) => fragment(i === 0, size)));
  }

  function held(): number {
    collectGarbage();
    // It waits for what the first collection frees in the background.
    collectGarbage();
    return process.memoryUsage().arrayBuffers;
  }

  it.each([
    ['one of nearly all', [LIMIT - 1_000]],
    ['two of half', [LIMIT / 2, LIMIT / 2 - 1_000]],
    ['one of three quarters and one of the rest', [LIMIT * 0.75, LIMIT * 0.25]],
    ['64 KiB each', Array<number>(63).fill(64 * 1024)],
    ['1 KiB each', Array<number>(4_000).fill(1024)],
    ['one byte each', Array<number>(500_000).fill(1)],
    ['one byte and none, by turns', Array.from({ length: 500_000 }, (_, i) => i & 1)],
  ])('holds at most twice maxMessageBytes: %s', (_what, sizes) => {
    const wire = fragments(sizes);
    const parser = new FrameParser(RULES);
    const before = held();
    for (let at = 0; at < wire.length; at += CHUNK) {
      // A copy, as the network delivers it.
      parser.feed(Buffer.from(wire.subarray(at, at + CHUNK)));
      expect(parser.next()).toBeUndefined();
    }
    const total = sizes.reduce((sum, size) => sum + size, 0);
    expect(parser.bufferedBytes).toBe(total);
    const after = held() - before;
    expect(after).toBeGreaterThanOrEqual(total);
    expect(after).toBeLessThan(Math.min(2 * total, LIMIT) + MIB / 4);
    // Both are in use until here.
    expect(parser.isInMessage && wire.length > total).toBe(true);
  });

  it('refuses empty fragments when their headers take more than 64 KiB besides maxMessageBytes', () => {
    const rules: FrameRules = { isMasked: false, maxMessageBytes: 1_000 };
    const empty = Buffer.alloc(2 * 40_000, hex('0000'));
    expect(read([hex('0200'), empty], rules)).toEqual(['MESSAGE_TOO_LARGE 1009']);
    expect(read([hex('0200'), empty.subarray(0, 66_000), hex('8001 61')], rules)).toEqual([
      'binary 61',
    ]);
  });
});

describe('the mask', () => {
  it('is the same by words as byte by byte, at every alignment', () => {
    for (let start = 0; start < 9; start++) {
      for (const size of [0, 1, 127, 128, 129, 130, 131, 132, 133, 1_000]) {
        const plain = randomBytes(start + size + 5);
        const masked = Buffer.from(plain);
        const key = newMask();
        applyMask(masked, start, start + size, key);
        const expected = Buffer.from(plain);
        const keyBytes = Buffer.alloc(4);
        keyBytes.writeUInt32BE(key);
        for (let i = 0; i < size; i++)
          expected[start + i] = (plain[start + i] as number) ^ (keyBytes[i % 4] as number);
        expect(masked.equals(expected)).toBe(true);
      }
    }
  });

  it('is a new one for each frame', () => {
    expect(new Set(Array.from({ length: 5_000 }, newMask)).size).toBeGreaterThan(4_990);
  });
});

/** A frame as a session makes it: room is reserved, the payload appended, the frame completed. */
function write(output: ByteWriter, payload: Uint8Array, first: number, masked: boolean): void {
  const start = output.reserve(minHeaderBytes(masked));
  output.append(payload);
  completeFrame(output, start, first, masked);
}

describe('what is sent', () => {
  test.each([
    [0, '8200'],
    [1, '8201'],
    [125, '827d'],
    [126, '827e007e'],
    [65_535, '827effff'],
    [65_536, '827f0000000000010000'],
    [1_000_000, '827f00000000000f4240'],
  ])('the header of %i bytes', (size, header) => {
    const output = new ByteWriter(16);
    output.append(Buffer.from('before'));
    const payload = randomBytes(size);
    write(output, payload, FIN | OPCODE.binary, false);
    const sent = output.bytes.subarray(6, output.length);
    expect(sent.subarray(0, header.length / 2).toString('hex')).toBe(header);
    expect(sent.subarray(header.length / 2).equals(payload)).toBe(true);
    expect(output.bytes.toString('latin1', 0, 6)).toBe('before');
  });

  it('control frames and closes are read again', () => {
    const sent = [
      controlFrame(OPCODE.ping, Buffer.from('p'), true),
      controlFrame(OPCODE.pong, Buffer.alloc(125, 'x'), true),
      controlFrame(OPCODE.close, closePayload(1001), true),
      controlFrame(OPCODE.close, closePayload(undefined), true),
    ];
    expect(read(sent, FROM_CLIENT)).toEqual([
      'ping p',
      `pong ${'x'.repeat(125)}`,
      'close 1001',
      'close undefined',
    ]);
  });

  const message = fc.record({
    fragments: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 }),
    ping: fc.boolean(),
    compressed: fc.boolean(),
  });

  test('round trip: any messages, in any fragments and chunks', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.boolean(),
        cuts,
        (messages, masked, places) => {
          const output = new ByteWriter();
          const expected: string[] = [];
          for (const { fragments, ping, compressed } of messages) {
            let parts: Uint8Array[] = fragments;
            const whole = Buffer.concat(fragments);
            const deflated = compressed
              ? deflater.deflate(Buffer.concat([whole, Buffer.alloc(2_000)]))
              : undefined;
            if (deflated !== undefined) parts = [deflated.subarray(0, 1), deflated.subarray(1)];
            parts.forEach((part, i) => {
              const opcode =
                i === 0
                  ? OPCODE.binary | (deflated === undefined ? 0 : COMPRESSED)
                  : OPCODE.continuation;
              if (ping) {
                write(output, Buffer.from('p'), FIN | OPCODE.ping, masked);
                expected.push('ping p');
              }
              write(output, part, opcode | (i === parts.length - 1 ? FIN : 0), masked);
            });
            const sent =
              deflated === undefined ? whole : Buffer.concat([whole, Buffer.alloc(2_000)]);
            expected.push(`binary ${sent.toString('hex')}`.trim());
          }
          const bytes = Buffer.from(output.bytes.subarray(0, output.length));
          expect(read(cut(bytes, places), { ...COMPRESSING, isMasked: masked })).toEqual(expected);
        },
      ),
    );
  });

  test('garbage is an error or an event, never anything else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        cuts,
        (garbage, masked, places) => {
          const said = read(cut(Buffer.from(garbage), places), {
            ...COMPRESSING,
            isMasked: masked,
          });
          for (const line of said)
            expect(line).toMatch(
              /^(text|binary|ping|pong|close|\.\.\.|BAD_FRAME 100[27]|MESSAGE_TOO_LARGE 1009)/,
            );
          expect(said).toEqual(read([Buffer.from(garbage)], { ...COMPRESSING, isMasked: masked }));
        },
      ),
    );
  });
});
