/** kill(): the process of a host dies, and its system closes the connections. */
import { expect, test } from 'vitest';
import { type Simulation, simulate } from '../../../src/testing/simulation/index.js';
import { connect, lines, type Server, type Session, serve } from '../../../src/transport/index.js';

/** A server on host `a` that echoes lines, and a client of it on the host of the scenario. */
async function startEcho({ host, clock }: Simulation, isReading = true) {
  const a = host(
    'a',
    (): Promise<Server<string>> =>
      serve('sim://a:1000', {
        codec: lines(),
        listener: {
          onOpen: (session) => void (isReading || session.pause()),
          onMessage: (session, line) => void session.write(line),
        },
      }),
  );
  await a.ready();
  const events: string[] = [];
  const note = (text: string): void => void events.push(`${clock.now} ${text}`);
  const client = await connect(
    'sim://a:1000',
    {
      codec: lines(),
      listener: {
        onMessage: (_, line) => note(line),
        onError: (_, error) => note(`${(error as { code?: string }).code}: ${error.message}`),
        onClose: () => note('closed'),
      },
    },
    { reconnect: false },
  );
  const session: Session<string> = await client.session();
  return { a, events, session };
}

test('peers of a killed process receive what it has sent, and the end of the stream', async () => {
  await simulate({}, async (sim) => {
    const { a, events, session } = await startEcho(sim);
    const { now } = sim.clock;
    session.write('hello');
    await sim.clock.sleep(1);
    await a.run(() => {});
    a.kill();
    expect(a.state).toBe('crashed');
    await sim.clock.sleep('1m');
    expect(events).toEqual([`${now + 2} hello`, `${now + 2} closed`]);
    await expect(a.run(() => {})).rejects.toMatchObject({ code: 'HOST_DOWN' });
  });
});

test('peers of a process that is killed with unread bytes receive a reset', async () => {
  await simulate({}, async (sim) => {
    const { a, events, session } = await startEcho(sim, false);
    session.write('hello');
    await sim.clock.sleep(10);
    const { now } = sim.clock;
    a.kill();
    await sim.clock.sleep('1m');
    expect(events).toEqual([
      `${now + 1} CONNECTION_LOST: the connection to sim://a:1000 was lost: read ECONNRESET`,
      `${now + 1} closed`,
    ]);
  });
});

test('a host whose process was killed refuses connections until restart()', async () => {
  await simulate({}, async (sim) => {
    const { a } = await startEcho(sim);
    a.kill();
    const setup = { codec: lines(), listener: { onMessage() {} } };
    const { now } = sim.clock;
    await expect(connect('sim://a:1000', setup)).rejects.toThrow('ECONNREFUSED');
    expect(sim.clock.now).toBe(now + 2);
    a.restart();
    await a.ready();
    const client = await connect('sim://a:1000', setup);
    client.destroy();
  });
});

test('what the code of a killed process does has no effect', async () => {
  await simulate({}, async (sim) => {
    const log: string[] = [];
    const b = sim.host('b', () => {
      setTimeout(() => log.push('timer'), 100);
    });
    await b.ready();
    b.kill();
    b.kill();
    b.crash();
    await sim.clock.sleep('1s');
    expect(log).toEqual([]);
    await expect(
      connect(
        'sim://b:1',
        {
          codec: lines(),
          listener: { onMessage() {} },
        },
        { connectTimeout: 500 },
      ),
    ).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
    expect(sim.clock.now).toBe(1_500);
  });
});
