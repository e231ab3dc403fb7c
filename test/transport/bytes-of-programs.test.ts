/** Byte arrays of a program whose properties run code or are wrong. */
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/transport/buffers/byte-writer.js';
import {
  broadcast,
  type Client,
  type Codec,
  connect,
  type EventListener,
  type GettyError,
  raw,
  type Session,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { thrown } from '../fixtures/transports.js';
import { until } from '../fixtures/waiting.js';

noLeaks();

const SECRET = 'SECRET OF ANOTHER SESSION';
const SCHEMES = ['tcp', 'ws', 'memory'] as const;
let lastName = 0;

/** Two sessions of one server, and the texts that their clients receive. */
async function twoSessions(scheme: (typeof SCHEMES)[number]) {
  const received = ['', ''];
  const errors: GettyError[] = [];
  const listener = (at: number): EventListener<Buffer> => ({
    onMessage(_, bytes) {
      received[at] += bytes.toString('latin1');
    },
    onError: (_, error) => void errors.push(error),
  });
  const address = scheme === 'memory' ? `memory://bytes-${++lastName}` : `${scheme}://127.0.0.1:0`;
  const server = await serve(address, { codec: raw(), listener: { onMessage() {} } });
  const clients: Client<Buffer>[] = [];
  for (const at of [0, 1]) {
    const setup = { codec: raw(), listener: listener(at) };
    clients.push(await connect(server.address, setup, { reconnect: false }));
    await until(() => server.sessions.size > at, 'the server has the session');
  }
  const [a, b] = [...server.sessions] as [Session<Buffer>, Session<Buffer>];
  const close = async (): Promise<void> => {
    for (const client of clients) await client.close();
    await server.close();
  };
  return { a, b, server, received, errors, close };
}

const bytesThatRun = (act: () => void): Uint8Array => {
  const bytes = Buffer.from(SECRET);
  return Object.defineProperty(bytes, 'length', {
    get() {
      act();
      return SECRET.length;
    },
  });
};

const listThatRuns = (act: () => void): Uint8Array[] => {
  const list = [Buffer.from('first;'), Buffer.from(SECRET)];
  return Object.defineProperty(list, 1, {
    get() {
      act();
      return Buffer.from(SECRET);
    },
  });
};

test.each(
  SCHEMES.flatMap((scheme) =>
    (['close', 'destroy', 'server.destroy'] as const).flatMap((end) =>
      (['length', 'item'] as const).map((getter) => [scheme, end, getter] as const),
    ),
  ),
)(
  'over %s, %s() in a getter (of the %s) sends no bytes to another session',
  async (scheme, end, getter) => {
    const { a, b, server, received, errors, close } = await twoSessions(scheme);
    const act = (): void => {
      if (end === 'server.destroy') server.destroy();
      else void a[end]();
    };
    const write = (): unknown =>
      getter === 'length' ? a.writeBytes(bytesThatRun(act)) : a.writeBytesArray(listThatRuns(act));
    expect(thrown(write)).toMatchObject({ code: 'SESSION_CLOSED' });
    if (end !== 'server.destroy') {
      b.write(Buffer.from('for b'));
      await until(() => received[1] === 'for b', 'the message of the other session arrived');
    }
    await close();
    const next = await twoSessions(scheme);
    for (const session of [next.a, next.b]) session.write(Buffer.from('next'));
    await until(() => next.received.join() === 'next,next', 'messages of the next server arrived');
    await next.close();
    expect(received).toEqual(['', end === 'server.destroy' ? '' : 'for b']);
    // No frame begins with bytes of another session.
    expect(errors.filter(({ code }) => code === 'BAD_FRAME')).toEqual([]);
  },
);

test('a list whose getter writes to its session is refused, and nothing of it is sent', async () => {
  const { a, received, close } = await twoSessions('tcp');
  a.write(Buffer.from('before '));
  const list = listThatRuns(() => void a.write(Buffer.from('inner')));
  expect(thrown(() => a.writeBytesArray(list))).toMatchObject({ code: 'ENCODE_FAILED' });
  a.write(Buffer.from('after'));
  await until(() => received[0] === 'before after', 'the other messages arrived');
  await close();
});

test.each(['writeBytes', 'write'] as const)(
  '%s() of bytes whose length is more than their memory is BAD_OPTION and sends nothing',
  async (method) => {
    class Bits extends Uint8Array {
      override get length(): number {
        return super.length * 8;
      }
    }
    const { a, b, received, close } = await twoSessions('tcp');
    b.write(Buffer.from(SECRET.repeat(10)));
    await until(() => received[1]?.length === SECRET.length * 10, 'the other message arrived');
    expect(thrown(() => a[method](new Bits(20) as Buffer))).toMatchObject({ code: 'BAD_OPTION' });
    // The bytes in front of the length are zeros if the message is short.
    a[method](new Bits(2) as Buffer);
    a.write(Buffer.from('after'));
    await until(() => received[0]?.endsWith('after') === true, 'the next message arrived');
    expect(received[0]).toBe(`${'\0'.repeat(16)}after`);
    await close();
  },
);

test('bytes and lists that cannot be read are BAD_OPTION', async () => {
  const { a, received, close } = await twoSessions('memory');
  const revoked = Proxy.revocable(Buffer.from('x'), {});
  revoked.revoke();
  const revokedList = Proxy.revocable([], {});
  revokedList.revoke();
  const lists = [
    [revoked.proxy],
    [new Proxy(Buffer.from('x'), {})],
    [Object.create(Uint8Array.prototype)],
    revokedList.proxy,
    listThatRuns(() => {
      throw new TypeError('no bytes');
    }),
  ];
  for (const list of lists)
    expect(thrown(() => a.writeBytesArray(list))).toMatchObject({ code: 'BAD_OPTION' });
  for (const [bytes] of lists.slice(0, 3))
    expect(thrown(() => a.writeBytes(bytes))).toMatchObject({ code: 'BAD_OPTION' });
  a.write(Buffer.from('after'));
  await until(() => received[0] === 'after', 'the next message arrived');
  await close();
});

test('a borrowed writer is empty also when its former owner has written after its release', () => {
  const writer = ByteWriter.borrow();
  ByteWriter.release(writer);
  writer.text(SECRET);
  expect(ByteWriter.borrow()).toBe(writer);
  expect(writer.length).toBe(0);
});

const LENGTHS: readonly [name: string, (output: ByteWriter, start: number) => unknown][] = [
  ['-1', () => -1],
  ['a fraction', () => 1.5],
  ['NaN', () => Number.NaN],
  ['a text', () => '700'],
  ['less than the start of the message', (_, start) => start - 1],
  ['500 bytes more', ({ length }) => length + 500],
  ['more than the buffer', ({ bytes }) => bytes.length + 1],
  ['a length that text() has reserved', ({ length }) => length + 2],
];

test.each(
  (['tcp', 'udp', 'ws', 'memory'] as const).flatMap((scheme) =>
    LENGTHS.map(([name, lengthOf]) => [scheme, name, lengthOf] as const),
  ),
)('over %s, a codec that sets output.length to %s sends nothing', async (scheme, _, lengthOf) => {
  const WRONG = Buffer.from('wrong é');
  const codec: Codec<Buffer> = {
    read: raw().read,
    write(output, message) {
      const start = output.length;
      output.text(message.toString());
      if (message === WRONG) output.length = lengthOf(output, start) as number;
    },
  };
  // The buffers of the pool have bytes of other sessions.
  for (const writer of Array.from({ length: 4 }, () => ByteWriter.borrow())) {
    writer.text(SECRET.repeat(50));
    ByteWriter.release(writer);
  }
  let received = '';
  const listener: EventListener<Buffer> = {
    onMessage(_, bytes) {
      received += bytes.toString();
    },
  };
  const address = scheme === 'memory' ? `memory://bytes-${++lastName}` : `${scheme}://127.0.0.1:0`;
  const server = await serve(address, { codec, listener });
  const client = await connect(server.address, { codec, listener: { onMessage() {} } });
  const session = await client.session();
  session.write(Buffer.from('before;'));
  expect(thrown(() => session.write(WRONG))).toMatchObject({ code: 'BAD_OPTION' });
  expect(thrown(() => broadcast([session], WRONG))).toMatchObject({ code: 'BAD_OPTION' });
  session.write(Buffer.from('after'));
  await until(() => received.endsWith('after'), 'the next message arrived');
  expect(received).toBe('before;after');
  await client.close();
  await server.close();
});

test('a codec may remove bytes of its message and add them again', () => {
  const output = new ByteWriter();
  output.text('before');
  ByteWriter.beginMessage(output);
  const at = output.reserve(4);
  output.bytes.write('1234', at, 'latin1');
  output.length = at;
  output.length = at + 3;
  expect(output.written.toString()).toBe('before123');
  for (const length of [at + 5, at - 1])
    expect(thrown(() => Object.assign(output, { length }))).toMatchObject({ code: 'BAD_OPTION' });
  expect(thrown(() => Object.assign(output, { bytes: Buffer.alloc(9) }))).toBeInstanceOf(TypeError);
  expect(output.written.toString()).toBe('before123');
});
