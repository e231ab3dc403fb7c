/** The option `rate` on single transports: invalid values, memory, timeouts and closing. */
import type { Socket } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { spend } from '../../../src/core/turn.js';
import { connect, lines, type RateOptions, raw, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import { serveText } from '../../fixtures/start-tls-endpoints.js';
import {
  pair,
  rejection,
  TRANSPORTS,
  type TransportRow,
  thrown,
} from '../../fixtures/transports.js';
import { until, within } from '../../fixtures/waiting.js';

const row = (name: string): TransportRow =>
  TRANSPORTS.find((other) => other.name === name) as TransportRow;
const setup = { codec: lines(), listener: { onMessage() {} } };

noLeaks();

describe('an invalid rate is BAD_OPTION', () => {
  it.each<[unknown, string]>([
    [5, 'rate: got 5'],
    [{ both: {} }, 'both is not an option of rate'],
    [{ in: {} }, 'rate.in: got an object, expected an object with messages, bytes or both'],
    [{ in: { messages: 0 } }, 'rate.in.messages: got 0'],
    [{ out: { bytes: Number.NaN } }, 'rate.out.bytes: got NaN'],
    [{ out: { bytes: Number.POSITIVE_INFINITY } }, 'rate.out.bytes: got Infinity'],
    [{ in: { messages: 1, burst: 9 } }, 'rate.in.burst: got 9, expected a number from 10'],
    [{ in: { messages: 1, over: 'drop' } }, 'rate.in.over: got "drop"'],
    [{ out: { messages: 1, over: 'close' } }, 'over is not an option of rate.out'],
  ])('%j', async (rate, message) => {
    const options = { rate } as { rate: RateOptions };
    for (const failed of [
      serve('memory://', { ...setup, ...options }),
      serve('memory://', setup, options),
      connect('memory://nobody', setup, options),
    ]) {
      const error = await rejection(failed);
      expect(error).toMatchObject({ code: 'BAD_OPTION' });
      expect(error.message).toContain(message);
    }
  });
});

it.each(['tcp', 'memory', 'ws', 'tls'])(
  'rate.in keeps little in memory: the queue of the sender grows (%s)',
  async (name) => {
    const limit = 256 * 1024;
    await using p = await pair(row(name), {
      serverSide: { codec: raw() as never, rate: { in: { bytes: 1, burst: 1_000 } } },
      clientSide: { codec: raw() as never, maxQueuedBytes: 64 * 1024 * 1024 },
    });
    const chunk = Buffer.alloc(16 * 1024, 'x') as never;
    // Until what the system buffers is full.
    let before = -1;
    while (before !== p.clientSession.queuedBytes || before < 4 * limit) {
      before = p.clientSession.queuedBytes;
      if (before < 4 * limit) p.clientSession.write(chunk);
      await untilQuiet();
    }
    expect(p.serverSession.stats.bytesRead).toBeLessThan(limit);
    expect(p.serverEvents.messages.all).toEqual([]);
    p.clientSession.destroy();
    p.serverEvents.errors.dismiss();
  },
);

it('rate.in drops datagrams of a UDP peer, and counts them, while 64 KiB wait', async () => {
  await using p = await pair(row('udp'), {
    serverSide: { rate: { in: { messages: 0.001, burst: 1_000_000 } } },
  });
  for (let i = 0; i < 400; i++) {
    p.clientSession.write('x'.repeat(1_000));
    if (i % 10 === 0) await untilQuiet();
  }
  await until(() => p.serverSession.stats.messagesDropped > 0, 'datagrams are dropped');
  expect(p.serverEvents.messages.all).toHaveLength(1);
});

it('the time of a pause does not count for messageTimeout', async () => {
  await using p = await pair(row('tcp'), {
    clientSide: { codec: raw() as never },
    serverSide: { messageTimeout: 200, rate: { in: { bytes: 1_000, burst: 10 } } },
  });
  // One message in two chunks, which take 300 ms each at this rate.
  await p.clientSession.send(Buffer.alloc(300, 'x') as never);
  await untilQuiet();
  p.clientSession.writeBytes(Buffer.from(`${'x'.repeat(300)}\n`));
  expect(await p.serverEvents.messages.next()).toBe('x'.repeat(600));
});

it('the silence of a peer that is paused by its rate does not count for idleTimeout', async () => {
  await using p = await pair(row('tcp'), {
    serverSide: { rate: { in: { messages: 2, burst: 500 } } },
  });
  p.clientSession.write('one');
  p.clientSession.write('two');
  expect(await p.serverEvents.messages.next()).toBe('one');
  p.serverSession.idleTimeout = 100;
  expect(await p.serverEvents.messages.next()).toBe('two');
});

it('the silence of a peer that waits for rate.out does not count for idleTimeout', async () => {
  await using p = await pair(row('tcp'), {
    serverSide: { rate: { out: { messages: 3, burst: 10 } } },
  });
  for (const text of ['one', 'two', 'three']) p.serverSession.write(text);
  p.serverSession.idleTimeout = 100;
  expect(await p.clientEvents.messages.take(3)).toEqual(['one', 'two', 'three']);
});

it.each(['tcp', 'udp'])(
  'idleTimeout ends a session over %s whose peer is silent, though writes exceed rate.out',
  async (name) => {
    await using p = await pair(row(name), {
      serverSide: { rate: { out: { messages: 50, burst: 10 } }, idleTimeout: 100 },
      clientSide: {
        on: {
          onMessage() {
            p.serverSession.write('more');
            p.serverSession.write('more');
          },
        },
      },
    });
    // A session of UDP exists since the first message.
    for (const text of ['one', 'two', 'three']) p.serverSession.write(text);
    expect(await p.serverEvents.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    await p.clientEvents.messages.take(4);
  },
);

it('what a closed session did not send takes nothing from rate.out of the server', async () => {
  const events = new Recorder<string>('the server');
  await using server = await serve(
    'tcp://127.0.0.1:0',
    { ...setup, listener: events },
    // 10 bytes.
    { rate: { out: { bytes: 0.001, burst: 10_000_000 } } },
  );
  const open = async (text: string) => {
    const received = new Recorder<string>('the client');
    const client = await connect(
      server.address,
      { ...setup, listener: received },
      { reconnect: false },
    );
    await events.opened.next();
    [...server.sessions][0]?.write(text);
    return { client, received };
  };
  for (let i = 0; i < 3; i++) {
    const { client } = await open('x'.repeat(1_000));
    await untilQuiet();
    client.destroy();
    await events.closed.next();
  }
  const { client, received } = await open('12345678');
  expect(await received.messages.next()).toBe('12345678');
  client.destroy();
  events.errors.dismiss();
});

it('a limit of the session and one of the server hold together', async () => {
  const events = new Recorder<string>('the server');
  await using server = await serve(
    'memory://',
    { ...setup, listener: events, rate: { in: { messages: 0.001, burst: 5_000_000 } } },
    { rate: { in: { messages: 0.001, burst: 3_000_000, over: 'close' } } },
  );
  const client = await connect(server.address, setup, { reconnect: false });
  const session = await client.session();
  for (let i = 0; i < 5; i++) session.write(`${i}`);
  const error = await events.errors.next();
  expect(error.message).toContain('rate.in of the server, 0.001 messages a second');
  await events.closed.next();
  expect(events.messages.all).toEqual(['0', '1', '2']);
  client.destroy();
});

it('a session that is closed for its rate takes nothing from the rate of others', async () => {
  const events = new Recorder<string>('the server');
  await using server = await serve(
    'memory://',
    { ...setup, listener: events },
    { rate: { in: { bytes: 0.001, burst: 10_000_000, over: 'close' } } },
  );
  const write = async (text: string): Promise<void> => {
    const client = await connect(server.address, setup, { reconnect: false });
    (await client.session()).write(text);
    await client.close();
  };
  await write('x'.repeat(1_000));
  expect((await events.errors.next()).code).toBe('RATE_EXCEEDED');
  await write('123456789');
  expect(await events.messages.next()).toBe('123456789');
});

it('close() destroys the session after waitTime if the rate does not permit the queue', async () => {
  await using p = await pair(row('tcp'), {
    clientSide: { waitTime: 50, rate: { out: { messages: 0.001, burst: 1_000_000 } } },
  });
  p.clientSession.write('one');
  p.clientSession.write('two');
  await p.clientSession.close();
  expect(await p.serverEvents.messages.next()).toBe('one');
  await p.serverEvents.closed.next();
  expect(p.serverEvents.messages.unread).toEqual([]);
  p.serverEvents.errors.dismiss();
});

it('send() of a message that waits for the rate ends at its timeout, with what was sent', async () => {
  await using p = await pair(row('tcp'), {
    clientSide: { rate: { out: { messages: 0.001, burst: 1_000_000 } } },
  });
  await p.clientSession.send('one');
  const error = await rejection(p.clientSession.send('two', { timeout: 20 }));
  expect(error).toMatchObject({ code: 'SEND_TIMEOUT', encodedBytes: 4, sentBytes: 0 });
});

it('startTls() sends the messages that wait for the rate, and settles their send()', async () => {
  await using server = await serveText(() => {});
  const options = {
    rate: { out: { messages: 0.001, burst: 1_000_000 } },
    reconnect: false,
  } as const;
  await using client = await connect(server.address, setup, options);
  const session = await client.session();
  await session.send('one');
  const sent = session.send('two');
  await untilQuiet();
  expect(session.queuedBytes).toBe(4);
  const secured = rejection(session.startTls(CLIENT_TLS));
  expect(await within(sent, 'send()')).toEqual({ encodedBytes: 4, sentBytes: 4 });
  session.destroy();
  expect(await secured).toMatchObject({ code: 'SESSION_CLOSED' });
});

it('large and small messages keep their order under rate.out', async () => {
  await using p = await pair(row('tcp'), {
    clientSide: { rate: { out: { bytes: 2_000_000, burst: 10 } } },
  });
  const sent = Array.from({ length: 60 }, (_, i) => `${i}`.repeat(i % 7 === 0 ? 3_000 : 3));
  for (const line of sent) p.clientSession.write(line);
  expect(await p.serverEvents.messages.take(sent.length)).toEqual(sent);
});

it('use() changes the codec of a session with rates, and keeps its limits', async () => {
  const second = new Recorder<string>('the second listener');
  await using p = await pair(row('memory'), {
    serverSide: {
      rate: { in: { messages: 0.001, burst: 3_000_000 } },
      on: { onMessage: (session) => void session.use({ listener: second }) },
    },
  });
  p.clientSession.writeBytes(Buffer.from('1\n2\n3\n4\n'));
  expect(await second.messages.take(2)).toEqual(['2', '3']);
  await untilQuiet();
  expect(second.messages.unread).toEqual([]);
});

it.each(['tcp', 'udp'])(
  'messages that wait for rate.out count with the memory that they take besides (%s)',
  async (name) => {
    await using p = await pair(row(name), {
      clientSide: {
        codec: raw() as never,
        rate: { out: { messages: 0.001, burst: 1_000_000 } },
        highWaterMark: 100,
        maxQueuedBytes: 1_000,
      },
    });
    const { clientSession } = p;
    const one = Buffer.alloc(1) as never;
    await clientSession.send(one);
    for (let i = 0; i < 49; i++) expect(clientSession.write(one)).toBe(true);
    expect(clientSession.write(one)).toBe(false);
    for (let i = 50; i < 500; i++) clientSession.write(one);
    expect(clientSession.queuedBytes).toBe(500);
    expect(thrown(() => clientSession.write(one)).code).toBe('SESSION_BLOCKED');
    let isDrained = false;
    const drained = clientSession.drained().then(
      () => (isDrained = true),
      () => {},
    );
    await untilQuiet();
    expect(isDrained).toBe(false);
    clientSession.destroy();
    await drained;
    p.clientEvents.errors.dismiss();
    p.serverEvents.errors.dismiss();
  },
);

describe('very many messages that rate.out permits at once', () => {
  const rate = { out: { messages: 1_000_000 } };
  const sent = Array.from({ length: 5_000 }, (_, i) => `${i}`);

  /** Uses up the budget of this turn of the event loop, and writes. */
  const writeInBusyTurn = (session: { write(text: string): boolean }): void => {
    while (!spend(64));
    for (const text of sent) session.write(text);
  };
  const endOfTick = () => new Promise<void>((resolve) => process.nextTick(resolve));

  it.each(['tcp', 'ws'])('are sent in several turns, in order (%s)', async (name) => {
    await using p = await pair(row(name), { clientSide: { rate } });
    writeInBusyTurn(p.clientSession);
    await endOfTick();
    expect(p.clientSession.queuedBytes).toBeGreaterThan(10_000);
    p.clientSession.write('last');
    expect(await p.serverEvents.messages.take(sent.length + 1)).toEqual([...sent, 'last']);
  });

  it('are sent before close() ends the session', async () => {
    await using p = await pair(row('tcp'), { clientSide: { rate } });
    writeInBusyTurn(p.clientSession);
    await endOfTick();
    await p.clientSession.close();
    expect(await p.serverEvents.messages.take(sent.length)).toEqual(sent);
  });
});

it('a session that waits for the rate of its server waits less when others end', async () => {
  const received = new Recorder<string>('the client');
  const events = new Recorder<string>('the server');
  // 1,000 bytes, and then as many a second.
  const rate = { out: { bytes: 1_000, burst: 1_000 } };
  const serverSetup = { ...setup, listener: events, waitTime: 20 };
  await using server = await serve('tcp://127.0.0.1:0', serverSetup, { rate });
  const open = () =>
    connect(server.address, { ...setup, listener: received }, { reconnect: false });
  const others = [];
  for (let i = 0; i < 3; i++) {
    others.push(await open());
    const session = await events.opened.next();
    session.write('x'.repeat(1_000_000));
  }
  const client = await open();
  (await events.opened.next()).write('12345678');
  await untilQuiet();
  expect(received.messages.all).toEqual([]);
  for (const other of others) other.destroy();
  // It would be 3,000 s.
  expect(await received.messages.next()).toBe('12345678');
  client.destroy();
  events.errors.dismiss();
});

it('a message that has only begun when its session ends takes nothing from rate.in', async () => {
  const events = new Recorder<string>('the server');
  await using server = await serve(
    'tcp://127.0.0.1:0',
    { ...setup, listener: events },
    { rate: { in: { messages: 0.001, burst: 2_000_000 } } },
  );
  const open = async () => {
    const client = await connect(server.address, setup, { reconnect: false });
    const session = await client.session();
    await events.opened.next();
    return { client, session };
  };
  for (let i = 0; i < 5; i++) {
    const { client, session } = await open();
    session.writeBytes(Buffer.from('no message'));
    await until(() => [...server.sessions][0]?.stats.bytesRead === 10, 'the bytes have arrived');
    client.destroy();
    await events.closed.next();
  }
  const { client, session } = await open();
  session.write('one');
  session.write('two');
  expect(await events.messages.take(2)).toEqual(['one', 'two']);
  client.destroy();
  events.errors.dismiss();
});

it('a message that waits when its session ends takes nothing from rate.in', async () => {
  const events = new Recorder<string>('the server');
  await using server = await serve(
    'memory://',
    { ...setup, listener: events },
    { rate: { in: { messages: 10, burst: 100 } } },
  );
  const open = async () => {
    const client = await connect(server.address, setup, { reconnect: false });
    return { client, session: await client.session() };
  };
  const first = await open();
  first.session.write('one');
  const others: Awaited<ReturnType<typeof open>>[] = [];
  for (let i = 0; i < 100; i++) others.push(await open());
  for (const { session } of others) session.write('other');
  await untilQuiet();
  first.session.write('two');
  await untilQuiet();
  for (const session of [...server.sessions].slice(1)) session.destroy();
  await until(() => events.messages.all.includes('two'), 'the second message');
  // It would wait for all of them.
  expect(events.messages.all.length).toBeLessThan(others.length);
  for (const { client } of [first, ...others]) client.destroy();
  events.errors.dismiss();
});

it('messages of many ticks wait in few buffers while the peer does not read', async () => {
  await using p = await pair(row('tcp'), {
    clientSide: { rate: { out: { messages: 1_000_000 } } },
  });
  p.serverSession.pause();
  const large = 'x'.repeat(500_000);
  let count = 0;
  for (let before = 0; before < 3_000_000; before = p.clientSession.queuedBytes, count++) {
    p.clientSession.write(large);
    await untilQuiet();
  }
  const writes = vi.spyOn(p.clientSession.socket as Socket, 'write');
  const small = Array.from({ length: 200 }, (_, i) => `${i}`);
  for (const text of small) {
    p.clientSession.write(text);
    await new Promise(setImmediate);
  }
  expect(writes.mock.calls.length).toBeLessThan(5);
  const closed = p.clientSession.close();
  p.serverSession.resume();
  expect((await p.serverEvents.messages.take(count + small.length)).slice(count)).toEqual(small);
  await closed;
});

describe('empty datagrams', () => {
  const rate = { out: { messages: 0.001, burst: 3_000_000 } };
  const codec = raw() as never;
  const texts = (messages: readonly unknown[]): string[] => messages.map(String);

  it('wait for rate.out, in order', async () => {
    await using p = await pair(row('udp'), { clientSide: { codec, rate }, serverSide: { codec } });
    for (const text of ['a', '', 'b', '', 'c']) p.clientSession.write(Buffer.from(text) as never);
    expect(texts(await p.serverEvents.messages.take(3))).toEqual(['a', '', 'b']);
    await untilQuiet();
    expect(p.serverEvents.messages.unread).toEqual([]);
    expect(p.clientSession.queuedBytes).toBe(2);
  });

  it('count toward maxQueuedBytes while they wait', async () => {
    await using p = await pair(row('udp'), {
      clientSide: { codec, rate, maxQueuedBytes: 1_000 },
      serverSide: { codec },
    });
    const empty = Buffer.alloc(0) as never;
    for (let i = 0; i < 500; i++) p.clientSession.write(empty);
    expect(thrown(() => p.clientSession.write(empty)).code).toBe('SESSION_BLOCKED');
    p.clientSession.destroy();
  });

  it('settle their send() when they are sent', async () => {
    await using p = await pair(row('udp'), { clientSide: { codec, rate }, serverSide: { codec } });
    const send = (text: string) =>
      p.clientSession.send(Buffer.from(text) as never, { timeout: 20 });
    await Promise.all(['a', '', 'b'].map(send));
    expect(await rejection(send(''))).toMatchObject({ code: 'SEND_TIMEOUT', encodedBytes: 0 });
  });
});
