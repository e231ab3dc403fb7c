/** Slots: how many tasks run, and in which order. */
import { expect, test } from 'vitest';
import { Slots } from '../../../src/rpc/interceptors/concurrency/slots.js';

test('tasks begin in the order of take(), at most as many at once as there are slots', async () => {
  const slots = new Slots(2);
  const begun: number[] = [];
  const tasks = [1, 2, 3, 4].map((n) => slots.take().then(() => begun.push(n)));
  await Promise.all(tasks.slice(0, 2));
  expect(begun).toEqual([1, 2]);
  slots.release();
  await tasks[2];
  expect(begun).toEqual([1, 2, 3]);
  slots.release();
  await tasks[3];
  expect(begun).toEqual([1, 2, 3, 4]);
});

test('a slot that is released without a waiting task is free', async () => {
  const slots = new Slots(1);
  for (let round = 0; round < 3; round++) {
    await slots.take();
    slots.release();
  }
});
