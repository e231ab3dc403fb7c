/** Sessions over message ports whose peer does not keep to the protocol. */
import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { raw, serve } from '../../../src/transport/index.js';
import { PortConnection } from '../../../src/transport/port/port-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { Inbox, until } from '../../fixtures/waiting.js';
import { openRaw } from './raw-client.js';

noLeaks();

const KIB = 1024;

interface Violation {
  readonly name: string;
  readonly message: string;
  send(port: MessagePort): void;
}

const NOT_OF_GETTY = 'sent a message that is neither bytes nor of getty';

const VIOLATIONS: readonly Violation[] = [
  { name: 'an object', message: NOT_OF_GETTY, send: (port) => port.postMessage({ a: 1 }) },
  { name: 'null', message: NOT_OF_GETTY, send: (port) => port.postMessage(null) },
  { name: 'another text', message: NOT_OF_GETTY, send: (port) => port.postMessage('hello') },
  {
    name: 'other views',
    message: NOT_OF_GETTY,
    send: (port) => port.postMessage(new Float64Array(1)),
  },
  {
    name: 'shared memory',
    message: 'sent shared memory',
    send: (port) => port.postMessage(new Uint8Array(new SharedArrayBuffer(8))),
  },
  {
    name: 'a message without bytes',
    message: 'sent a message of 0 bytes',
    send: (port) => port.postMessage(new Uint8Array(0)),
  },
  {
    name: 'a small view of a large buffer',
    message: 'sent a message of 1 bytes in a buffer of 65537',
    send: (port) => port.postMessage(new Uint8Array(new ArrayBuffer(64 * KIB + 1), 0, 1)),
  },
  {
    name: 'a view of a buffer that can become large',
    message: 'sent a message of 1 bytes in a buffer of 65537',
    send(port) {
      // The compiler has no resizable buffers.
      const Resizable = ArrayBuffer as new (size: number, options: object) => ArrayBuffer;
      port.postMessage(new Uint8Array(new Resizable(1, { maxByteLength: 64 * KIB + 1 }), 0, 1));
    },
  },
  {
    name: 'bytes after its end',
    message: 'sent bytes after its end',
    send(port) {
      port.postMessage('end');
      port.postMessage(new Uint8Array(1));
    },
  },
  ...[1, 0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map((count) => ({
    name: `an acknowledgement of ${count} bytes`,
    message: `sent an acknowledgement of ${count} bytes, of 0 sent`,
    send: (port: MessagePort) => port.postMessage(count),
  })),
];

it.each(VIOLATIONS)(
  'closes with BAD_FRAME when the peer sends $name',
  async ({ send, message }) => {
    const base = new MessageChannel();
    const events = new Recorder<Buffer, Uint8Array>('the server');
    const setup = { codec: raw(), listener: events, allowHalfOpen: true };
    await using _server = await serve({ port: base.port1, name: 'hall' }, setup);
    using client = await openRaw(base.port2);
    send(client.port);
    const error = await events.errors.next();
    expect(error).toMatchObject({ code: 'BAD_FRAME' });
    expect(error.message).toContain(`port://hall/1 ${message}`);
    await events.closed.next();
    expect(await client.received.next()).toBe('close');
  },
);

it('closes with BAD_FRAME when a message cannot be read', () => {
  const port = Object.assign(new EventEmitter(), { postMessage() {}, close() {} });
  const connection = new PortConnection(port, 'port://here', 'port://there');
  const errors: unknown[] = [];
  const ignore = (): void => {};
  connection.attach({
    onData: ignore,
    onMessage: ignore,
    onAlive: ignore,
    onTaken: ignore,
    onEnd: ignore,
    onClose: (error) => void errors.push(error),
  });
  port.emit('messageerror', new Error('of the clone'));
  return until(() => errors.length === 1, 'the close').then(() =>
    expect(errors[0]).toMatchObject({
      code: 'BAD_FRAME',
      message: 'port://there sent a message that cannot be read',
    }),
  );
});

it('loses one session when the handling of its bytes fails', async () => {
  const base = new MessageChannel();
  const events = new Recorder<Buffer, Uint8Array>('the server');
  await using server = await serve({ port: base.port1 }, { codec: raw(), listener: events });
  using client = await openRaw(base.port2);
  using other = await openRaw(base.port2, 2);
  const [session] = await events.opened.take(2);
  Object.assign(session as object, {
    onData() {
      throw new Error('a fault');
    },
  });
  client.port.postMessage(new Uint8Array(1));
  expect(await events.errors.next()).toMatchObject({
    code: 'CONNECTION_LOST',
    message: expect.stringContaining('a fault'),
  });
  other.port.postMessage(Uint8Array.of(7));
  expect([...(await events.messages.next())]).toEqual([7]);
  expect(server.sessions.size).toBe(1);
});

it.each([
  ['bytes', 64 * KIB, 4],
  ['messages', 1, 1_021],
])('closes with BAD_FRAME when a paused session gets too many %s', async (_, size, count) => {
  const base = new MessageChannel();
  const events = new Recorder<Buffer, Uint8Array>('the server', {
    onOpen: (session) => session.pause(),
  });
  await using _server = await serve({ port: base.port1 }, { codec: raw(), listener: events });
  using client = await openRaw(base.port2);
  const session = await events.opened.next();
  for (let n = 0; n < count; n++) client.port.postMessage(new Uint8Array(size));
  client.port.postMessage('end');
  session.resume();
  await until(() => session.stats.bytesRead === size * count, 'all bytes are read');
  expect(events.errors.all).toEqual([]);
  await events.closed.next();

  using other = await openRaw(base.port2, 2);
  await events.opened.next();
  for (let n = 0; n < count + 1; n++) other.port.postMessage(new Uint8Array(size));
  expect(await events.errors.next()).toMatchObject({
    code: 'BAD_FRAME',
    message: expect.stringContaining('more than 262144 bytes that were not acknowledged'),
  });
});

it('acknowledges only what its session has taken', async () => {
  const base = new MessageChannel();
  const events = new Recorder<Buffer, Uint8Array>('the server', {
    onOpen: (session) => session.pause(),
  });
  await using _server = await serve({ port: base.port1 }, { codec: raw(), listener: events });
  using client = await openRaw(base.port2);
  const session = await events.opened.next();
  for (let n = 0; n < 3; n++) client.port.postMessage(new Uint8Array(64 * KIB));
  session.write(Uint8Array.of(7));
  expect(await client.received.next()).toEqual(Uint8Array.of(7));
  session.resume();
  const acknowledged = (await client.received.take(3)) as number[];
  expect(acknowledged).toEqual([65_792, 65_792, 65_792]);
});

it('sends no more than the window to a peer that does not acknowledge, and then blocks', async () => {
  const base = new MessageChannel();
  const events = new Recorder<Buffer, Uint8Array>('the server');
  const setup = { codec: raw(), listener: events, maxQueuedBytes: 1024 * KIB };
  await using _server = await serve({ port: base.port1 }, setup);
  using client = await openRaw(base.port2);
  const session = await events.opened.next();
  const chunk = new Uint8Array(64 * KIB).fill(7);
  let written = 0;
  let code = '';
  while (code === '') {
    try {
      session.write(chunk);
      written++;
    } catch (error) {
      ({ code } = error as { code: string });
    }
  }
  expect(code).toBe('SESSION_BLOCKED');
  // 4 messages of 64 KiB and their overhead are more than the window.
  const sent = (await client.received.take(4)) as Uint8Array[];
  expect(sent.map(({ length }) => length)).toEqual([64, 64, 64, 64].map((kib) => kib * KIB));
  expect(session.queuedBytes).toBe((written - 4) * 64 * KIB);

  const rest = session.drained();
  const bytes = new Inbox<Uint8Array>('bytes');
  client.port.on('message', (message) => {
    bytes.push(message);
    client.port.postMessage(message.length + 256);
  });
  client.port.postMessage(sent.reduce((sum, { length }) => sum + length + 256, 0));
  await rest;
  await until(() => session.queuedBytes === 0, 'all is sent');
  const total = (): number => bytes.all.reduce((sum, { length }) => sum + length, 0);
  await until(() => total() === (written - 4) * 64 * KIB, 'all is received');
  expect(bytes.all.every((part) => part.every((byte) => byte === 7))).toBe(true);
});
