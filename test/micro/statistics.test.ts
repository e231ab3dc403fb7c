/** The statistics of a consumer. */
import { expect, test } from 'vitest';
import { consume, failover, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  contract,
  type Interceptor,
  implement,
  RpcError,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { outcome } from '../fixtures/rpc.js';
import { elapse } from '../fixtures/waiting.js';

noLeaks();

const Work = contract('Work', {
  do: unary<string, string>({ idempotent: true }),
  list: serverStream<number, number>(),
});

function work(name: string) {
  return implement(Work, {
    do(what) {
      if (what === 'fail' || name === 'bad')
        throw new RpcError(what === 'fail' ? 'NOT_FOUND' : 'UNAVAILABLE', 'no');
      return what;
    },
    async *list(count) {
      for (let n = 0; n < count; n++) yield n;
    },
  });
}

test('counts calls by method, attempts, and nodes by state', async () => {
  await using registry = memory();
  await using _good = await provide({
    registry,
    services: [work('good')],
    address: 'tcp://127.0.0.1:0',
  });
  await using consumer = consume({ registry });
  const stub = consumer.stub(Work);
  await consumer.resolver(Work).ready();
  expect(consumer.statistics().nodes).toEqual({
    ejected: 0,
    connected: 0,
    idle: 1,
    unavailable: 0,
  });
  await stub.do('a');
  expect(await outcome(stub.do('fail'))).toBe('NOT_FOUND');
  for await (const _ of stub.list(3));
  const { calls, attempts, retries, ejections, nodes, peers, served } = consumer.statistics();
  expect(
    calls.map(({ method, started, succeeded, failed, inFlight }) => [
      method,
      started,
      succeeded,
      failed,
      inFlight,
    ]),
  ).toEqual([
    ['do', 2, 1, { NOT_FOUND: 1 }, 0],
    ['list', 1, 1, {}, 0],
  ]);
  expect([attempts, retries, ejections, served]).toEqual([3, 0, 0, []]);
  expect(nodes).toEqual({ ejected: 0, connected: 1, idle: 0, unavailable: 0 });
  const startedAt = (): number =>
    consumer.statistics().peers.reduce((sum, peer) => sum + peer.calls.started, 0);
  expect(peers.length).toBeGreaterThan(0);
  expect(startedAt()).toBe(3);
  consumer.resetStatistics();
  expect(consumer.statistics()).toMatchObject({ attempts: 0, retries: 0, ejections: 0 });
  expect(startedAt()).toBe(0);
});

test('counts retries and ejections', async () => {
  await using registry = memory();
  await using _bad = await provide({
    registry,
    services: [work('bad')],
    address: 'tcp://127.0.0.1:0',
  });
  await using _good = await provide({
    registry,
    services: [work('good')],
    address: 'tcp://127.0.0.1:0',
  });
  await using consumer = consume({
    registry,
    strategy: failover({ attempts: 2 }),
    ejection: { failures: 3, time: 60_000 },
  });
  const stub = consumer.stub(Work);
  while (consumer.statistics().nodes.ejected === 0) expect(await stub.do('a')).toBe('a');
  const { calls, attempts, retries, ejections } = consumer.statistics();
  expect([retries, ejections]).toEqual([3, 1]);
  expect(attempts).toBe(calls[0]?.started);
  expect(calls[0]?.failed).toEqual({ UNAVAILABLE: 3 });
});

test('counts no attempt for a call that was never sent, and ejects no node for it', async () => {
  await using registry = memory();
  const options = { registry, services: [work('good')], address: 'tcp://127.0.0.1:0' };
  await using _a = await provide({ ...options, id: 'a' });
  await using _b = await provide({ ...options, id: 'b' });
  const late: Interceptor = (next) => async (call) => {
    if (call.timeout === 20) await elapse(30);
    return next(call);
  };
  await using consumer = consume({
    registry,
    interceptors: [late],
    ejection: { failures: 1, codes: ['DEADLINE_EXCEEDED', 'INVALID_ARGUMENT'] },
  });
  const stub = consumer.stub(Work);
  expect(await stub.do('a')).toBe('a');
  await expect(stub.do('b', { timeout: 20 })).rejects.toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    unsent: true,
  });
  expect(await outcome(stub.do(1n as never))).toBe('INVALID_ARGUMENT');
  expect(consumer.statistics()).toMatchObject({ attempts: 1, retries: 0, ejections: 0 });
});
