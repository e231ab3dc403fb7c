/** The ZooKeeper client by itself, on a real server. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ZooKeeperClient } from '../../../src/registries/zookeeper/client.js';
import type { WatchEvent, ZooKeeperClientOptions } from '../../../src/registries/zookeeper/types.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { anyZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';

describe('the ZooKeeper client', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let clients: ZooKeeperClient[] = [];
  beforeAll(async () => {
    server = await anyZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const client of clients) await client.close();
    clients = [];
  });

  function open(options: ZooKeeperClientOptions = {}, chroot = ''): ZooKeeperClient {
    const client = new ZooKeeperClient(`${server.address}${chroot}`, { sessionTimeout: 2_000, ...options });
    clients.push(client);
    return client;
  }

  it('creates, reads, changes, lists and deletes', async () => {
    const client = open();
    await client.makePath('/ops/a');
    await client.create('/ops/a/x', Buffer.from('one'));
    const { data, stat } = await client.getData('/ops/a/x');
    expect([data.toString(), stat.version, stat.ephemeralOwner, stat.dataLength]).toEqual(['one', 0, 0n, 3]);
    expect(await client.getChildren('/ops/a')).toEqual(['x']);
    await client.delete('/ops/a/x');
    expect(await client.exists('/ops/a/x')).toBeUndefined();
    const events: WatchEvent[] = [];
    await client.exists('/ops/a/x', { watch: (event) => events.push(event) });
    await client.create('/ops/a/x', Buffer.from('one'), { ephemeral: true });
    await client.sync('/');
    expect(events).toEqual([{ type: 'created', path: '/ops/a/x' }]);
    await client.multi([
      { type: 'delete', path: '/ops/a/x' },
      { type: 'create', path: '/ops/a/x', data: Buffer.from('two') },
    ]);
    await expect(
      client.multi([
        { type: 'delete', path: '/ops/a/x' },
        { type: 'create', path: '/none/a/x', data: Buffer.from('two') },
      ]),
    ).rejects.toMatchObject({ reason: 'NO_NODE' });
    expect((await client.getData('/ops/a/x')).data.toString()).toBe('two');
  });
});
