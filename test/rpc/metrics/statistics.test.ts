/** Statistics of calls. */
import { describe, expect, test } from 'vitest';
import {
  clientStream,
  connect,
  contract,
  duplex,
  implement,
  type MethodStatistics,
  RpcError,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';

const Shop = contract(
  'Shop',
  {
    price: unary<string, number>(),
    wait: unary<void, string>(),
    list: serverStream<number, string>(),
  },
  { version: 'v2' },
);

async function openShop(open = Promise.resolve()) {
  const service = implement(Shop, {
    price(item) {
      if (item === 'nothing') throw new RpcError('NOT_FOUND', 'there is no such item');
      return item.length;
    },
    async wait() {
      await open;
      return 'done';
    },
    async *list(count) {
      for (let n = 0; n < count; n++) yield `item ${n}`;
      if (count > 3) throw new Error('the list has ended');
    },
  });
  const server = await serve(freeMemoryAddress(), [service]);
  const client = await connectOnce(server.address);
  return {
    server,
    client,
    stub: client.stub(Shop),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

/** The statistics of one method. */
const statisticsOf = (list: readonly MethodStatistics[], method: string): MethodStatistics =>
  list.find((one) => one.method === method) as MethodStatistics;

describe('statistics()', () => {
  noLeaks();

  test('counts the calls of two contracts with one name as those of one method', async () => {
    await using calls = await openShop();
    const same = contract('Shop', { price: unary<string, number>() }, { version: 'v2' });
    const next = contract('Shop', { price: unary<string, number>() }, { version: 'v3' });
    await calls.stub.price('a');
    for (const item of ['b', 'c']) await calls.client.stub(same).price(item);
    await calls.client
      .stub(next)
      .price('d')
      .catch(() => {});
    const rows = (): [string, number][] =>
      calls.client.statistics().calls.map(({ version, started }) => [version, started]);
    expect(rows()).toEqual([
      ['v2', 3],
      ['v3', 1],
    ]);
    calls.client.resetStatistics();
    await calls.client.stub(same).price('e');
    expect(rows()).toEqual([
      ['v2', 1],
      ['v3', 0],
    ]);
  });

  test('counts the streams and calls of a lost session as CANCELLED', async () => {
    const count = 500;
    const Endless = contract('Endless', {
      list: serverStream<void, string>(),
      wait: unary<void, string>(),
    });
    let began = 0;
    let end!: () => void;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const endless = implement(Endless, {
      async *list() {
        began++;
        for (;;) yield 'an item';
      },
      async wait() {
        began++;
        await over;
        return 'done';
      },
    });
    await using server = await serve(freeMemoryAddress(), [endless]);
    const client = await connectOnce(server.address);
    const stub = client.stub(Endless);
    for (let n = 0; n < count; n++) {
      stub.wait().catch(() => {});
      const items = stub.list()[Symbol.asyncIterator]();
      items.next().catch(() => {});
    }
    await until(() => began === 2 * count, 'all are under way');
    client.destroy();
    await until(() => [...server.channels].length === 0, 'the session is lost');
    const ended = (method: string) => statisticsOf(server.statistics().served, method);
    await until(() => ended('list').inFlight === 0, 'the streams have ended');
    end();
    await until(() => ended('wait').inFlight === 0, 'the calls have ended');
    expect([ended('list').failed, ended('wait').failed]).toEqual([
      { CANCELLED: count },
      { CANCELLED: count },
    ]);
    await client.close();
  });

  test('counts begins and outcomes of each method on both sides', async () => {
    await using s = await openShop();
    for (const item of ['a', 'bb', 'nothing', 'ccc']) await s.stub.price(item).catch(() => {});
    for await (const _ of s.stub.list(2));
    await (async () => {
      for await (const _ of s.stub.list(5));
    })().catch(() => {});
    for (const list of [s.client.statistics().calls, s.server.statistics().served]) {
      expect(statisticsOf(list, 'price')).toMatchObject({
        service: 'Shop',
        version: 'v2',
        started: 4,
        succeeded: 3,
        failed: { NOT_FOUND: 1 },
        inFlight: 0,
      });
      expect(statisticsOf(list, 'list')).toMatchObject({
        started: 2,
        succeeded: 1,
        failed: { UNKNOWN: 1 },
        inFlight: 0,
      });
    }
    const [made, served] = [
      statisticsOf(s.client.statistics().calls, 'price'),
      statisticsOf(s.server.statistics().served, 'price'),
    ];
    // The bodies are "a", "bb", "nothing" and "ccc" in JSON. The answers are 1, 2 and 3.
    expect([made.bytesSent, made.bytesReceived]).toEqual([3 + 4 + 9 + 5, 3]);
    expect([served.bytesSent, served.bytesReceived]).toEqual([3, 3 + 4 + 9 + 5]);
    expect(made.latency.count).toBe(4);
    expect(made.latency.max).toBeGreaterThanOrEqual(made.latency.p99);
    expect(s.client.statistics().served).toEqual([]);
    const [peer] = s.server.statistics().peers;
    expect(peer).toMatchObject({
      bytesRead: expect.any(Number),
      bytesWritten: expect.any(Number),
      queuedBytes: 0,
    });
    expect(peer).toMatchObject({
      peer: [...s.server.channels][0]?.peer,
      calls: { started: 0, succeeded: 0, failed: 0 },
      served: { started: 6, succeeded: 4, failed: 2 },
    });
    expect(s.client.statistics().peers).toMatchObject([
      { calls: { started: 6, succeeded: 4, failed: 2 } },
    ]);
  });

  test('keeps calls under way in flight over a reset', async () => {
    const open = gate();
    await using s = await openShop(open.promise);
    const call = s.stub.wait();
    await until(() => s.server.statistics().served.length > 0, 'the server handles the call');
    expect(statisticsOf(s.server.statistics().served, 'wait')).toMatchObject({
      started: 1,
      succeeded: 0,
      inFlight: 1,
    });
    s.client.resetStatistics();
    s.server.resetStatistics();
    expect(statisticsOf(s.server.statistics().served, 'wait')).toMatchObject({
      started: 0,
      inFlight: 1,
      latency: { count: 0, max: 0 },
    });
    open.open();
    await call;
    expect(statisticsOf(s.client.statistics().calls, 'wait')).toMatchObject({
      started: 0,
      succeeded: 1,
      inFlight: 0,
      latency: { count: 1 },
    });
    await until(
      () => statisticsOf(s.server.statistics().served, 'wait').inFlight === 0,
      'the server has counted it',
    );
    expect(s.server.statistics().peers[0]?.served).toMatchObject({ started: 1, succeeded: 1 });
  });

  test('increases `since` at each reset', async () => {
    const before = Date.now();
    await using s = await openShop();
    const { since } = s.server.statistics();
    expect(since).toBeGreaterThanOrEqual(before);
    expect(since).toBeLessThanOrEqual(Date.now());
    expect(s.server.statistics().since).toBe(since);
    const instants = Array.from({ length: 5 }, () => {
      s.server.resetStatistics();
      return s.server.statistics().since;
    });
    expect([...new Set([since, ...instants])].sort((a, b) => a - b)).toEqual([since, ...instants]);
  });

  test('samples the latency of quick handlers and counts each call', async () => {
    await using s = await openShop();
    for (let n = 0; n < 100; n++) await s.stub.price('quick');
    const { latency } = statisticsOf(s.server.statistics().served, 'price');
    // Some of the quick calls are timed; each is counted in the end.
    expect(latency.count).toBeGreaterThan(80);
    expect(latency.count).toBeLessThanOrEqual(100);
  });

  describe('with a fake clock', () => {
    fakeTime();

    test.each([5_000, 1_000, Number.POSITIVE_INFINITY])(
      'a latency below 1 ms is exact for the caller, with a timeout of %d ms',
      async (timeout) => {
        const opened = gate();
        await using s = await openShop(opened.promise);
        await s.stub.price('first');
        // A time between two whole milliseconds.
        await pass(0.25);
        const call = s.stub.wait(undefined, { timeout });
        await until(() => s.client.statistics().peers[0]?.calls.started === 2, 'the call is sent');
        await pass(0.5);
        opened.open();
        await call;
        const { latency } = statisticsOf(s.client.statistics().calls, 'wait');
        expect(latency.max).toBeCloseTo(0.5, 3);
      },
    );
  });

  test('counts the bytes of streams alike on both sides', async () => {
    const Streams = contract('Streams', {
      down: serverStream<number, string>(),
      up: clientStream<string, number>(),
      both: duplex<string, string>(),
    });
    const text = 'x'.repeat(1_000);
    const list = async function* (): AsyncGenerator<string> {
      for (let i = 0; i < 10; i++) yield text;
    };
    await using server = await serve('tcp://127.0.0.1:0', [
      implement(Streams, {
        down: list,
        up: async (texts) => {
          let count = 0;
          for await (const _ of texts) count++;
          return count;
        },
        both: (texts) => texts,
      }),
    ]);
    await using client = await connect(server.address);
    const stub = client.stub(Streams);
    for await (const _ of stub.down(1));
    expect(await stub.up(list())).toBe(10);
    for await (const _ of stub.both(list()));
    for (const [name, isSent, isReceived] of [
      ['down', false, true],
      ['up', true, false],
      ['both', true, true],
    ] as const) {
      const made = statisticsOf(client.statistics().calls, name);
      const served = statisticsOf(server.statistics().served, name);
      expect([made.bytesSent > 10_000, made.bytesReceived > 10_000]).toEqual([isSent, isReceived]);
      expect([served.bytesReceived, served.bytesSent]).toEqual([
        made.bytesSent,
        made.bytesReceived,
      ]);
    }
  });

  test('counts calls that a session does not send, and no unknown names', async () => {
    await using s = await openShop();
    const Other = contract('Other', { made: unary(), up: unary() });
    const other = s.client.stub(Other);
    await other.made(1).catch(() => {});
    await other.up(1).catch(() => {});
    expect(s.server.statistics().served).toEqual([]);
    expect(s.server.statistics().peers[0]?.served).toEqual({ started: 2, succeeded: 0, failed: 2 });
    await s.stub.price('x', { signal: AbortSignal.abort() }).catch(() => {});
    expect(statisticsOf(s.client.statistics().calls, 'price')).toMatchObject({
      started: 1,
      failed: { CANCELLED: 1 },
      inFlight: 0,
      bytesSent: 0,
    });
  });
});

test('a client counts the calls that fail because there is no session', async () => {
  await using s = await openShop();
  await s.stub.price('pen');
  s.server.destroy();
  await until(() => s.client.channels.size === 0, 'the loss of the session');
  for (let n = 0; n < 3; n++)
    expect(await rejection(s.stub.price('pen'))).toMatchObject({
      code: 'UNAVAILABLE',
      unsent: true,
      method: 'Shop.price',
    });
  expect(s.client.statistics().calls).toMatchObject([
    { method: 'price', started: 4, succeeded: 1, failed: { UNAVAILABLE: 3 }, inFlight: 0 },
  ]);
});

test('a client counts a call that fails while it waits for the first frame of its peer', async () => {
  await using server = await RawServer.serve({}, () => true);
  await using client = await connectOnce(server.address, { heartbeatPeriod: 0 });
  const replies = client.stub(Shop).list(1, { timeout: 30 })[Symbol.asyncIterator]();
  expect(await rejection(replies.next())).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  expect(client.statistics().calls).toMatchObject([
    { method: 'list', started: 1, failed: { DEADLINE_EXCEEDED: 1 }, inFlight: 0 },
  ]);
});

test('a server counts the peers that it refuses', async () => {
  await using server = await serve(freeMemoryAddress(), [], { maxSessions: 1, onRefused() {} });
  await using _first = await connectOnce(server.address);
  await connectOnce(server.address).then(
    (client) => client.close(),
    () => {},
  );
  expect(server.refusals.limit).toBe(1);
});
