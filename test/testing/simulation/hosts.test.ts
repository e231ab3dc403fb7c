/** Hosts: crash, restart, pause, resume and clocks. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, test } from 'vitest';
import { type Simulation, simulate } from '../../../src/testing/simulation/index.js';
import { connect, lines, serve } from '../../../src/transport/index.js';

const echo = (address: string) =>
  serve(address, {
    codec: lines(),
    listener: { onMessage: (session, line) => void session.write(line) },
  });

test('timers, immediates and promises of a host die with it', async () => {
  await simulate({}, async ({ host, clock }) => {
    const log: string[] = [];
    const note = (text: string) => () => void log.push(`${text} ${clock.now}`);
    const a = host('a', async () => {
      setInterval(note('interval'), 1_000);
      setTimeout(note('timeout'), 2_500);
      setTimeout(() => setImmediate(note('immediate')), 2_000);
      for (;;) {
        await clock.sleep(700);
        note('loop')();
      }
    });
    clock.at(1_500, () => a.crash());
    await clock.sleep('1m');
    expect(log).toEqual(['loop 700', 'interval 1000', 'loop 1400']);
    expect(a.state).toBe('crashed');
  });
});

test('a crash in the code of the host itself ends what that code starts', async () => {
  await simulate({}, async ({ host, clock }) => {
    const log: string[] = [];
    const a = host('a', () => {
      setTimeout(() => {
        a.crash();
        setTimeout(() => log.push('later'), 1);
        setImmediate(() => log.push('immediate'));
      }, 10);
    });
    await clock.sleep('1s');
    expect(log).toEqual([]);
  });
});

test('restart() calls start in a new process', async () => {
  await simulate({}, async ({ host, clock }) => {
    let starts = 0;
    const a = host('a', () => ++starts);
    expect(await a.ready()).toBe(1);
    a.crash();
    await expect(a.ready()).rejects.toMatchObject({ code: 'HOST_DOWN' });
    await expect(a.run(() => 1)).rejects.toMatchObject({ code: 'HOST_DOWN' });
    a.restart();
    expect(await a.ready()).toBe(2);
    expect(a.state).toBe('running');
    await clock.sleep(1);
  });
});

test('run() settles as its task, and rejects when the host crashes', async () => {
  await simulate({}, async ({ host, clock }) => {
    const a = host('a');
    const b = host('b');
    expect(await a.run(() => a.state)).toBe('running');
    await expect(a.run(() => Promise.reject(new Error('wrong')))).rejects.toThrow('wrong');
    const endless = a.run(() => clock.sleep('1h'));
    clock.at('1m', () => a.crash());
    await expect(endless).rejects.toMatchObject({ code: 'HOST_DOWN' });
    expect(clock.now).toBe(60_000);
    expect(await b.run(() => b.state)).toBe('running');
  });
});

test('timers and received bytes wait while a host is paused', async () => {
  await simulate({}, async ({ host, clock }) => {
    const ticks: number[] = [];
    const a = host('a', async () => {
      setInterval(() => ticks.push(clock.now), 1_000);
      return echo('sim://a:1000');
    });
    await a.ready();
    const answers: [string, number][] = [];
    const client = await connect('sim://a:1000', {
      codec: lines(),
      listener: { onMessage: (_, line) => void answers.push([line, clock.now]) },
    });
    const session = await client.session();
    await clock.sleep(2_500 - clock.now);
    a.pause();
    expect(a.state).toBe('paused');
    session.write('while paused');
    await clock.sleep('10s');
    expect(ticks).toEqual([1_000, 2_000]);
    expect(answers).toEqual([]);
    a.resume();
    await clock.sleep('1s');
    expect(answers).toEqual([['while paused', 12_501]]);
    // An interval fires once for all the periods that it missed.
    expect(ticks).toEqual([1_000, 2_000, 12_500, 13_500].slice(0, ticks.length));
    expect(ticks.length).toBeGreaterThanOrEqual(3);
    await client.close();
  });
});

test('a paused host accepts connections, and answers later', async () => {
  await simulate({}, async ({ host, clock }) => {
    const a = host('a', () => echo('sim://a:1000'));
    await a.ready();
    a.pause();
    const client = await connect('sim://a:1000', {
      codec: lines(),
      listener: { onMessage() {} },
    });
    clock.at('1m', () => a.resume());
    await clock.sleep('2m');
    expect((await client.session()).closed).toBe(false);
    await client.close();
  });
});

test('a clock jump changes the date of one host only', async () => {
  await simulate({}, async ({ host, clock }) => {
    const a = host('a');
    const read = () => ({ date: Date.now(), monotonic: performance.now() });
    const before = await a.run(read);
    a.jumpClock('1h');
    const after = await a.run(read);
    expect(after.date - before.date).toBe(3_600_000 + after.monotonic - before.monotonic);
    expect(Date.now()).toBe(1_704_067_200_000 + clock.now);
    a.jumpClock('1h', 'backward');
    expect((await a.run(read)).date).toBe(1_704_067_200_000 + clock.now);
  });
});

test('code of one host that a promise of another resumes stays code of its host', async () => {
  await simulate({}, async ({ host, clock }) => {
    const log: string[] = [];
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const waiter = async ({ clock: { now } }: Pick<Simulation, 'clock'>): Promise<void> => {
      await gate;
      setTimeout(() => log.push(`timer after ${now}`), 1_000);
    };
    const a = host('a', () => waiter({ clock }));
    const b = host('b', () => void setTimeout(() => release(), 500));
    await a.ready();
    // The timer belongs to a, although code of b has resolved the promise.
    b.crash();
    await clock.sleep('2s');
    expect(log).toEqual(['timer after 0']);
  });
});

test('an AsyncLocalStorage reaches the timers and promises of its code', async () => {
  await simulate({}, async ({ clock }) => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    await storage.run('inside', async () => {
      setTimeout(() => seen.push(storage.getStore()), 10);
      setImmediate(() => seen.push(storage.getStore()));
      await clock.sleep(20);
      seen.push(storage.getStore());
    });
    expect(seen).toEqual(['inside', 'inside', 'inside']);
    expect(storage.getStore()).toBeUndefined();
  });
});

test('memory:// connects code of one host only', async () => {
  await simulate({}, async ({ host, network, clock }) => {
    const a = host('a', () => echo('memory://shared'));
    const b = host('b', () => echo('memory://shared'));
    await Promise.all([a.ready(), b.ready()]);
    network.partition(['client'], [a]);
    const setup = { codec: lines(), listener: { onMessage() {} } };
    await expect(connect('memory://shared', setup)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringMatching(
        /no server in this process has the name \(client\); use sim:\/\/ between the hosts/,
      ),
    });
    await a.run(async () => (await connect('memory://shared', setup)).close());
    a.restart();
    expect((await a.ready()).address).toBe('memory://shared');
    await clock.sleep('1s');
  });
});

test('each process numbers its servers at memory:// anew', async () => {
  const run = () =>
    simulate({}, async ({ host }) => (await host('a', () => echo('memory://')).ready()).address);
  expect((await run()).value).toBe('memory://unnamed-1');
  expect((await run()).value).toBe('memory://unnamed-1');
});
