/** The traffic of a large registry: a change sends only what changed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { encode } from '../../fixtures/etcd-gateway.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, WatchReader } from '../../fixtures/registries.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { noTimersLeft } from '../../fixtures/timers.js';

/** The number of services. */
const SERVICES = 100;
/** The number of nodes of each service. */
const NODES = 2_000;
/** Entries that one request writes. */
const PER_REQUEST = 125;
const CHANGES = 20;

describe('100 services with 2,000 nodes each', () => {
  noLeaks();
  noTimersLeft();
  let server: EtcdServer;

  beforeAll(async () => {
    server = await EtcdServer.started();
    const entries = Array.from({ length: SERVICES * NODES }, (_, i) => {
      const entry = node(`n${String(Math.floor(i / SERVICES)).padStart(4, '0')}`, {
        service: `Service${i % SERVICES}`,
      });
      return {
        request_put: { key: encode(entryPath('/getty', entry)), value: encode(entryValue(entry)) },
      };
    });
    const fill = async (): Promise<void> => {
      while (entries.length > 0)
        await server.request('kv/txn', { success: entries.splice(0, PER_REQUEST) });
    };
    await Promise.all(Array.from({ length: 8 }, fill));
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());

  it('are read once, and afterwards only changes are sent', async () => {
    const proxy = await TcpProxy.to(server);
    try {
      await using registry = etcd(`http://127.0.0.1:${proxy.port}`);
      await using watch = new WatchReader(registry, { service: 'Service7' });
      const all = await watch.next();
      expect(all?.length).toBe(NODES);
      // Other watches share the entries.
      await using other = new WatchReader(registry, { service: 'Service8' });
      expect((await other.next())?.length).toBe(NODES);

      await using publisher = etcd(server.endpoint);
      await publisher.register(node('x', { service: 'Service7' }));
      await watch.until(({ length }) => length === NODES + 1, 'the new node');
      const [reads, bytes] = [await server.metric('etcd_debugging_mvcc_range_total'), proxy.bytes];
      for (let i = 0; i < CHANGES; i++) {
        await publisher.register(node('x', { service: 'Service7', metadata: { i: `${i}` } }));
        await watch.until((nodes) => nodes.at(-1)?.metadata.i === `${i}`, `change ${i}`);
      }
      expect(await server.metric('etcd_debugging_mvcc_range_total')).toBe(reads);
      expect((proxy.bytes - bytes) / CHANGES).toBeLessThan(2_000);
    } finally {
      await proxy.close();
    }
  });
});
