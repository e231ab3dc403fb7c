/** busyPoll: how long the event loop does not sleep. */
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { spinFor } from '../../../src/transport/session/busy-poll.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { elapse, until } from '../../fixtures/waiting.js';

noLeaks();

/** The part of the next `ms` milliseconds in which the event loop sleeps, from 0 to 1. */
async function measureIdlePart(ms: number): Promise<number> {
  const before = performance.eventLoopUtilization();
  await elapse(ms);
  const { idle, active } = performance.eventLoopUtilization(before);
  return idle / (idle + active);
}

test('keeps the event loop from sleeping until the time is over', async () => {
  await until(async () => (await measureIdlePart(60)) > 0.3, 'the loop sleeps');
  spinFor(1_000);
  spinFor(120);
  expect(await measureIdlePart(60)).toBeLessThan(0.05);
  spinFor(0);
  await elapse(1);
  await until(async () => (await measureIdlePart(60)) > 0.3, 'the loop sleeps');
});

test('keeps the event loop from sleeping for busyPoll after the last call', async () => {
  const Echo = contract('Echo', { echo: unary<string, string>() });
  const server = await serve(freeMemoryAddress(), [implement(Echo, { echo: (text) => text })], {
    busyPoll: 1_000,
  });
  const client = await connect(server.address, { connections: 1, busyPoll: 1_000 });
  await client.stub(Echo).echo('x');
  expect(await measureIdlePart(60)).toBeLessThan(0.05);
  client.destroy();
  server.destroy();
  await Promise.all([client.close(), server.close()]);
  await until(async () => (await measureIdlePart(60)) > 0.3, 'the loop sleeps');
  await expect(connect(server.address, { busyPoll: -1 })).rejects.toMatchObject({
    code: 'BAD_OPTION',
  });
});
