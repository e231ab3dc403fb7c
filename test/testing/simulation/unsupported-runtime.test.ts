/** A runtime whose node:async_hooks reports nothing, such as Bun and Deno. */
import { expect, test, vi } from 'vitest';
import { simulate } from '../../../src/testing/simulation/index.js';

vi.mock('node:async_hooks', async (importOriginal) => {
  const hooks = await importOriginal<typeof import('node:async_hooks')>();
  const silent = { enable: () => silent, disable: () => silent };
  return { ...hooks, createHook: () => silent };
});

test('simulate() rejects with SIMULATION_FAILED, and says what the runtime lacks', async () => {
  const scenario = vi.fn();
  await expect(simulate({}, scenario)).rejects.toMatchObject({
    code: 'SIMULATION_FAILED',
    message: expect.stringContaining('node:async_hooks'),
  });
  expect(scenario).not.toHaveBeenCalled();
});
