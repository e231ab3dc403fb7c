/** A simulation of a program that has fake timers too. */
import { afterEach, expect, test, vi } from 'vitest';
import { simulate } from '../../../src/testing/simulation/index.js';

const { setImmediate: captured } = globalThis;

afterEach(() => {
  vi.useRealTimers();
  vi.resetModules();
});

test('fake timers that are installed when the package is loaded are an error', async () => {
  vi.useFakeTimers({ toFake: ['setImmediate', 'setTimeout'] });
  vi.resetModules();
  const loaded = await import('../../../src/testing/simulation/index.js');
  await expect(loaded.simulate({}, () => {})).rejects.toMatchObject({
    code: 'SIMULATION_FAILED',
    message: expect.stringContaining('import getty-ts/testing before you install fake timers'),
  });
});

test('fake timers that are installed later do not disturb a simulation', async () => {
  vi.useFakeTimers();
  const { duration } = await simulate({}, ({ clock }) => clock.sleep('1m'));
  expect(duration).toBe(60_000);
});

test('fake timers that a scenario installs are named when it hangs', async () => {
  const run = simulate({ limit: '1m' }, async ({ clock }) => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    await clock.sleep(10);
  });
  await expect(run).rejects.toMatchObject({
    code: expect.stringMatching(/^SIMULATION_(STALLED|TIMEOUT)$/),
    message: expect.stringContaining('\nsetTimeout: replaced during the simulation'),
  });
});

test('a setImmediate() that was taken before runs, although it is not virtual', async () => {
  const { duration } = await simulate({}, () => new Promise((resolve) => captured(resolve)));
  expect(duration).toBe(0);
});
