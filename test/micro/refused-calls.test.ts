/** Calls of a consumer that a node refuses before their handlers run. */
import { describe, expect, test } from 'vitest';
import { consume, failover, p2cEwma, type Registry } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  contract,
  implement,
  type RpcServer,
  rateLimit,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';

const Shop = contract('Shop', { order: unary<void, string>(), wait: unary<void, void>() });
const ADDRESS = 'tcp://127.0.0.1:0';
noLeaks();

const node = (id: string, { address }: RpcServer) =>
  ({
    id,
    service: 'Shop',
    group: '',
    version: '',
    protocol: 'json',
    address,
    metadata: {},
  }) as const;

describe('a call that a node refuses', () => {
  async function openCluster(ids: Record<string, 'full' | 'free' | 'other'>) {
    const registry: Registry = memory();
    const handled: Record<string, number> = {};
    const servers: RpcServer[] = [];
    for (const [id, kind] of Object.entries(ids)) {
      handled[id] = 0;
      const order = (): string => {
        handled[id] = (handled[id] ?? 0) + 1;
        return id;
      };
      const service =
        kind === 'other'
          ? implement(contract('Elsewhere', { it: unary<void, void>() }), { it: () => {} })
          : implement(Shop, { order, wait: () => {} });
      const interceptors =
        kind === 'full' ? [rateLimit({ perSecond: 1e-6, burst: 1, now: () => 0 })] : [];
      const server = await serve(ADDRESS, [service], { interceptors });
      servers.push(server);
      await registry.register(node(id, server));
    }
    return {
      registry,
      handled,
      servers,
      async [Symbol.asyncDispose]() {
        await Promise.all(servers.map((server) => server.close()));
        await registry[Symbol.asyncDispose]();
      },
    };
  }

  test('is made at another node, also when its method is not idempotent', async () => {
    await using cluster = await openCluster({ full: 'full', free: 'free' });
    await using consumer = consume({
      registry: cluster.registry,
      strategy: failover({ budget: { ratio: 1 } }),
    });
    const answers = [];
    for (let i = 0; i < 20; i++) answers.push(await consumer.stub(Shop).order());
    expect(answers.filter((id) => id === 'full').length).toBeLessThanOrEqual(1);
    expect((cluster.handled.full ?? 0) + (cluster.handled.free ?? 0)).toBe(20);
  });

  test('makes p2cEwma() pick that node less often for a while', async () => {
    await using cluster = await openCluster({ full: 'full', free: 'free' });
    await using consumer = consume({
      registry: cluster.registry,
      balancer: p2cEwma(),
      strategy: failover({ budget: { ratio: 1 } }),
    });
    for (let i = 0; i < 60; i++) await consumer.stub(Shop).order();
    const [full] = cluster.servers;
    const refused =
      full?.statistics().served.find(({ method }) => method === 'order')?.started ?? 0;
    expect(refused).toBeLessThan(30);
  });

  test('excludes that node at once when it does not have the service, and is made at another node', async () => {
    await using cluster = await openCluster({ stale: 'other', good: 'free', better: 'free' });
    await using consumer = consume({
      registry: cluster.registry,
      ejection: { time: 600_000, maxTime: 600_000 },
    });
    const stub = consumer.stub(Shop);
    for (let i = 0; i < 200; i++) expect(['good', 'better']).toContain(await stub.order());
    const { candidates, leftOut } = await consumer.explain(Shop);
    expect(candidates.map((one) => one.node.id).sort()).toEqual(['better', 'good']);
    expect(leftOut.map((one) => one.node.id)).toEqual(['stale']);
    // One failed call was enough.
    expect(cluster.servers[0]?.channels.size).toBeGreaterThan(0);
    expect(
      [...(cluster.servers[0]?.channels ?? [])].reduce(
        (sum, { statistics }) => sum + statistics.served.failed,
        0,
      ),
    ).toBe(1);
  });
});
