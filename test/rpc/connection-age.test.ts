/** maxConnectionAge: sessions end in order, and no call fails. */
import { expect, test } from 'vitest';
import { consume, failfast } from '../../src/micro/index.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import {
  type CallContext,
  connect,
  contract,
  implement,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { type Host, type Simulation, simulate } from '../../src/testing/index.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { jsonRequest } from '../fixtures/rpc-frames.js';

const Work = contract('Work', {
  slow: unary<void, string>(),
  watch: serverStream<boolean, number>(),
});
const ADDRESS = 'sim://server:1000';

function startServer({ host, clock }: Simulation, options: RpcServerOptions) {
  /** The peers of the calls. Each session has an address of its own. */
  const peers = new Set<string>();
  const service = implement(Work, {
    slow: async (_, { peer }) => {
      peers.add(peer);
      await clock.sleep(50);
      return 'done';
    },
    /** Endless; it ends with the draining signal if `isPolite`. */
    async *watch(isPolite: boolean, { draining }: CallContext) {
      for (let i = 0; !(isPolite && draining.aborted); i++) {
        yield i;
        await clock.sleep(1_000);
      }
    },
  });
  return { peers, server: host('server', () => serve(ADDRESS, [service], options)) };
}

/** Makes a call each 20 ms for `ms` milliseconds. Resolves with the number of calls. */
async function callSteadily(
  { clock }: Simulation,
  call: () => Promise<unknown>,
  ms: number,
): Promise<number> {
  const calls: Promise<unknown>[] = [];
  for (const end = clock.now + ms; clock.now < end; await clock.sleep(20)) calls.push(call());
  await Promise.all(calls);
  return calls.length;
}

test.each([1, 2, 4])('no call of a client with %i connections fails', async (connections) => {
  const { value } = await simulate({ seed: 1 }, async (simulation) => {
    const { server, peers } = startServer(simulation, { maxConnectionAge: 2_500 });
    await server.ready();
    const client = await connect(ADDRESS, { connections });
    const stub = client.stub(Work);
    const calls = await callSteadily(simulation, () => stub.slow(), 30_000);
    const open = client.channels.size;
    await client.close();
    await (await server.ready()).close();
    return { calls, sessions: peers.size, open };
  });
  expect(value.calls).toBe(1_500);
  expect(value.open).toBe(connections);
  // Sessions of 2.25 to 2.75 s in half a minute, with those at its start and its end.
  expect(value.sessions).toBeGreaterThanOrEqual(connections * 10);
  expect(value.sessions).toBeLessThanOrEqual(connections * 14);
});

test('no call of a consumer without retries fails, also with a single node', async () => {
  const { value } = await simulate({ seed: 2 }, async (simulation) => {
    const { server, peers } = startServer(simulation, { maxConnectionAge: 2_500 });
    await server.ready();
    const registry = staticRegistry([ADDRESS]);
    const consumer = consume({ registry, connections: 1, strategy: failfast() });
    const stub = consumer.stub(Work);
    const calls = await callSteadily(simulation, () => stub.slow(), 30_000);
    await consumer.close();
    await (await server.ready()).close();
    return { calls, sessions: peers.size };
  });
  expect(value.calls).toBe(1_500);
  expect(value.sessions).toBeGreaterThanOrEqual(10);
});

test('sessions that open together end at different times', async () => {
  const { value: ends } = await simulate({ seed: 3 }, async (simulation) => {
    const { clock } = simulation;
    const { server } = startServer(simulation, { maxConnectionAge: 10_000 });
    await server.ready();
    const ends: number[] = [];
    const client = await connect(ADDRESS, { connections: 20 });
    while (client.channels.size < 20) await clock.sleep(1);
    const start = clock.now;
    const first = [...client.channels];
    while (first.some(({ closed }) => !closed)) {
      await clock.sleep(100);
      for (const [index, channel] of first.entries())
        if (channel.closed) ends[index] ??= clock.now - start;
    }
    await client.close();
    await (await server.ready()).close();
    return ends;
  });
  expect(Math.min(...ends)).toBeGreaterThanOrEqual(9_000);
  expect(Math.max(...ends)).toBeLessThanOrEqual(11_200);
  expect(new Set(ends).size).toBeGreaterThan(5);
});

/** The outcome of one stream, and when it ended. */
async function readStream(simulation: Simulation, isPolite: boolean, grace: number) {
  const { server } = startServer(simulation, {
    maxConnectionAge: 10_000,
    maxConnectionAgeGrace: grace,
  });
  await server.ready();
  const client = await connect(ADDRESS, { connections: 1 });
  const start = simulation.clock.now;
  let error: unknown;
  try {
    for await (const _ of client.stub(Work).watch(isPolite));
  } catch (thrown) {
    error = thrown;
  }
  const time = simulation.clock.now - start;
  await client.close();
  await (await server.ready()).close();
  return { error, time };
}

test('a stream whose handler ends at the draining signal does not fail', async () => {
  const { value } = await simulate({ seed: 4 }, (simulation) =>
    readStream(simulation, true, 600_000),
  );
  expect(value.error).toBeUndefined();
  expect(value.time).toBeLessThan(13_000);
});

test('a call that is in flight at the end of the grace fails with UNAVAILABLE and moving', async () => {
  const { value } = await simulate({ seed: 5 }, (simulation) =>
    readStream(simulation, false, 30_000),
  );
  expect(value.error).toMatchObject({ code: 'UNAVAILABLE', reason: 'moving', unsent: false });
  expect(value.time).toBeGreaterThanOrEqual(39_000);
  expect(value.time).toBeLessThan(42_500);
});

test('a plain peer keeps its session', async () => {
  const { value } = await simulate({ seed: 6 }, async (simulation) => {
    const { server } = startServer(simulation, { maxConnectionAge: 2_000 });
    await server.ready();
    const peer = await RawPeer.connect(ADDRESS);
    const answers: string[] = [];
    for (let sequence = 1n; sequence < 20n; sequence += 2n) {
      await peer.send(jsonRequest('Work', 'slow', undefined, { sequence }));
      answers.push((await peer.frames.next()).body.toString());
      await simulation.clock.sleep(1_000);
    }
    await peer[Symbol.asyncDispose]();
    await (await server.ready()).close();
    return answers;
  });
  expect(value).toEqual(Array(10).fill('"done"'));
});

test('the end of the server ends the wait for old sessions', async () => {
  await simulate({ seed: 7 }, async (simulation) => {
    const { server } = startServer(simulation, { maxConnectionAge: 10_000 });
    await server.ready();
    const client = await connect(ADDRESS);
    await (server as Host<AsyncDisposable>).kill();
    await client.close();
  });
});

test.each<[string, unknown]>([
  ['maxConnectionAge', 1_999],
  ['maxConnectionAge', -1],
  ['maxConnectionAge', 2 ** 31],
  ['maxConnectionAgeGrace', -1],
])('throws BAD_OPTION for %s: %d', async (name, value) => {
  await expect(serve('memory://', [], { [name]: value })).rejects.toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(`${name}: got ${value}`),
  });
});
