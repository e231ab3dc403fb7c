/** What a peer at a message port can cause in one turn of the event loop, and ports that throw. */
import { EventEmitter } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { spend } from '../../../src/core/turn.js';
import {
  connect,
  type GettyError,
  lines,
  type MessageEndpoint,
  serve,
} from '../../../src/transport/index.js';
import { PortConnection } from '../../../src/transport/port/port-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

noLeaks();

const setup = () => ({ codec: lines(), listener: { onMessage() {} } });

/** A connection over `port`, which delivers at once. */
function connectionAt(port: object) {
  const log: string[] = [];
  const connection = new PortConnection(port as never, 'port://here', 'port://there');
  connection.attach({
    onData: (bytes) => void log.push(String(bytes)),
    onMessage() {},
    onAlive() {},
    onTaken() {},
    onEnd: () => void log.push('end'),
    onClose: (error) => void log.push((error as GettyError | undefined)?.code ?? 'closed'),
  });
  connection.resume();
  return { connection, log };
}

const makePort = () => Object.assign(new EventEmitter(), { postMessage() {}, close() {} });

/** Bytes with a buffer of their own, as those of a message are. */
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text).slice();

function useUpTurn(): void {
  while (!spend(64));
}

it('a client sends connect once per turn, however many servers say that they listen', async () => {
  const { port1, port2 } = new MessageChannel();
  let connects = 0;
  port1.on('message', ({ port }) => {
    connects++;
    port.close();
  });
  const abort = new AbortController();
  const connecting = connect({ port: port2 }, setup(), { signal: abort.signal });
  await until(() => connects === 1, 'the first connect');
  for (let i = 0; i < 2_000; i++) port1.postMessage({ getty: 'listening' });
  port1.postMessage('last');
  port2.on('message', (message) => message === 'last' && abort.abort());
  expect(await rejection(connecting)).toMatchObject({ code: 'ABORTED_BY_CALLER' });
  await turns(5);
  expect(connects).toBeLessThan(50);
  port1.close();
});

describe('messages after the work of a turn', () => {
  it('are delivered in the next turn, and before the end of the peer', async () => {
    const port = makePort();
    const { log } = connectionAt(port);
    useUpTurn();
    for (const text of ['one', 'two']) port.emit('message', bytesOf(text));
    port.emit('message', 'end');
    expect(log).toEqual([]);
    await until(() => log.length === 3, 'the end was delivered');
    expect(log).toEqual(['one', 'two', 'end']);
  });

  it('are delivered before the loss of the connection', async () => {
    const port = makePort();
    const { log } = connectionAt(port);
    useUpTurn();
    port.emit('message', bytesOf('last'));
    port.emit('close');
    expect(log).toEqual([]);
    await until(() => log.length === 2, 'the connection was closed');
    expect(log).toEqual(['last', 'CONNECTION_LOST']);
  });
});

it('a page closes ports that are transferred with a message, and the connection', async () => {
  let receive = (_event: object): void => {};
  const port = {
    postMessage() {},
    close() {},
    addEventListener(type: string, handler: (event: object) => void) {
      if (type === 'message') receive = handler;
    },
    removeEventListener() {},
  };
  const { log } = connectionAt(port);
  let closed = 0;
  const unused = { close: () => void closed++ };
  receive({ data: bytesOf('one'), ports: [] });
  // The test before may have used up this turn.
  await until(() => log.length === 1, 'the first message');
  receive({ data: bytesOf('two'), ports: [unused, unused] });
  await turns(2);
  expect(log).toEqual(['one', 'BAD_FRAME']);
  expect(closed).toBe(2);
});

describe('a port of the program', () => {
  const fail = (): never => {
    throw new Error('thrown by the port');
  };
  const methods = { postMessage() {}, on() {}, off() {} };

  it.each(['postMessage', 'on'])(
    'whose %s() throws is LISTEN_FAILED and CONNECT_FAILED',
    async (name) => {
      const port = { ...methods, [name]: fail } as MessageEndpoint;
      for (let round = 0; round < 2; round++) {
        const refused = await rejection(serve({ port }, setup()));
        expect(refused).toMatchObject({ code: 'LISTEN_FAILED' });
        expect((refused as Error).message).toContain('thrown by the port');
        const failed = await rejection(connect({ port }, setup()));
        expect(failed).toMatchObject({ code: 'CONNECT_FAILED' });
        expect((failed as Error).message).toContain('thrown by the port');
      }
    },
  );

  it.each(['postMessage', 'on', 'off'])(
    'whose %s() returns a promise that rejects does not end the process',
    async (name) => {
      const port = { ...methods, [name]: async () => fail() } as unknown as MessageEndpoint;
      await (await serve({ port }, setup())).close();
      const connecting = connect({ port }, setup(), { connectTimeout: 20 });
      expect(await rejection(connecting)).toMatchObject({ code: 'CONNECT_FAILED' });
    },
  );

  it('whose off() throws ends an attempt and a server as other ports do', async () => {
    const port = { ...methods, off: fail } as MessageEndpoint;
    await (await serve({ port }, setup())).close();
    await (await serve({ port }, setup())).close();
    const connecting = connect({ port }, setup(), { connectTimeout: 20 });
    expect(await rejection(connecting)).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  it('of a session whose methods throw is closed', async () => {
    const port = Object.assign(makePort(), { postMessage: fail, close: fail, off: fail });
    const { connection, log } = connectionAt(port);
    connection.destroy();
    await turns(2);
    expect(log).toEqual(['closed']);
  });
});
