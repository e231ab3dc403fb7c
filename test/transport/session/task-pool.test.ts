/** taskPool() without a session. */
import { expect, it } from 'vitest';
import { connect, lines, taskPool } from '../../../src/transport/index.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { gate, turns, within } from '../../fixtures/waiting.js';

it('runs at most concurrency tasks at once, starts them in order, and returns their results', async () => {
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

it('starts a task at once, and rejects with what it throws', async () => {
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

it('rejects with POOL_FULL when the queue is full, and settles room() when it is not', async () => {
  const pool = taskPool({ concurrency: 2, queue: 1 });
  const gates = [gate(), gate(), gate()];
  await pool.room();
  const tasks = gates.map((each) => pool.run(() => each.promise));
  expect(pool.full).toBe(true);
  expect(await rejection(pool.run(() => 'never'))).toMatchObject({
    code: 'POOL_FULL',
    message: 'the pool is full; tasks running: 2, waiting: 1',
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

it('settles room() in the order of the calls, one call per free place', async () => {
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

it('settles the next room() when a caller does not use its place', async () => {
  const pool = taskPool({ concurrency: 1, queue: 0 });
  const first = gate();
  void pool.run(() => first.promise);
  const idle = pool.room();
  const next = pool.room().then(() => pool.run(() => 'second'));
  first.open();
  await idle;
  expect(await within(next, 'the task of the second caller')).toBe('second');
});

it.each([
  [{ concurrency: 0 }, 'concurrency: got 0'],
  [{ concurrency: 'many' }, 'concurrency: got "many"'],
  [{ queue: -1 }, 'queue: got -1'],
  [7, 'options of taskPool(): got 7'],
])('rejects the options %o with BAD_OPTION', (given, text) => {
  expect(thrown(() => taskPool(given as never))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(text),
  });
});

it.each([{}, { run() {} }, { room() {} }, 7, null])(
  'rejects %o as the taskPool of a setup with BAD_OPTION',
  async (given) => {
    const setup = { codec: lines(), listener: { onMessage() {} }, taskPool: given as never };
    expect(await rejection(connect('memory://unused', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('taskPool'),
    });
  },
);
