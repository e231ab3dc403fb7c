/** The simulated network: links, partitions, half-open streams, datagrams. */
import { expect, test } from 'vitest';
import {
  type LinkOptions,
  type Simulation,
  simulate,
} from '../../../src/testing/simulation/index.js';
import { type ClientOptions, connect, lines, raw, serve } from '../../../src/transport/index.js';

interface Echo {
  readonly events: string[];
  send(line: string): void;
}

/** An echo server on host `a`, and a client of it on the host of the scenario. */
async function startEcho(
  { host, clock, network }: Simulation,
  { scheme = 'sim', link = {} }: { scheme?: string; link?: LinkOptions } = {},
  options: ClientOptions = { reconnect: false },
) {
  const a = host('a', () =>
    serve(`${scheme}://a:1000`, {
      codec: lines(),
      listener: { onMessage: (session, line) => void session.write(line) },
    }),
  );
  await a.ready();
  network.between('client', a, link);
  const events: string[] = [];
  const note = (text: string): void => void events.push(`${clock.now} ${text}`);
  const client = await connect(
    `${scheme}://a:1000`,
    {
      codec: lines(),
      listener: {
        onMessage: (_, line) => note(line),
        onError: (_, error) => note(`${(error as { code?: string }).code}: ${error.message}`),
        onClose: () => note('closed'),
      },
    },
    options,
  );
  const session = await client.session();
  const echo: Echo = { events, send: (line) => void session.write(line) };
  return { a, client, session, echo };
}

test('packets take the latency of the link, in each direction', async () => {
  await simulate({}, async (sim) => {
    const { echo, a } = await startEcho(sim);
    sim.network.oneWay('client', a, { latency: 100 });
    sim.network.oneWay(a, 'client', { latency: 25 });
    const { now } = sim.clock;
    echo.send('hello');
    await sim.clock.sleep('1s');
    expect(echo.events).toEqual([`${now + 125} hello`]);
  });
});

test('a random latency is within its range, and a stream stays in order', async () => {
  await simulate({}, async (sim) => {
    const { echo } = await startEcho(sim, { link: { latency: [10, 200], jitter: 20, loss: 0.05 } });
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const line of sent) {
      echo.send(line);
      await sim.clock.sleep(7);
    }
    await sim.clock.sleep('1m');
    expect(echo.events.map((event) => event.split(' ')[1])).toEqual(sent);
  });
});

test('the bandwidth limits a stream', async () => {
  await simulate({}, async (sim) => {
    const { session, a } = await startEcho(sim);
    sim.network.between('client', a, { bandwidth: 100_000 });
    const { now } = sim.clock;
    const { sentBytes } = await session.send(`${'x'.repeat(999_999)}`);
    expect(sentBytes).toBe(1_000_000);
    // The system of the sender keeps the last 64 KiB.
    expect(sim.clock.now - now).toBeGreaterThan(9_000);
    expect(sim.clock.now - now).toBeLessThan(10_100);
  });
});

test('connect() is refused without a server, and times out at a crashed host', async () => {
  await simulate({}, async ({ host, clock }) => {
    const a = host('a');
    const setup = { codec: raw(), listener: { onMessage() {} } };
    const failure = async (address: string): Promise<[string, number]> => {
      const { now } = clock;
      const error = await connect(address, setup, { connectTimeout: 3_000 }).then(
        () => new Error('connected'),
        (reason: Error) => reason,
      );
      return [error.message, clock.now - now];
    };
    expect(await failure('sim://a:1000')).toEqual([
      'cannot connect to sim://a:1000: connect ECONNREFUSED',
      2,
    ]);
    expect((await failure('sim://b:1000'))[0]).toContain('getaddrinfo ENOTFOUND');
    a.crash();
    const [message, time] = await failure('sim://a:1000');
    expect(message).toContain('cannot connect to sim://a:1000');
    expect(message).not.toContain('REFUSED');
    expect(time).toBe(3_000);
  });
});

test('a partition keeps streams open, and they continue after it', async () => {
  await simulate({}, async (sim) => {
    const { echo, a } = await startEcho(sim);
    sim.network.partition(['client'], [a]);
    echo.send('hello');
    await sim.clock.sleep('30s');
    expect(echo.events).toEqual([]);
    sim.network.heal();
    await sim.clock.sleep('1m');
    expect(echo.events).toEqual([expect.stringMatching(/ hello$/)]);
  });
});

test('a stream fails after 15 minutes without an acknowledgement', async () => {
  await simulate({ limit: '2h' }, async (sim) => {
    const { echo, a } = await startEcho(sim);
    sim.network.partition([a], ['client'], { oneWay: true });
    echo.send('hello');
    await sim.clock.sleep('1h');
    expect(echo.events).toHaveLength(2);
    expect(echo.events[0]).toContain('CONNECTION_LOST');
    expect(echo.events[0]).toContain('ETIMEDOUT');
    const minutes = Number.parseInt(echo.events[0] as string, 10) / 60_000;
    expect(minutes).toBeGreaterThan(10);
    expect(minutes).toBeLessThan(20);
  });
});

test('a one-way partition loses the packets of one direction only', async () => {
  await simulate({}, async (sim) => {
    const received: string[] = [];
    const a = sim.host('a', () =>
      serve('sim://a:1000', {
        codec: lines(),
        listener: {
          onMessage(session, line) {
            received.push(line);
            session.write(line);
          },
        },
      }),
    );
    await a.ready();
    const answers: string[] = [];
    const client = await connect('sim://a:1000', {
      codec: lines(),
      listener: { onMessage: (_, line) => void answers.push(line) },
    });
    const session = await client.session();
    sim.network.partition([a], ['client'], { oneWay: true });
    for (const line of ['1', '2', '3']) {
      session.write(line);
      await sim.clock.sleep('1s');
    }
    expect(received).toEqual(['1', '2', '3']);
    expect(answers).toEqual([]);
    sim.network.heal();
    await sim.clock.sleep('1m');
    expect(answers).toEqual(['1', '2', '3']);
  });
});

test('a partition that ends alone leaves the other ones, also of the same hosts', async () => {
  const lines: string[] = [];
  await simulate({ onTrace: (line) => void lines.push(line) }, async (sim) => {
    const { echo, a } = await startEcho(sim);
    const endFirst = sim.network.partition(['client'], [a]);
    const endSecond = sim.network.partition(['client'], [a], { oneWay: true });
    echo.send('hello');
    endFirst();
    await sim.clock.sleep('30s');
    expect(echo.events).toEqual([]);
    endSecond();
    await sim.clock.sleep('1m');
    expect(echo.events).toEqual([expect.stringMatching(/ hello$/)]);

    const endThird = sim.network.partition([a], ['client']);
    sim.network.heal();
    sim.network.partition([a], ['client']);
    endThird();
    echo.send('again');
    await sim.clock.sleep('30s');
    expect(echo.events).toHaveLength(1);
  });
  expect(lines.filter((line) => / network heal/.test(line)).map((line) => line.slice(13))).toEqual([
    'network heal client <-> a',
    'network heal client -> a',
    'network heal',
  ]);
});

test('a peer that crashed is noticed by the reset of its next process only', async () => {
  await simulate({}, async (sim) => {
    const { echo, a } = await startEcho(sim);
    a.crash();
    await sim.clock.sleep('1m');
    expect(echo.events).toEqual([]);
    a.restart();
    await sim.clock.sleep('1s');
    const { now } = sim.clock;
    echo.send('hello');
    await sim.clock.sleep('1s');
    expect(echo.events).toEqual([
      `${now + 2} CONNECTION_LOST: the connection to sim://a:1000 was lost: read ECONNRESET`,
      `${now + 2} closed`,
    ]);
  });
});

test('halfOpen() loses what open streams send, and new streams work', async () => {
  await simulate({}, async (sim) => {
    const { echo, a } = await startEcho(sim);
    sim.network.halfOpen('client', a);
    echo.send('hello');
    await sim.clock.sleep('1m');
    expect(echo.events).toEqual([]);
    const answers: string[] = [];
    const client = await connect('sim://a:1000', {
      codec: lines(),
      listener: { onMessage: (_, line) => void answers.push(line) },
    });
    (await client.session()).write('again');
    await sim.clock.sleep('1s');
    expect(answers).toEqual(['again']);
  });
});

test('a second server at a port, and a server of another host, cannot listen', async () => {
  await simulate({}, async ({ host }) => {
    const setup = { codec: raw(), listener: { onMessage() {} } };
    const a = host('a', () => serve('sim://a:1000', setup));
    await a.ready();
    for (const [address, reason] of [
      ['sim://a:1000', 'EADDRINUSE'],
      ['sim://client:1000', 'EADDRNOTAVAIL'],
      ['simudp://client:1000', 'EADDRNOTAVAIL'],
    ] as const) {
      await expect(a.run(() => serve(address, setup))).rejects.toMatchObject({
        code: 'LISTEN_FAILED',
        message: expect.stringContaining(reason),
      });
    }
    const server = await a.run(() => serve('sim://a:0', setup));
    expect(server.address).toMatch(/^sim:\/\/a:\d+$/);
  });
});

test('the addresses are refused outside of a simulation', async () => {
  const setup = { codec: raw(), listener: { onMessage() {} } };
  const text = 'can be used by code in a scenario or host of simulate() only';
  for (const address of ['sim://a:1000', 'simudp://a:1000']) {
    await expect(serve(address, setup)).rejects.toThrow(text);
    await expect(connect(address, setup)).rejects.toThrow(text);
  }
});

test('datagrams are lost, duplicated and reordered', async () => {
  await simulate({ seed: 2 }, async (sim) => {
    const { echo, a } = await startEcho(sim, { scheme: 'simudp' });
    sim.network.oneWay('client', a, { loss: 0.2, duplicate: 0.2, reorder: 0.2 });
    const sent = Array.from({ length: 500 }, (_, i) => `${i}`);
    for (const line of sent) {
      echo.send(line);
      await sim.clock.sleep(2);
    }
    await sim.clock.sleep('1s');
    const arrived = echo.events.map((event) => Number(event.split(' ')[1]));
    const different = new Set(arrived);
    expect(different.size).toBeGreaterThan(350);
    expect(different.size).toBeLessThan(450);
    expect(arrived.length - different.size).toBeGreaterThan(40);
    expect(arrived).not.toEqual([...arrived].sort((x, y) => x - y));
  });
});

test('datagrams without faults stay in order', async () => {
  await simulate({}, async (sim) => {
    const { echo } = await startEcho(sim, { scheme: 'simudp', link: { latency: [1, 50] } });
    const sent = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const line of sent) {
      echo.send(line);
      await sim.clock.sleep(1);
    }
    await sim.clock.sleep('1s');
    expect(echo.events.map((event) => event.split(' ')[1])).toEqual(sent);
  });
});

test('a datagram to a port without a socket ends the session', async () => {
  await simulate({}, async (sim) => {
    const { echo, a } = await startEcho(sim, { scheme: 'simudp' });
    a.crash();
    echo.send('lost');
    await sim.clock.sleep('1s');
    expect(echo.events).toEqual([]);
    a.restart();
    await a.ready().then((server) => server.close());
    echo.send('unreachable');
    await sim.clock.sleep('1s');
    expect(echo.events[0]).toContain('CONNECTION_LOST');
    expect(echo.events[0]).toContain('ECONNREFUSED');
  });
});
