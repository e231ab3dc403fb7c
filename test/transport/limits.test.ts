/**
 * What one peer, and all of them, may ask of us at once. Bytes queued for a peer are in the
 * behaviour table.
 */
import { describe, expect, it, vi } from 'vitest';
import {
  type Codec,
  connect,
  delimiter,
  type GettyError,
  jsonLines,
  lines,
  raw,
  type Server,
  type ServerOptions,
  type Session,
  serve,
  type TaskPool,
  taskPool,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import {
  connectAs,
  pair,
  rejection,
  serveAs,
  setupOf,
  TRANSPORTS,
  type TransportRow,
  thrown,
} from '../fixtures/transports.js';
import { gate, turns, until, within } from '../fixtures/waiting.js';

const QUIET = 20;
/** Whoever is refused here is told so. */
const CONNECTED = TRANSPORTS.filter((row) => row.name !== 'udp');
const rowsOf = (...names: string[]): TransportRow[] =>
  TRANSPORTS.filter((row) => names.includes(row.name));

/** The warnings of the process while `action` runs. */
async function warningsOf(action: (warnings: () => GettyError[]) => Promise<void>): Promise<void> {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    await action(() => spy.mock.calls.map(([warning]) => warning as unknown as GettyError));
  } finally {
    spy.mockRestore();
  }
}

describe.each(CONNECTED)('sessions of a server: $name', (row) => {
  noLeaks();

  async function limited(
    options: ServerOptions,
    address?: string,
    on: Partial<Recorder<string>> = {},
  ) {
    const events = new Recorder<string>('the server', on);
    const server = await serveAs(row, setupOf(row, events), address, options);
    return { server, events, [Symbol.asyncDispose]: () => server.close() };
  }

  async function welcome(server: Server<string>, address = server.address) {
    const events = new Recorder<string>('a client');
    const before = server.sessions.size;
    const client = await connectAs(row, address, setupOf(row, events), { reconnect: false });
    await until(() => server.sessions.size === before + 1, 'the server has its session');
    return { client, events, session: await client.session() };
  }

  /** Connects, and is closed at once. */
  async function refused(address: string): Promise<void> {
    const events = new Recorder<string>('the client that is refused');
    try {
      await using _client = await connectAs(row, address, setupOf(row, events), {
        reconnect: false,
      });
      await events.closed.next();
    } catch (error) {
      expect(['CONNECTION_LOST', 'CONNECT_FAILED']).toContain((error as GettyError).code);
    }
  }

  it('maxSessions: who comes then is closed at once, with one warning; places become free again', () =>
    warningsOf(async (warnings) => {
      await using limit = await limited({ maxSessions: 2 });
      const { server } = limit;
      const first = await welcome(server);
      const second = await welcome(server);
      for (let i = 0; i < 3; i++) await refused(server.address);
      expect(server.sessions.size).toBe(2);
      expect(limit.events.opened.all.length).toBe(2);
      expect(warnings()).toEqual([
        expect.objectContaining({
          code: 'SESSION_REFUSED',
          message: expect.stringMatching(
            /^1 refused at .*, the last of them .*: maxSessions, 2, are open$/,
          ),
        }),
      ]);
      first.session.write('still here');
      expect(await limit.events.messages.next()).toBe('still here');

      await first.client.close();
      await until(() => server.sessions.size === 1, 'the place is free');
      const third = await welcome(server);
      await refused(server.address);
      for (const { client } of [second, third]) await client.close();
    }));

  it('maxSessions: no place is lost, however a session ends', () =>
    warningsOf(async () => {
      let fail = '';
      await using limit = await limited({ maxSessions: 2, maxSessionsPerAddress: 2 }, undefined, {
        onOpen() {
          if (fail === 'onOpen') throw new Error('not you');
        },
      });
      const { server, events } = limit;
      for (const how of [
        'close',
        'destroy',
        'close here',
        'destroy here',
        'onOpen',
        'onOpen',
        'onOpen',
      ]) {
        fail = how;
        const mine = new Recorder<string>('a client');
        const client = await connectAs(row, server.address, setupOf(row, mine), {
          reconnect: false,
        });
        const far = await events.opened.next();
        if (how === 'close') await client.close();
        if (how === 'destroy') client.destroy();
        if (how === 'close here') await far.close();
        if (how === 'destroy here') far.destroy();
        await until(() => server.sessions.size === 0, 'the session is over');
        await client.close();
      }
      fail = '';
      const both = [await welcome(server), await welcome(server)];
      await refused(server.address);
      for (const { client } of both) await client.close();
    }));
});

describe.each(rowsOf('tcp', 'tls', 'ws', 'wss'))('maxSessionsPerAddress: $name', (row) => {
  noLeaks();

  it('counts each host by itself, with one warning for both limits', () =>
    warningsOf(async (warnings) => {
      const events = new Recorder<string>('the server');
      const everywhere = `${row.free().split(':')[0]}://:0`;
      await using server = await serveAs(row, setupOf(row, events), everywhere, {
        maxSessionsPerAddress: 2,
        maxSessions: 3,
      });
      const port = server.address.split(':').at(-1);
      const [four, six] = ['127.0.0.1', '[::1]'].map((host) =>
        server.address.replace(/:\/\/.*/, `://${host}:${port}`),
      ) as [string, string];
      const client = async (address: string) => {
        const mine = new Recorder<string>('a client');
        const it = await connectAs(row, address, setupOf(row, mine), { reconnect: false }).catch(
          () => undefined,
        );
        return {
          close: () => it?.close(),
          closed: it === undefined ? Promise.resolve() : mine.closed.next(),
        };
      };
      const first = await client(four);
      const second = await client(four);
      await until(() => server.sessions.size === 2, 'both are in');
      await (await client(four)).closed;
      expect(server.sessions.size).toBe(2);
      const third = await client(six);
      await until(() => server.sessions.size === 3, 'the other host is in');
      await (await client(six)).closed;
      expect(warnings()).toEqual([
        expect.objectContaining({
          code: 'SESSION_REFUSED',
          message: expect.stringMatching(
            /^1 refused at .*: maxSessionsPerAddress, 2, are open from \[?::ffff:127\.0\.0\.1\]?$/,
          ),
        }),
      ]);
      await first.close();
      await until(() => server.sessions.size === 2, 'a place is free');
      const fourth = await client(four);
      await until(() => server.sessions.size === 3, 'somebody has it');
      for (const each of [second, third, fourth]) await each.close();
    }));
});

describe.each(rowsOf('unix', 'memory'))('maxSessionsPerAddress: $name', (row) => {
  noLeaks();

  it('does not count peers that have no host', async () => {
    const events = new Recorder<string>('the server');
    await using server = await serveAs(row, setupOf(row, events), undefined, {
      maxSessionsPerAddress: 1,
    });
    await using _one = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('one')),
    );
    await using _two = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('two')),
    );
    await events.opened.take(2);
  });
});

describe('maxSessionsPerAddress: udp', () => {
  noLeaks();

  it('a place is free when a session is over', () =>
    warningsOf(async (warnings) => {
      const events = new Recorder<string>('the server');
      const [row] = rowsOf('udp') as [TransportRow];
      await using server = await serveAs(row, setupOf(row, events), undefined, {
        ...row.serverOptions,
        maxSessionsPerAddress: 1,
      });
      await using one = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('one')),
      );
      (await one.session()).write('one');
      expect(await events.messages.next()).toBe('one');
      await using two = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('two')),
      );
      (await two.session()).write('two');
      await until(() => warnings().length > 0, 'the second was refused');
      expect(warnings()[0]?.message).toMatch(
        /maxSessionsPerAddress, 1, are open from 127\.0\.0\.1$/,
      );
      expect(server.sessions.size).toBe(1);
      for (const session of server.sessions) session.destroy();
      await until(() => server.sessions.size === 0, 'it is over');
      (await two.session()).write('two again');
      expect(await events.messages.next()).toBe('two again');
    }));
});

it.each(['maxSessions', 'maxSessionsPerAddress'])('%s: BAD_OPTION', async (name) => {
  for (const given of [0, -1, '7', null, Number.NaN]) {
    const error = await rejection(
      serve('memory://limits', { codec: lines(), listener: { onMessage() {} } }, {
        [name]: given,
      } as ServerOptions),
    );
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(`${name}: given`),
    });
  }
});

describe.each(rowsOf('tcp', 'memory', 'tls', 'tcp+deflate', 'tcp+snappy'))(
  'messageTimeout: $name',
  (row) => {
    noLeaks();
    const TIMEOUT = 150;
    const PERIOD = 50;
    const tick = { cronPeriod: PERIOD, on: { onCron() {} } };
    const limited = (far: object = {}) =>
      pair<Buffer, Uint8Array>(row, {
        near: { codec: raw(), ...tick },
        far: { messageTimeout: TIMEOUT, ...far },
      });
    type Limited = Awaited<ReturnType<typeof limited>>;
    /** Long enough for the deadline to have passed twice. */
    const wait = (p: Limited): Promise<unknown> =>
      p.nearEvents.crons.take(Math.ceil((2.5 * TIMEOUT) / PERIOD));

    it('half a message is cut off with MESSAGE_TIMEOUT', async () => {
      await using p = await limited();
      p.near.writeBytes(Buffer.from('whole\nhal'));
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'MESSAGE_TIMEOUT',
        message: expect.stringMatching(
          /began a message \d+ ms ago and has not ended it; messageTimeout is 150 ms/,
        ),
      });
      await p.farEvents.closed.next();
      expect(p.farEvents.messages.all).toEqual(['whole']);
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('a drip does not help: the deadline is for the whole message', async () => {
      await using p = await limited();
      const drip = setInterval(() => p.near.closed || p.near.writeBytes(Buffer.from('x')), 5);
      const error = await p.farEvents.errors.next().finally(() => clearInterval(drip));
      expect(error.code).toBe('MESSAGE_TIMEOUT');
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('who is between messages has all the time in the world', async () => {
      await using p = await limited();
      await wait(p);
      p.near.writeBytes(Buffer.from('whole\n'));
      expect(await p.farEvents.messages.next()).toBe('whole');
      await wait(p);
      expect(p.far.closed).toBe(false);
    });

    it('bytes that the codec drops are no message', async () => {
      await using p = await limited({ codec: jsonLines() as unknown as Codec<string> });
      p.near.writeBytes(Buffer.from('  '));
      await until(() => p.far.stats.bytesRead === 2, 'it came');
      p.near.writeBytes(Buffer.from('\n'));
      await wait(p);
      expect(p.far.closed).toBe(false);
      p.near.writeBytes(Buffer.from('7\n'));
      expect(await p.farEvents.messages.next()).toBe(7);
    });

    it('a paused session does not count the time', async () => {
      await using p = await limited();
      p.near.writeBytes(Buffer.from('hal'));
      await until(() => p.far.stats.bytesRead === 3, 'half of it came');
      p.far.pause();
      await wait(p);
      expect(p.far.closed).toBe(false);
      p.near.writeBytes(Buffer.from('f\n'));
      p.far.resume();
      expect(await p.farEvents.messages.next()).toBe('half');
    });

    it('a session that has its hands full does not count the time', async () => {
      const working = gate();
      await using p = await limited({
        maxHandling: 1,
        on: {
          onMessage: (_: unknown, line: string) => (line === 'work' ? working.promise : undefined),
        },
      });
      p.near.writeBytes(Buffer.from('work\nhal'));
      await p.farEvents.messages.next();
      await wait(p);
      expect(p.far.closed).toBe(false);
      working.open();
      p.near.writeBytes(Buffer.from('f\n'));
      expect(await p.farEvents.messages.next()).toBe('half');
    });

    it('a large message that comes steadily within the time is fine', async () => {
      await using p = await limited({ messageTimeout: 30_000 });
      for (let i = 0; i < 10; i++) {
        p.near.writeBytes(Buffer.alloc(20_000, 'x'));
        await p.nearEvents.crons.next();
      }
      p.near.writeBytes(Buffer.from('\n'));
      expect((await p.farEvents.messages.next()).length).toBe(200_000);
    });

    it('0: never', async () => {
      await using p = await limited({ messageTimeout: 0 });
      p.near.writeBytes(Buffer.from('hal'));
      await wait(p);
      p.near.writeBytes(Buffer.from('f\n'));
      expect(await p.farEvents.messages.next()).toBe('half');
    });
  },
);

describe.each(CONNECTED)('maxHandling: $name', (row) => {
  noLeaks();
  const COUNT = 12;
  const MAX = 3;
  const sent = Array.from({ length: COUNT }, (_, i) => `${i}`);

  /** A server whose handlers wait at their gates, and a client that has sent it COUNT messages. */
  async function busy() {
    const gates = sent.map(() => gate());
    const p = await pair(row, {
      far: { maxHandling: MAX, on: { onMessage: (_, line) => gates[Number(line)]?.promise } },
    });
    for (const line of sent) p.near.write(line);
    return { p, gates, [Symbol.asyncDispose]: () => p[Symbol.asyncDispose]() };
  }

  it.each<[string, (held: number[]) => number]>([
    ['the oldest first', () => 0],
    ['the newest first', (held) => held.length - 1],
    ['one in the middle', (held) => Math.floor(held.length / 2)],
  ])('stops reading at so many promises, and goes on as each settles: %s', async (_, choose) => {
    await using b = await busy();
    const held = [0, 1, 2];
    const { messages } = b.p.farEvents;
    await messages.take(MAX);
    while (held.length > 0) {
      await turns(QUIET);
      expect(messages.unread).toEqual([]);
      const [settled] = held.splice(choose(held), 1) as [number];
      if (settled % 2 === 0) b.gates[settled]?.open();
      else b.gates[settled]?.fail(new Error('it went wrong'));
      if (messages.all.length === COUNT) continue;
      const next = await messages.next();
      expect(next).toBe(`${messages.all.length - 1}`);
      held.push(Number(next));
    }
    await until(
      () => b.p.farEvents.errors.all.length === COUNT / 2,
      'the errors of half of them came',
    );
    expect(b.p.farEvents.errors.all.every((error) => error.code === 'HANDLER_FAILED')).toBe(true);
    b.p.farEvents.errors.dismiss();
    expect(messages.all).toEqual(sent);
  });

  it('all at once', async () => {
    await using b = await busy();
    await b.p.farEvents.messages.take(MAX);
    for (const each of b.gates) each.open();
    expect(await b.p.farEvents.messages.take(COUNT - MAX)).toEqual(sent.slice(MAX));
  });

  it('a peer that ends meanwhile: what it sent is still handled, then the session closes', async () => {
    await using b = await busy();
    await b.p.farEvents.messages.take(MAX);
    const closing = b.p.near.close();
    await turns(QUIET);
    expect(b.p.farEvents.log).toEqual(['open', ...Array(MAX).fill('message')]);
    for (const each of b.gates) each.open();
    await within(closing, 'the close');
    await b.p.farEvents.closed.next();
    expect(b.p.farEvents.messages.all).toEqual(sent);
    expect(b.p.farEvents.log.at(-1)).toBe('close');
  });

  it('pause and resume in between change nothing', async () => {
    await using b = await busy();
    await b.p.farEvents.messages.take(MAX);
    b.p.far.pause();
    b.p.far.resume();
    await turns(QUIET);
    expect(b.p.farEvents.messages.unread).toEqual([]);
    b.p.far.pause();
    b.gates[0]?.open();
    await turns(QUIET);
    expect(b.p.farEvents.messages.unread).toEqual([]);
    b.p.far.resume();
    expect(await b.p.farEvents.messages.next()).toBe('3');
    for (const each of b.gates) each.open();
    await b.p.farEvents.messages.take(COUNT - MAX - 1);
  });

  it('handlers that are not asynchronous are never many', async () => {
    await using p = await pair(row, { far: { maxHandling: 1 } });
    for (const line of sent) p.near.write(line);
    expect(await p.farEvents.messages.take(COUNT)).toEqual(sent);
  });

  it('1: one message after the other', async () => {
    let running = 0;
    const most: number[] = [];
    const onMessage = async (): Promise<void> => {
      most.push(++running);
      await turns();
      running--;
    };
    await using p = await pair(row, { far: { maxHandling: 1, on: { onMessage } } });
    for (const line of sent) p.near.write(line);
    await p.farEvents.messages.take(COUNT);
    expect(Math.max(...most)).toBe(1);
  });

  it('a flood of messages waits at the peer, not in our memory', async () => {
    const working = gate();
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      near: {
        codec: delimiter('\n'),
        maxQueuedBytes: Number.POSITIVE_INFINITY,
        compression: 'none',
      },
      far: {
        codec: delimiter('\n'),
        maxHandling: 1,
        on: { onMessage: () => working.promise },
        compression: 'none',
      },
    });
    const message = Buffer.alloc(10_000, 'x');
    for (let i = 0; i < 1_000; i++) p.near.write(message);
    await p.farEvents.messages.next();
    await turns(QUIET);
    expect(p.far.stats.bytesRead).toBeLessThan(3_000_000);
    working.open();
    await p.farEvents.messages.take(999);
  });
});

describe('taskPool by itself', () => {
  it('runs at most so many at once, starts them in order, and answers what they answer', async () => {
    const pool = taskPool({ concurrency: 3, queue: 100 });
    const gates = Array.from({ length: 20 }, () => gate());
    const started: number[] = [];
    let running = 0;
    const results = gates.map((each, i) =>
      pool.run(async () => {
        started.push(i);
        running++;
        await each.promise;
        running--;
        return i * 2;
      }),
    );
    for (const i of [2, 0, 1, 5, 4, 3, 6, 8, 7, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9]) {
      gates[i]?.open();
      await turns();
      expect(running).toBeLessThanOrEqual(3);
    }
    expect(await Promise.all(results)).toEqual(gates.map((_, i) => i * 2));
    expect(started).toEqual(gates.map((_, i) => i));
  });

  it('a task that is not asynchronous starts at once, and may throw', async () => {
    const pool = taskPool({ concurrency: 1, queue: 0 });
    let ran = false;
    const done = pool.run(() => {
      ran = true;
      return 'done';
    });
    expect(ran).toBe(true);
    expect(await done).toBe('done');
    for (const fail of [
      () => Promise.reject(new RangeError('oh')),
      () => Promise.reject(new RangeError('oh')).finally(turns),
    ]) {
      await expect(pool.run(fail)).rejects.toThrow(RangeError);
    }
    await expect(
      pool.run(() => {
        throw new RangeError('oh');
      }),
    ).rejects.toThrow(RangeError);
    expect(pool.full).toBe(false);
    expect(await pool.run(() => 'still works')).toBe('still works');
  });

  it('POOL_FULL when as many wait as may; room() settles when one may come', async () => {
    const pool = taskPool({ concurrency: 2, queue: 1 });
    const gates = [gate(), gate(), gate()];
    await pool.room();
    const tasks = gates.map((each) => pool.run(() => each.promise));
    expect(pool.full).toBe(true);
    expect(await rejection(pool.run(() => 'never'))).toMatchObject({
      code: 'POOL_FULL',
      message: 'the pool runs 2 tasks and 1 wait: as many as it may',
    });
    let room = false;
    const waiting = pool.room().then(() => {
      room = true;
    });
    await turns();
    expect(room).toBe(false);
    gates[1]?.open();
    await within(waiting, 'room()');
    expect(pool.full).toBe(false);
    for (const each of gates) each.open();
    await Promise.all(tasks);
  });

  it('who waits longest for room is first, and nobody wakes for a place that is taken', async () => {
    const pool = taskPool({ concurrency: 1, queue: 0 });
    const order: number[] = [];
    const first = gate();
    void pool.run(() => first.promise);
    const gates = [gate(), gate(), gate()];
    const all = gates.map((each, i) =>
      pool.room().then(() => {
        order.push(i);
        return pool.run(() => each.promise);
      }),
    );
    first.open();
    for (const each of gates) {
      await turns();
      each.open();
    }
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2]);
  });

  it('who does not take the place that it waited for takes it from nobody', async () => {
    const pool = taskPool({ concurrency: 1, queue: 0 });
    const first = gate();
    void pool.run(() => first.promise);
    const idle = pool.room();
    const next = pool.room().then(() => pool.run(() => 'mine'));
    first.open();
    await idle;
    expect(await within(next, 'the second')).toBe('mine');
  });

  it.each([
    [{ concurrency: 0 }, 'concurrency: given 0'],
    [{ concurrency: 'many' }, 'concurrency: given "many"'],
    [{ queue: -1 }, 'queue: given -1'],
    [7, 'options: given 7'],
  ])('BAD_OPTION: %o', (given, text) => {
    expect(thrown(() => taskPool(given as never))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(text),
    });
  });

  it.each([{}, { run() {} }, { room() {} }, 7, null])(
    'an option that is no pool: %o',
    async (given) => {
      const setup = { codec: lines(), listener: { onMessage() {} }, taskPool: given as never };
      expect(await rejection(connect('memory://nobody', setup))).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('taskPool'),
      });
    },
  );
});

describe.each(CONNECTED)('taskPool: $name', (row) => {
  noLeaks();

  /**
   * A server with a pool and `clients` of it, whose handlers wait at gates that are opened by the
   * name of the message.
   */
  async function pooled(
    clients: number,
    options: { concurrency: number; queue: number },
    on: Partial<Recorder<string>> = {},
  ) {
    const pool = taskPool(options);
    const running = new Set<string>();
    const gates = new Map<string, ReturnType<typeof gate<void>>>();
    const started: string[] = [];
    let most = 0;
    const events = new Recorder<string>('the server', {
      async onMessage(session, line) {
        started.push(line);
        running.add(line);
        most = Math.max(most, running.size);
        const mine = gate();
        gates.set(line, mine);
        try {
          await mine.promise;
        } finally {
          running.delete(line);
        }
        if (!session.closed) session.write(`${line} done`);
      },
      ...on,
    });
    const server = await serveAs(row, { ...setupOf(row, events), taskPool: pool });
    const all = await Promise.all(
      Array.from({ length: clients }, async (_, i) => {
        const mine = new Recorder<string>(`client ${i}`);
        const client = await connectAs(row, server.address, setupOf(row, mine), {
          reconnect: false,
        });
        return { client, events: mine, session: await client.session() };
      }),
    );
    await until(() => server.sessions.size === clients, 'all are connected');
    return {
      pool,
      events,
      started,
      running,
      most: () => most,
      clients: all,
      server,
      async finish(line: string): Promise<void> {
        await until(() => gates.has(line), `${line} has started`);
        gates.get(line)?.open();
      },
      async [Symbol.asyncDispose]() {
        server.destroy();
        for (const { client } of all) client.destroy();
        await Promise.all([server.close(), ...all.map(({ client }) => client.close())]);
        for (const each of gates.values()) each.open();
      },
    };
  }

  it('never more at once than it may, over all sessions; nothing is lost, and each session in its order', async () => {
    await using p = await pooled(3, { concurrency: 2, queue: 3 });
    const sent = [0, 1, 2].map((client) => Array.from({ length: 10 }, (_, i) => `${client}.${i}`));
    for (const [client, lines] of sent.entries())
      for (const line of lines) p.clients[client]?.session.write(line);
    for (let done = 0; done < 30; done++) {
      await until(() => p.running.size > 0, 'a task runs');
      const [oldest] = p.running;
      // Not always the oldest.
      await p.finish(done % 3 === 0 ? ([...p.running].at(-1) as string) : (oldest as string));
      await until(() => !p.running.has(oldest as string) || done % 3 === 0, 'it is done');
      await turns(2);
    }
    expect(p.most()).toBe(2);
    for (const [client, lines] of sent.entries()) {
      expect(p.started.filter((line) => line.startsWith(`${client}.`))).toEqual(lines);
      expect((await p.clients[client]?.events.messages.take(10))?.sort()).toEqual(
        lines.map((line) => `${line} done`).sort(),
      );
    }
    expect(p.events.errors.all).toEqual([]);
  });

  it('full: every session that shares it stops reading, and all go on', async () => {
    await using p = await pooled(3, { concurrency: 1, queue: 1 });
    const [one, two, three] = p.clients as [
      (typeof p.clients)[0],
      (typeof p.clients)[0],
      (typeof p.clients)[0],
    ];
    one.session.write('a');
    one.session.write('b');
    await until(() => p.pool.full, 'it is full');
    two.session.write('c');
    three.session.write('d');
    one.session.write('e');
    await turns(QUIET);
    expect(p.started).toEqual(['a']);
    expect(p.events.errors.all).toEqual([]);
    for (let i = 0; i < 5; i++) {
      await until(() => p.started.length === i + 1, `${i + 1} have started`);
      await turns(2);
      expect(p.running.size).toBe(1);
      await p.finish(p.started[i] as string);
    }
    expect([...p.started].sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(p.started.slice(0, 2)).toEqual(['a', 'b']);
    for (const [client, count] of [
      [one, 3],
      [two, 1],
      [three, 1],
    ] as const)
      await client.events.messages.take(count);
    expect(p.events.errors.all).toEqual([]);
  });

  it('a session that is gone while it waits for room leaves the room to others', async () => {
    await using p = await pooled(3, { concurrency: 1, queue: 0 });
    const [one, two, three] = p.clients as [
      (typeof p.clients)[0],
      (typeof p.clients)[0],
      (typeof p.clients)[0],
    ];
    one.session.write('a');
    await until(() => p.started.length === 1, 'the first runs');
    two.session.write('never');
    await turns(QUIET);
    three.session.write('c');
    await turns(QUIET);
    // Not every client has a name.
    [...p.server.sessions][1]?.destroy();
    await two.events.closed.next();
    await p.finish('a');
    await p.finish('c');
    expect(await three.events.messages.next()).toBe('c done');
    expect(p.started).toEqual(['a', 'c']);
  });

  it('nothing comes after onClose: a message that waits in the pool is dropped with its session', async () => {
    await using p = await pooled(1, { concurrency: 1, queue: 10 });
    const [one] = p.clients as [(typeof p.clients)[0]];
    for (const line of ['a', 'b', 'c']) one.session.write(line);
    await until(() => p.started.length === 1, 'the first runs');
    await turns(QUIET);
    for (const session of p.server.sessions) session.destroy();
    await p.events.closed.next();
    await p.finish('a');
    await turns(QUIET);
    expect(p.events.log).toEqual(['open', 'message', 'close']);
    expect(await p.pool.run(() => 'free')).toBe('free');
  });

  it('the peer ends: what it sent is still handled and answered', async () => {
    await using p = await pooled(1, { concurrency: 2, queue: 2 });
    const [one] = p.clients as [(typeof p.clients)[0]];
    const sent = Array.from({ length: 10 }, (_, i) => `${i}`);
    for (const line of sent) one.session.write(line);
    const closing = one.session.close();
    for (const line of sent) await p.finish(line);
    await within(closing, 'the close');
    expect(one.events.messages.all).toEqual(sent.map((line) => `${line} done`));
    await p.events.closed.next();
    expect(p.events.errors.all).toEqual([]);
  });

  it('a task that fails reaches onError', async () => {
    let count = 0;
    await using p = await pooled(
      1,
      { concurrency: 1, queue: 5 },
      {
        onMessage() {
          if (count++ === 0) throw new RangeError('thrown');
          return Promise.reject(new RangeError('rejected'));
        },
      },
    );
    const [one] = p.clients as [(typeof p.clients)[0]];
    for (let i = 0; i < 3; i++) one.session.write('x');
    for (const what of ['thrown', 'rejected', 'rejected']) {
      expect(await p.events.errors.next()).toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining(what),
        cause: expect.any(RangeError),
      });
    }
    expect(one.session.closed).toBe(false);
  });
});

describe("a pool of the user's own", () => {
  noLeaks();
  const [row] = rowsOf('memory') as [TransportRow];

  it('that breaks its promises ends the session, not the process', async () => {
    const broken: TaskPool = {
      full: true,
      run: async (task) => await task(),
      room: () => Promise.reject(new Error('no room, ever')),
    };
    await using p = await pair(row, { far: { taskPool: broken } });
    p.near.write('x');
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'HANDLER_FAILED',
      message: expect.stringContaining('no room, ever'),
    });
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
  });

  it('is used as it is', async () => {
    const sessions: string[] = [];
    const own: TaskPool = {
      full: false,
      room: () => Promise.resolve(),
      async run(task) {
        await turns();
        sessions.push('ran');
        return task();
      },
    };
    await using p = await pair(row, {
      far: {
        taskPool: own,
        on: { onMessage: (session: Session<string>, line) => session.write(line) },
      },
    });
    p.near.write('x');
    expect(await p.nearEvents.messages.next()).toBe('x');
    expect(sessions).toEqual(['ran']);
  });
});
