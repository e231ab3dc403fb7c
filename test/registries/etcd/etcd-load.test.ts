/**
 * etcd with many clients at once and over a slow connection. The tests do not use noTimersLeft(),
 * which would track every timer and promise of 1,200 registries and take most of the time.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import { ETCD_DEFAULTS, etcd } from '../../../src/registries/etcd/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { encode } from '../../fixtures/etcd-gateway.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, WatchReader } from '../../fixtures/registries.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';

/** Entries that one request writes. */
const PER_REQUEST = 125;

describe('the etcd registry', () => {
  noLeaks();
  let server: EtcdServer;

  beforeAll(async () => {
    server = await EtcdServer.started();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());

  it('completes the lists of 200 consumers when 1,000 providers register at once', {
    timeout: 600_000,
  }, async () => {
    // This process does the work of 1,200. If it is slow, leases that end, and requests that are
    // sent again, would cause ever more work.
    const options = { root: '/storm', ttl: 120_000, requestTimeout: 60_000 };
    const registries = Array.from({ length: 1_200 }, () => etcd(server.endpoint, options));
    const [readers, writers] = [registries.slice(0, 200), registries.slice(200)];
    const watches = readers.map((registry) => new WatchReader(registry));
    await Promise.all(watches.map((watch) => watch.next()));
    const complete = watches.map(async (watch) => {
      for (;;) if ((await watch.next())?.length === 1_000) return;
    });
    await Promise.all([
      ...writers.map((registry, i) => registry.register(node(`n${i}`))),
      ...complete,
    ]);
    // Each list has up to 1,000 nodes, so there must be far fewer lists than registrations.
    for (const watch of watches) expect(watch.seen.length).toBeLessThan(500);
    await Promise.all(registries.map((registry) => registry[Symbol.asyncDispose]()));
  });

  it('delivers a list of 1,000 nodes over a connection of 50 KB/s, in more than requestTimeout', {
    timeout: 600_000,
  }, async () => {
    const root = '/slow';
    const entries = Array.from({ length: 1_000 }, (_, i) =>
      node(`n${i}`, { metadata: { note: 'x'.repeat(100) } }),
    );
    const puts = entries.map((entry) => ({
      request_put: { key: encode(entryPath(root, entry)), value: encode(entryValue(entry)) },
    }));
    while (puts.length > 0)
      await server.request('kv/txn', { success: puts.splice(0, PER_REQUEST) });
    const proxy = await TcpProxy.to(server);
    proxy.limit(50 * 1024);
    try {
      await using registry = etcd(`http://127.0.0.1:${proxy.port}`, { root });
      await using watch = new WatchReader(registry);
      const start = performance.now();
      expect((await watch.next())?.length).toBe(1_000);
      expect(performance.now() - start).toBeGreaterThan(ETCD_DEFAULTS.requestTimeout);
      expect(proxy.accepted).toBe(1);
    } finally {
      await proxy.close();
    }
  });
});
