import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { spinFor } from '../../../src/transport/session/busy-poll.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemory } from '../../fixtures/rpc.js';
import { elapse, until } from '../../fixtures/waiting.js';

noLeaks();

/** The part of some milliseconds in which the event loop slept. */
async function idlePart(ms: number): Promise<number> {
  const before = performance.eventLoopUtilization();
  await elapse(ms);
  const { idle, active } = performance.eventLoopUtilization(before);
  return idle / (idle + active);
}

test('the loop does not sleep while it spins, and sleeps again when the time is over', async () => {
  await until(async () => (await idlePart(60)) > 0.3, 'the loop sleeps');
  spinFor(1_000);
  spinFor(120);
  expect(await idlePart(60)).toBeLessThan(0.05);
  spinFor(0);
  await elapse(1);
  await until(async () => (await idlePart(60)) > 0.3, 'the loop sleeps');
});

test('calls keep it spinning for busyPoll after the last of them', async () => {
  const Echo = contract('Echo', { echo: unary<string, string>() });
  const server = await serve(freeMemory(), [implement(Echo, { echo: (text) => text })], {
    busyPoll: 1_000,
  });
  const client = await connect(server.address, { connections: 1, busyPoll: 1_000 });
  await client.stub(Echo).echo('x');
  expect(await idlePart(60)).toBeLessThan(0.05);
  client.destroy();
  server.destroy();
  await Promise.all([client.close(), server.close()]);
  await until(async () => (await idlePart(60)) > 0.3, 'the loop sleeps');
  await expect(connect(server.address, { busyPoll: -1 })).rejects.toMatchObject({
    code: 'BAD_OPTION',
  });
});
