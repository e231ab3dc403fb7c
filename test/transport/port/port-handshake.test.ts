/** How sessions over message ports begin, and what a server refuses. */
import { EventEmitter } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { elapse, Inbox, turns, until } from '../../fixtures/waiting.js';
import { knock, openRaw } from './raw-client.js';

noLeaks();

const setupOf = (events = new Recorder<string>('a side')) => ({
  codec: lines(),
  listener: events,
});
const echo = () =>
  setupOf(new Recorder('the server', { onMessage: (session, line) => session.write(line) }));

it('connects before the server listens', async () => {
  const { port1, port2 } = new MessageChannel();
  const events = new Recorder<string>('the client');
  // A program that listens already takes the first message.
  port1.on('message', () => {});
  const connecting = connect({ port: port2 }, setupOf(events));
  await turns(5);
  const serverEvents = new Recorder<string>('the server', {
    onMessage: (session, line) => session.write(line),
  });
  await using _server = await serve({ port: port1 }, setupOf(serverEvents));
  await using client = await connecting;
  (await client.session()).write('late');
  expect(await events.messages.next()).toBe('late');
  expect(serverEvents.opened.all.length).toBe(1);
  port1.close();
});

it('serves and connects at both ends of one channel', async () => {
  const { port1, port2 } = new MessageChannel();
  await using _one = await serve({ port: port1 }, echo());
  await using _other = await serve({ port: port2 }, echo());
  for (const port of [port1, port2]) {
    const events = new Recorder<string>('a client');
    await using client = await connect({ port }, setupOf(events));
    (await client.session()).write('both ways');
    expect(await events.messages.next()).toBe('both ways');
  }
});

it('compresses with the options of both sides', async () => {
  const { port1, port2 } = new MessageChannel();
  const compression = 'deflate' as const;
  await using _server = await serve({ port: port1 }, { ...echo(), compression });
  const events = new Recorder<string>('the client');
  await using client = await connect({ port: port2 }, { ...setupOf(events), compression });
  const line = 'long '.repeat(50_000);
  (await client.session()).write(line);
  expect((await events.messages.next()) === line).toBe(true);
});

it('leaves the other messages of the port to the program', async () => {
  const { port1, port2 } = new MessageChannel();
  const seen = new Inbox<unknown>('a message of the program');
  port1.on('message', (message) => seen.push(message));
  await using server = await serve({ port: port1 }, echo());
  const own = [7, 'text', null, { getty: 'connect' }, { getty: 'connect', client: 1, port: {} }];
  for (const message of own) port2.postMessage(message);
  expect(await seen.take(own.length)).toEqual(own);
  expect(server.sessions.size).toBe(0);
  port2.close();
});

describe('a server', () => {
  it('rejects with LISTEN_FAILED at a port that has a server, until that is closed', async () => {
    const { port1 } = new MessageChannel();
    const first = await serve({ port: port1, name: 'hall' }, echo());
    expect(await rejection(serve({ port: port1, name: 'hall' }, echo()))).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('port://hall'),
    });
    await first.close();
    await using again = await serve({ port: port1 }, echo());
    expect(again.closed).toBe(false);
  });

  it('rejects with LISTEN_FAILED at a port whose postMessage() throws', async () => {
    const postMessage = (): void => {
      throw new Error('not today');
    };
    const port = { on() {}, off() {}, postMessage };
    for (let attempt = 0; attempt < 2; attempt++)
      expect(await rejection(serve({ port }, echo()))).toMatchObject({
        code: 'LISTEN_FAILED',
        message: expect.stringContaining('not today'),
      });
  });

  it('refuses handshakes above maxSessions', async () => {
    const { port1, port2 } = new MessageChannel();
    const reasons: string[] = [];
    await using server = await serve({ port: port1 }, echo(), {
      maxSessions: 1,
      onRefused: (_, { reason }) => void reasons.push(reason),
    });
    const pending = Array.from({ length: 17 }, (_, i) => knock(port2, i + 1));
    for (const { received } of pending) expect(await received.next()).toBe('accept');
    using late = knock(port2, 18);
    expect(await late.received.next()).toBe('refuse');
    expect([server.refusals.limit, reasons]).toEqual([1, ['limit']]);
    expect(await rejection(connect({ port: port2 }, setupOf()))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('the server refused the session'),
    });
    await server.close();
    for (const client of pending) {
      expect(await client.received.next()).toBe('refuse');
      client[Symbol.dispose]();
    }
  });

  it('refuses a peer that does not complete its handshake in time', async () => {
    const { port1, port2 } = new MessageChannel();
    await using server = await serve({ port: port1 }, echo(), { handshakeTimeout: 20 });
    using client = knock(port2);
    expect(await client.received.take(2)).toEqual(['accept', 'refuse']);
    expect(server.refusals.timeout).toBe(1);
  });

  it('refuses a port that is no MessagePort, and its handshake has no timer', async () => {
    const base = Object.assign(new EventEmitter(), { postMessage() {} });
    await using server = await serve({ port: base as never }, echo(), { handshakeTimeout: 10 });
    const port = { postMessage() {}, close() {} };
    base.emit('message', { getty: 'connect', client: 1, port });
    expect(server.refusals.fault).toBe(1);
    // Longer than handshakeTimeout.
    await elapse(50);
    expect(server.refusals.timeout ?? 0).toBe(0);
  });

  it.each([['hello'], [{ a: 1 }], [new Uint8Array(8)]])(
    'refuses a peer whose handshake is %j',
    async (message) => {
      const { port1, port2 } = new MessageChannel();
      await using server = await serve({ port: port1 }, echo());
      using client = knock(port2);
      expect(await client.received.next()).toBe('accept');
      client.port.postMessage(message);
      expect(await client.received.next()).toBe('refuse');
      expect(server.refusals.request).toBe(1);
      expect(server.sessions.size).toBe(0);
    },
  );

  it('does not count a peer that has left within its handshake', async () => {
    const { port1, port2 } = new MessageChannel();
    await using server = await serve({ port: port1 }, echo(), { maxSessions: 1 });
    for (let n = 1; n <= 40; n++) {
      const client = knock(port2, n);
      expect(await client.received.next()).toBe('accept');
      client[Symbol.dispose]();
      await turns(2);
    }
    using client = await openRaw(port2, 41);
    await until(() => server.sessions.size === 1, 'a session');
    expect(server.refusals.limit).toBe(0);
    expect(client.received.all).toEqual(['accept']);
  });
});

describe('a client', () => {
  it('rejects with CONNECT_FAILED when nothing listens within connectTimeout', async () => {
    const { port2 } = new MessageChannel();
    const attempt = connect({ port: port2, name: 'hall' }, setupOf(), { connectTimeout: 20 });
    expect(await rejection(attempt)).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('port://hall'),
    });
  });

  it('rejects with CONNECT_FAILED when the port is closed', async () => {
    const { port1, port2 } = new MessageChannel();
    const attempt = rejection(connect({ port: port2 }, setupOf(), { connectTimeout: 300_000 }));
    await turns(2);
    port1.close();
    expect(await attempt).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('the port is closed'),
    });
  });

  it('rejects with CONNECT_FAILED when the answer is not one of getty', async () => {
    const { port1, port2 } = new MessageChannel();
    port1.on('message', ({ port }) => port.postMessage({ anything: true }));
    expect(await rejection(connect({ port: port2 }, setupOf()))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('the answer is not one of getty'),
    });
    port1.close();
  });

  it('rejects with CONNECT_FAILED for a port that transfers no port', async () => {
    const port = { on() {}, off() {}, postMessage: () => structuredClone(() => {}) };
    expect(await rejection(connect({ port }, setupOf()))).toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

const { port1: somePort } = new MessageChannel();
const windowLike = { postMessage() {}, addEventListener() {}, window: {} };
windowLike.window = windowLike;

it.each([
  [{ port: null }, 'port: got null, expected a MessagePort'],
  [{ port: {} }, 'port: got an object, expected a MessagePort'],
  [{ port: windowLike }, 'port: got an object, expected a MessagePort'],
  [{ port: somePort, name: '' }, 'name: got "", expected at most 64 letters'],
  [{ port: somePort, name: 'a/b' }, 'name: got "a/b", expected at most 64 letters'],
  [{ port: somePort, nam: 'x' }, 'did you mean name?'],
])('rejects the address %j with BAD_OPTION', async (address, message) => {
  for (const attempt of [serve, connect])
    expect(await rejection(attempt(address as never, echo()))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
});

it('rejects the text port://x with BAD_ADDRESS, and says what to give', async () => {
  for (const attempt of [serve, connect])
    expect(await rejection(attempt('port://x', echo()))).toMatchObject({
      code: 'BAD_ADDRESS',
      message: expect.stringContaining('expected { port } with a MessagePort or a Worker'),
    });
});
