/** What the message says when a scenario is not done. */
import { expect, test } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { type SimulationOptions, simulate } from '../../../src/testing/simulation/index.js';

const Greeter = contract('Greeter', { hello: unary<string, string>() });
/** Answers no call. */
const silent = implement(Greeter, { hello: () => new Promise<string>(() => {}) });

/**
 * The message up to the events. Ports and sessions are X, requests Y, and places in this file
 * `line 7`.
 */
async function reportOf(
  options: SimulationOptions,
  scenario: Parameters<typeof simulate>[1],
): Promise<string[]> {
  const error = await simulate(options, scenario).then(
    () => new Error('the scenario succeeded'),
    (reason: Error) => reason,
  );
  return (error.message.split('\nlast events:')[0] as string)
    .replace(/:\d{5}\b|session \d+/g, (text) => text.replace(/\d+/, 'X'))
    .replace(/request [0-9a-f]{8}\b/g, 'request Y')
    .replace(/\(?(?:file:\/\/)?\/\S*\/stall\.test\.ts:(\d+):\d+\)?/g, 'line $1')
    .split('\n');
}

test('a stall is explained by the hosts, and what waits on a paused one', async () => {
  const report = await reportOf({}, async ({ host }) => {
    const a = host('a');
    host('b').crash();
    a.pause();
    await a.run(() => {});
  });
  expect(report).toEqual([
    'the scenario waits, and no timer, packet or action is scheduled',
    'hosts:',
    '  client: running',
    '  a: paused, 1 event until resume()',
    '  b: crashed',
    'to see each await and where each timer was created: simulate({ stacks: true, … })',
    'seed: 1',
  ]);
});

test('a scenario that is too late is explained by calls, sessions and timers', async () => {
  const report = await reportOf({ duration: 30 }, async ({ host }) => {
    await host('a', () => serve('sim://a:1000', [silent])).ready();
    const client = await connect('sim://a:1000', { connections: 1, heartbeatPeriod: 0 });
    await client.stub(Greeter).hello('Ann', { timeout: 60_000 });
  });
  expect(report.slice(0, -2)).toEqual([
    'the scenario is not done after 30 virtual ms (the duration)',
    'hosts:',
    '  client: running, 2 timers, the next at 00:00:00.032',
    '    call Greeter.hello to sim://a:1000, request Y since 00:00:00.002',
    '    session X of a client, from sim://client:X to sim://a:1000',
    '    client of sim://a:1000',
    '  a: running, 1 timer, the next at 00:00:00.235',
    '    handler Greeter.hello for sim://client:X, request Y since 00:00:00.003',
    '    session X of a server, from sim://a:1000 to sim://client:X',
    '    server at sim://a:1000',
  ]);
});

test('a call, its handler and its packet have the same digits', async () => {
  const run = simulate({ duration: 30 }, async ({ host }) => {
    await host('a', () => serve('sim://a:1000', [silent])).ready();
    const client = await connect('sim://a:1000', { heartbeatPeriod: 0 });
    await client.stub(Greeter).hello('Ann');
  });
  const { message } = await run.then(
    () => new Error('the scenario succeeded'),
    (error: Error) => error,
  );
  const [digits] = /\b[0-9a-f]{8}(?= Greeter\.hello\))/.exec(message) as unknown as [string];
  expect(message).toMatch(new RegExp(`call Greeter\\.hello to sim://a:1000, request ${digits}\\b`));
  expect(message).toMatch(new RegExp(`handler Greeter\\.hello .*, request ${digits}\\b`));
});

test('stacks: the message has each await and the code that created each timer', async () => {
  const start = Number(/stall\.test\.ts:(\d+)/.exec(new Error().stack as string)?.[1]);
  const report = await reportOf({ stacks: true, duration: '2s' }, async ({ host, clock }) => {
    const never = new Promise(() => {});
    const waitForNothing = async () => {
      await clock.sleep('1s');
      await never;
    };
    host('a', async () => {
      setInterval(function tick() {}, 60_000);
      await waitForNothing();
    });
    await Promise.resolve();
    await Promise.all([clock.sleep('10s'), waitForNothing()]);
  });
  const at = (offset: number): string => `line ${start + offset}`;
  expect(report.slice(2, -1)).toEqual([
    '  client: running, 1 timer, the next at 00:00:10.000',
    // The start of the host.
    `    await since 00:00:00.000 at ${at(7)}`,
    `    await since 00:00:00.000 at ${at(12)}`,
    `    await since 00:00:01.000 at waitForNothing ${at(5)}`,
    `    timer for 00:00:10.000 at ${at(12)}`,
    '  a: running, 1 timer, the next at 00:01:00.000',
    `    await since 00:00:00.000 at ${at(9)}`,
    `    await since 00:00:01.000 at waitForNothing ${at(5)}`,
    `    timer for 00:01:00.000 at ${at(8)}`,
  ]);
});

test('a report has a limited number of lines', async () => {
  const report = await reportOf({ duration: 1 }, ({ host, clock }) => {
    for (let i = 0; i < 25; i++) host(`host-${i}`);
    return clock.sleep('1m');
  });
  expect(report).toContain('  and 6 more');
  expect(report.length).toBe(25);
});

test('stacks do not change the trace', async () => {
  const scenario: Parameters<typeof simulate>[1] = async ({ host, clock }) => {
    await host('a', () => serve('sim://a:1000', [silent])).ready();
    const client = await connect('sim://a:1000');
    for (let i = 0; i < 20; i++)
      await client
        .stub(Greeter)
        .hello('Ann', { timeout: 1_000 })
        .catch(() => clock.sleep('1s'));
  };
  const { traceHash } = await simulate({}, scenario);
  expect(await simulate({ stacks: true }, scenario)).toMatchObject({ traceHash });
});
