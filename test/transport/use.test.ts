/** Session.use() on one transport: invalid calls, and what of the session stays. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it } from 'vitest';
import {
  broadcast,
  jsonLines,
  lengthPrefixed,
  lines,
  raw,
  type Session,
  taskPool,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import { pair, rejection, TRANSPORTS, type TransportRow, thrown } from '../fixtures/transports.js';
import { gate } from '../fixtures/waiting.js';

const MEMORY = TRANSPORTS.find(({ name }) => name === 'memory') as TransportRow;

noLeaks();

it.each([
  ['nothing', undefined, 'protocol: got undefined, expected an object with'],
  ['an empty object', {}, 'expected an object with a codec, a listener or both'],
  ['an option of the setup', { idleTimeout: 1 }, 'idleTimeout is not an option of use()'],
  ['a codec without write()', { codec: { read() {} } }, 'codec: got an object'],
  ['a listener without onMessage', { listener: {} }, 'listener: got an object'],
  ['a misspelled callback', { listener: { onMessage() {}, onclose() {} } }, 'did you mean onClose'],
])('rejects %s, and continues with the former protocol', async (_, protocol, message) => {
  await using p = await pair(MEMORY);
  const error = thrown(() => p.serverSession.use(protocol as never));
  expect(error.code).toBe('BAD_OPTION');
  expect(error.message).toContain(message);
  p.clientSession.write('still lines');
  expect(await p.serverEvents.messages.next()).toBe('still lines');
});

it('throws SESSION_CLOSED when the session is closed', async () => {
  await using p = await pair(MEMORY);
  const closed = p.clientSession.close();
  expect(thrown(() => p.clientSession.use({ codec: lines() })).code).toBe('SESSION_CLOSED');
  await closed;
});

it('keeps the options, attributes and statistics of the session', async () => {
  await using p = await pair(MEMORY, { serverSide: { maxMessageBytes: 20, name: 'gateway' } });
  p.serverSession.attributes.set('user', 'ann');
  p.clientSession.write('one');
  await p.serverEvents.messages.next();
  const second = new Recorder<Buffer>('the second listener');
  const session = p.serverSession.use({ codec: lengthPrefixed(), listener: second });
  expect(session).toBe(p.serverSession);
  expect(session.name).toBe('gateway');
  expect(session.attributes.get('user')).toBe('ann');
  expect(session.stats.messagesRead).toBe(1);
  const client = p.clientSession.use<never, Buffer>({ codec: lengthPrefixed() as never });
  client.writeBytes(Buffer.from([0, 0, 0, 40]));
  expect((await second.errors.next()).code).toBe('MESSAGE_TOO_LARGE');
  await second.closed.next();
});

it('applies to messages of a task pool that are not read yet', async () => {
  const [first, second] = [gate(), gate()];
  const started: string[] = [];
  const listener = (name: string, until: Promise<void>) => ({
    onMessage(_: Session<string>, line: string) {
      started.push(`${name} ${line}`);
      return until;
    },
  });
  await using p = await pair(MEMORY, {
    serverSide: {
      taskPool: taskPool({ concurrency: 1, queue: 1 }),
      on: listener('old', first.promise),
    },
  });
  p.clientSession.writeBytes(Buffer.from('1\n2\n3\n'));
  await p.serverEvents.messages.next();
  // The second line waits in the pool, and the third one in the session.
  p.serverSession.use({ listener: listener('new', second.promise) });
  first.open();
  second.open();
  await p.serverEvents.messages.next();
  await p.clientSession.close();
  await p.serverSession.close();
  expect(started).toEqual(['old 1', 'old 2', 'new 3']);
});

it('lets broadcast() encode with the present codec of each session', async () => {
  const texts: string[] = [];
  await using p = await pair(MEMORY, {
    clientSide: { codec: raw() as never, on: { onMessage: (_, b) => void texts.push(String(b)) } },
  });
  broadcast([p.serverSession], 'a');
  p.serverSession.use({ codec: jsonLines<string>() });
  broadcast([p.serverSession], 'b');
  await p.serverSession.close();
  expect(texts.join('')).toBe('a\n"b"\n');
});

it.each(['memory', 'ws', 'udp'])(
  'reports the error when two codecs pass the same bytes to each other: %s',
  async (name) => {
    const row = TRANSPORTS.find((other) => other.name === name) as TransportRow;
    await using p = await pair(row);
    let reads = 0;
    const codecs = [0, 1].map((at) => ({
      read(_: unknown, session: Session<string>): undefined {
        reads++;
        session.use({ codec: codecs[1 - at] as never });
      },
      write() {},
    }));
    p.clientSession.write('x');
    await p.serverEvents.messages.next();
    const session = p.serverSession.use({ codec: codecs[0] as never });
    p.clientSession.write('y');
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      cause: { message: 'codecs pass the bytes to each other with use()' },
    });
    expect(reads).toBe(17);
    if (name === 'udp') expect(session.closed).toBe(false);
    else await p.serverEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },
);

it('calls the new listener in the async context of the connection', async () => {
  const storage = new AsyncLocalStorage<string>();
  const stores: unknown[] = [];
  await using p = await pair(MEMORY);
  storage.run('a call', () =>
    p.serverSession.use({
      listener: { onMessage: () => void stores.push(storage.getStore()) },
    }),
  );
  p.clientSession.write('x');
  await p.clientSession.close();
  expect(stores).toEqual([undefined]);
});

it('rejects startTls() on a session that has no socket', async () => {
  await using p = await pair(MEMORY);
  const error = await rejection(p.clientSession.startTls());
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toContain('expected a session at tcp:// or unix://');
});
