/** How a simulation ends: `duration`, `limit` and `signal`; and what its error has. */
import { expect, test } from 'vitest';
import { connect, contract, serve, unary } from '../../../src/rpc/index.js';
import {
  SimulationError,
  type SimulationOptions,
  simulate,
} from '../../../src/testing/simulation/index.js';
import type { Scenario } from '../../../src/testing/simulation/run.js';
import { gate, within } from '../../fixtures/waiting.js';

/** What no server has. */
const Absent = contract('Absent', { call: unary<void, void>() });

async function failureOf(
  options: SimulationOptions,
  scenario: Scenario<unknown>,
): Promise<SimulationError> {
  const error: unknown = await simulate(options, scenario).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(SimulationError);
  return error as SimulationError;
}

/** Heartbeats go on, so an event is always scheduled. */
const hang: Scenario<void> = async ({ host }) => {
  await host('a', () => serve('sim://a:1000', [])).ready();
  await connect('sim://a:1000');
  await new Promise(() => {});
};

test('a limit does not make the hosts run on', async () => {
  const { duration } = await simulate({ limit: '10m' }, ({ clock }) => clock.sleep('1m'));
  expect(duration).toBe(60_000);
});

test('a scenario that is not done at the limit fails', async () => {
  const error = await failureOf({ seed: 3, limit: '10m' }, hang);
  expect(error).toMatchObject({ code: 'SIMULATION_TIMEOUT', seed: 3, name: 'SimulationError' });
  expect(error.message).toContain('not done after 600000 virtual ms (the limit)\nhosts:\n');
});

test('with a duration the limit is for the scenario alone', async () => {
  const options = { duration: '10m', limit: '5m' };
  const { duration } = await simulate(options, ({ clock }) => clock.sleep('1m'));
  expect(duration).toBe(600_000);
  const error = await failureOf(options, ({ clock }) => clock.sleep('6m'));
  expect(error.code).toBe('SIMULATION_TIMEOUT');
  await expect(simulate({ duration: '5m', limit: '6m' }, () => {})).rejects.toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining('at most the duration'),
  });
});

test('without a duration and a limit a scenario that hangs fails within seconds', async () => {
  const error = await failureOf({}, hang);
  expect(error.message).toContain('not done after 3600000 virtual ms (the default limit)');
});

test('a stall is found with a limit and a duration', async () => {
  const error = await failureOf({ duration: '2m', limit: '1m' }, () => new Promise(() => {}));
  expect(error.code).toBe('SIMULATION_STALLED');
});

test('a signal that aborts ends the simulation with its report, and the next one begins', async () => {
  const controller = new AbortController();
  const reason = new Error('the test has timed out');
  const { signal } = controller;
  const begun = gate();
  const run = failureOf({ seed: 8, limit: '1000d', signal }, (simulation) => {
    simulation.clock.at('1m', () => begun.open());
    return hang(simulation);
  });
  await within(begun.promise, 'a minute of the scenario');
  await expect(simulate({}, () => {})).rejects.toMatchObject({
    code: 'SIMULATION_ACTIVE',
    message: expect.stringMatching(
      /with the seed 8, started at failureOf .*ends\.test\.ts:\d+:\d+\)?; await it/,
    ),
  });
  controller.abort(reason);
  expect((await simulate({ seed: 9 }, () => 'value')).value).toBe('value');
  const error = await run;
  expect(error).toMatchObject({ code: 'SIMULATION_ABORTED', seed: 8, cause: reason });
  expect(error.message).toContain('the signal has aborted at ');
  expect(error.message).toContain('hosts:\n  client: running');
});

test('a signal ends a simulation that waits for real work, or that has not begun', async () => {
  const signal = AbortSignal.timeout(50);
  const scenario = () => new Promise(() => {});
  expect((await failureOf({ signal }, scenario)).code).toBe('SIMULATION_ABORTED');
  expect((await failureOf({ signal }, scenario)).code).toBe('SIMULATION_ABORTED');
});

test.each([null, {}, 5])('the signal %j is refused', async (signal) => {
  await expect(simulate({ signal: signal as never }, () => {})).rejects.toMatchObject({
    code: 'BAD_OPTION',
  });
});

test('the error has the last 40 events without heartbeats, and before them the last 20 of hosts and of the program', async () => {
  const lines: string[] = [];
  const error = await failureOf(
    { seed: 4, onTrace: (line) => lines.push(line) },
    async ({ host, clock, trace }) => {
      const start = () => serve('sim://a:1000', []);
      const a = host('a', start);
      await a.ready();
      for (let i = 1; i <= 25; i++) trace(`step ${i}`);
      a.restart();
      await a.ready();
      const client = await connect('sim://a:1000', { heartbeatPeriod: 1_000 });
      for (let i = 0; i < 30; i++) {
        await client
          .stub(Absent)
          .call(undefined)
          .catch(() => {});
        await clock.sleep('5s');
      }
      throw new Error('wrong');
    },
  );
  expect(lines.length).toBeGreaterThan(100);
  const others = lines.filter((line) => !/\(heartbeat (answer )?[0-9a-f]{8}\)$/.test(line));
  expect(others.length).toBeLessThan(lines.length / 2);
  expect(error.events.slice(-40)).toEqual(others.slice(-40));
  expect(error.events.slice(0, -40).map((line) => line.slice('00:00:00.000 '.length))).toEqual([
    'client start',
    'a start',
    ...Array.from({ length: 20 }, (_, i) => `client step ${i + 6}`),
    'a crash',
    'a restart',
  ]);
  expect(error.message).toContain(' a restart\n  …\n  ');
});
