/** A client and a server of ours over WebSocket. */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import {
  type ByteWriter,
  type Codec,
  connect,
  lengthPrefixed,
  lines,
  raw,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';
import { ANY, echo, ourClient, type RawEvents } from '../../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

/** The bytes that the socket gets for one message. */
async function sentBytes(
  session: { write(message: Uint8Array): boolean },
  message: Uint8Array,
): Promise<number> {
  const writes = vi.spyOn(Socket.prototype, 'write');
  session.write(message);
  await new Promise((resolve) => process.nextTick(resolve));
  const bytes = writes.mock.calls.reduce(
    (sum, [chunk]) => sum + (chunk as unknown as Buffer).length,
    0,
  );
  writes.mockRestore();
  return bytes;
}

const CODECS: Record<string, () => Codec<unknown>> = {
  raw: () => raw() as unknown as Codec<unknown>,
  lines: () => lines() as unknown as Codec<unknown>,
  lengthPrefixed: () => lengthPrefixed() as unknown as Codec<unknown>,
};
test.each(Object.keys(CODECS))('echoes messages of any size with the codec %s', async (name) => {
  const codec = CODECS[name] as () => Codec<unknown>;
  const events = new Recorder<unknown>('the server', {
    onMessage: (session, message) => session.write(message),
  });
  await using server = await serve(ANY, { codec: codec(), listener: events });
  const received = new Recorder<unknown>('the client');
  await using ours = await connect(server.address, { codec: codec(), listener: received });
  const sent = ['', 'a', 'hello', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(70_000)];
  const session = await ours.session();
  for (const message of sent) session.write(name === 'lines' ? message : Buffer.from(message));
  expect((await received.messages.take(sent.length)).map(String)).toEqual(sent);
});

it('sends all messages of a tick in one write', async () => {
  await using server = await echo();
  await using ours = await ourClient(server.address);
  const writes = vi.spyOn(Socket.prototype, 'write');
  for (let i = 0; i < 10; i++) ours.session.write(Buffer.from(`message ${i}`));
  expect(writes).not.toHaveBeenCalled();
  await turns(1);
  expect(
    writes.mock.calls.filter(([bytes]) => (bytes as unknown as Buffer).length === 10 * (6 + 9)),
  ).toHaveLength(1);
  expect((await ours.events.messages.take(10)).map(String)).toEqual(
    Array.from({ length: 10 }, (_, i) => `message ${i}`),
  );
  expect(writes.mock.calls.length).toBeLessThanOrEqual(3);
});

it('sends no bytes of a message that its codec fails to write', async () => {
  await using server = await echo();
  const failing: Codec<Buffer, Uint8Array> = {
    read: raw().read,
    write(output: ByteWriter, message) {
      output.append(message);
      if (message.length === 0) throw new TypeError('nothing');
    },
  };
  const events: RawEvents = new Recorder('the client');
  await using ours = await connect(server.address, { codec: failing, listener: events });
  const session = await ours.session();
  session.write(Buffer.from('one'));
  expect(() => session.write(Buffer.alloc(0))).toThrow(TypeError);
  session.write(Buffer.from('two'));
  expect((await events.messages.take(2)).map(String)).toEqual(['one', 'two']);
});

describe('compression', () => {
  it.each([
    ['deflate', 'deflate', true],
    ['deflate', 'none', false],
    ['none', 'deflate', false],
  ] as const)(
    'with %s in the server and %s in the client compresses messages: %s',
    async (ofServer, ofClient, isCompressed) => {
      const message = Buffer.alloc(100_000, 'again ');
      await using server = await echo({}, { websocket: { compression: ofServer } });
      await using ours = await ourClient(server.address, { compression: ofClient });
      const { encodedBytes } = await ours.session.send(message);
      expect(encodedBytes).toBe(100_000);
      expect((await sentBytes(ours.session, message)) < 1_000).toBe(isCompressed);
      expect(await ours.events.messages.take(2)).toEqual([message, message]);
    },
  );

  it.each([
    [{}, false],
    [{ websocket: { compression: 'deflate' } }, true],
  ] as const)(
    'with a setup function and the server options %o compresses messages: %s',
    async (options, isCompressed) => {
      const setup = {
        codec: raw(),
        listener: new Recorder<Buffer, Uint8Array>('the server'),
        compression: 'deflate',
      } as const;
      await using server = await serve<Buffer, Uint8Array>(ANY, () => setup, options);
      await using ours = await ourClient(server.address, { compression: 'deflate' });
      expect((await sentBytes(ours.session, Buffer.alloc(100_000))) < 1_000).toBe(isCompressed);
    },
  );
});

it('passes the request to the setup function, which may refuse it', async () => {
  const events = new Recorder<Buffer>('the server');
  const setup = { codec: raw(), listener: events };
  await using server = await serve<Buffer, Uint8Array>(ANY, ({ request }) => {
    if (request?.headers.authorization !== 'Bearer sesame')
      throw new Error(`no token for ${request?.url}`);
    return { ...setup, name: request.url };
  });
  const options = {
    reconnect: false,
    websocket: { headers: { Authorization: 'Bearer sesame' } },
  };
  await using _accepted = await connect(`${server.address}/room?seat=4`, setup, options);
  expect((await events.opened.next()).name).toBe('/room?seat=4');
  expect(await rejection(connect(server.address, setup, { reconnect: false }))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('403 Forbidden'),
  });
  expect(server.sessions.size).toBe(1);
});

it('rejects a text message that is not UTF-8 with ENCODE_FAILED', async () => {
  await using server = await echo({}, { websocket: { text: true } });
  await using ours = await ourClient(server.address, {}, { websocket: { text: true } });
  expect(() => ours.session.write(Buffer.of(0xff))).toThrow(
    expect.objectContaining({ code: 'ENCODE_FAILED' }),
  );
  ours.session.write(Buffer.from('grün'));
  expect(String(await ours.events.messages.next())).toBe('grün');
  expect(ours.session.stats).toMatchObject({ messagesWritten: 1, bytesWritten: 5 });
});

it('sends a ping each cronPeriod, and the pongs keep an idle session open', async () => {
  await using server = await echo({ idleTimeout: 1_000, cronPeriod: 10_000 });
  let crons = 0;
  await using ours = await connect(server.address, {
    codec: raw(),
    cronPeriod: 20,
    idleTimeout: 1_000,
    listener: { onMessage: () => {}, onCron: () => void crons++ },
  });
  const session = await ours.session();
  const before = session.active;
  await until(() => crons >= 60, 'sixty calls of onCron');
  expect(session.closed).toBe(false);
  expect(session.active).toBeGreaterThan(before + 1_000);
  expect(server.events.errors.all).toEqual([]);
  expect(server.events.messages.all).toEqual([]);
});
