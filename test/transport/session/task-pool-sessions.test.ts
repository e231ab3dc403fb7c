/** SessionOptions.taskPool: limits that sessions share. */
import { describe, expect, it } from 'vitest';
import { type Session, type TaskPool, taskPool } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { SERVER_TRANSPORTS, transportsNamed, untilQuiet } from '../../fixtures/session-probes.js';
import { connectAs, pair, serveAs, setupOf, type TransportRow } from '../../fixtures/transports.js';
import { elapse, gate, turns, until, within } from '../../fixtures/waiting.js';

describe.each(SERVER_TRANSPORTS)('taskPool: $name', (row) => {
  noLeaks();

  /**
   * A server with a pool, and `clients` of it. Each handler waits until finish() is called with its
   * message.
   */
  async function servePooled(
    clients: number,
    options: { concurrency: number; queue: number },
    on: Partial<Recorder<string>> = {},
  ) {
    const pool = taskPool(options);
    const running = new Set<string>();
    const gates = new Map<string, ReturnType<typeof gate<void>>>();
    const started: string[] = [];
    let maxRunning = 0;
    const events = new Recorder<string>('the server', {
      async onMessage(session, line) {
        started.push(line);
        running.add(line);
        maxRunning = Math.max(maxRunning, running.size);
        const handling = gate();
        gates.set(line, handling);
        try {
          await handling.promise;
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
        const clientEvents = new Recorder<string>(`client ${i}`);
        const client = await connectAs(row, server.address, setupOf(row, clientEvents), {
          reconnect: false,
        });
        return { client, events: clientEvents, session: await client.session() };
      }),
    );
    await until(() => server.sessions.size === clients, 'all are connected');
    return {
      pool,
      events,
      started,
      running,
      maxRunning: () => maxRunning,
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

  it('limits the tasks of all sessions, and handles the messages of each session in order', async () => {
    await using p = await servePooled(3, { concurrency: 2, queue: 3 });
    const sent = [0, 1, 2].map((client) => Array.from({ length: 10 }, (_, i) => `${client}.${i}`));
    for (const [client, lines] of sent.entries())
      for (const line of lines) p.clients[client]?.session.write(line);
    for (let done = 0; done < 30; done++) {
      await until(() => p.running.size > 0, 'a task runs');
      const [oldest] = p.running;
      // Every third task to end is the newest.
      await p.finish(done % 3 === 0 ? ([...p.running].at(-1) as string) : (oldest as string));
      await until(() => !p.running.has(oldest as string) || done % 3 === 0, 'the task has ended');
      await turns(2);
    }
    expect(p.maxRunning()).toBe(2);
    for (const [client, lines] of sent.entries()) {
      expect(p.started.filter((line) => line.startsWith(`${client}.`))).toEqual(lines);
      expect((await p.clients[client]?.events.messages.take(10))?.sort()).toEqual(
        lines.map((line) => `${line} done`).sort(),
      );
    }
    expect(p.events.errors.all).toEqual([]);
  });

  it('stops all its sessions while it is full, and continues all of them', async () => {
    await using p = await servePooled(3, { concurrency: 1, queue: 1 });
    const [one, two, three] = p.clients as [
      (typeof p.clients)[0],
      (typeof p.clients)[0],
      (typeof p.clients)[0],
    ];
    one.session.write('a');
    one.session.write('b');
    await until(() => p.pool.full, 'the pool is full');
    two.session.write('c');
    three.session.write('d');
    one.session.write('e');
    await untilQuiet();
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

  it('gives the place of a session that has closed to the next one', async () => {
    await using p = await servePooled(3, { concurrency: 1, queue: 0 });
    const [one, two, three] = p.clients as [
      (typeof p.clients)[0],
      (typeof p.clients)[0],
      (typeof p.clients)[0],
    ];
    one.session.write('a');
    await until(() => p.started.length === 1, 'the first runs');
    two.session.write('never');
    await untilQuiet();
    three.session.write('c');
    await untilQuiet();
    // On some transports a client has no address of its own, so the order identifies it.
    [...p.server.sessions][1]?.destroy();
    await two.events.closed.next();
    await p.finish('a');
    await p.finish('c');
    expect(await three.events.messages.next()).toBe('c done');
    expect(p.started).toEqual(['a', 'c']);
  });

  it('drops the waiting messages of a session that closes', async () => {
    await using p = await servePooled(1, { concurrency: 1, queue: 10 });
    const [one] = p.clients as [(typeof p.clients)[0]];
    for (const line of ['a', 'b', 'c']) one.session.write(line);
    await until(() => p.started.length === 1, 'the first runs');
    await untilQuiet();
    for (const session of p.server.sessions) session.destroy();
    await p.events.closed.next();
    await p.finish('a');
    await untilQuiet();
    expect(p.events.log).toEqual(['open', 'message', 'close']);
    expect(await p.pool.run(() => 'free')).toBe('free');
  });

  it('handles and answers all messages of a peer that has ended', async () => {
    await using p = await servePooled(1, { concurrency: 2, queue: 2 });
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

  it('reports a task that fails to onError', async () => {
    let count = 0;
    await using p = await servePooled(
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

describe('an object of the program with the interface of a pool', () => {
  noLeaks();
  const [row] = transportsNamed('memory') as [TransportRow];

  it('closes the session when its room() rejects', async () => {
    const failingPool: TaskPool = {
      full: true,
      run: async (task) => await task(),
      room: () => Promise.reject(new Error('no room')),
    };
    await using p = await pair(row, { serverSide: { taskPool: failingPool } });
    p.clientSession.write('x');
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'HANDLER_FAILED',
      message: expect.stringContaining('no room'),
    });
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
  });

  it('runs the handlers', async () => {
    const sessions: string[] = [];
    const customPool: TaskPool = {
      full: false,
      room: () => Promise.resolve(),
      async run(task) {
        await turns();
        sessions.push('ran');
        return task();
      },
    };
    await using p = await pair(row, {
      serverSide: {
        taskPool: customPool,
        on: { onMessage: (session: Session<string>, line) => session.write(line) },
      },
    });
    p.clientSession.write('x');
    expect(await p.clientEvents.messages.next()).toBe('x');
    expect(sessions).toEqual(['ran']);
  });

  it('lets timers run while a pool of the program stays full although room() resolves', async () => {
    let isFull = true;
    const pool: TaskPool = {
      get full() {
        return isFull;
      },
      room: async () => {},
      run: async (task) => task(),
    };
    const lines: string[] = [];
    await using ends = await pair(row, {
      serverSide: { taskPool: pool, on: { onMessage: (_, line) => void lines.push(line) } },
    });
    ends.clientSession.write('one');
    await elapse(5);
    isFull = false;
    await until(() => lines.length === 1, 'the message is delivered');
  });
});
