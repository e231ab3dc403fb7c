/** add() and close() of RpcMetrics, and the options of rpcMetrics(). */
import { Counter, register as globalRegistry, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { RPC_METRICS_DEFAULTS, rpcMetrics } from '../../../src/adapters/prometheus/index.js';
import { consume, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { connect, Introspection, implement, type RpcClient } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { key, metrics, Shop, scrape, shop } from '../../fixtures/shop-metrics.js';

noLeaks();

describe('add() and close()', () => {
  test('report a provider like its server', async () => {
    await using registry = memory();
    const service = implement(Shop, {
      price: (item) => item.length,
      wait: () => 'done',
      list: () => [],
      sum: async () => 0,
    });
    await using provider = await provide({
      registry,
      address: freeMemoryAddress(),
      services: [service],
      introspection: true,
    });
    await using consumer = consume({ registry });
    expect(provider.nodes.map((node) => node.service)).toEqual(['Shop']);
    const { register, all } = metrics();
    all.add('shop', provider);
    await consumer.stub(Shop).price('a');
    provider.resetStatistics();
    await consumer.stub(Shop).price('a');
    expect(
      (await scrape(register)).get(key('server_calls_started_total', { method: 'price' })),
    ).toBe(1);
    await using client = await connect(provider.address, { reconnect: false });
    expect(await client.stub(Introspection).services()).toHaveLength(2);
  });

  test('report two servers by name, and remove them one by one', async () => {
    await using one = await shop();
    await using two = await shop();
    const { register, all } = metrics();
    const remove = all.add('one', one.server);
    all.add('two', two.server);
    await one.stub.price('a');
    await two.stub.price('a');
    await two.stub.price('a');
    const started = async () => {
      const series = await scrape(register);
      return ['one', 'two'].map((name) =>
        series.get(key('server_calls_started_total', { name, method: 'price' })),
      );
    };
    expect(await started()).toEqual([1, 2]);
    remove();
    expect(await started()).toEqual([undefined, 2]);
    expect((await scrape(register)).has('getty_rpc_sessions{name="one"}')).toBe(false);
    // The name is free again; a second remove() does not remove its new source.
    all.add('one', two.client);
    remove();
    expect(
      (await scrape(register)).get(
        key('client_calls_started_total', { name: 'one', method: 'price' }),
      ),
    ).toBe(2);
  });

  test('remove all metrics of rpc from the registry by close()', async () => {
    const register = new Registry();
    const mine = new Counter({ name: 'mine_total', help: 'mine', registers: [register] });
    mine.inc();
    const before = await register.metrics();
    const all = rpcMetrics({ register });
    expect(register.getMetricsAsArray()).toHaveLength(18);
    all.close();
    expect(await register.metrics()).toBe(before);
    rpcMetrics({ register }).close();
  });

  test('throw BAD_OPTION for bad values, and add no metric then', async () => {
    await using s = await shop();
    const register = new Registry();
    const expectBadOption = (options: object) =>
      expect(() => rpcMetrics({ register, ...options })).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    expectBadOption({ prefix: '1st_' });
    expectBadOption({ prefix: 'with space_' });
    expectBadOption({ prefix: 7 });
    expectBadOption({ register: {} });
    for (const buckets of [
      [],
      [1, 1],
      [2, 1],
      [0],
      [-1],
      [1, Number.POSITIVE_INFINITY],
      ['1'],
      {},
      Array.from({ length: 101 }, (_, at) => at + 1),
    ])
      expectBadOption({ buckets });
    expect(() => rpcMetrics({ register, buckets: [] })).toThrow(/expected 1 to 100 ascending/);
    new Counter({
      name: 'getty_rpc_client_bytes_total',
      help: 'another metric of this name',
      registers: [register],
    });
    expectBadOption({});
    expect(register.getMetricsAsArray().map(({ name }) => name)).toEqual([
      'getty_rpc_client_bytes_total',
    ]);
    using all = rpcMetrics({ register, prefix: 'other_' });
    expectBadOption({ prefix: 'other_' });
    expect(register.getMetricsAsArray().length).toBe(18);
    all.add('shop', s.server);
    for (const [name, source] of [
      ['shop', s.client],
      ['', s.client],
      [undefined, s.client],
      ['me', {}],
      ['me', undefined],
    ])
      expect(() => all.add(name as string, source as RpcClient)).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
  });

  test('use the global registry and 14 buckets by default', () => {
    // Other files may have used the process.
    globalRegistry.clear();
    using all = rpcMetrics();
    expect(() => rpcMetrics()).toThrowError(/prefix/);
    all.close();
    expect(RPC_METRICS_DEFAULTS.buckets).toEqual(
      [...RPC_METRICS_DEFAULTS.buckets].sort((a, b) => a - b),
    );
  });
});
