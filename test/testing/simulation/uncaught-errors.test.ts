/** Errors that nothing catches, of the hosts of a simulation and of other code. */
import { createReadStream, readFile } from 'node:fs';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { type SimulationError, simulate } from '../../../src/testing/simulation/index.js';
import { runProgram } from '../../fixtures/programs.js';
import { gate } from '../../fixtures/waiting.js';

const boom = (): never => {
  throw new Error('boom');
};

const SOURCES: [string, () => void][] = [
  ['queueMicrotask()', () => queueMicrotask(boom)],
  ['process.nextTick()', () => process.nextTick(boom)],
  ['setTimeout()', () => void setTimeout(boom, 5)],
  ['setImmediate()', () => void setImmediate(boom)],
  ["an 'error' event of a stream", () => void new PassThrough().destroy(new Error('boom'))],
  ['the callback of a file', () => readFile('/', boom)],
];

test.each(SOURCES)('an exception in %s fails the simulation of its host', async (_, start) => {
  for (const delay of [0, 2_000]) {
    const listeners = process.listeners('uncaughtException');
    const run = simulate({ seed: 5 }, async ({ host, clock }) => {
      const real = gate<void>();
      host('a', () => void setTimeout(start, delay));
      await clock.sleep('10s');
      // The callback of a file comes at a real time.
      await real.promise;
    });
    await expect(run).rejects.toMatchObject({
      code: 'SIMULATION_FAILED',
      seed: 5,
      cause: { message: 'boom' },
      message: expect.stringContaining('a threw an exception that nothing caught: boom\nseed: 5\n'),
    });
    expect(process.listeners('uncaughtException')).toEqual(listeners);
  }
});

test('the error of a file that cannot be opened fails the simulation', async () => {
  const error = await simulate({}, async ({ host }) => {
    host('a', () => void createReadStream('/nowhere'));
    await new Promise(() => {});
  }).catch((reason: SimulationError) => reason);
  expect(error).toMatchObject({ code: 'SIMULATION_FAILED', cause: { code: 'ENOENT' } });
});

test('an exception of a host that has crashed has no effect', async () => {
  await simulate({}, async ({ host, clock }) => {
    const a = host('a', () => {
      setTimeout(() => {
        queueMicrotask(boom);
        process.nextTick(boom);
        a.crash();
        boom();
      }, 1_000);
    });
    await clock.sleep('2s');
    expect(a.state).toBe('crashed');
  });
});

test('an exception of other code reaches the listeners of the program', async () => {
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const found: string[] = [];
  process.on('uncaughtException', ({ message }, origin) => found.push(`${message} ${origin}`));
  try {
    const outside = gate<void>();
    const begun = gate<void>();
    void begun.promise.then(() => {
      queueMicrotask(boom);
      process.nextTick(boom);
      setTimeout(boom, 1);
      // After the other timer, also if a millisecond ends between the two calls.
      setTimeout(() => setImmediate(outside.open), 1);
    });
    const { value } = await simulate({ limit: '1000d' }, async ({ clock, host }) => {
      host('a', () => void setInterval(() => process.nextTick(() => {}), 1_000));
      begun.open();
      let isOver = false;
      void outside.promise.then(() => {
        isOver = true;
      });
      while (!isOver) await clock.sleep('1s');
      return 'value';
    });
    expect(value).toBe('value');
    expect(found).toEqual(Array(3).fill('boom uncaughtException'));
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
});

test.each([
  ['an exception', 'throw new Error("boom")'],
  ['a rejection', 'Promise.reject(new Error("boom"))'],
])('without listeners %s of other code ends the process as before', async (_, statement) => {
  const program = `
    import { simulate } from 'getty-ts/testing';
    setTimeout(() => { ${statement}; }, 20);
    await simulate({ limit: '100000d' }, async ({ clock }) => { for (;;) await clock.sleep('1s'); });
  `;
  await using run = runProgram('--input-type=module', '--eval', program);
  expect(await run.line(/^Error: (.*)/)).toBe('boom');
  expect(await run.ended).toBe(1);
});
