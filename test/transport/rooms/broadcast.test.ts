import { expect, test, vi } from 'vitest';
import { ByteWriter, WRITER_SIZES } from '../../../src/transport/buffers/byte-writer.js';
import { SharedMessage } from '../../../src/transport/buffers/shared-message.js';
import {
  broadcast,
  type Codec,
  connect,
  lengthPrefixed,
  lines,
  raw,
  type Session,
  serve,
} from '../../../src/transport/index.js';
import type { Connection } from '../../../src/transport/types.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { room } from '../../fixtures/rooms.js';
import { transportsNamed } from '../../fixtures/session-probes.js';
import { thrown } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

noLeaks();
const [tcp] = transportsNamed('tcp');
const [ws] = transportsNamed('ws');
const [wsDeflate] = transportsNamed('ws+deflate');
if (tcp === undefined || ws === undefined || wsDeflate === undefined) expect.fail();

test('does not change shared bytes when sessions write behind them', async () => {
  await using r = await room<Buffer, Uint8Array>(tcp, 2, {
    serverSide: { codec: raw() },
    clientSide: { codec: raw() as unknown as Codec<Uint8Array, Buffer> },
  });
  const [first] = r.sessions;
  broadcast(r.sessions, Buffer.from('shared'));
  first?.write(new Uint8Array());
  first?.write(Buffer.from('own'));
  first?.write(new Uint8Array());
  broadcast(r.sessions, Buffer.from('again'));
  const received = (at: number): string =>
    Buffer.concat(r.events[at]?.messages.all ?? []).toString();
  await until(() => received(0) === 'sharedownagain', received.bind(undefined, 0));
  await until(() => received(1) === 'sharedagain', received.bind(undefined, 1));
});

test('sends what it has queued when a session is closed in the same tick', async () => {
  await using r = await room(tcp, 1);
  broadcast(r.sessions, 'last words');
  void r.sessions[0]?.close();
  expect(await r.events[0]?.messages.next()).toBe('last words');
});

test('writes for many sessions in several turns of the event loop', async () => {
  const count = 2_000;
  let arrived = 0;
  const server = await serve('memory://', { codec: lines(), listener: { onMessage() {} } });
  const listener = { onMessage: () => void arrived++ };
  const client = await connect(
    server.address,
    { codec: lines(), listener },
    { connections: count },
  );
  await until(() => server.sessions.size === count, 'all sessions are open');
  expect(broadcast(server.sessions, 'hello').sent).toBe(count);
  await turns();
  expect(arrived).toBeLessThan(count);
  await until(
    () => arrived === count,
    () => `${arrived} have arrived`,
  );
  await client.close();
  await server.close();
});

test('closes very many slow sessions in several turns of the event loop', async () => {
  const count = 300;
  const events = new Recorder<string>('the server');
  const server = await serve('memory://', {
    codec: lines(),
    highWaterMark: 100,
    listener: events,
  });
  const client = await connect(
    server.address,
    { codec: lines(), listener: { onMessage() {} } },
    { connections: count, reconnect: false },
  );
  await until(() => server.sessions.size === count, 'all sessions are open');
  const close = (): number => broadcast(server.sessions, 'x'.repeat(200), { slow: 'close' }).closed;
  expect(close()).toBe(0);
  expect(close()).toBe(count);
  expect(close()).toBe(0);
  expect(events.errors.all.length).toBeLessThan(count);
  await until(() => server.sessions.size === 0, 'all sessions are closed');
  expect(events.errors.all.every(({ code }) => code === 'SESSION_BLOCKED')).toBe(true);
  await client.close();
  await server.close();
});

test('makes one frame of a message for all WebSocket sessions of a server', async () => {
  for (const row of [ws, wsDeflate]) {
    await using r = await room(row, 3);
    const frames = vi.spyOn(SharedMessage.prototype, 'appendTo');
    try {
      broadcast(r.sessions, 'x'.repeat(2_000));
      expect(frames).toHaveBeenCalledTimes(1);
      broadcast(r.peers, 'y');
      // A client masks each frame.
      expect(frames).toHaveBeenCalledTimes(4);
    } finally {
      frames.mockRestore();
    }
    for (const { messages } of r.events) expect(await messages.next()).toBe('x'.repeat(2_000));
    expect(await r.serverEvents.messages.take(3)).toEqual(['y', 'y', 'y']);
  }
});

test('shares a frame among connections with the same key, and its error', () => {
  const codec: Codec<never, unknown> = {
    read: () => undefined,
    write(output, message) {
      output.asText = true;
      output.append(message as Uint8Array);
    },
  };
  const session = {} as Session<never, unknown>;
  const connection = (frameKey: string | undefined, fails = false): Connection =>
    ({
      frameKey,
      endMessage(output: ByteWriter) {
        if (fails) throw new Error(`text ${output.asText}`);
        output.append(Buffer.from('!'));
      },
    }) as unknown as Connection;
  const message = new SharedMessage(codec, Buffer.from('text'), session);
  expect(message.bytesFor({} as Connection)).toBe(message.payload);
  const shared = message.bytesFor(connection('a'));
  expect(shared?.toString()).toBe('text!');
  expect(message.bytesFor(connection('a'))).toBe(shared);
  expect(message.bytesFor(connection('b'))).not.toBe(shared);
  expect(message.bytesFor(connection(undefined))).toBeUndefined();
  const error = thrown(() => message.bytesFor(connection('c', true)));
  expect(error.message).toBe('text true');
  expect(thrown(() => message.bytesFor(connection('c', true)))).toBe(error);
});

test('skips UDP peers that a server must not send more', async () => {
  const events = new Recorder<string>('the server');
  const server = await serve('udp://127.0.0.1:0', { codec: lines(), listener: events });
  const client = await connect(server.address, { codec: lines(), listener: { onMessage() {} } });
  const session = await events.opened.next();
  const result = { waiting: 0, closed: 0, failed: 0 };
  expect(broadcast([session], 'x'.repeat(100))).toEqual({ ...result, sent: 0, skipped: 1 });
  session.trust();
  expect(broadcast([session], 'x'.repeat(100))).toEqual({ ...result, sent: 1, skipped: 0 });
  await client.close();
  await server.close();
});

test('skips UDP peers while very many messages wait for later turns', async () => {
  const setup = { codec: raw(), listener: { onMessage() {} } };
  await using receiver = await serve<Buffer, Uint8Array>('udp://127.0.0.1:0', setup);
  await using server = await serve<Buffer, Uint8Array>('udp://127.0.0.1:0', setup);
  const message = Buffer.alloc(1);
  server.writeTo(message, receiver.address);
  // Each occurrence of the session gets the message.
  const sessions = Array(1_000).fill([...server.sessions][0]);
  let calls = 0;
  while (broadcast(sessions, message).skipped === 0) expect(++calls).toBeLessThan(100);
  expect(calls).toBeGreaterThan(80);
  const sendsAgain = (): boolean => broadcast(sessions, message).skipped === 0;
  await until(sendsAgain, 'the messages that have waited are sent');
});

test('refuses a call from the codec of a session that encodes', async () => {
  const inner = lines();
  const errors: unknown[] = [];
  const codec: Codec<string> = {
    read: (input, session) => inner.read(input, session),
    write(output, line, session) {
      if (line === 'outer') errors.push(thrown(() => broadcast([session], 'inner')));
      inner.write(output, line, session);
    },
  };
  await using r = await room(tcp, 1, { serverSide: { codec } });
  r.sessions[0]?.write('outer');
  expect(errors).toMatchObject([{ code: 'ENCODE_FAILED', failed: 1 }]);
  expect(await r.events[0]?.messages.next()).toBe('outer');
});

test('refuses what is no iterable, no session and no policy', async () => {
  await using r = await room(tcp, 1);
  const refused = (action: () => unknown): string => {
    const { code, message } = thrown(action);
    expect(code).toBe('BAD_OPTION');
    return message;
  };
  expect(refused(() => broadcast(undefined as never, 'a'))).toMatch(/^sessions: got undefined/);
  expect(refused(() => broadcast({} as never, 'a'))).toMatch(/^sessions: got an object/);
  expect(refused(() => broadcast([{}] as never, 'a'))).toMatch(/^a session: got an object/);
  expect(refused(() => broadcast(r.sessions, 'a', { slow: 'no' as never }))).toMatch(/^slow: got/);
  expect(refused(() => broadcast(r.sessions, 'a', { except: 1 as never }))).toMatch(/^except: got/);
});

test('refuses lists that throw and objects like sessions, and sends nothing', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions as [Session<string>];
  const revoked = Proxy.revocable([], {});
  revoked.revoke();
  const throwing = {
    get [Symbol.iterator](): never {
      throw new TypeError('no iterator');
    },
  };
  const endsEarly = function* (): Generator<Session<string>> {
    yield session;
    throw new TypeError('no more sessions');
  };
  for (const listOf of [() => revoked.proxy, () => throwing, endsEarly]) {
    expect(thrown(() => broadcast(listOf(), 'never')).code).toBe('BAD_OPTION');
    const except = listOf();
    expect(thrown(() => broadcast(r.sessions, 'never', { except })).code).toBe('BAD_OPTION');
  }
  const unlike = [new Proxy(session, {}), Object.create(session), revoked.proxy, null];
  for (const item of unlike as Session<string>[])
    expect(thrown(() => broadcast([session, item], 'never')).code).toBe('BAD_OPTION');
  broadcast(r.sessions, 'after');
  expect(await r.events[0]?.messages.next()).toBe('after');
});

test('sends the latest message after waits of send() have blocked a session', async () => {
  await using r = await room(tcp, 1, {
    serverSide: { maxQueuedBytes: 256 * 1024, highWaterMark: 128 * 1024, maxMessageBytes: 1e6 },
    clientSide: { maxMessageBytes: 1e6 },
  });
  const [session] = r.sessions as [Session<string>];
  const [peer] = r.peers as [Session<string>];
  peer.pause();
  while (session.queuedBytes === 0) {
    session.write('x'.repeat(60_000));
    await turns(2);
  }
  const sends: Promise<unknown>[] = [];
  for (let code = ''; code === ''; ) {
    const sent = session.send('s');
    sends.push(sent.catch((error) => (code = error.code)));
    if (sends.length % 100 === 0) await turns(1);
  }
  expect(session.queuedBytes).toBeLessThan(128 * 1024);
  const result = broadcast([session], 'latest', { slow: 'latest' });
  expect(result).toMatchObject({ sent: 0, waiting: 1 });
  peer.resume();
  await until(() => r.events[0]?.messages.all.at(-1) === 'latest', 'the latest message arrived');
  await Promise.all(sends);
});

test('drops the latest message of a session whose codec has changed', async () => {
  await using r = await room(tcp, 1, { clientSide: { codec: raw() as never } });
  const [session] = r.sessions as [Session<string>];
  const [peer] = r.peers as [Session<string>];
  peer.pause();
  while (session.queuedBytes < 2 * 1024 * 1024) {
    session.write('x'.repeat(60_000));
    await turns(2);
  }
  expect(broadcast([session], 'NEWS', { slow: 'latest' })).toMatchObject({ waiting: 1 });
  session.use<Uint8Array, Uint8Array>({ codec: lengthPrefixed() }).write(Buffer.from('the end'));
  peer.resume();
  const received = (): string => Buffer.concat(r.events[0]?.messages.all as never).toString();
  await until(() => received().endsWith('the end'), 'the last message arrived');
  await session.drained();
  session.writeBytes(Buffer.from('!'));
  await until(() => received().endsWith('!'), 'the last byte arrived');
  expect(received()).not.toContain('NEWS');
});

test('ends the aliases of pooled sizes in a copy', () => {
  for (const size of [0, ...WRITER_SIZES])
    expect(ByteWriter.canAlias(Buffer.alloc(size))).toBe(false);
  const bytes = Buffer.from('shared');
  const writer = ByteWriter.aliasOf(bytes);
  expect(writer.written).toBe(bytes);
  writer.append(Buffer.from(' and more'));
  expect(writer.written.toString()).toBe('shared and more');
  expect(bytes.toString()).toBe('shared');
});
