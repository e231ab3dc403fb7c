/**
 * A server of ours and a peer with hand-made frames: what it answers, byte for byte. The cases
 * follow the sections of the Autobahn test suite (fragments, text, closes, limits, compression);
 * the compression matrix has the `ws` package as the peer.
 */
import { describe, expect, it, test } from 'vitest';
import {
  ByteWriter,
  type CloseOptions,
  type Codec,
  connect,
  serve,
} from '../../../src/transport/index.js';
import { COMPRESSED, FIN, OPCODE } from '../../../src/transport/websocket/frames/frame-header.js';
import {
  completeFrame,
  minHeaderBytes,
} from '../../../src/transport/websocket/frames/frame-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { turns } from '../../fixtures/waiting.js';
import {
  ANY,
  echo,
  ourClient,
  rawWebSocket,
  wsClient,
  wsServer,
} from '../../fixtures/websocket.js';

noLeaks();

interface Message {
  readonly bytes: Buffer;
  readonly text: boolean | undefined;
}

/** Messages with their kind, as they came and as they are to be sent. */
const kinds: Codec<Message> = {
  read: (input) => ({ text: input.text, bytes: input.take(input.length) }),
  write(output, { bytes, text }) {
    output.asText = text;
    output.append(bytes);
  },
};

/** A server that sends back what came, text as text. */
async function echoKinds(options = {}) {
  const events = new Recorder<Message>('the server', {
    onMessage: (from, message) => from.write(message),
  });
  const server = await serve(ANY, { codec: kinds, listener: events, ...options });
  return { server, events, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

/** A client's frame. */
function frame(first: number, payload: string | Uint8Array = ''): Buffer {
  const output = new ByteWriter();
  const start = output.reserve(minHeaderBytes(true));
  output.append(Buffer.from(payload));
  completeFrame(output, start, first, true);
  return Buffer.from(output.written);
}

const text = (payload: string | Uint8Array): Buffer => frame(FIN | OPCODE.text, payload);
const begin = (payload: string | Uint8Array): Buffer => frame(OPCODE.text, payload);
const more = (payload: string | Uint8Array): Buffer => frame(OPCODE.continuation, payload);
const last = (payload: string | Uint8Array): Buffer => frame(FIN | OPCODE.continuation, payload);
const ping = (payload = ''): Buffer => frame(FIN | OPCODE.ping, payload);
const close = (payload: string | Uint8Array = ''): Buffer => frame(FIN | OPCODE.close, payload);
const closeCode = (code: number, reason: string | Uint8Array = ''): Buffer =>
  close(Buffer.concat([hex(code.toString(16).padStart(4, '0')), Buffer.from(reason)]));

/** What the server answers, in hex. */
const ECHO_A = '810161';
const ECHO_ABC = '8103616263';
const PONG = '8a00';
const closed = (code: number): string => `8802${code.toString(16).padStart(4, '0')}`;
const PROTOCOL_ERROR = closed(1002);
const BAD_TEXT = closed(1007);

const KOSME = Buffer.from('κόσμε');
const PAST_LAST = hex('f4908080');

type Row = [what: string, sent: Buffer[], answer: string];

describe('pings and pongs', () => {
  const numbers = Array.from({ length: 10 }, (_, i) => String(i));
  test.each<Row>([
    [
      'ten pings have ten pongs',
      numbers.map(ping),
      numbers.map((n) => `8a01${Buffer.from(n).toString('hex')}`).join(''),
    ],
    ['a pong that nobody asked for is ignored', [frame(FIN | OPCODE.pong, 'x'), ping()], PONG],
    ['a ping of 125 bytes', [ping('x'.repeat(125))], `8a7d${'78'.repeat(125)}`],
    ['a ping of 126 bytes', [ping('x'.repeat(126))], PROTOCOL_ERROR],
    ['a ping before a close is answered', [ping(), closeCode(1000)], PONG + closed(1000)],
  ])('%s', answers);
});

/** The answer is the same whether the frames come at once or one by one. */
async function answers(_what: string, sent: Buffer[], answer: string): Promise<void> {
  await using server = await echoKinds();
  for (const chunks of [[Buffer.concat(sent)], sent]) {
    using peer = await rawWebSocket(server.address);
    for (const chunk of chunks) {
      peer.socket.write(chunk);
      await turns(1);
    }
    expect(await peer.frames(answer.length / 2)).toBe(answer);
    if (!/88(02....|00)$/.test(answer)) continue;
    await peer.ended;
    peer.socket.end();
    await server.events.closed.next();
  }
}

describe('what came before a fault is answered before it', () => {
  test.each<Row>([
    [
      'a reserved bit',
      [text('a'), frame(FIN | OPCODE.text | 0x20, 'b'), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'compression that was not agreed on',
      [text('a'), frame(FIN | COMPRESSED | OPCODE.text, 'b')],
      ECHO_A + PROTOCOL_ERROR,
    ],
    ['a reserved opcode of data', [text('a'), frame(FIN | 5), ping()], ECHO_A + PROTOCOL_ERROR],
    [
      'a reserved opcode with content',
      [text('a'), frame(FIN | 6, 'b'), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'a reserved opcode of control',
      [text('a'), frame(FIN | 0xd), ping()],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'a ping, then a reserved opcode',
      [text('a'), ping(), frame(FIN | 0xe, 'b')],
      PONG + ECHO_A + PROTOCOL_ERROR,
    ],
    ['text that is not UTF-8', [text('a'), text(hex('ff'))], ECHO_A + BAD_TEXT],
    [
      'a message that is too large',
      [text('a'), hex('82 ff 7fffffffffffffff 00000000')],
      ECHO_A + closed(1009),
    ],
  ])('%s', async (_what, sent, answer) => {
    await using server = await echoKinds();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(Buffer.concat(sent));
    // The pongs of a read leave before what its messages lead to, or after: they are not in its
    // order.
    const came = await peer.frames(answer.length / 2);
    expect(came.replace(PONG, '')).toBe(answer.replace(PONG, ''));
    expect(came.includes(PONG)).toBe(answer.includes(PONG));
    await peer.ended;
  });

  it('goes for many messages too', async () => {
    await using server = await echoKinds();
    using peer = await rawWebSocket(server.address);
    peer.socket.write(
      Buffer.concat([...Array.from({ length: 5_000 }, () => text('a')), frame(FIN | 3)]),
    );
    expect(await peer.frames(5_000 * 3 + 4)).toBe(ECHO_A.repeat(5_000) + PROTOCOL_ERROR);
  });
});

describe('fragments', () => {
  test.each<Row>([
    ['two', [begin('ab'), last('c')], ECHO_ABC],
    ['a ping between', [begin('ab'), ping(), last('c')], PONG + ECHO_ABC],
    ['empty ones', [begin(''), more(''), last('abc')], ECHO_ABC],
    ['empty ones alone', [begin(''), more(''), last('')], '8100'],
    ['a continuation of nothing', [last('a'), text('a')], PROTOCOL_ERROR],
    [
      'a continuation behind a whole message',
      [text('a'), more('b'), text('a')],
      ECHO_A + PROTOCOL_ERROR,
    ],
    [
      'a whole message, then a continuation that does not end',
      [begin('ab'), last('c'), more('d'), last('e')],
      ECHO_ABC + PROTOCOL_ERROR,
    ],
    ['a message inside another', [begin('ab'), text('c')], PROTOCOL_ERROR],
    ['a ping in fragments', [frame(OPCODE.ping, 'a'), last('b')], PROTOCOL_ERROR],
  ])('%s', answers);
});

describe('text', () => {
  test.each<Row>([
    [
      'a character in each fragment',
      [begin(KOSME.subarray(0, 2)), last(KOSME.subarray(2))],
      `810a${KOSME.toString('hex')}`,
    ],
    [
      'byte by byte',
      [
        begin(KOSME.subarray(0, 1)),
        ...Array.from(KOSME.subarray(1, -1), (byte) => more(Buffer.of(byte))),
        last(KOSME.subarray(-1)),
      ],
      `810a${KOSME.toString('hex')}`,
    ],
    ['6.4.1: a bad fragment is told before the next', [begin(KOSME), more(PAST_LAST)], BAD_TEXT],
    [
      '6.4.2: so is the byte that makes it bad',
      [begin(KOSME), more(PAST_LAST.subarray(0, 2))],
      BAD_TEXT,
    ],
    [
      '6.4.3: within a frame of which the rest does not come',
      [text(Buffer.concat([KOSME, PAST_LAST, Buffer.from('edited')])).subarray(0, -7)],
      BAD_TEXT,
    ],
    [
      '6.4.4: the same after the byte that makes it bad',
      [text(Buffer.concat([KOSME, PAST_LAST, Buffer.from('edited')])).subarray(0, -8)],
      BAD_TEXT,
    ],
  ])('%s', answers);
});

describe('closes', () => {
  const REFUSED = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535];
  const ANSWERED = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
  ];
  test.each<Row>([
    ['a message before it is answered', [text('a'), closeCode(1000)], ECHO_A + closed(1000)],
    ['the second is ignored', [closeCode(1000), closeCode(1001)], closed(1000)],
    ['a ping after it is ignored', [closeCode(1000), ping()], closed(1000)],
    ['a message after it is ignored', [closeCode(1000), text('a')], closed(1000)],
    [
      'the rest of a message after it is ignored',
      [begin('a'), closeCode(1000), last('b')],
      closed(1000),
    ],
    ['none has content', [close()], '8800'],
    ['of one byte', [close('x')], PROTOCOL_ERROR],
    ['with a reason', [closeCode(1000, 'Hello World!')], closed(1000)],
    ['with a reason of 123 bytes', [closeCode(1000, '*'.repeat(123))], closed(1000)],
    ['with a reason of 124 bytes', [closeCode(1000, '*'.repeat(124))], PROTOCOL_ERROR],
    [
      'with a reason that is not UTF-8',
      [closeCode(1000, Buffer.concat([KOSME, PAST_LAST]))],
      BAD_TEXT,
    ],
    ...ANSWERED.map((code): Row => [`code ${code}`, [closeCode(code)], closed(code)]),
    ...REFUSED.map(
      (code): Row => [`code ${code}, which must not be sent`, [closeCode(code)], PROTOCOL_ERROR],
    ),
  ])('%s', answers);
});

describe('limits', () => {
  test.each([
    ['9.3.1: text', OPCODE.text],
    ['9.4.1: binary', OPCODE.binary],
  ])('%s of 4 MiB in fragments of 64 bytes', async (_what, opcode) => {
    const size = 4 * 1024 * 1024;
    await using server = await echoKinds({ messageTimeout: 0, maxMessageBytes: size });
    using peer = await rawWebSocket(server.address);
    const part = '*'.repeat(64);
    const count = size / 64;
    const middle = Array.from({ length: 64 }, () => more(part));
    peer.socket.write(frame(opcode, part));
    for (let i = 0; i < (count - 64) / 64; i++) peer.socket.write(Buffer.concat(middle));
    for (const bytes of middle.slice(0, 62)) peer.socket.write(bytes);
    peer.socket.write(last(part));
    const { bytes, text: isText } = await server.events.messages.next();
    expect([bytes.length, isText]).toEqual([size, opcode === OPCODE.text]);
    expect(bytes.every((byte) => byte === 0x2a)).toBe(true);
    // While a message is under way for long, its receiver sends pongs to tell that it is alive.
    const answer = (await peer.frames(size + 10)).slice(0, 1_000).replace(/^(8a00)+/, '');
    expect(answer.slice(0, 20)).toBe(`8${opcode}7f0000000000400000`);
  });
});

describe('a session that does not read', () => {
  it('answers pings behind the messages that it holds, and then gets those', async () => {
    await using server = await echoKinds();
    using peer = await rawWebSocket(server.address);
    const session = await server.events.opened.next();
    session.pause();
    peer.socket.write(
      Buffer.concat([text('a'), ping('1'), begin('ab'), ping('2'), last('c'), ping('3')]),
    );
    expect(await peer.frames(9)).toBe('8a01318a01328a0133');
    expect(server.events.messages.all).toEqual([]);
    session.resume();
    expect(await peer.frames(9 + 8)).toBe(`8a01318a01328a0133${ECHO_A}${ECHO_ABC}`);
  });

  it('answers pings while as many messages are handled as may be', async () => {
    let answer = (): void => {};
    const listener = new Recorder<Message>('the server', {
      onMessage: (from, message) =>
        new Promise<void>((resolve) => {
          answer = () => {
            from.write(message);
            resolve();
          };
        }),
    });
    await using server = await serve(ANY, { codec: kinds, listener, maxHandling: 1 });
    using peer = await rawWebSocket(server.address);
    peer.socket.write(Buffer.concat([text('a'), text('abc'), ping()]));
    expect(await peer.frames(2)).toBe(PONG);
    expect(listener.messages.all).toHaveLength(1);
    answer();
    expect(await peer.frames(5)).toBe(PONG + ECHO_A);
    await listener.messages.take(2);
    answer();
    expect(await peer.frames(10)).toBe(PONG + ECHO_A + ECHO_ABC);
  });

  it('gets the messages before a close, and before a fault', async () => {
    for (const [end, answer] of [
      [closeCode(1000), closed(1000)],
      [frame(FIN | 3), PROTOCOL_ERROR],
    ] as const) {
      await using server = await echoKinds();
      using peer = await rawWebSocket(server.address);
      const session = await server.events.opened.next();
      session.pause();
      peer.socket.write(Buffer.concat([text('a'), text('abc'), ping(), end]));
      expect(await peer.frames(2)).toBe(PONG);
      expect(session.closed).toBe(false);
      session.resume();
      expect(await peer.frames(2 + 8 + 4)).toBe(PONG + ECHO_A + ECHO_ABC + answer);
      peer.socket.end();
      await server.events.closed.next();
    }
  });
});

describe('kinds of messages', () => {
  it('a codec is told them, and chooses them, whatever `text` says', async () => {
    for (const option of [false, true]) {
      const events = new Recorder<Message>('the server', {
        onMessage: (from, message) => from.write(message),
      });
      await using server = await serve(
        ANY,
        { codec: kinds, listener: events },
        { websocket: { text: option } },
      );
      using peer = wsClient(server.address);
      await peer.opened;
      for (const message of ['one', Buffer.from('two'), 'three']) peer.socket.send(message);
      expect(await peer.messages.take(3)).toEqual(['text one', 'binary 74776f', 'text three']);
      expect(events.messages.all.map((message) => message.text)).toEqual([true, false, true]);
    }
  });

  it('they stay with messages that wait', async () => {
    await using server = await echoKinds();
    using peer = wsClient(server.address);
    await peer.opened;
    const session = await server.events.opened.next();
    session.pause();
    for (const message of ['one', Buffer.from('two'), 'three']) peer.socket.send(message);
    peer.socket.ping('all sent');
    await peer.pongs.next();
    session.resume();
    expect(await peer.messages.take(3)).toEqual(['text one', 'binary 74776f', 'text three']);
  });

  it('a codec that does not choose sends what `text` says, after one that did too', async () => {
    let choice: boolean | undefined = true;
    const codec: Codec<string> = {
      read: (input) => input.takeText(input.length),
      write(output, message) {
        if (choice !== undefined) output.asText = choice;
        output.text(message);
      },
    };
    await using server = await wsServer();
    await using client = await connect(
      server.address,
      { codec, listener: new Recorder<string>('the client') },
      { reconnect: false },
    );
    const session = await client.session();
    session.write('one');
    choice = undefined;
    session.write('two');
    session.writeBytes(Buffer.from('three'));
    const peer = await server.peers.next();
    expect(await peer.messages.take(3)).toEqual([
      'text one',
      'binary 74776f',
      `binary ${Buffer.from('three').toString('hex')}`,
    ]);
  });

  it('text of a codec that is not UTF-8 is ENCODE_FAILED', async () => {
    await using server = await echoKinds();
    using peer = wsClient(server.address);
    await peer.opened;
    const session = await server.events.opened.next();
    expect(() => session.write({ bytes: hex('ff'), text: true })).toThrow(
      expect.objectContaining({ code: 'ENCODE_FAILED' }),
    );
    session.write({ bytes: hex('ff'), text: false });
    expect(await peer.messages.next()).toBe('binary ff');
  });

  it('other transports have none', async () => {
    const events = new Recorder<Message>('the server');
    await using server = await serve('memory://', { codec: kinds, listener: events });
    await using client = await connect(server.address, {
      codec: kinds,
      listener: new Recorder<Message>('the client'),
    });
    (await client.session()).write({ bytes: Buffer.from('a'), text: true });
    expect((await events.messages.next()).text).toBeUndefined();
  });
});

describe('close codes', () => {
  it.each<[options: CloseOptions | undefined, told: string]>([
    [{ code: 4001, reason: 'grün' }, '4001 grün'],
    [{ code: 1008 }, '1008'],
    [{ reason: 'x'.repeat(123) }, `1000 ${'x'.repeat(123)}`],
    [{}, '1000'],
    [undefined, '1000'],
  ])('close(%o) tells the peer', async (options, told) => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    const session = await server.events.opened.next();
    const over = session.close(options);
    expect(await peer.closed.next()).toBe(told);
    await over;
    // The peer answers with the same code.
    expect(session.closeCode).toBe(options?.code ?? 1000);
    expect(
      server.events.errors.all.filter(
        (error) => (error as { code?: string }).code !== 'CONNECTION_LOST',
      ),
    ).toEqual([]);
  });

  it.each([
    [{ code: 1005 }, 'code: given 1005'],
    [{ code: 1006 }, 'code: given 1006'],
    [{ code: 999 }, 'code: given 999'],
    [{ code: 5000 }, 'code: given 5000'],
    [{ code: 1000.5 }, 'code: given 1000.5'],
    [{ code: '1000' }, 'code: given "1000"'],
    [{ reason: 'ü'.repeat(62) }, 'reason: given'],
    [{ reason: 1 }, 'reason: given 1'],
    [{ cod: 1000 }, 'did you mean code?'],
    [1000, 'close(): given 1000'],
    [null, 'close(): given null'],
  ])('close(%o) is a BAD_OPTION, and the session stays open', async (options, message) => {
    await using server = await echo();
    await using ours = await ourClient(server.address);
    const bad = expect.objectContaining({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
    expect(() => ours.session.close(options as object)).toThrow(bad);
    expect(ours.session.closed).toBe(false);
  });

  it('the peer’s code and reason are properties of the session, and of the error where it is one', async () => {
    await using server = await echo();
    for (const [code, reason] of [
      [1000, 'done'],
      [1001, ''],
      [4001, 'why'],
      [undefined, ''],
    ] as const) {
      using peer = wsClient(server.address);
      await peer.opened;
      const session = await server.events.opened.next();
      expect([session.closeCode, session.closeReason]).toEqual([undefined, undefined]);
      peer.socket.close(code, reason);
      await server.events.closed.next();
      expect([session.closeCode, session.closeReason]).toEqual([code, reason]);
    }
    expect(server.events.errors.all).toHaveLength(1);
    expect(server.events.errors.all[0]).toMatchObject({
      name: 'CloseError',
      code: 'CONNECTION_LOST',
      closeCode: 4001,
      closeReason: 'why',
    });
  });

  it('a connection that breaks has none, and other transports take and tell none', async () => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.terminate();
    const session = await server.events.opened.next();
    await server.events.closed.next();
    expect([session.closeCode, session.closeReason]).toEqual([undefined, undefined]);
    await using plain = await echo({}, {}, 'tcp://127.0.0.1:0');
    await using ours = await ourClient(plain.address);
    await ours.session.close({ code: 4000, reason: 'bye' });
    await plain.events.closed.next();
    expect((await plain.events.opened.next()).closeCode).toBeUndefined();
    expect([...plain.events.errors.all, ...ours.events.errors.all]).toEqual([]);
  });
});

describe('permessage-deflate with the ws package', () => {
  const SIZES = [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072];
  /** It repeats itself at all distances. */
  const content = (size: number): string =>
    Array.from({ length: size / 8 }, (_, i) => String((i * i) % 9_973).padEnd(8)).join('');
  const MATRIX = [
    {},
    { serverNoContextTakeover: true },
    { clientNoContextTakeover: true },
    { serverNoContextTakeover: true, clientNoContextTakeover: true },
    ...[9, 12, 15].flatMap((bits) => [
      { serverMaxWindowBits: bits },
      { clientMaxWindowBits: bits },
      { serverMaxWindowBits: bits, serverNoContextTakeover: true },
      { clientMaxWindowBits: bits, clientNoContextTakeover: true },
      { serverMaxWindowBits: bits, clientMaxWindowBits: bits },
    ]),
    { serverMaxWindowBits: 8 },
  ];

  test.each(MATRIX)('its client asks for %o', async (asked) => {
    await using server = await echoKinds({ compression: 'deflate' });
    using peer = wsClient(server.address, { perMessageDeflate: { threshold: 0, ...asked } });
    await peer.opened;
    expect(peer.socket.extensions).toBe('permessage-deflate');
    for (const size of [...SIZES, ...SIZES]) {
      peer.socket.send(content(size));
      expect(await peer.messages.next()).toBe(`text ${content(size)}`);
    }
  });

  test.each(
    MATRIX.filter((asked) => !('serverMaxWindowBits' in asked && asked.serverMaxWindowBits === 8)),
  )('its server wants %o', async (wanted) => {
    await using server = await wsServer({ perMessageDeflate: { threshold: 0, ...wanted } });
    await using ours = await ourClient(server.address, { compression: 'deflate' });
    const peer = await server.peers.next();
    expect(peer.socket.extensions).toBe('permessage-deflate');
    for (const size of [...SIZES, ...SIZES]) {
      ours.session.write(Buffer.from(content(size)));
      expect(await peer.messages.next()).toBe(
        `binary ${Buffer.from(content(size)).toString('hex')}`,
      );
      peer.socket.send(content(size));
      expect(String(await ours.events.messages.next())).toBe(content(size));
    }
  });
});
