/** simulate(): its result, its failures, and what it leaves behind. */
import { spawn } from 'node:child_process';
import net from 'node:net';
import { expect, test } from 'vitest';
import { GettyError } from '../../../src/core/errors.js';
import { type Simulation, simulate } from '../../../src/testing/simulation/index.js';
import { lines, serve } from '../../../src/transport/index.js';

const failureOf = async (run: Promise<unknown>): Promise<GettyError> => {
  const error: unknown = await run.then(
    () => new Error('the simulation succeeded'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GettyError);
  return error as GettyError;
};

const GLOBALS = ['setTimeout', 'clearTimeout', 'setInterval', 'setImmediate', 'Date'] as const;
const snapshot = (): unknown[] => [
  ...GLOBALS.map((name) => globalThis[name]),
  Math.random,
  performance.now,
  process.hrtime,
  AbortSignal.timeout,
  crypto.randomUUID,
];

test('resolves with the value of the scenario, the virtual time and the trace', async () => {
  const lines: string[] = [];
  const result = await simulate(
    { seed: 5, limit: '2h', onTrace: (line) => lines.push(line) },
    async (sim) => {
      await sim.clock.sleep('1h30m');
      sim.trace('done');
      return 'value';
    },
  );
  expect(result).toMatchObject({ value: 'value', seed: 5, duration: 5_400_000, traceLines: 2 });
  expect(result.traceHash).toMatch(/^[0-9a-f]{64}$/);
  expect(lines).toEqual(['00:00:00.000 client start', '01:30:00.000 client done']);
});

test('lasts for its duration after the scenario is done', async () => {
  const times: number[] = [];
  const result = await simulate({ duration: '10m' }, ({ clock }) => {
    clock.at('5m', () => times.push(clock.now));
    clock.at('11m', () => times.push(clock.now));
  });
  expect(times).toEqual([300_000]);
  expect(result.duration).toBe(600_000);
});

test('gives the code of a scenario virtual timers, dates, clocks and random numbers', async () => {
  const read = async (): Promise<unknown[]> => {
    const { value } = await simulate({ seed: 9 }, async () => {
      const timers = await import('node:timers/promises');
      const before = [Date.now(), performance.now(), process.hrtime()[0]];
      await timers.setTimeout(60_000);
      const signal = AbortSignal.timeout(1_000);
      const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
      await aborted;
      return [
        ...before,
        new Date().toISOString(),
        performance.now(),
        performance.timeOrigin,
        process.hrtime()[0],
        process.hrtime.bigint(),
        (signal.reason as Error).name,
        Math.random(),
        crypto.randomUUID(),
      ];
    });
    return value;
  };
  const first = await read();
  expect(first.slice(0, 9)).toEqual([
    1_704_067_200_000,
    0,
    0,
    '2024-01-01T00:01:01.000Z',
    61_000,
    1_704_067_200_000,
    61,
    61_000_000_000n,
    'TimeoutError',
  ]);
  expect(await read()).toEqual(first);
});

test('other code of the process keeps real time while a simulation runs', async () => {
  const before = Date.now();
  let rounds = 0;
  let isOver = false;
  const outside = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      rounds++;
      expect(Date.now() - before).toBeLessThan(600_000);
    }
  })();
  await simulate({ limit: '1d' }, async ({ clock }) => {
    for (let hour = 0; hour < 2_000; hour++) await clock.sleep('40s');
  });
  isOver = true;
  await outside;
  expect(rounds).toBeGreaterThan(0);
});

test('a failure has the seed, the last events and the cause', async () => {
  const cause = new Error('wrong');
  const error = await failureOf(
    simulate({ seed: 42 }, async ({ clock, trace }) => {
      trace('something happened');
      await clock.sleep(1_500);
      throw cause;
    }),
  );
  expect(error).toMatchObject({ code: 'SIMULATION_FAILED', cause });
  expect(error.message).toContain('the scenario failed: wrong\nseed: 42\n');
  expect(error.message).toContain('00:00:00.000 client something happened');
});

test.each<[string, string, (sim: Simulation) => unknown]>([
  [
    'the action at 1m failed',
    'SIMULATION_FAILED',
    ({ clock }) => {
      clock.at('1m', () => Promise.reject(new Error('wrong')));
      return clock.sleep('2m');
    },
  ],
  [
    'the start of host a failed',
    'SIMULATION_FAILED',
    ({ host, clock }) => {
      host('a', () => Promise.reject(new Error('wrong')));
      return clock.sleep('2m');
    },
  ],
  [
    'a rejected a promise that nothing handled',
    'SIMULATION_FAILED',
    ({ host, clock }) => {
      host('a', () => {
        setTimeout(async () => {
          throw new Error('wrong');
        }, 10);
      });
      return clock.sleep('2m');
    },
  ],
  [
    'a threw an exception that nothing caught',
    'SIMULATION_FAILED',
    ({ host, clock }) => {
      host('a', () => {
        setTimeout(() => {
          throw new Error('wrong');
        }, 10);
      });
      return clock.sleep('2m');
    },
  ],
  ['no timer, packet or action is scheduled', 'SIMULATION_STALLED', () => new Promise(() => {})],
  ['not done after 3600000 virtual ms', 'SIMULATION_TIMEOUT', ({ clock }) => clock.sleep('2h')],
])('"%s" fails with %s, and the globals are restored', async (text, code, scenario) => {
  const before = snapshot();
  const error = await failureOf(simulate({}, scenario));
  expect(error.code).toBe(code);
  expect(error.message).toContain(text);
  expect(snapshot()).toEqual(before);
});

test('a socket of the system fails the simulation', async () => {
  const setup = { codec: lines(), listener: { onMessage() {} } };
  const error = await failureOf(
    simulate({}, async ({ host, clock }) => {
      host('a', async () => {
        await using _ = await serve('tcp://127.0.0.1:0', setup);
      });
      await clock.sleep('1m');
    }),
  );
  expect(error.message).toMatch(
    /^a uses a socket, thread or process of the system \(tcp:\/\/127\.0\.0\.1:0\) at .*simulate\.test\.ts/,
  );
  expect(error.message).toContain('with sim://host:port or simudp://host:port');
});

test('a resource of the system is named with the line of the program', async () => {
  for (const [type, hint, use] of [
    [
      'TCP server, such as of node:net or node:http',
      'sim://host:port',
      () => net.createServer().listen(0),
    ],
    ['child process', 'run the code on a host of its own', () => spawn('true')],
  ] as const) {
    const error = await failureOf(
      simulate({}, async ({ clock }) => {
        use();
        await clock.sleep('1m');
      }),
    );
    expect(error.message).toMatch(
      new RegExp(`^client uses .* \\(${type}\\) at .*simulate\\.test\\.ts.*: a simulation has `),
    );
    expect(error.message).toContain(hint);
    expect((error.cause as Error).stack).toMatch(
      /^Error: a simulation has .*\n +at .*simulate\.test/,
    );
  }
});

test('fail() ends the simulation where a throw would be caught', async () => {
  const cause = new Error('two jobs at once');
  const error = await failureOf(
    simulate({ seed: 6 }, async ({ host, clock, fail, trace }) => {
      host('a', async () => {
        await clock.sleep('1m');
        trace('before');
        await Promise.resolve()
          .then(() => fail(cause))
          .catch(() => {});
        fail(new Error('a later failure'));
        await clock.sleep('1m');
        trace('never');
      });
      await clock.sleep('1h');
    }),
  );
  expect(error).toMatchObject({ code: 'SIMULATION_FAILED', cause, seed: 6 });
  expect(error.message).toMatch(/^a called fail\(\): two jobs at once\nseed: 6\n/);
  expect(error.message).toMatch(/a before$/);
});

test('fail() of a host that has crashed has no effect', async () => {
  const { value } = await simulate({}, async ({ host, clock, fail }) => {
    const a = host('a');
    const outcome = a.run(() => {
      a.crash();
      fail(new Error('wrong'));
    });
    await expect(outcome).rejects.toMatchObject({ code: 'HOST_DOWN' });
    await clock.sleep('1s');
    return 'value';
  });
  expect(value).toBe('value');
});

test('a failure of onTrace fails the simulation', async () => {
  for (const onTrace of [
    () => {
      throw new Error('wrong');
    },
    () => Promise.reject(new Error('wrong')),
  ]) {
    const error = await failureOf(simulate({ onTrace }, ({ clock }) => clock.sleep('1m')));
    expect(error.message).toContain('onTrace failed: wrong');
  }
});

test('a second simulation is refused while one runs, also within it', async () => {
  const { value } = await simulate({}, async () => failureOf(simulate({}, () => {})));
  expect(value.code).toBe('SIMULATION_ACTIVE');
  const first = simulate({}, ({ clock }) => clock.sleep('1m'));
  expect((await failureOf(simulate({}, () => {}))).code).toBe('SIMULATION_ACTIVE');
  await first;
  await simulate({}, () => {});
});

test.each<[string, unknown, unknown]>([
  ['seed', { seed: 1.5 }, () => {}],
  ['duration', { duration: '5 minutes' }, () => {}],
  ['duration', { duration: -1 }, () => {}],
  ['startDate', { startDate: -1 }, () => {}],
  ['loss', { link: { loss: 1 } }, () => {}],
  ['latency', { link: { latency: [5, 1] } }, () => {}],
  ['delay is not an option of link', { link: { delay: 1 } }, () => {}],
  ['onTrace', { onTrace: 1 }, () => {}],
  ['seeds is not an option of simulate()', { seeds: 1 }, () => {}],
  ['options', undefined, () => {}],
  ['scenario', {}, undefined],
])('rejects an invalid %s', async (name, options, scenario) => {
  const error = await failureOf(simulate(options as never, scenario as never));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toContain(name);
});

test('rejects invalid hosts, times and actions', async () => {
  await simulate({}, async ({ host, network, clock, random }) => {
    const a = host('a');
    await clock.sleep('1s');
    const wrong: (() => unknown)[] = [
      () => host('a'),
      () => host('client'),
      () => host('a b'),
      () => host('b', 1 as never),
      () => clock.at('0.5s', () => {}),
      () => clock.at('2s', 1 as never),
      () => network.between(a, 'x', {}),
      () => network.between(a, a, {}),
      () => network.partition([a], 'client' as never),
      () => a.jumpClock('1h', 'up' as never),
      () => random.integer(2, 1),
      () => random.pick([]),
      () => random.chance(2),
    ];
    for (const action of wrong)
      expect(action).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});

test('a loop of immediates does not stop the time', async () => {
  await simulate({}, async () => {
    const end = performance.now() + 5;
    while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
  });
});
