/** The metrics of real calls, in the text of prom-client. */
import { type OpenMetricsContentType, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { rpcMetrics } from '../../../src/adapters/prometheus/index.js';
import { consume, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { connect, contract, implement, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { key, list, metrics, scrape, shop } from '../../fixtures/shop-metrics.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

describe('a scrape', () => {
  test('reports the attempts and nodes of a consumer, sessions and refusals', async () => {
    await using registry = memory();
    const service = implement(contract('Plain', { ask: unary<string, string>() }), {
      ask: (text) => text,
    });
    await using provider = await provide({
      registry,
      services: [service],
      address: 'tcp://127.0.0.1:0',
      maxSessions: 2,
    });
    await using consumer = consume({ registry });
    const { register, all } = metrics();
    all.add('provider', provider);
    all.add('consumer', consumer);
    const stub = consumer.stub(contract('Plain', { ask: unary<string, string>() }));
    for (const text of ['a', 'b', 'c']) await stub.ask(text);
    await until(
      () => provider.statistics().peers.length === 2,
      'the consumer has its two connections',
    );
    await connect(provider.address, { reconnect: false, connections: 1, onState: () => {} }).then(
      (refused) => refused.close(),
      () => {},
    );
    await until(() => provider.refusals.limit === 1, 'the third connection is refused');
    const series = await scrape(register);
    const of = (metric: string, labels: Readonly<Record<string, string>>): number | undefined =>
      [...series].find(
        ([name]) =>
          name.startsWith(`getty_rpc_${metric}{`) &&
          Object.entries(labels).every(([key, value]) => name.includes(`${key}="${value}"`)),
      )?.[1];
    expect(of('consumer_attempts_total', { name: 'consumer' })).toBe(3);
    expect(of('consumer_retries_total', { name: 'consumer' })).toBe(0);
    expect(of('consumer_nodes', { state: 'connected' })).toBe(1);
    expect(of('consumer_attempts_total', { name: 'provider' })).toBeUndefined();
    expect(of('refusals_total', { name: 'provider', reason: 'limit' })).toBe(1);
    expect(of('session_bytes', { name: 'provider', state: 'read' })).toBeGreaterThan(100);
    expect(of('session_bytes', { name: 'consumer', state: 'queued' })).toBe(0);
    all.close();
  });

  test('adds up the rows of one service, version and method', async () => {
    await using calls = await shop();
    await calls.stub.price('a');
    const [row] = calls.client.statistics().calls;
    await calls.stub.price('nothing').catch(() => {});
    const [failed] = calls.client.statistics().calls;
    const { register, all } = metrics();
    let rows = [row, failed] as (typeof row & {})[];
    let since = 1;
    all.add('sum', { statistics: () => ({ since, calls: rows, served: [], peers: [] }) });
    const value = async (metric: string, labels = {}): Promise<number | undefined> =>
      (await scrape(register)).get(key(metric, { name: 'sum', method: 'price', ...labels }));
    expect(await value('client_calls_started_total')).toBe(3);
    expect(await value('client_calls_completed_total', { code: 'OK' })).toBe(2);
    expect(await value('client_calls_completed_total', { code: 'NOT_FOUND' })).toBe(1);
    expect(await value('client_duration_seconds_count')).toBe(3);
    rows = [row, row] as typeof rows;
    since = 2;
    expect(await value('client_calls_started_total')).toBe(5);
    all.close();
  });

  test('reports the calls of both sides, their codes and their bytes', async () => {
    await using s = await shop();
    const { register, all } = metrics();
    all.add('shop', s.server);
    all.add('me', s.client);
    for (const item of ['a', 'bb', 'nothing', 'ccc']) await s.stub.price(item).catch(() => {});
    await list(s.client, 2);
    await list(s.client, 5);
    expect(await s.stub.sum([1, 2, 3])).toBe(6);
    const series = await scrape(register);
    for (const [side, name] of [
      ['server', 'shop'],
      ['client', 'me'],
    ] as const) {
      const at = (metric: string, labels: Readonly<Record<string, string>>) =>
        series.get(key(`${side}_${metric}`, { name, ...labels }));
      expect(at('calls_started_total', { method: 'price' })).toBe(4);
      expect(at('calls_completed_total', { method: 'price', code: 'OK' })).toBe(3);
      expect(at('calls_completed_total', { method: 'price', code: 'NOT_FOUND' })).toBe(1);
      expect(at('calls_completed_total', { method: 'list', code: 'OK' })).toBe(1);
      expect(at('calls_completed_total', { method: 'list', code: 'UNKNOWN' })).toBe(1);
      expect(at('calls_completed_total', { method: 'sum', code: 'OK' })).toBe(1);
      expect(at('calls_in_flight', { method: 'price' })).toBe(0);
      // The bodies "a", "bb", "nothing", "ccc" in JSON; the answers are 1, 2 and 3.
      const [ofInput, ofReply] = side === 'server' ? ['received', 'sent'] : ['sent', 'received'];
      expect(at('bytes_total', { method: 'price', direction: ofInput as string })).toBe(
        3 + 4 + 9 + 5,
      );
      expect(at('bytes_total', { method: 'price', direction: ofReply as string })).toBe(3);
      expect(series.get(`getty_rpc_sessions{name="${name}"}`)).toBe(1);
    }
    // The server made no calls, and the client received none.
    expect(
      [...series.keys()].filter((one) => one.includes('rpc_server') && one.includes('name="me"')),
    ).toEqual([]);
    expect(
      [...series.keys()].filter((one) => one.includes('rpc_client') && one.includes('name="shop"')),
    ).toEqual([]);
    all.close();
  });

  test('has a type and a help text for each metric', async () => {
    const { register } = metrics();
    const text = await register.metrics();
    const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    const ofSide = (side: string) => [
      `getty_rpc_${side}_calls_started_total counter`,
      `getty_rpc_${side}_calls_completed_total counter`,
      `getty_rpc_${side}_bytes_total counter`,
      `getty_rpc_${side}_calls_in_flight gauge`,
      `getty_rpc_${side}_duration_seconds histogram`,
    ];
    expect(types).toEqual([
      ...ofSide('server'),
      ...ofSide('client'),
      'getty_rpc_sessions gauge',
      'getty_rpc_session_bytes gauge',
      'getty_rpc_refusals_total counter',
      'getty_rpc_consumer_attempts_total counter',
      'getty_rpc_consumer_retries_total counter',
      'getty_rpc_consumer_ejections_total counter',
      'getty_rpc_consumer_nodes gauge',
    ]);
    for (const type of types) expect(text).toContain(`# HELP ${type.split(' ')[0]} `);
  });

  test('reports durations as a histogram with cumulative buckets', async () => {
    const open = gate();
    await using s = await shop(open.promise);
    const { register, all } = metrics({ buckets: [20, 10_000, 100_000] });
    all.add('shop', s.client);
    for (let n = 0; n < 5; n++) await s.stub.price('x');
    const slow = s.stub.wait();
    const startTime = performance.now();
    await until(() => performance.now() - startTime > 25, 'the call has taken 25 ms');
    open.open();
    await slow;
    const series = await scrape(register);
    const at = (metric: string, method: string, le?: string) =>
      series.get(key(`client_duration_seconds_${metric}`, { method, ...(le && { le }) }));
    // prom-client writes the limits as numbers.
    expect(['0.02', '10', '100', '+Inf'].map((le) => at('bucket', 'wait', le))).toEqual([
      0, 1, 1, 1,
    ]);
    expect(['10', '100', '+Inf'].map((le) => at('bucket', 'price', le))).toEqual([5, 5, 5]);
    expect(at('count', 'price')).toBe(5);
    expect(at('sum', 'wait')).toBeGreaterThan(0.02);
    all.close();
  });

  test('does not decrease counters after resetStatistics()', async () => {
    await using s = await shop();
    const { register, all } = metrics();
    all.add('shop', s.server);
    const read = async () => {
      const series = await scrape(register);
      const at = (metric: string, more = {}) =>
        series.get(key(`server_${metric}`, { method: 'price', ...more }));
      return [
        at('calls_started_total'),
        at('calls_completed_total', { code: 'OK' }),
        at('calls_completed_total', { code: 'NOT_FOUND' }),
        at('bytes_total', { direction: 'received' }),
      ];
    };
    await s.stub.price('a');
    await s.stub.price('nothing').catch(() => {});
    expect(await read()).toEqual([2, 1, 1, 12]);
    s.server.resetStatistics();
    expect(await read()).toEqual([2, 1, 1, 12]);
    s.server.resetStatistics();
    // More calls than before the reset, so the count alone does not show the reset.
    for (const item of ['a', 'b', 'c', 'd']) await s.stub.price(item);
    expect(await read()).toEqual([6, 5, 1, 24]);
    expect(
      (await scrape(register)).get(key('server_duration_seconds_count', { method: 'price' })),
    ).toBeLessThanOrEqual(6);
    all.close();
  });

  test('does not decrease the counters of a consumer after resetStatistics()', async () => {
    let since = 1;
    let counts = { attempts: 7, retries: 3, ejections: 2 };
    const nodes = { ejected: 0, connected: 1, idle: 0, unavailable: 0 };
    const { register, all } = metrics();
    all.add('shop', {
      statistics: () => ({ since, calls: [], served: [], peers: [], ...counts, nodes }),
    });
    const read = async () => {
      const series = await scrape(register);
      return ['attempts', 'retries', 'ejections'].map((count) =>
        series.get(`getty_rpc_consumer_${count}_total{name="shop"}`),
      );
    };
    expect(await read()).toEqual([7, 3, 2]);
    since = 2;
    counts = { attempts: 0, retries: 0, ejections: 0 };
    expect(await read()).toEqual([7, 3, 2]);
    counts = { attempts: 4, retries: 0, ejections: 1 };
    expect(await read()).toEqual([11, 3, 3]);
    since = 3;
    // More than before the reset, so the count alone does not show the reset.
    counts = { attempts: 9, retries: 5, ejections: 1 };
    expect(await read()).toEqual([20, 8, 4]);
    all.close();
  });

  test('keeps calls under way in flight after a reset', async () => {
    const open = gate();
    await using s = await shop(open.promise);
    const { register, all } = metrics();
    all.add('shop', s.server);
    const inFlight = async () =>
      (await scrape(register)).get(key('server_calls_in_flight', { method: 'wait' }));
    const call = s.stub.wait();
    await until(() => s.server.statistics().served.length > 0, 'the call is received');
    expect(await inFlight()).toBe(1);
    s.server.resetStatistics();
    expect(await inFlight()).toBe(1);
    open.open();
    await call;
    expect(await inFlight()).toBe(0);
    all.close();
  });

  test('has no series for unknown services and methods', async () => {
    await using s = await shop();
    const { register, all } = metrics();
    all.add('shop', s.server);
    await s.stub.price('a');
    const before = (await scrape(register)).size;
    const Other = contract('Other', { made: unary(), up: unary() });
    const other = s.client.stub(Other);
    await other.made(1).catch(() => {});
    await other.up(1).catch(() => {});
    const More = contract('Shop', { made: unary() }, { version: 'v2' });
    await s.client
      .stub(More)
      .made(1)
      .catch(() => {});
    expect((await scrape(register)).size).toBe(before);
    all.close();
  });

  test('has the same values in the OpenMetrics format', async () => {
    await using s = await shop();
    const register = new Registry<OpenMetricsContentType>();
    register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    using all = rpcMetrics({ register });
    all.add('shop', s.client);
    await s.stub.price('a');
    for (let time = 0; time < 2; time++) {
      const series = await scrape(register);
      expect(series.get(key('client_calls_started_total', { method: 'price' }))).toBe(1);
      expect(series.get(key('client_duration_seconds_count', { method: 'price' }))).toBe(1);
    }
  });
});
