/** The close code that a peer receives when an error ends the session. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import {
  type ClientState,
  connect,
  type GettyError,
  lines,
  type ServerOptions,
  type Session,
  type SessionSetup,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { Inbox, within } from '../../fixtures/waiting.js';
import { ANY, rawWebSocket, type WsPeer, wsClient } from '../../fixtures/websocket.js';
import { closed, hex } from './echo-server.js';

noLeaks();

type LineSetup = Partial<Omit<SessionSetup<string>, 'listener'>> & {
  onOpen?(session: Session<string>): unknown;
  onMessage?(session: Session<string>, line: string): unknown;
};

async function serveLines(setup: LineSetup = {}, options: ServerOptions = {}) {
  const { onOpen, onMessage, ...rest } = setup;
  const events = new Recorder<string>('the server', {
    ...(onOpen && { onOpen }),
    ...(onMessage && { onMessage }),
  });
  const server = await serve(ANY, { codec: lines(), listener: events, ...rest }, options);
  return { server, events, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

const SECRET = 'postgres://user:secret@db';
const sendLines = (peer: WsPeer): void => {
  for (let i = 0; i < 20; i++) peer.socket.send(`${i}\n`);
};

it.each<[string, string, LineSetup, ServerOptions, (peer: WsPeer) => void]>([
  [
    'RATE_EXCEEDED',
    '1008',
    { rate: { in: { messages: 1, burst: 10, over: 'close' } } },
    {},
    sendLines,
  ],
  [
    'RATE_EXCEEDED',
    '1008',
    {},
    { rate: { in: { bytes: 1, burst: 10, over: 'close' } } },
    sendLines,
  ],
  ['BAD_FRAME', '1007', {}, {}, (peer) => peer.socket.send('without its end')],
  ['IDLE_TIMEOUT', '1008', { idleTimeout: 30 }, {}, () => {}],
  [
    'SESSION_REFUSED',
    '1008',
    {
      onOpen: () => {
        throw new Error(SECRET);
      },
    },
    {},
    () => {},
  ],
  ['SESSION_REFUSED', '1008', { onOpen: () => Promise.reject(new Error(SECRET)) }, {}, () => {}],
])(
  '%s is sent as %s, and nothing else of the error',
  async (code, closeCode, setup, options, act) => {
    await using server = await serveLines(setup, options);
    using peer = wsClient(server.address);
    await peer.opened;
    act(peer);
    expect(await peer.closed.next()).toBe(`${closeCode} ${code}`);
    await server.events.closed.next();
    expect(server.events.errors.all.map((error) => error.code)).toEqual([code]);
    expect(server.events.log.at(-1)).toBe('close');
  },
);

it('MESSAGE_TIMEOUT is sent as 1008', async () => {
  await using server = await serveLines({ messageTimeout: 30 });
  using peer = await rawWebSocket(server.address);
  peer.socket.write(hex('02 81 00000000 61'));
  const expected = closed(1008, 'MESSAGE_TIMEOUT');
  // Pongs may precede it.
  await peer.until((bytes) => bytes.toString('hex').endsWith(expected));
  expect((await server.events.errors.next()).code).toBe('MESSAGE_TIMEOUT');
});

it('the messages that were written before arrive before the close code', async () => {
  await using server = await serveLines({
    rate: { in: { messages: 1, burst: 10, over: 'close' } },
    onMessage(session, line) {
      for (const part of ['a', 'b', 'c']) session.write(line + part);
    },
  });
  using peer = wsClient(server.address);
  await peer.opened;
  sendLines(peer);
  expect(await peer.closed.next()).toBe('1008 RATE_EXCEEDED');
  const answers = peer.messages.all.map((text) =>
    Buffer.from(text.replace('binary ', ''), 'hex').toString(),
  );
  expect(answers.slice(0, 3)).toEqual(['0a\n', '0b\n', '0c\n']);
});

it.each<[string, Error | undefined]>([
  ['destroy()', undefined],
  ['destroy(error)', new Error(SECRET)],
])('%s sends no close code', async (_, error) => {
  await using server = await serveLines();
  using peer = wsClient(server.address);
  const session = await server.events.opened.next();
  await peer.opened;
  session.destroy(error);
  expect(await peer.closed.next()).toBe('1006');
});

it('a session that was closed before sends no second code', async () => {
  await using server = await serveLines();
  using peer = await rawWebSocket(server.address);
  const session = await server.events.opened.next();
  const ended = session.close({ code: 4000 });
  peer.socket.write(hex('82 81 00000000 61'));
  await ended;
  await peer.ended;
  expect((await server.events.errors.next()).code).toBe('BAD_FRAME');
  expect(await peer.frames(4)).toBe(closed(4000));
  await within(once(peer.socket.end(), 'close'), 'the close');
  expect(peer.received.all.at(-1)?.toString('hex')).toMatch(new RegExp(`${closed(4000)}$`));
});

it('a peer that does not read ends the session at once and the connection later', async () => {
  await using server = await serveLines({ idleTimeout: 100 }, { maxSessions: 1 });
  using peer = await rawWebSocket(server.address);
  const session = await server.events.opened.next();
  const gone = once(session.socket as Socket, 'close');
  peer.socket.pause();
  while (session.queuedBytes === 0) session.write('x'.repeat(100_000));
  expect((await server.events.errors.next()).code).toBe('IDLE_TIMEOUT');
  await server.events.closed.next();
  expect(server.server.sessions.size).toBe(0);
  // Until its socket is closed it has the only place.
  using next = wsClient(server.address);
  await expect(next.opened).rejects.toThrow('503');
  await within(gone, 'the close of the socket');
  using last = wsClient(server.address);
  await last.opened;
});

/** A client, and the reasons with which its state changes. */
async function clientOf(address: string) {
  const events = new Recorder<string>('the client');
  const changes = new Inbox<[ClientState, GettyError | undefined]>('a state of the client');
  const client = await connect(
    address,
    { codec: lines(), listener: events },
    { reconnect: false, onState: (state, reason) => changes.push([state, reason]) },
  );
  return { client, events, changes, [Symbol.asyncDispose]: () => client.close() };
}

it('a client reports the code of the server, also as the reason of the loss', async () => {
  await using server = await serveLines({ idleTimeout: 30 });
  await using ours = await clientOf(server.address);
  expect(await ours.events.errors.next()).toMatchObject({
    name: 'CloseError',
    code: 'CONNECTION_LOST',
    closeCode: 1008,
    closeReason: 'IDLE_TIMEOUT',
  });
  await ours.events.closed.next();
  await expect(ours.client.session()).rejects.toThrow(
    /was lost: the server closed with code 1008: "IDLE_TIMEOUT", and reconnect is off$/,
  );
});

it('a client does not suspect a refusal after a regular close', async () => {
  await using server = await serveLines();
  await using ours = await clientOf(server.address);
  await server.server.close();
  await ours.events.closed.next();
  expect(ours.events.errors.all).toEqual([]);
  await expect(ours.client.session()).rejects.toThrow(/was lost, and reconnect is off$/);
});

it('a client tells a server too why it ends the session', async () => {
  await using server = await serveLines();
  const events = new Recorder<string>('the client');
  const rate = { in: { messages: 1, burst: 10, over: 'close' } } as const;
  await using client = await connect(
    server.address,
    { codec: lines(), listener: events, rate },
    { reconnect: false },
  );
  const session = await server.events.opened.next();
  for (let i = 0; i < 20; i++) session.write('more');
  expect(await server.events.errors.next()).toMatchObject({
    closeCode: 1008,
    closeReason: 'RATE_EXCEEDED',
  });
  expect(client.closed).toBe(false);
});
